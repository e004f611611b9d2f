#include <chrono>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/dataset/task_table.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/evaluation_report.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/evaluation/task_evaluation_table.hpp"

namespace lathe {

namespace {

std::string summary_text(const std::string& task, const TaskSummary& summary) {
    std::string text;
    for (const Metric& metric : summary.metrics) {
        text += fmt::format("{} {} {:.6f} +- {:.6f}\n", task, metric.name, metric.value,
                            metric.standard_error);
    }
    for (const Metric& metric : summary.reference_metrics) {
        text += fmt::format("{} reference {} {:.6f} +- {:.6f}\n", task, metric.name, metric.value,
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
    if (summary.answers) {
        text += fmt::format("{} beside the reference: {}\n", task, to_text(*summary.answers));
    }
    return text;
}

SequenceScores scores_of(const CommandContext& context, const std::filesystem::path& model,
                         const ScoredSequences& sequences) {
    const CommandLine& line = context.line;
    SequenceScores scores;
    for (const TaskResult& result : context.coordinator.run(numbered(
             scoring_tasks({model, line.reference, line.reading, line.integer}, sequences)))) {
        scores.append(sequence_scores_from_json(result.text));
    }
    return scores;
}

}  // namespace

CommandOutput run_eval_task(const CommandContext& context) {
    const CommandLine& line = context.line;
    if (line.data.empty()) {
        throw UsageError("eval: --task needs --data FILE");
    }
    (void)find_task(line.task);  // before the model is read
    const ModelToRun model = open_model(line);
    const auto tokenizer = open_tokenizer(line.path, model.spec());
    const auto evaluation = make_task_evaluation({line.task, line.data, line.limit, line.seqlen},
                                                 model.spec(), tokenizer.get());
    if (!line.against.empty()) {
        const ModelToRun against(line.against, line.reading);
        require_same_outputs(model.spec(), against.spec(), line.against.string());
    }
    const auto start = std::chrono::steady_clock::now();
    const SequenceScores scores = scores_of(context, line.path, evaluation->sequences());
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const auto tokens = static_cast<double>(evaluation->sequences().samples.tokens());
    const TaskSummary summary = evaluation->summarise(scores);
    nlohmann::json json = to_json(summary, "reference");
    json["task"] = line.task;
    json["seconds"] = seconds;
    json["tokens_per_second"] = tokens / seconds;
    json["weights_bytes_read"] = model.weight_bytes();
    json["integer"] = to_string(line.integer);
    std::string text = summary_text(line.task, summary);
    if (!line.against.empty()) {
        const SequenceScores other = scores_of(context, line.against, evaluation->sequences());
        // Each model's answers to the same examples; the divergences are from the reference.
        const TaskSummary pair = evaluation->summarise({scores.values, other.values, {}});
        json["against"] = to_json(evaluation->summarise(other), "reference");
        if (pair.answers) {
            json["against"]["difference"] = to_json(*pair.answers, "other");
            text += fmt::format("{} beside {}: {}\n", line.task, line.against.string(),
                                to_text(*pair.answers));
        }
    }
    return {
        json.dump(),
        text + fmt::format("{} examples, {:.0f} tokens/s\n", summary.examples, tokens / seconds),
        0};
}

}  // namespace lathe
