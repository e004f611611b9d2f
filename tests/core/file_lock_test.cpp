#include "lib/core/file_lock.hpp"

#include <atomic>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FileLockTest : public ::testing::Test {
protected:
    fs::path dir = fs::path(::testing::TempDir()) / ("lathe_lock_test_" + std::to_string(getpid()));
    fs::path path = dir / "lock";
    void SetUp() override { make_directories(dir); }
    void TearDown() override { fs::remove_all(dir); }
};

TEST_F(FileLockTest, IsExclusiveUntilItIsGone) {
    {
        const auto mine = FileLock::try_lock(path);
        ASSERT_TRUE(mine.has_value());
        EXPECT_FALSE(FileLock::try_lock(path).has_value());
        EXPECT_TRUE(FileLock::is_held(path));
    }
    EXPECT_FALSE(FileLock::is_held(path));
    EXPECT_TRUE(FileLock::try_lock(path).has_value());
}

TEST_F(FileLockTest, AskingCreatesNothing) {
    EXPECT_FALSE(FileLock::is_held(path));
    EXPECT_FALSE(FileLock::is_held(dir / "none" / "lock"));
    EXPECT_TRUE(fs::is_empty(dir));
}

TEST_F(FileLockTest, AskingIsInNobodysWay) {
    std::ofstream(path) << "";
    std::atomic<bool> stop = false;
    std::atomic<int> n_asked = 0;
    std::thread asking([&] {
        while (!stop) {
            (void)FileLock::is_held(path);
            ++n_asked;
        }
    });
    while (n_asked == 0) {
    }
    int n_refused = 0;
    for (int i = 0; i < 20000; ++i) {
        n_refused += FileLock::try_lock(path).has_value() ? 0 : 1;
    }
    stop = true;
    asking.join();
    EXPECT_EQ(n_refused, 0);
}

TEST_F(FileLockTest, TheStandInOfAnotherHostIsRespected) {
    std::ofstream(FileLock::stand_in(path)) << "far 4711 boot/pid:[1] 5\n";
    EXPECT_TRUE(FileLock::is_held(path));
    EXPECT_THAT(FileLock::holder(path),
                AllOf(HasSubstr("process 4711 on far"), HasSubstr("lock.held")));
}

TEST_F(FileLockTest, AnEmptyStandInIsRespected) {
    std::ofstream(FileLock::stand_in(path)) << "";  // its process is about to write it
    EXPECT_TRUE(FileLock::is_held(path));
    EXPECT_THAT(FileLock::holder(path), HasSubstr("process unknown"));
}

}  // namespace
}  // namespace lathe
