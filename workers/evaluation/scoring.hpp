#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/config/job_config.hpp"
#include "workers/network/integer_parts.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// Sequences of which only a few outputs matter: texts to classify, or texts whose continuation is
/// to be judged by its likelihood.
struct ScoredSequences {
    TokenSequences samples;
    // For a language model only; a classifier has one output for each text.
    std::vector<std::uint32_t>
        n_targets;  ///< of each sequence: how many of its last tokens predict
    std::vector<std::uint32_t>
        targets;  ///< what comes after each of those, all sequences' in a row

    /// Consecutive parts of at most `max_tokens` tokens, but of one sequence at least: cut by
    /// lengths alone, never by ranks.
    [[nodiscard]] std::vector<ScoredSequences> chunks(std::size_t max_tokens) const;
};

/// What a model says of each sequence.
struct SequenceScores {
    /// For a classifier its logits [sequences, labels], for a language model the log-likelihood of
    /// the sequence's targets, in nats [sequences].
    std::vector<double> values;
    // With a reference model only:
    std::vector<double> reference_values;
    std::vector<double> kl;  ///< divergence() from it, summed over the outputs of each sequence

    void append(const SequenceScores& others);
};

/// Models are directories; `reference` may be empty.
struct ScoringTask {
    std::filesystem::path model;
    std::filesystem::path reference;
    ModelReading reading;  ///< of both
    ScoredSequences sequences;
    IntegerParts integer = {};  ///< of `model`; the reference runs in fp32
};

[[nodiscard]] std::string to_json(const ScoringTask& task);
[[nodiscard]] ScoringTask scoring_task_from_json(const std::string& text);
/// Numbers survive exactly.
[[nodiscard]] std::string to_json(const SequenceScores& scores);
[[nodiscard]] SequenceScores sequence_scores_from_json(const std::string& text);

/// @throws DataError  if an output is not finite, or the reference has other outputs
[[nodiscard]] SequenceScores run_scoring(const kernels::Backend& backend, const ScoringTask& task);

}  // namespace lathe
