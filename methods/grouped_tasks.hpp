#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "methods/method.hpp"

namespace lathe {

/// Solutions of a unit's tasks, in their order. A Solver holds what all tasks share; its
/// solve(value, tasks, solutions) does those whose member `key` has the value. It is called for one
/// distinct value after another, in the order of their first task, so that what depends on it is
/// made once and only one value's is kept.
template <class Solver, class Task, class Key>
[[nodiscard]] std::vector<UnitSolution> solve_in_groups(std::span<const Task> tasks, Key Task::*key,
                                                        std::span<const UnitTensor> tensors,
                                                        const UnitStatistics& statistics,
                                                        const kernels::Backend& backend) {
    std::vector<UnitSolution> solutions(tasks.size());
    if (tensors.empty()) {
        return solutions;
    }
    Solver solver(tensors, statistics, backend);
    std::vector<Key> done;
    for (const Task& task : tasks) {
        if (std::ranges::find(done, task.*key) == done.end()) {
            done.push_back(task.*key);
            solver.solve(task.*key, tasks, solutions);
        }
    }
    return solutions;
}

}  // namespace lathe
