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
    /// `tables`: of a compressed checkpoint's products. @throws MissingInputError, DataError
    explicit ModelToRun(const std::filesystem::path& directory,
                        kernels::LookupTables tables = kernels::LookupTables::fp32);
    [[nodiscard]] const ModelSpec& spec() const;
    [[nodiscard]] const WeightSource& weights() const { return *weights_; }
    /// Bytes of the files its weights are read from.
    [[nodiscard]] std::uint64_t weight_bytes() const;

private:
    std::unique_ptr<SourceModel> source_;
    std::unique_ptr<CompressedCheckpoint> compressed_;
    std::unique_ptr<WeightSource> weights_;
};

/// @throws DataError  beginning with `where`, if the two do not answer with the same outputs
void require_same_outputs(const ModelSpec& model, const ModelSpec& reference,
                          const std::string& where);

/// How a model does on some samples. Per sample: sums in fp64 over the rows its head reads, which
/// are the tokens for a language model and one row for a classifier.
struct SampleLosses {
    std::vector<double> nll;  ///< -log p of tokens 1 .. length-1; 0 for a classifier
    // With a reference model only:
    std::vector<double> reference_nll;  ///< the reference's own
    std::vector<double> kl;             ///< divergence() from the reference
    std::vector<std::uint64_t> agree;   ///< rows whose most likely output is the reference's

    void append(const SampleLosses& others);
};

/// Head inputs of all samples. [head rows, head_width]
using FinalStates = kernels::Array<float>;

/// Runs the blocks, streaming them one after another through memory.
[[nodiscard]] FinalStates final_states(const ModelSpec& spec, const WeightSource& weights,
                                       const kernels::Backend& backend,
                                       const TokenSequences& samples);

/// Losses from final states; with a reference, also the divergence from it.
struct ReferenceModel {
    const ModelSpec* spec = nullptr;
    const WeightSource* weights = nullptr;
    const FinalStates* states = nullptr;
};
[[nodiscard]] SampleLosses sample_losses(const ModelSpec& spec, const WeightSource& weights,
                                         const kernels::Backend& backend,
                                         const TokenSequences& samples, const FinalStates& states,
                                         const ReferenceModel& reference);

/// Divergence of q from p, row by row: KL(softmax p || softmax q) in nats, and for a model with one
/// output (p - q)^2 / 2, the divergence of two unit normal distributions with these means.
/// agree[r]: both have their largest output in the same place. The logits lie in host memory.
void divergence(const kernels::Backend& backend, MatrixView<const float> p,
                MatrixView<const float> q, std::span<double> kl, std::span<std::uint8_t> agree);
/// The sum of divergence() over the rows, in their order.
[[nodiscard]] double total_divergence(const kernels::Backend& backend, MatrixView<const float> p,
                                      MatrixView<const float> q);

/// What an evaluation task is told: a model and some samples, tokens included.
struct EvaluationTask {
    std::filesystem::path model;      ///< a directory; empty: the job's model under `choice`
    std::vector<Setting> choice;      ///< with an empty `model`: the plan; none: the source itself
    std::string refined;              ///< of the plan: Plan::refined
    std::filesystem::path reference;  ///< a directory, or empty: no divergence, or that of the job
    bool against_source = false;      ///< within a job: diverge from the source model
    TokenSequences samples;
};

[[nodiscard]] std::string to_json(const EvaluationTask& task);
[[nodiscard]] EvaluationTask evaluation_task_from_json(const std::string& text);
[[nodiscard]] std::string to_json(const SampleLosses& losses);
[[nodiscard]] SampleLosses sample_losses_from_json(const std::string& text);

/// Computes the final states of a job's source model on some samples, once for all tasks that
/// measure on them: RunDirectory::reference().
struct ReferenceTask {
    TokenSequences samples;
    std::string fingerprint;
};
[[nodiscard]] std::string to_json(const ReferenceTask& task);
[[nodiscard]] ReferenceTask reference_task_from_json(const std::string& text);
void run_reference(const JobContext& context, const ReferenceTask& task);

/// Final states of a job's source model: those that run_reference() stored, or else computed here.
/// Never writes: many ranks may ask for the same ones.
/// @throws DataError  if what is stored is damaged
[[nodiscard]] FinalStates source_states(const JobContext& context, const TokenSequences& samples);

/// Within a job (search, verify).
[[nodiscard]] SampleLosses run_evaluation(const JobContext& context, const EvaluationTask& task);
/// Outside a job: `model` and `reference` are directories.
[[nodiscard]] SampleLosses run_evaluation(const kernels::Backend& backend,
                                          const EvaluationTask& task);

/// Runs the model on `input_ids` [n, length] of an HDF5 file (each row as far as its
/// `attention_mask`, where there is one) and writes `logits` [n, length, V], of a classifier
/// [n, labels], to another; with `hidden` also `hidden` [n_blocks + 1, n, length, hidden_size]:
/// what enters the first block and each block's output, the last one after the final norm. What
/// belongs to masked tokens is 0.
void write_logits(const ModelToRun& model, const kernels::Backend& backend,
                  const std::filesystem::path& ids_file, const std::filesystem::path& output,
                  bool hidden);

}  // namespace lathe
