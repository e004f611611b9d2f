#pragma once

#include <cstdint>

#include "orchestrator/preflight.hpp"

namespace lathe {

/// What a job's units come to, over all usable settings.
struct UnitSums {
    std::uint64_t minimum_bytes = 0;    ///< of a checkpoint with each unit's smallest candidate
    std::uint64_t candidate_bytes = 0;  ///< of all candidates but the source's own
    std::uint64_t solving_bytes = 0;    ///< of memory, for the unit that takes most
};
[[nodiscard]] UnitSums sum_units(const JobContext& context, const ModelOutline& model);

/// Bytes of memory of a rank in the stage that takes the most.
[[nodiscard]] std::uint64_t peak_memory_bytes(const JobContext& context, const UnitSums& units);

/// Bytes on disk of all that a job leaves in its run directory. `result` has its budget and source.
[[nodiscard]] std::uint64_t run_directory_bytes(const JobContext& context, const ModelSpec& spec,
                                                const UnitSums& units, const Preflight& result);

}  // namespace lathe
