#pragma once

#include <string>
#include <vector>

#include "lib/comm/communicator.hpp"
#include "orchestrator/batch/resources.hpp"
#include "orchestrator/batch/script.hpp"
#include "orchestrator/command_line.hpp"

namespace lathe {

/// What the user asks for. Options behind `--` (`passed_on`) count as well where they have a name
/// of their own here, and win. @throws UsageError
[[nodiscard]] batch::Wishes wishes_of(const SubmitOptions& options,
                                      const batch::BatchOptions& passed_on);

/// What the job needs by its plan, found out here: on a login node, without the device. `budgets`:
/// further ones that are to be met.
/// @throws InfeasibleError  if a budget cannot be met; any Error of what is wrong with the job or
///   its run directory
[[nodiscard]] batch::Demand demand_of(const JobConfig& job, const std::vector<std::string>& budgets,
                                      comm::Communicator& world);

/// Free in the file system where a folder is, or will be.
[[nodiscard]] std::uint64_t free_bytes_for(std::filesystem::path folder);

}  // namespace lathe
