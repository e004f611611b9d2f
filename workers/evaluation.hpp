#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/compressed_checkpoint.hpp"
#include "workers/job_context.hpp"
#include "workers/token_data.hpp"

namespace lathe {

/// A model to run, whatever it is stored in: a Hugging Face directory or a compressed checkpoint.
class ModelToRun {
public:
    /// @throws MissingInputError, DataError
    explicit ModelToRun(const std::filesystem::path& directory);
    [[nodiscard]] const ModelSpec& spec() const;
    [[nodiscard]] const WeightSource& weights() const { return *weights_; }
    /// Bytes of the files its weights are read from.
    [[nodiscard]] std::uint64_t weight_bytes() const;

private:
    std::unique_ptr<SourceModel> source_;
    std::unique_ptr<CompressedCheckpoint> compressed_;
    std::unique_ptr<WeightSource> weights_;
};

/// How a model does on some windows. Per window: sums over its positions, in fp64.
struct WindowLosses {
    std::vector<double> nll;           ///< -log p of tokens 1 .. length-1
    // With a reference model only:
    std::vector<double> reference_nll;  ///< the reference's own
    std::vector<double> kl;             ///< KL(reference || model) at all positions
    std::vector<std::uint64_t> agree;  ///< positions whose most likely token is the reference's
};

/// Normed final hidden states of all windows: the input of the head. [tokens, hidden_size]
using FinalStates = kernels::Array<float>;

/// Runs the blocks, streaming them one after another through memory.
[[nodiscard]] FinalStates final_states(const ModelSpec& spec, const WeightSource& weights,
                                       const kernels::Backend& backend,
                                       const TokenWindows& windows);

/// Losses from final states; with a reference, also the divergence from it.
struct ReferenceModel {
    const ModelSpec* spec = nullptr;
    const WeightSource* weights = nullptr;
    const FinalStates* states = nullptr;
};
[[nodiscard]] WindowLosses window_losses(const ModelSpec& spec, const WeightSource& weights,
                                         const kernels::Backend& backend,
                                         const TokenWindows& windows, const FinalStates& states,
                                         const ReferenceModel& reference);

/// What an evaluation task is told: a model and some windows, tokens included.
struct EvaluationTask {
    std::filesystem::path model;      ///< a directory; empty: the job's model under `choice`
    std::vector<Setting> choice;      ///< with an empty `model`: the plan; none: the source itself
    std::filesystem::path reference;  ///< a directory, or empty: no divergence, or that of the job
    bool against_source = false;      ///< within a job: diverge from the source model
    std::size_t chunk = 0;            ///< within a job: number of the chunk, to keep its reference
    TokenWindows windows;
};

[[nodiscard]] std::string to_json(const EvaluationTask& task);
[[nodiscard]] EvaluationTask evaluation_task_from_json(const std::string& text);
[[nodiscard]] std::string to_json(const WindowLosses& losses);
[[nodiscard]] WindowLosses window_losses_from_json(const std::string& text);

/// Within a job (search, verify).
[[nodiscard]] WindowLosses run_evaluation(const JobContext& context, const EvaluationTask& task);
/// Outside a job: `model` and `reference` are directories.
[[nodiscard]] WindowLosses run_evaluation(const kernels::Backend& backend,
                                          const EvaluationTask& task);

/// Runs the model on `input_ids` [n, length] of an HDF5 file and writes `logits` [n, length, V]
/// (and with `hidden` also `hidden` [n_blocks + 1, n, length, hidden_size]: the embeddings and each
/// block's output, the last one after the final norm) to another.
void write_logits(const ModelToRun& model, const kernels::Backend& backend,
                  const std::filesystem::path& ids_file, const std::filesystem::path& output,
                  bool hidden);

}  // namespace lathe
