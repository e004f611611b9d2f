#pragma once

#include <cstdint>
#include <string>

namespace lathe {

/// A task that a rank has.
struct RunningTask {
    std::string task;
    int rank = 0;
    double seconds = 0.0;            ///< since it was handed out
    double fraction = 0.0;           ///< of it that is done, as the rank tells; 0: nothing was told
    std::uint64_t memory_bytes = 0;  ///< resident in its process; 0: it did not tell

    bool operator==(const RunningTask&) const = default;
};

}  // namespace lathe
