#include "lib/core/scratch_memory.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

constexpr std::size_t size = std::size_t{3} << 20;

class ScratchMemoryTest : public ::testing::Test {
protected:
    std::filesystem::path dir = std::filesystem::path(::testing::TempDir()) /
                                ("lathe_scratch_test_" + std::to_string(getpid()));
    void SetUp() override { make_directories(dir); }
    void TearDown() override { std::filesystem::remove_all(dir); }
};

TEST_F(ScratchMemoryTest, KeepsWhatItLetsGoOfAndLeavesNoFile) {
    ScratchMemory memory(dir, size);
    EXPECT_TRUE(std::filesystem::is_empty(dir)) << "the file has a name";
    EXPECT_TRUE(std::all_of(memory.data(), memory.data() + size,
                            [](std::byte b) { return b == std::byte{0}; }));
    for (std::size_t i = 0; i < size; ++i) {
        memory.data()[i] = static_cast<std::byte>(i * 7 + i / 256);
    }
    memory.release(1000, size - 2000);  // no multiple of a page
    memory.release(10, 20);             // less than a page
    const ScratchMemory moved = std::move(memory);
    for (std::size_t i = 0; i < size; ++i) {
        ASSERT_EQ(moved.data()[i], static_cast<std::byte>(i * 7 + i / 256)) << i;
    }
}

TEST_F(ScratchMemoryTest, NoBytesTakeNoFile) {
    const ScratchMemory memory("/no such directory", 0);
    EXPECT_EQ(memory.data(), nullptr);
}

TEST_F(ScratchMemoryTest, NoRoomAndNoDirectoryAreErrorsBeforeAnythingIsWritten) {
    constexpr auto too_much = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
    EXPECT_THROW(ScratchMemory(dir, too_much), IoError);
    EXPECT_TRUE(std::filesystem::is_empty(dir));
    EXPECT_THROW(ScratchMemory(dir / "none", 1), IoError);
}

}  // namespace
}  // namespace lathe
