#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "lib/core/file.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {

/// A file of tests/data/dataset: sentences of our own, in the layouts of the data sets.
inline std::filesystem::path fixture(std::string_view name) {
    return std::filesystem::path(LATHE_SOURCE_DIR) / "tests/data/dataset" / name;
}

/// Writes small files into a directory of the test's own.
class DatasetFiles : public DirectoryTest {
protected:
    std::filesystem::path written(std::string_view content) {
        const std::filesystem::path path = dir / "file";
        write_file(path, content);
        return path;
    }
};

}  // namespace lathe
