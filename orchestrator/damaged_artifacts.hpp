#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "lib/job/run_directory.hpp"

namespace lathe {

/// Reads every artifact of a run directory back and puts those aside that are not as they were
/// written, as RunDirectory::damaged(). Returns their names. Takes as long as reading all of it.
[[nodiscard]] std::vector<std::filesystem::path> put_damaged_aside(const RunDirectory& run);

/// Runs `work` on a job. If it meets bad data, and artifacts of the run directory turn out to be
/// damaged, they are put aside and the error becomes a StoppedError: a run makes again what is not
/// there. What is the user's is reported as it is.
/// @throws StoppedError, or what `work` throws
void work_on_artifacts(const RunDirectory& run, const std::function<void()>& work);

}  // namespace lathe
