#pragma once

#include <cstdint>

#include "orchestrator/estimate/rank_memory.hpp"
#include "orchestrator/preflight.hpp"

namespace lathe {

/// What a job's units come to, over all usable settings.
struct UnitSums {
    std::uint64_t minimum_bytes = 0;    ///< of a checkpoint with each unit's smallest candidate
    std::uint64_t candidate_bytes = 0;  ///< of all candidates but the source's own
    // Of memory, for the unit that takes most:
    std::uint64_t compressing_bytes = 0;  ///< in the pieces that it is made in
    std::uint64_t refining_bytes = 0;     ///< as a whole
};
[[nodiscard]] UnitSums sum_units(const JobContext& context, const ModelOutline& model);

/// For the job's model and what a rank may use. @pre  `context` outlives it
[[nodiscard]] RankMemory rank_memory_of(const JobContext& context);

/// Bytes of memory of a rank in each stage that takes much.
[[nodiscard]] std::vector<Preflight::Memory> stage_memory(const JobContext& context,
                                                          const UnitSums& units);

/// Bytes on disk of all that a job leaves in its run directory. `result` has its budget and source.
[[nodiscard]] std::uint64_t run_directory_bytes(const JobContext& context, const ModelSpec& spec,
                                                const UnitSums& units, const Preflight& result);

}  // namespace lathe
