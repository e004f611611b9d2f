#pragma once

#include <filesystem>
#include <memory>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Reads model.gguf of a directory as ggml and llama.cpp do (ggml/src/gguf.cpp, ggml-quants.c,
/// src/llama-model.cpp), with tables of its own. @throws MissingInputError, DataError
[[nodiscard]] std::unique_ptr<ExportReader> make_gguf_reader(
    const std::filesystem::path& directory);

}  // namespace lathe
