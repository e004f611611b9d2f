#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// All there is in a file: objects with attributes, datasets with type, shape and bytes.
struct Content {
    std::map<std::string, Attributes> attributes;
    std::map<std::string, std::tuple<DType, Shape, std::vector<std::byte>>> datasets;
    bool operator==(const Content&) const = default;
};

void collect(const ArtifactReader& file, const std::string& path, Content& content) {
    content.attributes[path] = file.attributes(path);
    if (file.is_dataset(path)) {
        const DatasetInfo info = file.info(path);
        content.datasets[path] = {info.dtype, info.shape, file.read(path)};
        return;
    }
    for (const std::string& child : file.children(path)) {
        collect(file, path == "/" ? "/" + child : path + "/" + child, content);
    }
}

Content read_content(const fs::path& path) {
    const ArtifactReader file(path);
    Content content;
    collect(file, "/", content);
    return content;
}

class DamagedArtifact : public DirectoryTest {
protected:
    fs::path path = dir / "a.h5";
    std::string whole;

    void SetUp() override {
        DirectoryTest::SetUp();
        const std::vector<std::byte> data(64, std::byte{0x5A});
        ArtifactWriter file(path);
        file.group("/q", {{"encoding", std::string("integer")}, {"error", 0.25}});
        file.dataset("/q/codes", DType::u32, {4, 4}, data.data());
        file.dataset("/q/scales", DType::f16, {4, 2}, data.data());
        file.commit();
        whole = read_file(path);
    }
    void write(const std::string& bytes) const {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    }
};

TEST_F(DamagedArtifact, NoHdf5File) {
    EXPECT_THAT([&] { ArtifactReader{dir / "none.h5"}; },
                ThrowsMessage<MissingInputError>(HasSubstr("none.h5")));
    EXPECT_THAT([&] { ArtifactReader{dir}; },
                ThrowsMessage<DataError>(HasSubstr("is not a regular file")));
    for (const std::string& bytes : {std::string(), std::string("text"), std::string(5000, '\0')}) {
        write(bytes);
        EXPECT_THAT([&] { ArtifactReader{path}; },
                    ThrowsMessage<DataError>(HasSubstr("a.h5 is no HDF5 file, or it is damaged")));
    }
}

TEST_F(DamagedArtifact, EveryCutIsNoticedOnOpening) {
    for (std::size_t n = whole.size(); n-- > 0;) {
        fs::resize_file(path, n);
        ASSERT_THROW(ArtifactReader{path}, DataError) << "cut to " << n << " bytes";
    }
    write(whole.substr(0, whole.size() - 1));
    EXPECT_THAT([&] { ArtifactReader{path}; },
                ThrowsMessage<DataError>(HasSubstr("truncated file")));
}

TEST_F(DamagedArtifact, EveryChangedByteIsNoticedOrHarmless) {
    write(whole);
    const Content original = read_content(path);
    ASSERT_EQ(original.datasets.size(), 2U);
    std::size_t harmless = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
        for (const char change : {'\x04', '\xFF'}) {
            poke(path, i, static_cast<char>(whole[i] ^ change));
            try {
                ASSERT_EQ(read_content(path), original) << "byte " << i << " changed unnoticed";
                ++harmless;
            } catch (const DataError& error) {
                ASSERT_THAT(error.what(), HasSubstr("a.h5")) << "byte " << i;
            }
        }
        poke(path, i, whole[i]);
    }
    // Metadata carry checksums and data hashes; only bytes that nobody uses may change.
    EXPECT_LT(harmless, whole.size() * 2 / 10);
}

TEST_F(DamagedArtifact, AFlippedBitOfTheDataIsSeenByTheHash) {
    const std::size_t at = whole.find(std::string(64, '\x5A'));
    ASSERT_NE(at, std::string::npos);
    std::string changed = whole;
    changed[at + 63] ^= 4;
    write(changed);
    const ArtifactReader file(path);
    EXPECT_THAT([&] { (void)file.read("/q/codes"); },
                ThrowsMessage<DataError>(
                    AllOf(HasSubstr("a.h5: /q/codes is damaged"), HasSubstr("expected"))));
    EXPECT_EQ(file.read("/q/codes", false)[63], std::byte{0x5E});
    EXPECT_EQ(file.read("/q/scales").size(), 16U);
}

}  // namespace
}  // namespace lathe
