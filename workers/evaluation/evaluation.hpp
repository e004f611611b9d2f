#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/job/job_context.hpp"
#include "workers/network/final_states.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

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

/// Losses from final states; with a reference, also the divergence from it.
struct ReferenceModel {
    const ModelSpec* spec = nullptr;
    const WeightSource* weights = nullptr;
    const FinalStates* states = nullptr;
};
[[nodiscard]] SampleLosses sample_losses(const ModelSpec& spec, const WeightSource& weights,
                                         const kernels::Backend& backend,
                                         const TokenSequences& samples, const FinalStates& states,
                                         const ReferenceModel& reference,
                                         const IntegerParts& integer = {});

/// The input of an evaluation task: a model and some samples, tokens included.
struct EvaluationTask {
    std::filesystem::path model;      ///< a directory; empty: the job's model under `choice`
    std::vector<Setting> choice;      ///< with an empty `model`: the plan; none: the source itself
    std::string refined;              ///< of the plan: Plan::refined
    std::filesystem::path reference;  ///< a directory, or empty: no divergence, or that of the job
    ModelReading reading;             ///< of both directories
    bool against_source = false;      ///< within a job: diverge from the source model
    IntegerParts integer;             ///< of the model in `model`; the reference runs in fp32
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

}  // namespace lathe
