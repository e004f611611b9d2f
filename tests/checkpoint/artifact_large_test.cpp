#include <gtest/gtest.h>

#include "lib/checkpoint/artifact.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

class LargeArtifact : public DirectoryTest {};

TEST_F(LargeArtifact, MoreThanTwoGibibytesInOneDataset) {
    constexpr std::size_t n_bytes = (std::size_t{1} << 31) + 4097;
    if (std::filesystem::space(dir).available < n_bytes + (std::size_t{1} << 30)) {
        GTEST_SKIP() << "no room for " << n_bytes << " bytes in " << dir;
    }
    std::vector<std::byte> data(n_bytes);
    data.front() = std::byte{1};
    data[n_bytes / 2] = std::byte{2};
    data.back() = std::byte{3};
    {
        ArtifactWriter file(dir / "a.h5");
        file.dataset("/x", DType::u8, {n_bytes}, data.data());
        file.commit();
    }
    EXPECT_EQ(ArtifactReader(dir / "a.h5").info("/x").shape, Shape{n_bytes});
    data.assign(n_bytes, std::byte{0});
    ArtifactReader(dir / "a.h5").read_into("/x", data.data(), n_bytes);  // compares the hash
    EXPECT_EQ(data.back(), std::byte{3});
}

}  // namespace
}  // namespace lathe
