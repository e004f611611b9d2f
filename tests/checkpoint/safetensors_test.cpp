#include "lib/checkpoint/safetensors.hpp"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
    return std::as_bytes(std::span(values));
}

const std::vector<float> floats{1.5F, -2.0F, 3.0F, 0.25F, 7.0F, -8.0F};
const std::vector<std::uint16_t> halves{0x3F80, 0x8000, 0x7FC0};
const std::vector<std::uint8_t> bits{1, 0, 1};

class SafetensorsTest : public DirectoryTest {
protected:
    void write_single() const {
        const std::vector<TensorToWrite> tensors{
            {"mask", DType::boolean, {3}, bytes_of(bits)},
            {"model.embed", DType::f32, {2, 3}, bytes_of(floats)},
            {"model.norm", DType::bf16, {3}, bytes_of(halves)},
            {"none", DType::f16, {0, 5}, {}},
            {"scale", DType::f32, {}, bytes_of(floats).first(4)},
        };
        write_safetensors(dir / "model.safetensors", tensors);
    }
    void write_shard(const std::string& shard, const std::vector<std::string>& names) const {
        std::vector<TensorToWrite> tensors;
        for (const std::string& name : names) {
            tensors.push_back({name, DType::f32, {6}, bytes_of(floats)});
        }
        write_safetensors(dir / shard, tensors);
    }
    void write_index(const std::string& weight_map) const {
        write_file(dir / "model.safetensors.index.json",
                   R"({"metadata": {"total_size": 48}, "weight_map": )" + weight_map + "}");
    }
    void expect_data_error(const std::string& text) const {
        EXPECT_THAT([&] { SafetensorsCheckpoint{dir}; }, ThrowsMessage<DataError>(HasSubstr(text)));
    }
    void expect_missing(const std::string& text) const {
        EXPECT_THAT([&] { SafetensorsCheckpoint{dir}; },
                    ThrowsMessage<MissingInputError>(HasSubstr(text)));
    }
};

TEST_F(SafetensorsTest, OneFileComesBack) {
    write_single();
    const SafetensorsCheckpoint checkpoint(dir);
    ASSERT_EQ(checkpoint.tensors().size(), 5U);
    EXPECT_EQ(checkpoint.tensor_bytes(), 24U + 6 + 3 + 4);
    const StoredTensor& embed = checkpoint.at("model.embed");
    EXPECT_EQ(embed.dtype, DType::f32);
    EXPECT_EQ(embed.shape, (Shape{2, 3}));
    ASSERT_EQ(embed.bytes.size(), 24U);
    EXPECT_EQ(std::memcmp(embed.bytes.data(), floats.data(), 24), 0);
    const StoredTensor& norm = checkpoint.at("model.norm");
    EXPECT_EQ(norm.dtype, DType::bf16);
    EXPECT_EQ(std::memcmp(norm.bytes.data(), halves.data(), 6), 0);
    EXPECT_EQ(checkpoint.at("mask").dtype, DType::boolean);
    EXPECT_EQ(checkpoint.at("none").bytes.size(), 0U);
    EXPECT_EQ(checkpoint.at("scale").shape, Shape{});
    checkpoint.release(embed);
    EXPECT_EQ(std::memcmp(embed.bytes.data(), floats.data(), 24), 0);
    EXPECT_THAT(
        [&] { (void)checkpoint.at("lm_head"); },
        ThrowsMessage<DataError>(AllOf(HasSubstr("no tensor 'lm_head'"), HasSubstr(dir.string()))));
}

TEST_F(SafetensorsTest, TheBytesOnDiskAreThoseOfTheFormat) {
    write_safetensors(dir / "a",
                      std::vector<TensorToWrite>{{"b", DType::u8, {3}, bytes_of(bits)},
                                                 {"a", DType::bf16, {3}, bytes_of(halves)}});
    // Wider elements first; header padded with spaces to a multiple of 8.
    std::string header = R"({"__metadata__":{"format":"pt"},)"
                         R"("a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},)"
                         R"("b":{"dtype":"U8","shape":[3],"data_offsets":[6,9]}})";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    std::string expected(8, '\0');
    expected[0] = static_cast<char>(header.size());
    expected += header + std::string("\x80\x3F\x00\x80\xC0\x7F\x01\x00\x01", 9);
    EXPECT_EQ(read_file(dir / "a"), expected);
}

TEST_F(SafetensorsTest, ShardsComeBack) {
    write_shard("model-00001-of-00002.safetensors", {"a", "b"});
    write_shard("model-00002-of-00002.safetensors", {"c"});
    write_index(R"({"a": "model-00001-of-00002.safetensors",
                    "b": "model-00001-of-00002.safetensors",
                    "c": "model-00002-of-00002.safetensors"})");
    const SafetensorsCheckpoint checkpoint(dir);
    EXPECT_EQ(checkpoint.tensors().size(), 3U);
    EXPECT_EQ(checkpoint.at("b").file_index, 0U);
    EXPECT_EQ(checkpoint.at("c").file_index, 1U);
    EXPECT_EQ(std::memcmp(checkpoint.at("c").bytes.data(), floats.data(), 24), 0);
}

TEST_F(SafetensorsTest, MissingPlacesAreNamed) {
    EXPECT_THAT([&] { SafetensorsCheckpoint{dir / "none"}; },
                ThrowsMessage<MissingInputError>(HasSubstr("none")));
    expect_missing("neither model.safetensors nor model.safetensors.index.json");
    write_file(dir / "pytorch_model.bin", "");
    expect_missing("save the model as safetensors first");
    EXPECT_THAT([&] { SafetensorsCheckpoint{dir / "pytorch_model.bin"}; },
                ThrowsMessage<DataError>(HasSubstr("is a file, expected a directory")));
    write_index(R"({"a": "gone.safetensors"})");
    expect_missing("gone.safetensors, which model.safetensors.index.json names");
    fs::create_directory(dir / "gone.safetensors");
    expect_data_error("is not a regular file");
}

