#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "workers/exports/export_check.hpp"
#include "workers/exports/export_format.hpp"

namespace lathe {

/// Writes the export, all pieces and the frame.
inline ExportSummary write_export(const std::string& format, const std::filesystem::path& from,
                                  const std::filesystem::path& to,
                                  std::uint64_t max_shard_bytes = default_export_shard_bytes) {
    const auto writer = make_export_writer(format, from, max_shard_bytes);
    std::filesystem::create_directories(to);
    for (std::size_t p = writer->n_pieces(); p-- > 0;) {  // in any order
        run_export({format, from, to, max_shard_bytes, p});
    }
    writer->write_frame(to);
    return writer->summary();
}

/// What a reader finds wrong with it.
inline std::vector<std::string> read_export_back(const std::string& format,
                                                 const std::filesystem::path& checkpoint,
                                                 const std::filesystem::path& directory) {
    std::vector<std::string> problems;
    const std::size_t n_blocks = ExportedModel(checkpoint).spec().n_blocks;
    for (std::size_t b = 0; b <= n_blocks; ++b) {
        const auto block = b == n_blocks ? std::nullopt : std::optional(b);
        for (const std::string& problem :
             run_export_check({format, checkpoint, directory, block})) {
            problems.push_back(problem);
        }
    }
    return problems;
}

}  // namespace lathe
