#include "lib/comm/rank_position.hpp"

#include <algorithm>
#include <cstring>

#include <unistd.h>

namespace lathe::comm {
namespace {

bool is_overlapping(const RankPosition& a, const RankPosition& b) {
    cpu_set_t both;
    CPU_AND(&both, &a.processors, &b.processors);
    return a.host == b.host && CPU_COUNT(&both) > 0;
}

}  // namespace

RankPosition own_position() {
    RankPosition position;
    if (::gethostname(position.host.data(), position.host.size()) != 0) {
        std::strcpy(position.host.data(), "unknown");
    }
    position.host.back() = '\0';
    // Fails on more processors than the mask can hold: then none are told, and none shared.
    CPU_ZERO(&position.processors);
    ::sched_getaffinity(0, sizeof position.processors, &position.processors);
    return position;
}

std::vector<RankPlace> shared_places(const std::vector<RankPosition>& positions) {
    std::vector<RankPlace> places;
    for (const RankPosition& position : positions) {
        const auto sharing = std::ranges::count_if(
            positions, [&](const RankPosition& other) { return is_overlapping(position, other); });
        places.push_back({position.host.data(), CPU_COUNT(&position.processors),
                          std::max(1, static_cast<int>(sharing))});
    }
    return places;
}

}  // namespace lathe::comm
