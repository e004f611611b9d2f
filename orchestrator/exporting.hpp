#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lib/job/task.hpp"
#include "workers/exports/export_format.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

// What the command `export` and a job's exports have in common.

/// Which checkpoint goes where, in which format.
struct ExportOrder {
    std::string format;
    std::filesystem::path checkpoint;
    std::filesystem::path directory;
};

/// A task for each piece. Their ids begin with `name`.
[[nodiscard]] std::vector<Task> export_tasks(const ExportOrder& order, const ExportWriter& writer,
                                             const std::string& name);

/// Tasks that read the export back: one for each block of the model, and one for the rest.
[[nodiscard]] std::vector<Task> export_check_tasks(const ExportOrder& order, const ModelSpec& spec,
                                                   const std::string& name);

/// What the answers of such tasks say, together.
[[nodiscard]] std::vector<std::string> export_problems(const std::vector<std::string>& answers);
/// @throws DataError  if there are any, listing the first
void require_no_problems(const ExportOrder& order, const std::vector<std::string>& problems);

/// A hash of names, sizes and times of an export's files: another one after any was written again.
[[nodiscard]] std::string export_stamp(const std::filesystem::path& directory);

/// Refuses a job whose exports cannot be written, whatever the search chooses.
/// @throws DataError  naming format, and the unit and its setting if these are the reason
void require_exportable(const JobContext& context, const ModelOutline& model);

/// For the report: where, how many bytes, what is dense and why.
[[nodiscard]] nlohmann::json export_json(const std::filesystem::path& directory,
                                         const ExportSummary& summary);
[[nodiscard]] std::string export_text(const std::filesystem::path& directory,
                                      const ExportSummary& summary);

}  // namespace lathe
