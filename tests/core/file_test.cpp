#include "lib/core/file.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
protected:
    fs::path dir = fs::path(::testing::TempDir()) / ("lathe_file_test_" + std::to_string(getpid()));
    void SetUp() override { make_directories(dir); }
    void TearDown() override { fs::remove_all(dir); }
};

TEST_F(FileTest, WriteThenRead) {
    write_file(dir / "a", "one");
    write_file(dir / "a", "two");
    EXPECT_EQ(read_file(dir / "a"), "two");
    const MappedFile mapped(dir / "a");
    EXPECT_EQ(mapped.bytes().size(), 3U);
    mapped.release(mapped.bytes());
    EXPECT_EQ(static_cast<char>(mapped.bytes()[0]), 't');
}

TEST_F(FileTest, WithoutCommitNothingRemains) {
    {
        AtomicFile file(dir / "a");
        std::ofstream(file.temporary()) << "half";
        EXPECT_TRUE(fs::exists(file.temporary()));
    }
    EXPECT_TRUE(fs::is_empty(dir));
}

TEST_F(FileTest, LeftoversOfAKilledProcessAreRemoved) {
    std::ofstream(dir / "block.h5.4711.lathe-tmp") << "half";
    write_file(dir / "block.h5", "whole");
    remove_temporary_files(dir);
    EXPECT_EQ(std::distance(fs::directory_iterator(dir), fs::directory_iterator()), 1);
}

TEST_F(FileTest, MissingFileAndUnwritablePlaceAreNamed) {
    try {
        MappedFile file(dir / "none");
        FAIL();
    } catch (const MissingInputError& e) {
        EXPECT_THAT(e.what(), HasSubstr("none"));
    }
    EXPECT_THROW(read_file(dir / "none"), MissingInputError);
    write_file(dir / "plain", "");
    EXPECT_THROW(write_file(dir / "plain" / "below", "x"), IoError);
    EXPECT_THROW(write_file("/dev/full/x", "x"), IoError);
}

TEST_F(FileTest, ATornLastLineIsCutOff) {
    std::ofstream(dir / "log") << "first\nsecond\nthi";
    { AppendFile(dir / "log").append("third"); }
    EXPECT_EQ(read_file(dir / "log"), "first\nsecond\nthird\n");
}

TEST_F(FileTest, ALockIsExclusiveUntilItIsGone) {
    {
        const auto mine = FileLock::try_lock(dir / "lock");
        ASSERT_TRUE(mine.has_value());
        EXPECT_FALSE(FileLock::try_lock(dir / "lock").has_value());
    }
    EXPECT_TRUE(FileLock::try_lock(dir / "lock").has_value());
}

}  // namespace
}  // namespace lathe
