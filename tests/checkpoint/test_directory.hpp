#pragma once

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/core/file.hpp"

namespace lathe {

/// A directory of its own for each test, removed afterwards.
class DirectoryTest : public ::testing::Test {
protected:
    std::filesystem::path dir =
        std::filesystem::path(::testing::TempDir()) /
        (std::string("lathe_") +
         ::testing::UnitTest::GetInstance()->current_test_info()->test_suite_name() + "_" +
         ::testing::UnitTest::GetInstance()->current_test_info()->name() + "_" +
         std::to_string(getpid()));
    void SetUp() override { make_directories(dir); }
    void TearDown() override { std::filesystem::remove_all(dir); }
};

/// Overwrites one byte where it lies. Writing thousands of whole files again would take minutes,
/// because file systems flush a file that was truncated and written again.
inline void poke(const std::filesystem::path& path, std::size_t position, char byte) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(position));
    file.put(byte);
}

/// While it lives no file of this process can grow beyond `n_bytes`: a full disk without a disk.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t n_bytes) {
        std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{n_bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, SIG_DFL);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit before_{};
};

}  // namespace lathe