TEST_F(SafetensorsTest, AWrongIndexIsRefused) {
    write_shard("one.safetensors", {"a", "b"});
    write_shard("two.safetensors", {"c"});
    write_index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
    expect_data_error("tensor 'b' is said to be in two.safetensors, but it is in one.safetensors");
    write_index(R"({"a": "one.safetensors", "a": "two.safetensors"})");
    expect_data_error("the key 'a' stands there twice");
    for (const char* shard : {"../one.safetensors", "/etc/passwd", "a/../../b", ""}) {
        write_index(R"({"a": ")" + std::string(shard) + "\"}");
        expect_data_error("expected the name of a file in the same directory");
    }
    write_index(R"({"a": 7})");
    expect_data_error("tensor 'a' is said to be in 7");
    write_index("{}");
    expect_data_error("'weight_map' is empty");
    write_index("[]");
    expect_data_error("has no object 'weight_map'");
    write_index("{");
    expect_data_error("is not valid JSON");
    write_index(std::string(100, '[') + std::string(100, ']'));
    expect_data_error("more than 16 levels");
}

// Left by a program that dropped a tensor and kept the index, as rotary buffers once were.
TEST_F(SafetensorsTest, AnEntryOfTheIndexThatNoShardHasIsPassedOver) {
    write_shard("one.safetensors", {"a", "b"});
    write_index(R"({"a": "one.safetensors", "x": "one.safetensors"})");
    const SafetensorsCheckpoint checkpoint(dir);
    EXPECT_EQ(checkpoint.tensors().size(), 2U);
    EXPECT_FALSE(checkpoint.tensors().contains("x"));
}

// Left by a model saved anew with other shards: the index is of the later one.
TEST_F(SafetensorsTest, OfATensorInTwoShardsTheIndexsIsTaken) {
    write_shard("one.safetensors", {"a", "b"});
    write_shard("two.safetensors", {"b", "c"});
    for (const char* shard : {"one", "two"}) {
        write_index(R"({"a": "one.safetensors", "c": "two.safetensors", "b": ")" +
                    std::string(shard) + ".safetensors\"}");
        const SafetensorsCheckpoint checkpoint(dir);
        EXPECT_EQ(checkpoint.tensors().size(), 3U);
        EXPECT_EQ(checkpoint.at("b").file_index, std::string(shard) == "one" ? 0U : 1U);
    }
    write_index(R"({"a": "one.safetensors", "c": "two.safetensors"})");
    expect_data_error("tensor 'b' is in two files");
}

TEST_F(SafetensorsTest, TheFingerprintSeesNamesHeadersAndData) {
    write_single();
    const std::uint64_t original = SafetensorsCheckpoint(dir).fingerprint();
    EXPECT_EQ(SafetensorsCheckpoint(dir).fingerprint(), original);
    const fs::path moved = dir / "moved";
    fs::create_directory(moved);
    fs::copy(dir / "model.safetensors", moved / "model.safetensors");
    EXPECT_EQ(SafetensorsCheckpoint(moved).fingerprint(), original);
    EXPECT_EQ(SafetensorsCheckpoint(moved / "").fingerprint(), original);

    std::string content = read_file(dir / "model.safetensors");
    content.back() ^= 1;
    write_file(moved / "model.safetensors", content);
    EXPECT_NE(SafetensorsCheckpoint(moved).fingerprint(), original);
    content.back() ^= 1;
    content.replace(content.find("model.norm"), 10, "model.horn");
    write_file(moved / "model.safetensors", content);
    EXPECT_NE(SafetensorsCheckpoint(moved).fingerprint(), original);
}

TEST_F(SafetensorsTest, WritingRefusesAndReports) {
    const auto write = [&](const fs::path& path, const std::vector<TensorToWrite>& tensors) {
        return [=] { write_safetensors(path, tensors); };
    };
    EXPECT_THAT(write(dir / "a", {{"x", DType::f32, {5}, bytes_of(floats)}}),
                ThrowsMessage<ShapeError>(HasSubstr("'x' has 24 bytes, expected 20")));
    const TensorToWrite x{"x", DType::f32, {6}, bytes_of(floats)};
    EXPECT_THAT(write(dir / "a", {x, x}),
                ThrowsMessage<InternalError>(HasSubstr("two tensors called 'x'")));
    write_file(dir / "plain", "");
    EXPECT_THAT(write(dir / "plain" / "a", {x}),
                ThrowsMessage<IoError>(AllOf(HasSubstr("plain/a"), HasSubstr("directory"))));
    const std::vector<float> large(1 << 20);
    for (const std::size_t n : {large.size(), large.size() / 64}) {  // past and within the buffer
        const FileSizeLimit limit(4096);
        EXPECT_THAT(write(dir / "a", {{"x", DType::f32, {n}, bytes_of(large).first(4 * n)}}),
                    ThrowsMessage<IoError>(HasSubstr("cannot write " + (dir / "a").string())));
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(dir), {}), 1) << "only 'plain' may remain";
}

TEST(SafetensorsShared, AModelOfTransformersIsRead) {
    const fs::path model = fs::path(LATHE_SHARED_DIR) / "models/parity/llama";
    if (!fs::exists(model / "model.safetensors.index.json")) {
        GTEST_SKIP() << "no model in " << model;
    }
    const SafetensorsCheckpoint checkpoint(model);
    EXPECT_TRUE(checkpoint.tensors().contains("model.embed_tokens.weight"));
    EXPECT_GT(checkpoint.tensor_bytes(), 0U);
}

}  // namespace
}  // namespace lathe
