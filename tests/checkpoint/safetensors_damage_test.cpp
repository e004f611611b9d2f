#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// A file with this header and `n_data` bytes of data.
std::string with_header(const std::string& header, std::size_t n_data) {
    const std::uint64_t length = header.size();
    std::string file(8, '\0');
    std::memcpy(file.data(), &length, 8);
    return file + header + std::string(n_data, 'd');
}

class DamagedSafetensors : public DirectoryTest {
protected:
    void write(const std::string& content) const {
        std::ofstream(dir / "model.safetensors", std::ios::binary) << content;
    }
    void expect_refused(const std::string& content, const std::string& text) const {
        write(content);
        EXPECT_THAT(
            [&] { SafetensorsCheckpoint{dir}; },
            ThrowsMessage<DataError>(AllOf(HasSubstr("model.safetensors"), HasSubstr(text))));
    }
    /// One tensor `x` described by these members.
    void expect_refused_tensor(const std::string& dtype, const std::string& shape,
                               const std::string& offsets, std::size_t n_data,
                               const std::string& text) const {
        expect_refused(with_header(R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape +
                                       R"(,"data_offsets":)" + offsets + "}}",
                                   n_data),
                       text);
    }
    void expect_refused_header(const std::string& header, const std::string& text) const {
        expect_refused(with_header(header, 8), text);
    }
};

TEST_F(DamagedSafetensors, LengthOfTheHeader) {
    expect_refused("", "truncated: 0 bytes, expected at least 8");
    expect_refused("1234567", "truncated: 7 bytes");
    expect_refused(std::string(8, '\0'), "the header is empty");
    expect_refused(std::string("\x09\0\0\0\0\0\0\0{}", 10),
                   "the header should have 9 bytes, but 2 are there");
    expect_refused(std::string(64, '\xFF'), "a header of 18446744073709551615 bytes");
    std::string just_too_long(8, '\0');
    const std::uint64_t length = 100'000'001;
    std::memcpy(just_too_long.data(), &length, 8);
    expect_refused(just_too_long, "expected at most 100000000");
}

TEST_F(DamagedSafetensors, Json) {
    expect_refused_header("not json", "does not begin with '{'");
    expect_refused_header("{\"x\":", "is not valid JSON");
    expect_refused_header("{} {}", "is not valid JSON");
    expect_refused_header("{\"\xFF\":{}}", "is not valid JSON");
    expect_refused_header(R"({"x":{},"x":{}})", "the key 'x' stands there twice");
    expect_refused_header(R"({"x":{"dtype":"F32","dtype":"F16"}})", "the key 'dtype' stands");
    expect_refused_header(R"({"x":{"shape":[[1]]}})", "more than 3 levels of nesting");
    expect_refused_header("{\"x\":" + std::string(100000, '['), "more than 3 levels of nesting");
    expect_refused_header(R"({"__metadata__":7})", "'__metadata__' is not an object");
    expect_refused_header(R"({"__metadata__":{"a":1}})", "'__metadata__' is not an object");
    expect_refused_header(R"({"x":[]})", "tensor 'x' is described by [], expected an object");
    expect_refused_header(R"({"x":{"shape":[],"data_offsets":[0,1]}})", "has no 'dtype'");
    expect_refused_header(R"({"x":{"dtype":"U8","data_offsets":[0,1]}})", "has no 'shape'");
    expect_refused_header(R"({"x":{"dtype":"U8","shape":[8]}})", "has no 'data_offsets'");
    expect_refused_header(R"({"x":{"dtype":"U8","shape":[8],"offsets":[0,8]}})",
                          "unknown key 'offsets'");
}

TEST_F(DamagedSafetensors, TypesAndShapes) {
    expect_refused_tensor(R"("F8_E4M3")", "[8]", "[0,8]", 8, "not supported");
    expect_refused_tensor(R"("F33")", "[8]", "[0,8]", 8, "unknown element type 'F33'");
    expect_refused_tensor("32", "[8]", "[0,8]", 8, "'dtype' is 32, expected a string");
    expect_refused_tensor(R"("U8")", "8", "[0,8]", 8, "'shape' is 8, expected an array");
    expect_refused_tensor(R"("U8")", "[-8]", "[0,8]", 8, "'shape' holds -8");
    expect_refused_tensor(R"("U8")", "[8.0]", "[0,8]", 8, "'shape' holds 8.0");
    expect_refused_tensor(R"("U8")", "[18446744073709551616]", "[0,8]", 8, "'shape' holds 1.8");
    expect_refused_tensor(R"("U8")", "[7]", "[0,8]", 8,
                          "offsets for 8 bytes, expected 7 for U8 [7]");
    // 2^62 * 4 bytes wrap round to 0.
    expect_refused_tensor(R"("F32")", "[4611686018427387904]", "[0,0]", 0, "more than 2^64");
    expect_refused_tensor(R"("F32")", "[4294967296,4294967297]", "[0,8]", 8, "more than 2^64");
}

