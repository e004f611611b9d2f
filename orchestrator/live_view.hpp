#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lib/job/run_directory.hpp"
#include "orchestrator/run_records.hpp"

namespace lathe {

/// What `status --watch` shows of a run.
struct LiveView {
    std::string run;  ///< its directory
    RunStatus status;
    std::vector<std::string> events;  ///< the last ones, the latest last
};

/// Reads status.json and the ends of the journal and of rank 0's log: never more than a few
/// thousand bytes of them.
/// @throws IoError
[[nodiscard]] LiveView read_live_view(const RunDirectory& run);

/// The view as lines of plain ASCII: at most `rows`, none longer than `columns`. What there is no
/// room for is left out, ranks after the header, events last.
[[nodiscard]] std::vector<std::string> view_lines(const LiveView& view, std::size_t columns,
                                                  std::size_t rows);

/// Standard error as a screen of its own: what was there comes back when the object goes. A picture
/// is written over the last one in one piece, so that nothing flickers.
class FullScreen {
public:
    /// Whether standard error is a terminal that can do that.
    [[nodiscard]] static bool is_possible();

    FullScreen();
    ~FullScreen();
    FullScreen(const FullScreen&) = delete;
    FullScreen& operator=(const FullScreen&) = delete;

    struct Size {
        std::size_t columns = 80;
        std::size_t rows = 24;
        bool operator==(const Size&) const = default;
    };
    [[nodiscard]] static Size size();
    /// Returns whether it could be written.
    bool show(const std::vector<std::string>& lines);

private:
    std::string shown_;
    Size size_;
};

}  // namespace lathe
