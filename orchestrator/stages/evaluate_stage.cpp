#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "orchestrator/stages.hpp"
#include "workers/evaluation.hpp"
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
        evaluation.reference = run.source().directory;
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

TextEvaluation summarise(const std::string& file, const TokenSequences& windows,
                         const std::vector<std::string>& answers) {
    const auto sum = [](const auto& values) {
        return std::accumulate(values.begin(), values.end(), 0.0);
    };
    TextEvaluation result{file};
    result.tokens = windows.predicted_tokens();
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
    const auto tokens = static_cast<double>(result.tokens);
    const auto positions = static_cast<double>(windows.ids.size());
    result.source_perplexity = std::exp(source_nll / tokens);
    result.perplexity = std::exp(nll / tokens);
    result.kl = kl / positions;
    result.top1_agreement = agree / positions;
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
        const std::vector<fs::path> files{file};
        const auto stream = read_token_stream(files, tokenizer.get(), run.spec().vocab_size);
        const std::size_t length = std::min(config.max_seq_length, run.spec().max_positions);
        const TokenSequences windows = all_windows(stream, length);
        if (windows.count() == 0) {
            throw DataError(file.string() +
                            " is too short for an evaluation: " + std::to_string(stream.size()) +
                            " tokens, one window has " + std::to_string(length));
        }
        const auto chunks = evaluation_chunks(windows);
        results.push_back(
            summarise(file.string(), windows,
                      run.run_stage("evaluate", evaluation_tasks(run, chunks, directory, hash))));
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
