#include "orchestrator/job_estimate.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "workers/task_table.hpp"

namespace lathe {
namespace {

/// Kinds of tasks that have no stage of their own in a plan, and the stages that they may be of.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> owners{{
    {stage::reference, "search"},
    {stage::variants, "search"},
    {stage::evaluate_plan, "search"},
    {stage::evaluate_plan, "refine"},
    {stage::evaluate_plan, "evaluate"},
    {stage::rotate_in_order, "rotate"},
    {stage::cut_effect, "rotate"},
    {stage::score, "evaluate"},
    {stage::check_export, "evaluate"},
}};

bool is_of(const std::string& task_stage, const std::string& planned) {
    return task_stage == planned ||
           std::ranges::find(owners, std::pair<std::string_view, std::string_view>(
                                         task_stage, planned)) != owners.end();
}

}  // namespace

JobEstimate::JobEstimate(std::vector<Stage> stages) {
    for (Stage& stage : stages) {
        stages_.push_back({{std::move(stage)}});
    }
}

/// The first from the current one on that has such tasks; else the current one: stages come in the
/// plan's order, and some have no estimate.
std::size_t JobEstimate::stage_of(const std::string& task_stage) const {
    for (std::size_t s = current_; s < stages_.size(); ++s) {
        if (is_of(task_stage, stages_[s].name)) {
            return s;
        }
    }
    return current_;
}

/// What the stages that are over took, over what was planned for them. Those that an earlier start
/// had begun say nothing.
double JobEstimate::correction() const {
    double planned = 0.0;
    double taken = 0.0;
    for (std::size_t s = 0; s < current_; ++s) {
        if (!stages_[s].was_resumed && stages_[s].taken > 0.0) {
            planned += stages_[s].seconds;
            taken += stages_[s].taken;
        }
    }
    // The running one, as far as it has outgrown its plan.
    const Known& running = stages_[current_];
    if (running.taken > running.seconds && !running.was_resumed) {
        planned += running.seconds;
        taken += running.taken;
    }
    return planned > 0.0 ? taken / planned : 1.0;
}

void JobEstimate::update(const StageProgress& progress, double now) {
    if (stages_.empty()) {
        return;
    }
    if (!begun_) {
        begun_ = true;
        began_ = now;
        last_ = now;
    }
    stages_[current_].taken += std::max(0.0, now - last_);
    last_ = now;
    current_ = stage_of(progress.stage);
    Known& running = stages_[current_];
    running.was_resumed = running.was_resumed || progress.reused > 0;
    const double factor = correction();
    // A stage may hand out its tasks in several lists, and knows the last of them only.
    const double planned = running.was_resumed ? 0.0 : factor * running.seconds - running.taken;
    seconds_left_ = std::max({0.0, progress.eta_seconds, planned});
    for (std::size_t s = current_ + 1; s < stages_.size(); ++s) {
        seconds_left_ += factor * stages_[s].seconds;
    }
}

double JobEstimate::share_done() const {
    const double taken = last_ - began_;
    return taken + seconds_left_ > 0.0 ? taken / (taken + seconds_left_) : 0.0;
}

}  // namespace lathe
