#include "lib/core/file.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

/// Kilobytes of a file that count as memory of this process.
std::size_t resident_kilobytes(const fs::path& file) {
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    std::size_t sum = 0;
    for (bool is_ours = false; std::getline(maps, line);) {
        const std::string key = line.substr(0, line.find(' '));
        if (key.find('-') != std::string::npos) {  // the line of a mapping: its addresses
            is_ours = line.ends_with(file.string());
        } else if (is_ours && key == "Rss:") {
            sum += std::stoul(line.substr(key.size()));
        }
    }
    return sum;
}

// The system maps more than the byte that is read: all that the page cache holds as one piece.
TEST_F(FileTest, LettingGoOfAByteLetsGoOfAllThatReadingItMapped) {
    write_file(dir / "a", std::string(std::size_t{8} << 20, 'x'));
    const MappedFile mapped(dir / "a");
    std::size_t most = 0;
    for (std::size_t at = 100; at < mapped.bytes().size(); at += std::size_t{3} << 20) {
        EXPECT_EQ(static_cast<char>(mapped.bytes()[at]), 'x');
        most = std::max(most, resident_kilobytes(dir / "a"));
        mapped.release(mapped.bytes().subspan(at, 1));
        EXPECT_EQ(resident_kilobytes(dir / "a"), 0U) << "after byte " << at;
    }
    EXPECT_GT(most, 4U) << "the system maps one page: the test shows nothing here";
}

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

TEST_F(FileTest, TwoWritersOfOneFileDoNotMeet) {
    AtomicFile first(dir / "a");
    AtomicFile second(dir / "a");
    EXPECT_NE(first.temporary(), second.temporary());
    std::ofstream(first.temporary()) << "first";
    std::ofstream(second.temporary()) << "second";
    first.commit();
    EXPECT_EQ(read_file(dir / "a"), "first");
    second.commit();
    EXPECT_EQ(read_file(dir / "a"), "second");
}

TEST_F(FileTest, TemporaryNamesOfProcessesWithOneNumberDiffer) {
    // As in two containers: a process of its own in each of two namespaces, where both are
    // number 1.
    std::vector<std::string> names;
    for (int i = 0; i < 2; ++i) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const auto process = static_cast<pid_t>(
            ::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, 0));
        if (process < 0) {
            GTEST_SKIP() << "may not make a process namespace";
        }
        if (process == 0) {
            const std::string name = std::to_string(::getpid()) + " " +
                                     AtomicFile(dir / "a").temporary().filename().string();
            ::_exit(::write(ends[1], name.data(), name.size()) < 0 ? 1 : 0);
        }
        ASSERT_EQ(::waitpid(process, nullptr, 0), process);
        std::string name(512, '\0');
        name.resize(static_cast<std::size_t>(::read(ends[0], name.data(), name.size())));
        ::close(ends[0]);
        ::close(ends[1]);
        ASSERT_TRUE(name.starts_with("1 a.")) << name;
        names.push_back(name);
    }
    EXPECT_NE(names[0], names[1]);
}

TEST_F(FileTest, TemporaryNamesAreCleanedUp) {
    auto file = std::make_unique<AtomicFile>(dir / "a");
    // As if the process had been killed: what it made stays.
    const fs::path left = file->temporary();
    fs::rename(left, dir / "aside");
    file.reset();
    fs::rename(dir / "aside", left);
    remove_temporary_files(dir);
    EXPECT_TRUE(fs::is_empty(dir));
}

}  // namespace
}  // namespace lathe
