#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include <sched.h>

#include "lib/comm/communicator.hpp"

namespace lathe::comm {

/// What a rank tells the others of where it runs; sent as its bytes.
struct RankPosition {
    std::array<char, 64> host{};  ///< ends with a zero; longer names are cut off
    cpu_set_t processors{};       ///< its affinity mask
    int cores = 0;                ///< of the mask
    int memory_nodes = 1;         ///< of the mask
};
static_assert(std::is_trivially_copyable_v<RankPosition>);

/// Of this process.
[[nodiscard]] RankPosition own_position();

/// Of all ranks, in order: who shares processors with whom.
[[nodiscard]] std::vector<RankPlace> shared_places(const std::vector<RankPosition>& positions);

/// A list of processors as the system writes it: "0-3,8".
[[nodiscard]] cpu_set_t processors_in(const std::string& list);
/// Cores, and NUMA nodes, that processors belong to, by the files below /sys/devices/system. Where
/// they say nothing each processor is a core, and all are on one node.
[[nodiscard]] int count_cores(const cpu_set_t& processors, const std::filesystem::path& system);
[[nodiscard]] int count_memory_nodes(const cpu_set_t& processors,
                                     const std::filesystem::path& system);

}  // namespace lathe::comm
