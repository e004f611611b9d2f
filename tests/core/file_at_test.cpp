#include "lib/core/file_at.hpp"

#include <string_view>

#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

TEST(FileAt, TwoWritersEachLeaveTheirOwnBytes) {
    const fs::path path =
        fs::temp_directory_path() / ("lathe_file_at_" + std::to_string(::getpid()));
    {
        const FileAt behind(path);
        const FileAt before(path);
        behind.write(6, bytes("world"));
        before.write(0, bytes("hello"));
        behind.flush();
        before.resize(12);
    }
    EXPECT_EQ(read_file(path), std::string("hello\0world\0", 12));
    const FileAt shorter(path);
    shorter.resize(5);
    EXPECT_EQ(read_file(path), "hello");
    fs::remove(path);
}

TEST(FileAt, SaysWhichFileItCannotOpen) {
    try {
        const FileAt file("/no/such/folder/file");
        FAIL();
    } catch (const IoError& error) {
        EXPECT_NE(std::string(error.what()).find("/no/such/folder/file"), std::string::npos);
    }
}

}  // namespace
}  // namespace lathe
