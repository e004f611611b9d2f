#include <chrono>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/dataset/task_table.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/stages.hpp"
#include "workers/evaluation.hpp"
#include "workers/task_evaluation.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

/// One task a chunk, on all ranks.
std::vector<Task> scoring_tasks(const CommandLine& line, const ScoredSequences& sequences) {
    std::vector<Task> tasks;
    for (ScoredSequences& chunk : sequences.chunks(tokens_per_evaluation_task)) {
        Task task;
        task.stage = stage::score;
        task.id = line.task + "/" + std::to_string(tasks.size());
        task.cost = static_cast<double>(chunk.samples.tokens());
        ScoringTask scoring;
        scoring.model = std::filesystem::absolute(line.path);
        if (!line.reference.empty()) {
            scoring.reference = std::filesystem::absolute(line.reference);
        }
        scoring.sequences = std::move(chunk);
        task.arguments = to_json(scoring);
        tasks.push_back(std::move(task));
    }
    return tasks;
}

nlohmann::json summary_json(const std::string& task, const TaskSummary& summary) {
    nlohmann::json list = nlohmann::json::array();
    for (const Metric& metric : summary.metrics) {
        list.push_back({{"name", metric.name},
                        {"value", metric.value},
                        {"standard_error", metric.standard_error}});
    }
    const Metric& usual = summary.metrics.front();
    nlohmann::json json{{"task", task},
                        {"metric", usual.name},
                        {"value", usual.value},
                        {"standard_error", usual.standard_error},
                        {"examples", summary.examples},
                        {"metrics", list},
                        {"truncated", summary.n_cut}};
    for (const auto& [key, value] : {std::pair("loss", summary.loss), std::pair("kl", summary.kl),
                                     std::pair("top1_agreement", summary.top1_agreement)}) {
        if (value) {
            json[key] = *value;
        }
    }
    return json;
}

std::string summary_text(const std::string& task, const TaskSummary& summary) {
    std::string text;
    for (const Metric& metric : summary.metrics) {
        text += fmt::format("{} {} {:.6f} +- {:.6f}\n", task, metric.name, metric.value,
                            metric.standard_error);
    }
    if (summary.loss) {
        text += fmt::format("{} loss {:.6f}\n", task, *summary.loss);
    }
    if (summary.n_cut > 0) {
        text += fmt::format("{} options were too long and lost their beginning\n", summary.n_cut);
    }
    if (summary.kl) {
        text += fmt::format("{} KL {:.6f} nats\n", task, *summary.kl);
    }
    if (summary.top1_agreement) {
        text += fmt::format("{} same answer as the reference {:.2f} %\n", task,
                            100.0 * *summary.top1_agreement);
    }
    return text;
}

std::unique_ptr<TaskEvaluation> open_task(const CommandLine& line, const ModelSpec& spec) {
    const auto tokenizer = open_tokenizer(line.path, spec);
    if (!tokenizer) {
        throw MissingInputError(line.path.string() + ": task " + line.task +
                                " needs the model's tokenizer, and it has none");
    }
    return make_task_evaluation({line.task, line.data, line.limit, line.seqlen}, spec, *tokenizer);
}

}  // namespace

CommandOutput run_eval_task(const CommandContext& context) {
    const CommandLine& line = context.line;
    if (line.data.empty()) {
        throw UsageError("eval: --task needs --data FILE");
    }
    (void)find_task(line.task);  // before the model is read
    const ModelToRun model(line.path);
    if (!line.reference.empty()) {
        require_same_outputs(model.spec(), ModelToRun(line.reference).spec(),
                             line.reference.string());
    }
    const auto evaluation = open_task(line, model.spec());
    const auto start = std::chrono::steady_clock::now();
    SequenceScores scores;
    for (const TaskResult& result :
         context.coordinator.run(scoring_tasks(line, evaluation->sequences()))) {
        scores.append(sequence_scores_from_json(result.text));
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const auto tokens = static_cast<double>(evaluation->sequences().samples.tokens());
    const TaskSummary summary = evaluation->summarise(scores);
    nlohmann::json json = summary_json(line.task, summary);
    json["seconds"] = seconds;
    json["tokens_per_second"] = tokens / seconds;
    json["weights_bytes_read"] = model.weight_bytes();
    return {json.dump(),
            summary_text(line.task, summary) +
                fmt::format("{} examples, {:.0f} tokens/s\n", summary.examples, tokens / seconds),
            0};
}

}  // namespace lathe
