#include <chrono>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/evaluation_report.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/evaluation/logits_file.hpp"

namespace lathe {

namespace {

CommandOutput write_logits_command(const CommandContext& context, const ModelToRun& model) {
    const CommandLine& line = context.line;
    if (line.ids.empty() || line.logits_out.empty()) {
        throw UsageError("eval: --ids and --logits-out go together");
    }
    const Device device = Device::open(line.runtime.backend, line.runtime.threads, context.world);
    write_logits(model, *device.backend, line.ids, line.logits_out, line.hidden);
    return {nlohmann::json{{"logits", line.logits_out.string()}}.dump(),
            "logits written to " + line.logits_out.string() + "\n", 0};
}

std::string text_of(const TextSummary& summary) {
    std::string text;
    if (summary.perplexity) {
        text +=
            fmt::format("perplexity {:.6f} +- {:.6f} over {} tokens\n", summary.perplexity->value,
                        summary.perplexity->standard_error, summary.tokens);
    }
    if (summary.kl) {
        text += fmt::format("KL {:.6f} nats, same first choice {:.2f} %\n", *summary.kl,
                            100.0 * summary.top1_agreement.value_or(0.0));
    }
    if (summary.reference_perplexity) {
        text += fmt::format("reference perplexity {:.6f}\n", summary.reference_perplexity->value);
    }
    return text;
}

}  // namespace

CommandOutput run_eval(const CommandContext& context) {
    const CommandLine& line = context.line;
    if (!line.task.empty()) {
        return run_eval_task(context);
    }
    const ModelToRun model = open_model(line);
    if (!line.ids.empty() || !line.logits_out.empty()) {
        return write_logits_command(context, model);
    }
    if (model.spec().head != HeadKind::language_model && line.reference.empty()) {
        throw DataError(line.path.string() +
                        ": only a language model has a perplexity; this model is a classifier (" +
                        model.spec().family +
                        "), give --task and --data, or --reference for the divergence");
    }
    if (line.texts.empty()) {
        throw UsageError(
            "eval: give --text FILE, --task NAME and --data FILE, or --ids and --logits-out");
    }
    const auto tokenizer = open_tokenizer(line.path, model.spec());
    const TextEvaluation evaluation({line.texts, line.limit, line.seqlen}, model.spec(),
                                    text_reader(tokenizer.get(), line.path, line.chat_template));
    const auto start = std::chrono::steady_clock::now();
    SampleLosses losses;
    for (const TaskResult& result : context.coordinator.run(numbered(text_tasks(
             {line.path, line.reference, line.reading, line.integer}, evaluation.samples())))) {
        losses.append(sample_losses_from_json(result.text));
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double speed = static_cast<double>(evaluation.samples().tokens()) / seconds;
    const TextSummary summary = evaluation.summarise(losses);
    nlohmann::json json = to_json(summary, "reference");
    json["seqlen"] = evaluation.samples().max_length();
    json["seconds"] = seconds;
    json["tokens_per_second"] = speed;
    json["weights_bytes_read"] = model.weight_bytes();
    json["integer"] = to_string(line.integer);
    return {json.dump(), text_of(summary) + fmt::format("{:.0f} tokens/s\n", speed), 0};
}

}  // namespace lathe
