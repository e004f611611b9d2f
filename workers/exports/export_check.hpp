#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Compares the tensors of one block of a checkpoint (none: what stands outside the blocks, and the
/// directory as a whole) with what a reader makes of its export.
struct ExportCheckTask {
    std::string format;
    std::filesystem::path checkpoint;
    std::filesystem::path directory;
    std::optional<std::size_t> block;
};

[[nodiscard]] std::string to_json(const ExportCheckTask& task);
[[nodiscard]] ExportCheckTask export_check_task_from_json(const std::string& text);

/// What differs, a sentence each. Codes must stand for the checkpoint's values bit for bit, apart
/// from the sign of zeros; floating numbers must be these values rounded to their type, which is
/// the source's or one that holds it.
/// @throws MissingInputError, DataError  the directory holds no export that can be read
[[nodiscard]] std::vector<std::string> run_export_check(const ExportCheckTask& task);

}  // namespace lathe
