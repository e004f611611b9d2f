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

/// A task that a rank had and that came to no end there: the rank was lost, the task failed, or the
/// job stopped.
struct UnfinishedTask {
    std::string task;  ///< id
    std::string stage;
    int rank = 0;
    double ended = 0.0;    ///< seconds since 1970
    double seconds = 0.0;  ///< since it was handed out
    std::string why;       ///< for people

    bool operator==(const UnfinishedTask&) const = default;
};

}  // namespace lathe
