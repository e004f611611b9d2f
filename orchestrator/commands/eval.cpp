#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
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
        text +=
            fmt::format("KL {:.6f} +- {:.6f} nats, same first choice {:.2f} %\n", summary.kl->value,
                        summary.kl->standard_error, 100.0 * summary.top1_agreement.value_or(0.0));
    }
    if (summary.reference_perplexity) {
        text += fmt::format("reference perplexity {:.6f}\n", summary.reference_perplexity->value);
    }
    if (summary.nll_difference) {
        text +=
            fmt::format("nats a token beside the reference {}\n", to_text(*summary.nll_difference));
    }
    return text;
}

/// What a model makes of the samples, on all ranks.
SampleLosses losses_of(const CommandContext& context, const std::filesystem::path& model,
                       const TokenSequences& samples) {
    const CommandLine& line = context.line;
    SampleLosses losses;
    for (const TaskResult& result : context.coordinator.run(
             numbered(text_tasks({model, line.reference, line.reading, line.integer}, samples)))) {
        losses.append(sample_losses_from_json(result.text));
    }
    return losses;
}

/// The other model of --against on the same samples.
struct OtherModel {
    SampleLosses losses;
    TextSummary summary;
    TextComparison comparison;
};

nlohmann::json to_json(const OtherModel& other) {
    nlohmann::json json = to_json(other.summary, "reference");
    // Of the first model less this one; "nll_difference" of the summary is this one's own.
    json["difference"] = to_json(other.comparison);
    return json;
}

std::string text_of(const OtherModel& other, const std::filesystem::path& model) {
    std::string text;
    const auto add = [&](const char* what, const std::optional<PairedDifference>& difference) {
        if (difference) {
            text += fmt::format("{} beside {}: {}\n", what, model.string(), to_text(*difference));
        }
    };
    add("nats a token", other.comparison.nll);
    add("KL", other.comparison.kl);
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
    std::optional<ModelToRun> against;
    if (!line.against.empty()) {
        against.emplace(line.against, line.reading);
        require_same_outputs(model.spec(), against->spec(), line.against.string());
    }
    const auto start = std::chrono::steady_clock::now();
    const SampleLosses losses = losses_of(context, line.path, evaluation.samples());
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
    std::string text = text_of(summary);
    nlohmann::json windows = windows_json(losses);
    windows["tokens"] = evaluation.samples().lengths;
    if (against) {
        OtherModel other{losses_of(context, line.against, evaluation.samples()), {}, {}};
        other.summary = evaluation.summarise(other.losses);
        other.comparison = evaluation.compare(losses, other.losses);
        json["against"] = to_json(other);
        text += text_of(other, line.against);
        windows["against"] = windows_json(other.losses);
    }
    if (!line.windows_out.empty()) {
        write_file(line.windows_out, windows.dump() + "\n");
    }
    return {json.dump(), text + fmt::format("{:.0f} tokens/s\n", speed), 0};
}

}  // namespace lathe
