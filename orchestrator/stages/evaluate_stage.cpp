#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "orchestrator/stages.hpp"
#include "workers/evaluation.hpp"
#include "workers/forward.hpp"
#include "workers/hf_export.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

std::string hash_of(const TokenSequences& samples) {
    Hasher hasher;
    hasher.add_field(to_json(samples));
    return to_hex(hasher.digest());
}

/// One task a chunk: the checkpoint, compared with the source.
std::vector<StageTask> evaluation_tasks(const JobRun& run,
                                        const std::vector<TokenSequences>& chunks,
                                        const fs::path& directory, const std::string& hash) {
    std::vector<StageTask> tasks;
    for (const TokenSequences& chunk : chunks) {
        EvaluationTask evaluation;
        evaluation.model = directory;
        evaluation.reference = run.given_model().directory;
        evaluation.samples = chunk;
        StageTask task;
        task.task.stage = stage::evaluate;
        task.task.id = "evaluate/" + run.fingerprint({hash, hash_of(chunk)});
        task.task.cost = static_cast<double>(chunk.ids.size());
        task.task.arguments = to_json(evaluation);
        tasks.push_back(std::move(task));
    }
    return tasks;
}

/// What the model reads of a file: windows of the text or, for a classifier, single texts.
TokenSequences samples_of(const JobRun& run, const fs::path& file, const Tokenizer* tokenizer) {
    const ModelSpec& spec = run.spec();
    const std::vector<fs::path> files{file};
    const std::size_t length =
        std::min(run.context().job.evaluate.max_seq_length, spec.max_positions);
    if (spec.head == HeadKind::classifier) {
        TokenSequences texts = read_texts(files, tokenizer, spec.vocab_size, length);
        if (texts.count() == 0) {
            throw DataError(file.string() + " has no text to evaluate on");
        }
        return texts;
    }
    const auto stream = read_token_stream(files, tokenizer, spec.vocab_size);
    TokenSequences windows = all_windows(stream, length);
    if (windows.count() == 0) {
        throw DataError(file.string() +
                        " is too short for an evaluation: " + std::to_string(stream.size()) +
                        " tokens, one window has " + std::to_string(length));
    }
    return windows;
}

TextEvaluation summarise(const std::string& file, const ModelSpec& spec,
                         const TokenSequences& samples, const std::vector<std::string>& answers) {
    const auto sum = [](const auto& values) {
        return std::accumulate(values.begin(), values.end(), 0.0);
    };
    TextEvaluation result{file};
    const bool predicts = spec.head == HeadKind::language_model;
    result.tokens = predicts ? samples.predicted_tokens() : samples.tokens();
    double source_nll = 0.0;
    double nll = 0.0;
    double kl = 0.0;
    double agree = 0.0;
    for (const std::string& answer : answers) {
        const SampleLosses losses = sample_losses_from_json(answer);
        source_nll += sum(losses.reference_nll);
        nll += sum(losses.nll);
        kl += sum(losses.kl);
        agree += sum(losses.agree);
    }
    const auto perplexity = [&](double sum_of_nll) {
        return predicts ? std::exp(sum_of_nll / static_cast<double>(result.tokens))
                        : std::numeric_limits<double>::quiet_NaN();
    };
    const auto rows = static_cast<double>(ForwardPass::head_rows(spec, samples));
    result.source_perplexity = perplexity(source_nll);
    result.perplexity = perplexity(nll);
    result.kl = kl / rows;
    result.top1_agreement = agree / rows;
    return result;
}

}  // namespace

std::vector<TextEvaluation> evaluate(JobRun& run, const fs::path& directory) {
    const EvaluateConfig& config = run.context().job.evaluate;
    std::vector<TextEvaluation> results;
    if (config.perplexity.empty()) {
        return results;
    }
    const auto tokenizer = open_tokenizer(run.source().directory, run.spec());
    const std::string hash =
        text_attribute(ArtifactReader(directory / "checkpoint.h5").attributes("/"),
                       "checkpoint_hash", directory.string());
    for (const fs::path& file : config.perplexity) {
        const TokenSequences samples = samples_of(run, file, tokenizer.get());
        const auto tasks = evaluation_tasks(run, evaluation_chunks(samples), directory, hash);
        results.push_back(
            summarise(file.string(), run.spec(), samples, run.run_stage("evaluate", tasks)));
    }
    return results;
}

void export_checkpoint(JobRun& run, const fs::path& directory) {
    if (run.context().job.exports.empty()) {
        return;
    }
    const CompressedCheckpoint checkpoint(directory);
    const ExportLayout layout = export_layout(checkpoint, default_export_shard_bytes);
    const fs::path target = run.run().hf_export();
    make_directories(target);
    std::vector<StageTask> tasks;
    for (std::size_t s = 0; s < layout.shards.size(); ++s) {
        StageTask task;
        task.task.stage = stage::export_hf;
        task.task.id = "export/" +
                       text_attribute(checkpoint.attributes(), "checkpoint_hash", "checkpoint.h5") +
                       "/" + layout.file_name(s);
        task.artifact = target / layout.file_name(s);
        task.task.arguments = to_json(ExportTask{directory, target, default_export_shard_bytes, s});
        tasks.push_back(std::move(task));
    }
    run.run_stage("export", std::move(tasks));
    run.time_stage("export", [&] { write_export_frame(checkpoint, layout, target); });
}

}  // namespace lathe
