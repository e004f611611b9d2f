#pragma once

#include <filesystem>
#include <vector>

#include "lib/config/job_config.hpp"
#include "lib/job/task.hpp"
#include "workers/evaluation/scoring.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// Samples are evaluated in chunks of about this many tokens: one task each.
inline constexpr std::size_t tokens_per_evaluation_task = 16384;

/// The samples cut into chunks: at least so many as are wanted, as far as whole batches of
/// tokens_per_batch allow. A batch holds the same samples whatever the chunks are, and so its
/// results are the same.
[[nodiscard]] std::vector<TokenSequences> evaluation_chunks(const TokenSequences& samples,
                                                            std::size_t wanted = 1);

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
