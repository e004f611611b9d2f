#include <unordered_map>

#include "lib/checkpoint/artifact.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "orchestrator/stages.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// What is evaluated: the checkpoint, against the source.
struct Subject {
    JobRun& run;
    EvaluatedModels models;
    std::string hash;  ///< of the checkpoint
};

/// Has the chunks of several questions evaluated; for each question the answers of its chunks. A
/// chunk that occurs twice, in one text or in two, is one task.
std::vector<std::vector<std::string>> ask(const Subject& subject,
                                          const std::vector<std::vector<Task>>& questions) {
    std::vector<StageTask> tasks;
    std::unordered_map<std::string, std::size_t> places;
    std::vector<std::vector<std::size_t>> chunks;
    for (const std::vector<Task>& question : questions) {
        chunks.emplace_back();
        for (const Task& chunk : question) {
            const auto [place, is_new] = places.emplace(chunk.id, tasks.size());
            chunks.back().push_back(place->second);
            if (is_new) {
                StageTask task;
                task.task = chunk;
                // What the answer depends on: source, checkpoint and content.
                task.task.id =
                    "evaluate/" + subject.run.fingerprint({subject.hash, chunk.stage, chunk.id});
                tasks.push_back(std::move(task));
            }
        }
    }
    const std::vector<std::string> distinct = subject.run.run_stage("evaluate", std::move(tasks));
    std::vector<std::vector<std::string>> answers;
    for (const std::vector<std::size_t>& own : chunks) {
        answers.emplace_back();
        for (const std::size_t place : own) {
            answers.back().push_back(distinct[place]);
        }
    }
    return answers;
}

std::vector<EvaluationReport::Text> evaluate_texts(const Subject& subject,
                                                   const std::vector<JobQuestions::Text>& texts) {
    std::vector<std::vector<Task>> tasks;
    for (const JobQuestions::Text& text : texts) {
        tasks.push_back(text_tasks(subject.models, text.evaluation.samples()));
    }
    const auto answers = ask(subject, tasks);
    std::vector<EvaluationReport::Text> result;
    for (std::size_t t = 0; t < texts.size(); ++t) {
        SampleLosses losses;
        for (const std::string& answer : answers[t]) {
            losses.append(sample_losses_from_json(answer));
        }
        result.push_back({texts[t].file, texts[t].evaluation.summarise(losses)});
    }
    return result;
}

std::vector<EvaluationReport::Task> evaluate_tasks(const Subject& subject,
                                                   const std::vector<JobQuestions::Task>& asked) {
    std::vector<std::vector<Task>> tasks;
    for (const JobQuestions::Task& task : asked) {
        tasks.push_back(scoring_tasks(subject.models, task.evaluation->sequences()));
    }
    const auto answers = ask(subject, tasks);
    std::vector<EvaluationReport::Task> result;
    for (std::size_t t = 0; t < asked.size(); ++t) {
        SequenceScores scores;
        for (const std::string& answer : answers[t]) {
            scores.append(sequence_scores_from_json(answer));
        }
        result.push_back({asked[t].name, asked[t].file, asked[t].evaluation->summarise(scores)});
    }
    return result;
}

}  // namespace

EvaluationReport evaluate(JobRun& run, const JobQuestions& questions, const fs::path& directory) {
    const Subject subject{
        run,
        {directory, run.given_model().directory, run.job().reading},
        text_attribute(ArtifactReader(directory / "checkpoint.h5").attributes("/"),
                       "checkpoint_hash", directory.string())};
    EvaluationReport report;
    if (!questions.texts.empty()) {
        report.texts = evaluate_texts(subject, questions.texts);
    }
    if (!questions.tasks.empty()) {
        report.tasks = evaluate_tasks(subject, questions.tasks);
    }
    return report;
}

}  // namespace lathe
