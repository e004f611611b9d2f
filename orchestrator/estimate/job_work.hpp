#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/config/cluster_config.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/estimate/job_outline.hpp"

namespace lathe {

/// What a task does, by what limits it.
struct Work {
    double forward = 0.0;  ///< FLOP of linear layers and attention
    double gram = 0.0;     ///< FLOP of sums of products of inputs
    double solve = 0.0;    ///< FLOP of factors and solvers
    double read = 0.0;     ///< bytes of files
    double reread = 0.0;   ///< the same of files that some task before has read
    double written = 0.0;

    Work& operator+=(const Work& other);
};

/// A task as a stage would list it, and its work.
struct WorkTask {
    Task task;
    Work work;        ///< of a task for all ranks: what they divide
    Work repeated{};  ///< of a task for all ranks: what each of them does
};

/// Tasks that a stage hands out at once.
struct WorkCall {
    std::string stage;
    std::vector<WorkTask> tasks;
    bool is_pipeline = false;
    std::size_t batches = 1;     ///< of a pipeline: messages from a link to the next
    std::size_t parts = 1;       ///< of tasks for all ranks: shares they can be divided into
    double message_bytes = 0.0;  ///< a batch; or the sums over a part
    Work alone{};                ///< what rank 0 does by itself, after them
    double rank_bytes = 0.0;     ///< memory of a rank
    double working_set = 0.0;    ///< bytes of the files that are read again
};

/// The calls of a job, in order: calibrate, compress, search, refine, assemble, verify, evaluate,
/// export. How a stage cuts its work are the stage's own rules (stages/task_lists.hpp).
///
/// Stages cut their work finer if ranks would have nothing to do.
///
/// What only a run knows is assumed: samples are as many and as long as they may be; each unit has
/// two probes; the search tries every setting for all units and four mixed plans, and evolution
/// runs all its generations, with two plans measured in each; each task reads what it works on from
/// files.
[[nodiscard]] std::vector<WorkCall> list_work(const JobOutline& outline, int n_ranks);

/// Seconds of one device on its share of the node. Files are read again at the speed of the node's
/// cache if that holds `working_set` bytes.
[[nodiscard]] double seconds_of(const Work& work, const ClusterConfig& cluster, double working_set);

/// How sure such seconds are: the least sure of the figures that make a twentieth of them or more.
[[nodiscard]] Certainty certainty_of(const Work& work, const ClusterConfig& cluster,
                                     double working_set);

}  // namespace lathe
