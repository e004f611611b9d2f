#pragma once

#include <filesystem>
#include <memory>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Reads what make_hf_writer() writes. @throws MissingInputError, DataError
[[nodiscard]] std::unique_ptr<ExportReader> make_hf_reader(const std::filesystem::path& directory);

}  // namespace lathe
