#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/core/errors.hpp"
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

nlohmann::json metrics_json(const std::vector<Metric>& metrics) {
    nlohmann::json list = nlohmann::json::array();
    for (const Metric& metric : metrics) {
        list.push_back({{"name", metric.name},
                        {"value", metric.value},
                        {"standard_error", metric.standard_error}});
    }
    return list;
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
    const auto tokenizer = open_tokenizer(line.path, model.spec());
    if (!tokenizer) {
        throw MissingInputError(line.path.string() + ": task " + line.task +
                                " needs the model's tokenizer, and it has none");
    }
    const auto evaluation = make_task_evaluation({line.task, line.data, line.limit, line.seqlen},
                                                 model.spec(), *tokenizer);
    const auto start = std::chrono::steady_clock::now();
    SequenceScores scores;
    for (const TaskResult& result :
         context.coordinator.run(scoring_tasks(line, evaluation->sequences()))) {
        scores.append(sequence_scores_from_json(result.text));
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double tokens_per_second =
        static_cast<double>(evaluation->sequences().samples.tokens()) / seconds;
    const TaskSummary summary = evaluation->summarise(scores);
    const Metric& usual = summary.metrics.front();
    nlohmann::json json{{"task", line.task},
                        {"metric", usual.name},
                        {"value", usual.value},
                        {"standard_error", usual.standard_error},
                        {"examples", summary.examples},
                        {"metrics", metrics_json(summary.metrics)},
                        {"truncated", summary.n_cut},
                        {"seconds", seconds},
                        {"tokens_per_second", tokens_per_second},
                        {"weights_bytes_read", model.weight_bytes()}};
    if (summary.loss) {
        json["loss"] = *summary.loss;
    }
    if (summary.kl) {
        json["kl"] = *summary.kl;
    }
    if (summary.top1_agreement) {
        json["top1_agreement"] = *summary.top1_agreement;
    }
    return {json.dump(),
            summary_text(line.task, summary) +
                fmt::format("{} examples, {:.0f} tokens/s\n", summary.examples, tokens_per_second),
            0};
}

}  // namespace lathe
