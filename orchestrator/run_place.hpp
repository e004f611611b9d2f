#pragma once

#include "lib/job/run_directory.hpp"

namespace lathe {

/// Whether the directory is a run's: it has a manifest.
[[nodiscard]] bool is_run(const RunDirectory& run);

/// Whether a task has finished there, so that there is something to lose.
[[nodiscard]] bool has_finished_task(const RunDirectory& run);

/// Checks that the directory is a run's, or empty but for what a run killed at its very start
/// leaves, or can be made. Nothing is written.
/// @throws UsageError  something else is there. @throws IoError  it cannot be made or written
void require_usable(const RunDirectory& run);

/// Removes what runs write, but not the lock, the directory or what else may be in it.
/// @throws IoError
void remove_run_files(const RunDirectory& run);

}  // namespace lathe
