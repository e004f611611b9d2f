#pragma once

#include <array>
#include <type_traits>
#include <vector>

#include <sched.h>

#include "lib/comm/communicator.hpp"

namespace lathe::comm {

/// What a rank tells the others of where it runs; sent as its bytes.
struct RankPosition {
    std::array<char, 64> host{};  ///< ends with a zero; longer names are cut off
    cpu_set_t processors{};       ///< its affinity mask
};
static_assert(std::is_trivially_copyable_v<RankPosition>);

/// Of this process.
[[nodiscard]] RankPosition own_position();

/// Of all ranks, in order: who shares processors with whom.
[[nodiscard]] std::vector<RankPlace> shared_places(const std::vector<RankPosition>& positions);

}  // namespace lathe::comm
