#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "lib/core/file.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lathe::fuzz {
namespace {

namespace fs = std::filesystem;

/// Every fuzz target over the files of its corpus: what was found once stays mended, in every kind
/// of build.
class Corpus : public ::testing::TestWithParam<NamedTarget> {};

TEST_P(Corpus, IsReadOrRefused) {
    const fs::path folder = fs::path(LATHE_SOURCE_DIR) / "tests/fuzz/corpus" / GetParam().name;
    ASSERT_TRUE(fs::is_directory(folder)) << "a target needs a corpus: " << folder;
    std::size_t n_files = 0;
    for (const auto& file : fs::directory_iterator(folder)) {
        SCOPED_TRACE(file.path().string());
        EXPECT_NO_THROW(GetParam().run(read_file(file.path())));
        ++n_files;
    }
    EXPECT_GT(n_files, 0U);
}

INSTANTIATE_TEST_SUITE_P(All, Corpus, ::testing::ValuesIn(targets()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lathe::fuzz
