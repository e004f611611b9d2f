#include "orchestrator/job_questions.hpp"

#include "lib/core/errors.hpp"
#include "lib/dataset/task_table.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "workers/evaluation/task_evaluation_table.hpp"

namespace lathe {
namespace {

void require_known(const TaskEntry& entry) {
    try {
        (void)find_task(entry.task);
    } catch (const UsageError& error) {
        throw UsageError(entry.place.text + ": " + error.what());
    }
}

}  // namespace

JobQuestions JobQuestions::read(const JobContext& context) {
    const EvaluateConfig& config = context.job.evaluate;
    JobQuestions questions;
    for (const TaskEntry& entry : config.tasks) {
        require_known(entry);
    }
    if (config.perplexity.empty() && config.tasks.empty()) {
        return questions;
    }
    const auto tokenizer = open_tokenizer(context.source->directory, context.spec());
    for (const std::filesystem::path& file : config.perplexity) {
        questions.texts.push_back(
            {file.string(), TextEvaluation({{file}, config.limit, config.max_seq_length},
                                           context.spec(), tokenizer.get())});
    }
    for (const TaskEntry& entry : config.tasks) {
        questions.tasks.push_back(
            {entry.task, entry.data.string(),
             make_task_evaluation({entry.task, entry.data, config.limit, entry.max_seq_length},
                                  context.spec(), tokenizer.get())});
    }
    return questions;
}

std::size_t JobQuestions::n_tokens() const {
    std::size_t n = 0;
    for (const Text& text : texts) {
        n += text.evaluation.samples().tokens();
    }
    for (const Task& task : tasks) {
        n += task.evaluation->sequences().samples.tokens();
    }
    return n;
}

std::size_t JobQuestions::n_chunks() const {
    std::size_t n = 0;
    for (const Text& text : texts) {
        n += text.evaluation.samples().ranges(tokens_per_evaluation_task).size();
    }
    for (const Task& task : tasks) {
        n += task.evaluation->sequences().samples.ranges(tokens_per_evaluation_task).size();
    }
    return n;
}

}  // namespace lathe
