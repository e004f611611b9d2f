#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/comm/communicator.hpp"
#include "lib/config/job_config.hpp"
#include "lib/job/task.hpp"

namespace lathe {

/// Names of the kinds of tasks; Task::stage is one of them.
namespace stage {
inline constexpr const char* weigh_tokens = "weigh_tokens";
inline constexpr const char* calibrate = "calibrate";
inline constexpr const char* rotate = "rotate";
inline constexpr const char* rotate_in_order = "rotate_in_order";
inline constexpr const char* cut_effect = "cut_effect";
inline constexpr const char* refit = "refit";
inline constexpr const char* slice = "slice";
inline constexpr const char* order_neurons = "order_neurons";
inline constexpr const char* factor = "factor";
inline constexpr const char* compress = "compress";
inline constexpr const char* gradients = "gradients";
inline constexpr const char* reference = "reference";
inline constexpr const char* variants = "variants";
inline constexpr const char* refine = "refine";
inline constexpr const char* evaluate_plan = "evaluate_plan";  ///< of a job, not yet assembled
inline constexpr const char* evaluate = "evaluate";
inline constexpr const char* score = "score";
inline constexpr const char* assemble = "assemble";
inline constexpr const char* export_piece = "export";
inline constexpr const char* check_export = "check_export";
}  // namespace stage

/// What a rank does with the tasks it is handed. A job is opened when its first task comes, so
/// that ranks other than 0 touch nothing before rank 0 has checked the input.
class TaskTable {
public:
    /// `load_job` gives the job of this process; called at most once, for the first task that needs
    /// one. `backend`, `threads`: for tasks outside a job. @pre `world` outlives the object
    TaskTable(comm::Communicator& world, std::function<JobConfig()> load_job,
              RuntimeConfig runtime);
    ~TaskTable();

    /// Runs a task and returns its answer (JSON; empty for tasks whose answer is their artifact).
    /// If one for all ranks fails, the others are told.
    std::string run(const Task& task);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace lathe
