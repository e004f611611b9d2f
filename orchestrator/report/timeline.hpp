#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lib/job/run_directory.hpp"

namespace lathe::report {

/// Time in which a rank had a task, or several short ones of a stage, one after another; or one
/// that came to no end there.
struct Span {
    int rank = 0;
    std::size_t stage = 0;  ///< index into Timeline::stages
    double begin = 0.0;     ///< on the timeline, seconds
    double end = 0.0;
    std::size_t tasks = 1;
    std::string longest;  ///< id of the longest task in it
    double longest_seconds = 0.0;
    std::string unfinished{};  ///< why the task came to no end; "": it did
};

/// A start of the run: the first one, and one after each stop.
struct RunStart {
    int n_ranks = 1;
    double at = 0.0;     ///< on the timeline
    double pause = 0.0;  ///< seconds since the last task before it; these are not on the timeline
    std::string where;   ///< hosts, processors
};

struct RankTime {
    int rank = 0;
    std::size_t tasks = 0;
    double busy = 0.0;   ///< seconds with a task
    double there = 0.0;  ///< seconds in which the rank was part of the run
};

/// What the ranks did, by the journal and the schedule. Time in which nobody worked between two
/// starts is cut out.
struct Timeline {
    std::vector<std::string> stages;  ///< in the order in which their first tasks ended
    std::vector<RunStart> starts;
    std::vector<Span> spans;  ///< by rank, then time
    std::vector<RankTime> ranks;
    double seconds = 0.0;
    [[nodiscard]] std::vector<const Span*> unfinished()
        const;  ///< in the order in which they ended
};

/// Where there are more than `most_spans`, short ones are drawn together until there are not. Adds
/// to `notes` what is damaged or was not recorded. @throws IoError
[[nodiscard]] Timeline read_timeline(const RunDirectory& run, std::vector<std::string>& notes,
                                     std::size_t most_spans = 6000);

}  // namespace lathe::report
