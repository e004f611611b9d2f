#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class ArtifactLinks : public DirectoryTest {
protected:
    const std::vector<std::byte> data = std::vector<std::byte>(48, std::byte{7});

    void write_example(const fs::path& path) const {
        ArtifactWriter file(path);
        file.dataset("/codes", DType::u32, {3, 4}, data.data());
        file.external_link("/blocks/1", "blocks/0001.h5");
        file.commit();
    }
};

TEST_F(ArtifactLinks, LinksAreFollowedFromAnyDirectoryAndAfterAMove) {
    fs::create_directories(dir / "old/blocks");
    write_example(dir / "old/master.h5");
    write_example(dir / "old/blocks/0001.h5");
    fs::rename(dir / "old", dir / "new");
    const fs::path before = fs::current_path();
    for (const fs::path& from : {dir, dir / "new", dir / "new/blocks", fs::path("/")}) {
        fs::current_path(from);
        const ArtifactReader file(fs::relative(dir / "new/master.h5"));
        EXPECT_TRUE(file.has("/blocks/1/codes")) << from;
        EXPECT_EQ(file.read("/blocks/1/codes"), data);
        EXPECT_THAT(file.children("/blocks/1"), ElementsAre("blocks", "codes"));
    }
    fs::current_path(before);
}

TEST_F(ArtifactLinks, AMissingOrDamagedShardIsNamed) {
    fs::create_directory(dir / "blocks");
    write_example(dir / "master.h5");
    const ArtifactReader file(dir / "master.h5");
    // A file of the same name in the working directory is not taken for it.
    const fs::path before = fs::current_path();
    fs::create_directories(dir / "cwd/blocks");
    write_example(dir / "cwd/blocks/0001.h5");
    fs::current_path(dir / "cwd");
    EXPECT_THAT([&] { (void)file.read("/blocks/1/codes"); },
                ThrowsMessage<MissingInputError>(AllOf(HasSubstr((dir / "blocks/0001.h5").string()),
                                                       HasSubstr("/blocks/1/codes needs"))));
    fs::current_path(before);
    write_file(dir / "blocks/0001.h5", "damage");
    EXPECT_THAT([&] { (void)file.has("/blocks/1/x"); },
                ThrowsMessage<DataError>(HasSubstr("blocks/0001.h5 is no HDF5 file")));
}

// Token ids that a run wrote itself, given as a calibration file: damage must not become data.
TEST_F(ArtifactLinks, NumbersOfOurOwnFilesAreCheckedByTheirHash) {
    const fs::path path = dir / "ids.h5";
    {
        ArtifactWriter file(path);
        file.dataset("/input_ids", DType::u32, {3, 4}, data.data());
        file.commit();
    }
    EXPECT_THAT(ArtifactReader(path).read_integers("/input_ids"), ::testing::Each(0x07070707));
    std::string content = read_file(path);
    const std::size_t at = content.find(std::string(48, '\7'));
    ASSERT_NE(at, std::string::npos);
    content[at + 5] = '\6';
    write_file(path, content);
    const auto is_damaged =
        ThrowsMessage<DataError>(AllOf(HasSubstr("ids.h5"), HasSubstr("/input_ids is damaged")));
    EXPECT_THAT([&] { (void)ArtifactReader(path).read_integers("/input_ids"); }, is_damaged);
    EXPECT_THAT([&] { (void)ArtifactReader(path).read_floats("/input_ids"); }, is_damaged);
}

TEST_F(ArtifactLinks, LinksInACircleEnd) {
    {
        ArtifactWriter file(dir / "a.h5");
        file.external_link("/self", "a.h5");
        file.commit();
    }
    const ArtifactReader file(dir / "a.h5");
    EXPECT_TRUE(file.has("/self/self/self"));
    std::string path;
    for (int i = 0; i < 20; ++i) {
        path += "/self";
    }
    EXPECT_THAT([&] { (void)file.has(path); }, ThrowsMessage<DataError>(HasSubstr("circle")));
}

}  // namespace
}  // namespace lathe
