#pragma once

#include <string>
#include <vector>

#include "workers/candidates/compression.hpp"
#include "workers/exports/export_format.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

// What a job with the section `serve` may choose from: that which the program computes with.

/// A setting that the program cannot take, and for which units.
struct DroppedSetting {
    std::string setting;
    std::string reason;
    std::string first_unit;
    std::size_t n_units = 0;
};

/// Settings of all units that some candidate stands for and that the job cannot use.
[[nodiscard]] std::vector<DroppedSetting> dropped_settings(const JobContext& context,
                                                           const ModelOutline& model);

/// The settings that a unit may have: usable_settings() or, in a job with `serve`, those of them
/// that the program takes. @throws UsageError  with the place, if `targets` leave none
[[nodiscard]] std::vector<Setting> settings_of_unit(const JobContext& context,
                                                    const ModelOutline& model, std::size_t unit);

/// Refuses a job whose model the program has no path for, or of whose candidates it takes none.
/// @throws UsageError  with the place of the section
void require_servable(const JobContext& context, const ModelOutline& model);

/// "not for block_0000.down and 5 more: integer ...: groups of 128 ..."
[[nodiscard]] std::string describe(const DroppedSetting& dropped);

}  // namespace lathe
