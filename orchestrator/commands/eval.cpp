#include <chrono>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/stages.hpp"
#include "workers/evaluation.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

constexpr std::size_t default_window_tokens = 2048;

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

/// One task a chunk, on all ranks.
std::vector<Task> evaluation_tasks(const CommandLine& line, const TokenSequences& windows) {
    std::vector<Task> tasks;
    for (TokenSequences& chunk : evaluation_chunks(windows)) {
        EvaluationTask evaluation;
        evaluation.model = std::filesystem::absolute(line.path);
        if (!line.reference.empty()) {
            evaluation.reference = std::filesystem::absolute(line.reference);
        }
        evaluation.samples = std::move(chunk);
        Task task;
        task.stage = stage::evaluate;
        task.id = "eval/" + std::to_string(tasks.size());
        task.arguments = to_json(evaluation);
        tasks.push_back(std::move(task));
    }
    return tasks;
}

struct Sums {
    double nll = 0.0, reference_nll = 0.0, kl = 0.0, agree = 0.0;

    void add(const SampleLosses& losses) {
        const auto sum = [](const auto& values) {
            return std::accumulate(values.begin(), values.end(), 0.0);
        };
        nll += sum(losses.nll);
        reference_nll += sum(losses.reference_nll);
        kl += sum(losses.kl);
        agree += sum(losses.agree);
    }
};

}  // namespace

CommandOutput run_eval(const CommandContext& context) {
    const CommandLine& line = context.line;
    if (!line.task.empty()) {
        return run_eval_task(context);
    }
    const ModelToRun model(line.path);
    if (!line.ids.empty() || !line.logits_out.empty()) {
        return write_logits_command(context, model);
    }
    if (model.spec().head != HeadKind::language_model) {
        throw DataError(line.path.string() +
                        ": only a language model has a perplexity; this model "
                        "is a classifier (" +
                        model.spec().family + "), give --task and --data");
    }
    if (line.texts.empty()) {
        throw UsageError(
            "eval: give --text FILE, --task NAME and --data FILE, or --ids and --logits-out");
    }
    const auto tokenizer = open_tokenizer(line.path, model.spec());
    const auto stream = read_token_stream(line.texts, tokenizer.get(), model.spec().vocab_size);
    const std::size_t length =
        std::min(line.seqlen > 0 ? line.seqlen : default_window_tokens, model.spec().max_positions);
    const TokenSequences windows = all_windows(stream, length);
    if (windows.count() == 0) {
        throw DataError("the text is too short: " + std::to_string(stream.size()) +
                        " tokens, one window has " + std::to_string(length));
    }
    const auto start = std::chrono::steady_clock::now();
    Sums sums;
    for (const TaskResult& result : context.coordinator.run(evaluation_tasks(line, windows))) {
        sums.add(sample_losses_from_json(result.text));
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const auto positions = static_cast<double>(windows.ids.size());
    const auto predicted = static_cast<double>(windows.predicted_tokens());
    const double perplexity = std::exp(sums.nll / predicted);
    nlohmann::json json{{"perplexity", perplexity},
                        {"tokens", windows.predicted_tokens()},
                        {"windows", windows.count()},
                        {"seqlen", length},
                        {"seconds", seconds},
                        {"tokens_per_second", positions / seconds},
                        {"weights_bytes_read", model.weight_bytes()}};
    std::string text = fmt::format("perplexity {:.6f} over {} tokens ({:.0f} tokens/s)\n",
                                   perplexity, windows.predicted_tokens(), positions / seconds);
    if (!line.reference.empty()) {
        json["kl"] = sums.kl / positions;
        json["top1_agreement"] = sums.agree / positions;
        json["reference_perplexity"] = std::exp(sums.reference_nll / predicted);
        text += fmt::format(
            "KL {:.6f} nats a token, same top token {:.2f} %, reference perplexity {:.6f}\n",
            sums.kl / positions, 100.0 * sums.agree / positions,
            std::exp(sums.reference_nll / predicted));
    }
    return {json.dump(), text, 0};
}

}  // namespace lathe