TEST_F(DamagedSafetensors, Offsets) {
    expect_refused_tensor(R"("U8")", "[8]", "[0]", 8, "'data_offsets' has 1 elements");
    expect_refused_tensor(R"("U8")", "[8]", "[0,8,9]", 8, "'data_offsets' has 3 elements");
    expect_refused_tensor(R"("U8")", "[8]", "[-1,7]", 8, "'data_offsets' holds -1");
    expect_refused_tensor(R"("U8")", "[8]", "[8,0]", 8, "begins at byte 8, behind its end");
    expect_refused_tensor(R"("U8")", "[8]", "[18446744073709551608,18446744073709551616]", 8,
                          "'data_offsets' holds 1.8");
    expect_refused_tensor(R"("U8")", "[8]", "[18446744073709551607,18446744073709551615]", 8,
                          "leaving a gap behind the header");
    expect_refused_tensor(R"("U8")", "[8]", "[1,9]", 9, "leaving a gap behind the header");
    expect_refused_tensor(R"("U8")", "[8]", "[0,8]", 7,
                          "ends at data byte 8, but the file holds 7 data bytes");
    expect_refused_tensor(R"("U8")", "[8]", "[0,8]", 9,
                          "1 bytes behind the last tensor belong to no tensor");
}

TEST_F(DamagedSafetensors, OverlapAndGap) {
    const auto two = [](const char* second) {
        return R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
               R"("a":{"dtype":"U8","shape":[4],"data_offsets":)" +
               std::string(second) + "}}";
    };
    expect_refused(with_header(two("[3,7]"), 7),
                   "'a' begins at data byte 3, overlapping tensor 'b', which ends at 4");
    expect_refused(with_header(two("[0,4]"), 4), "overlapping");
    expect_refused(with_header(two("[5,9]"), 9), "leaving a gap behind tensor 'b'");
    write(with_header(two("[4,8]"), 8));
    EXPECT_EQ(SafetensorsCheckpoint(dir).tensor_bytes(), 8U);
}

/// Whatever happens to the file, reading throws one of our errors or finds tensors inside the file.
void read_everything(const std::filesystem::path& dir, std::size_t file_size) {
    try {
        const SafetensorsCheckpoint checkpoint(dir);
        std::size_t sum = 0;
        for (const auto& [name, tensor] : checkpoint.tensors()) {
            ASSERT_EQ(tensor.bytes.size(), element_count(tensor.shape) * size_bytes(tensor.dtype));
            for (const std::byte b : tensor.bytes) {
                sum += std::to_integer<std::size_t>(b);
            }
        }
        ASSERT_LT(checkpoint.tensor_bytes(), file_size);
        ASSERT_LE(sum, 255 * file_size);
        (void)checkpoint.fingerprint();
    } catch (const Error& error) {
        ASSERT_NE(std::string(error.what()), "");
    }
}

TEST_F(DamagedSafetensors, AnyCutAndAnyChangedByteIsSurvived) {
    const std::vector<float> values(8, 1.0F);
    const auto bytes = std::as_bytes(std::span(values));
    write_safetensors(dir / "model.safetensors",
                      std::vector<TensorToWrite>{{"model.a", DType::f32, {2, 4}, bytes},
                                                 {"model.b", DType::bf16, {16}, bytes},
                                                 {"model.c", DType::u8, {4, 8}, bytes}});
    const std::string whole = read_file(dir / "model.safetensors");
    for (std::size_t i = 0; i < whole.size() - 96; ++i) {
        const char flips[] = {'\x01', '\x10', '\x80', '\xFF'};
        std::string replacements = "09-\"[}, ";
        for (const char flip : flips) {
            replacements += static_cast<char>(whole[i] ^ flip);
        }
        for (const char replacement : replacements) {
            poke(dir / "model.safetensors", i, replacement);
            ASSERT_NO_FATAL_FAILURE(read_everything(dir, whole.size())) << "byte " << i;
        }
        poke(dir / "model.safetensors", i, whole[i]);
    }
    for (std::size_t n = whole.size(); n-- > 0;) {
        fs::resize_file(dir / "model.safetensors", n);
        EXPECT_THROW(SafetensorsCheckpoint{dir}, DataError) << "cut to " << n << " bytes";
    }
}

}  // namespace
}  // namespace lathe
