#pragma once

#include <filesystem>
#include <vector>

#include "lib/config/job_config.hpp"
#include "lib/job/task.hpp"
#include "workers/evaluation/scoring.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// Samples are evaluated in chunks of about this many tokens: one task each. A constant, so that
/// results do not depend on the number of ranks.
inline constexpr std::size_t tokens_per_evaluation_task = 16384;

/// The samples cut into chunks.
[[nodiscard]] std::vector<TokenSequences> evaluation_chunks(const TokenSequences& samples);

/// Directories of what is evaluated.
struct EvaluatedModels {
    std::filesystem::path model;
    std::filesystem::path reference;  ///< or empty: no divergence
    ModelReading reading;             ///< of both
    IntegerParts integer = {};        ///< of the model
};

/// One task a chunk; its id is a hash of the chunk. Their answers are SampleLosses and
/// SequenceScores.
[[nodiscard]] std::vector<Task> text_tasks(const EvaluatedModels& models,
                                           const TokenSequences& samples);
[[nodiscard]] std::vector<Task> scoring_tasks(const EvaluatedModels& models,
                                              const ScoredSequences& sequences);

/// The same tasks with numbers for ids, for a command that keeps no answers: equal chunks may then
/// stand next to each other.
[[nodiscard]] std::vector<Task> numbered(std::vector<Task> tasks);

}  // namespace lathe
