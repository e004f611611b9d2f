#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "orchestrator/coordinator.hpp"

namespace lathe {

/// How long a whole job still takes: the plan's estimates of its stages (Preflight), corrected by
/// what those that are over took, and by the running stage's own estimate.
class JobEstimate {
public:
    struct Stage {
        std::string name;
        double seconds = 0.0;  ///< as planned
    };
    JobEstimate() = default;  ///< knows nothing
    explicit JobEstimate(std::vector<Stage> stages);

    /// `now`: seconds, of any clock that runs on.
    void update(const StageProgress& progress, double now);

    [[nodiscard]] bool is_known() const { return !stages_.empty() && begun_; }
    [[nodiscard]] double seconds_left() const { return seconds_left_; }
    /// Of the job's time, those of an earlier start not counted: 0 to 1.
    [[nodiscard]] double share_done() const;

private:
    struct Known : Stage {
        double taken = 0.0;  ///< seconds, so far
        bool was_resumed = false;
    };
    [[nodiscard]] std::size_t stage_of(const std::string& task_stage) const;
    [[nodiscard]] double correction() const;

    std::vector<Known> stages_;
    std::size_t current_ = 0;
    bool begun_ = false;
    double began_ = 0.0;
    double last_ = 0.0;  ///< when update() was called
    double seconds_left_ = 0.0;
};

}  // namespace lathe
