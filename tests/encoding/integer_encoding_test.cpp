#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// An integer tensor and the matrices it was made of.
struct Example {
    std::size_t rows, cols, groups;
    IntegerLayout layout;
    std::vector<std::uint8_t> codes;
    std::vector<float> scales, zeros;
    Shape shape;

    [[nodiscard]] EncodedTensor encode() const {
        return encode_integer(shape, layout, {codes.data(), rows, cols},
                              {scales.data(), rows, groups}, {zeros.data(), rows, groups});
    }
};

Example make_example(std::size_t rows, std::size_t cols, const IntegerLayout& layout) {
    std::mt19937 random(static_cast<unsigned>(cols * 16 + layout.num_bits));
    const std::size_t groups = (cols + layout.group_size - 1) / layout.group_size;
    Example example{rows, cols, groups, layout, {}, {}, {}, {rows, cols}};
    const unsigned n_codes = 1U << layout.num_bits;
    for (std::size_t i = 0; i < rows * cols; ++i) {
        example.codes.push_back(static_cast<std::uint8_t>(random() % n_codes));
    }
    for (std::size_t i = 0; i < rows * groups; ++i) {
        const float scale = 0.001F * static_cast<float>(1 + random() % 1000);
        example.scales.push_back(layout.float8_scales
                                     ? float8_scale(static_cast<std::byte>(random() % 256))
                                     : half_to_float(float_to_half(scale)));
        example.zeros.push_back(static_cast<float>(random() % n_codes));
    }
    return example;
}

std::vector<std::uint32_t> words_of(const TensorPart& part) {
    std::vector<std::uint32_t> words(part.bytes.size() / 4);
    std::memcpy(words.data(), part.bytes.data(), part.bytes.size());
    return words;
}

std::vector<std::uint32_t> packed(unsigned num_bits, std::vector<std::uint8_t> codes) {
    const std::vector<float> one{1.0F};
    const std::size_t n = codes.size();
    const EncodedTensor tensor =
        encode_integer({1, n}, {.num_bits = num_bits, .group_size = n, .symmetric = true},
                       {codes.data(), 1, n}, {one.data(), 1, 1}, {});
    validate(tensor, "test");
    return words_of(tensor.parts[0]);
}

// The words below are worked out by hand from the layout in integer.hpp: code j begins at bit
// j * num_bits, the lowest bit of a word is its first.
TEST(IntegerPacking, TwoBits) {
    EXPECT_THAT(packed(2, {1, 2, 3, 0, 1}), ElementsAre(0b01'00'11'10'01U));
    // 17 codes: one bit pair in a second word.
    EXPECT_THAT(packed(2, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2}),
                ElementsAre(0xC0000000U, 2U));
}

TEST(IntegerPacking, ThreeBitsCrossAWord) {
    // Code 10 has bits 30..32: two in the first word, one in the second.
    EXPECT_THAT(packed(3, {7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0b101, 0b110}),
                ElementsAre(7U | 1U << 6 | 0b01U << 30, 0b1U | 0b110U << 1));
}

TEST(IntegerPacking, FourBits) {
    EXPECT_THAT(packed(4, {1, 2, 3, 4, 5, 6, 7, 8, 9}), ElementsAre(0x87654321U, 9U));
}

TEST(IntegerPacking, FiveBitsCrossAWord) {
    // Code 6 has bits 30..34.
    EXPECT_THAT(packed(5, {31, 0, 0, 0, 0, 0, 0b10110, 1}),
                ElementsAre(31U | 0b10U << 30, 0b101U | 1U << 3));
}

TEST(IntegerPacking, EightBits) {
    EXPECT_THAT(packed(8, {0x11, 0x22, 0x33, 0x44, 0xFF}), ElementsAre(0x44332211U, 0xFFU));
}

TEST(IntegerPacking, AllWidthsAndLengthsComeBack) {
    for (unsigned num_bits = 1; num_bits <= 8; ++num_bits) {
        for (std::size_t cols = 0; cols <= 100; ++cols) {
            std::vector<std::uint8_t> codes(cols);
            for (std::size_t j = 0; j < cols; ++j) {
                codes[j] = static_cast<std::uint8_t>((j * 37 + 11) % (1U << num_bits));
            }
            ASSERT_EQ(words_per_row(cols, num_bits), (cols * num_bits + 31) / 32);
            std::vector<std::byte> bytes(words_per_row(cols, num_bits) * 4);
            pack_row(codes.data(), cols, num_bits, bytes.data());
            std::vector<std::uint8_t> back(cols);
            unpack_row_of(num_bits)(bytes.data(), cols, back.data());
            ASSERT_EQ(back, codes) << num_bits << " bits, " << cols << " columns";
        }
    }
}

TEST(IntegerEncoding, DecodesByTheFormula) {
    for (const auto& [symmetric, float8_scales] :
         {std::pair{true, false}, {false, false}, {true, true}, {false, true}}) {
        for (unsigned num_bits = 2; num_bits <= 8; ++num_bits) {
            // 70 columns in groups of 32: the last group is short.
            const Example e = make_example(3, 70, {num_bits, 32, symmetric, float8_scales});
            const EncodedTensor tensor = e.encode();
            validate(tensor, "test");
            EXPECT_EQ(stored_bytes(tensor), integer_bytes(e.shape, e.layout));
            // Written between other numbers, which must stay.
            std::vector<float> values(3 * 80, -7.0F);
            decode(tensor, {values.data(), 3, 70, 80});
            std::vector<std::uint8_t> row(70);
            for (std::size_t i = 0; i < 3; ++i) {
                unpack_codes(tensor, i, row.data());
                for (std::size_t j = 0; j < 80; ++j) {
                    if (j >= 70) {
                        ASSERT_EQ(values[i * 80 + j], -7.0F);
                        continue;
                    }
                    const std::size_t group = i * 3 + j / 32;
                    const float zero =
                        symmetric ? static_cast<float>(1U << (num_bits - 1)) : e.zeros[group];
                    const float code = e.codes[i * 70 + j];
                    ASSERT_EQ(row[j], e.codes[i * 70 + j]);
                    ASSERT_EQ(values[i * 80 + j], e.scales[group] * (code - zero));
                }
            }
        }
    }
}

TEST(IntegerEncoding, BytesWorkedOutByHand) {
    // 70 columns of 3 bits: 210 bits, 7 words; 3 groups.
    EXPECT_EQ(integer_bytes({2, 70}, {.num_bits = 3, .group_size = 32, .symmetric = true}),
              2U * (7 * 4 + 3 * 2));
    EXPECT_EQ(integer_bytes({2, 70}, {.num_bits = 3, .group_size = 32, .symmetric = false}),
              2U * (7 * 4 + 3 * 3));
    // Zeros of 3 bits fill one word.
    EXPECT_EQ(integer_bytes({2, 70}, {3, 32, false, true}), 2U * (7 * 4 + 3 + 4));
    EXPECT_EQ(integer_bytes({2, 70}, {3, 32, true, true}), 2U * (7 * 4 + 3));
    EXPECT_EQ(integer_bytes({5, 2, 8}, {.num_bits = 4, .group_size = 128, .symmetric = true}),
              10U * (4 + 2));
    EXPECT_EQ(integer_bytes({0, 70}, {}), 0U);
}

TEST(IntegerEncoding, ScalesOfEightBits) {
    // By the formula: 2^(code / 16 - 14) * (1 + code mod 16 / 16).
    EXPECT_EQ(float8_scale(std::byte{0x00}), 0x1p-14F);
    EXPECT_EQ(float8_scale(std::byte{0x01}), 0x1.1p-14F);
    EXPECT_EQ(float8_scale(std::byte{0xE0}), 1.0F);
    EXPECT_EQ(float8_scale(std::byte{0xFF}), 3.875F);
    for (unsigned code = 0; code < 256; ++code) {
        const float scale = float8_scale(static_cast<std::byte>(code));
        EXPECT_EQ(scale, std::ldexp(1.0F + static_cast<float>(code % 16) / 16.0F,
                                    static_cast<int>(code / 16) - 14));
        EXPECT_EQ(pack_float8_scales({&scale, 1, 1}).bytes[0], static_cast<std::byte>(code));
    }
    for (const float other : {0.0F, -1.0F, 0x1.08p0F, 0x1.Fp-15F, 4.0F, 65504.0F, 1e30F,
                              std::numeric_limits<float>::quiet_NaN()}) {
        EXPECT_THAT(
            [&] {
                (void)pack_float8_scales({&other, 1, 1});
            },
            ThrowsMessage<InternalError>(HasSubstr("is not a number of 8 bits")));
    }
}

TEST(IntegerEncoding, OddShapesComeBack) {
    for (const Shape& shape : {Shape{0, 5}, Shape{3, 0}, Shape{1}, Shape{2, 3, 7}, Shape{}}) {
        const auto [rows, cols] = matrix_extents(shape);
        Example e = make_example(rows, cols, {.num_bits = 5, .group_size = 4, .symmetric = false});
        e.shape = shape;
        const EncodedTensor tensor = e.encode();
        validate(tensor, "test");
        std::vector<float> values(rows * cols, -7.0F);
        decode(tensor, {values.data(), rows, cols});
        for (std::size_t k = 0; k < values.size(); ++k) {
            const std::size_t group = k / cols * e.groups + k % cols / 4;
            EXPECT_EQ(values[k],
                      e.scales[group] * (static_cast<float>(e.codes[k]) - e.zeros[group]));
        }
    }
}

TEST(IntegerEncoding, WhatDoesNotFitIsABugOfTheCaller) {
    const auto refused = [](const Example& e, const char* text) {
        EXPECT_THAT([&] { (void)e.encode(); }, ThrowsMessage<InternalError>(HasSubstr(text)));
    };
    const Example good = make_example(2, 10, {.num_bits = 3, .group_size = 4, .symmetric = false});
    Example e = good;
    e.codes[13] = 8;
    refused(e, "row 1 holds a code that needs more than 3 bits");
    e = good;
    e.scales[1] = 1.0F + 0x1p-20F;
    refused(e, "not a finite fp16 number");
    e.scales[1] = std::numeric_limits<float>::infinity();
    refused(e, "not a finite fp16 number");
    e.scales[1] = std::numeric_limits<float>::quiet_NaN();
    refused(e, "not a finite fp16 number");
    e = good;
    for (const float zero : {0.5F, -1.0F, 8.0F, 1e9F, std::nanf("")}) {
        e.zeros[0] = zero;
        refused(e, "is not a code of 3 bits");
    }
    e = good;
    e.shape = {10, 2};
    refused(e, "codes are [2, 10], expected [10, 2]");
    e = good;
    e.layout.num_bits = 9;
    refused(e, "2 to 8 bits");
    e.layout = {.num_bits = 3, .group_size = 0, .symmetric = false};
    refused(e, "groups of at least 1");
}

class DamagedInteger : public ::testing::Test {
protected:
    Example example = make_example(2, 10, {.num_bits = 3, .group_size = 4, .symmetric = false});
    EncodedTensor tensor = example.encode();

    void expect_refused(const std::string& text) {
        EXPECT_THAT([&] { validate(tensor, "block.h5: q"); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr("block.h5: q"), HasSubstr(text))));
    }
};

TEST_F(DamagedInteger, Settings) {
    tensor.settings["num_bits"] = 1;
    expect_refused("setting 'num_bits' is 1, expected 2 to 8");
    tensor.settings["num_bits"] = 3;
    tensor.settings["group_size"] = 0;
    expect_refused("setting 'group_size' is 0, expected at least 1");
    tensor.settings["group_size"] = 4;
    tensor.settings["symmetric"] = 2;
    expect_refused("setting 'symmetric' is 2, expected 0 to 1");
    tensor.settings["symmetric"] = 1;
    expect_refused("parts of encoding 'integer' are codes, scales, zeros, expected codes, scales");
    tensor.settings.erase("symmetric");
    expect_refused("needs the setting 'symmetric', which is absent");
    tensor.settings["symmetric"] = 0;
    tensor.settings["colour"] = 1;
    expect_refused("has no setting 'colour'; its settings are: num_bits, group_size, symmetric");
}

TEST_F(DamagedInteger, Parts) {
    tensor.parts[0].name = "code";
    expect_refused("are code, scales, zeros, expected codes, scales, zeros");
    tensor.parts[0].name = "codes";
    tensor.parts[0].dtype = DType::i32;
    expect_refused("part 'codes' has type int32, expected uint32");
    tensor.parts[0].dtype = DType::u32;
    tensor.parts[1].shape = {2, 2};
    expect_refused("part 'scales' has shape [2, 2], expected [2, 3]");
    tensor.parts[1].shape = {2, 3};
    tensor.parts[2].bytes.pop_back();
    expect_refused("part 'zeros' has 5 bytes, expected 6");
    tensor.parts.pop_back();
    expect_refused("are codes, scales, expected codes, scales, zeros");
}

TEST_F(DamagedInteger, Values) {
    tensor.parts[2].bytes[4] = std::byte{8};
    expect_refused("part 'zeros' holds 8 as element 4, expected at most 7");
    tensor.parts[2].bytes[4] = std::byte{7};
    const std::uint16_t infinity = 0xFC00;
    std::memcpy(tensor.parts[1].bytes.data() + 6, &infinity, 2);
    expect_refused("part 'scales' holds a value that is not finite, element 3");
    tensor = example.encode();
    tensor.parts[0].bytes[7] |= std::byte{0x40};  // bit 30 of row 1, codes end at bit 29
    expect_refused("bits set behind the last code of row 1");
}

TEST_F(DamagedInteger, ScalesOfEightBits) {
    example = make_example(2, 10, {3, 4, false, true});
    tensor = example.encode();
    validate(tensor, "test");
    tensor.settings["float8_scales"] = 0;
    expect_refused("setting 'float8_scales' is 0, expected 1 to 1");
    tensor.settings.erase("float8_scales");
    expect_refused("part 'zeros' has type uint32, expected uint8");
    tensor.settings["float8_scales"] = 1;
    tensor.parts[2].bytes[5] = std::byte{2};  // 3 zeros end at bit 8 of row 1
    expect_refused("bits set behind the last zero of row 1");
    tensor = example.encode();
    tensor.parts[1].dtype = DType::f16;
    expect_refused("part 'scales' has type float16, expected uint8");
}

TEST_F(DamagedInteger, ShapeThatWouldOverflow) {
    tensor.shape = {std::size_t{1} << 40, std::size_t{1} << 40};
    expect_refused("larger than any tensor");
    tensor.shape = {std::size_t{1} << 60, 1};
    expect_refused("part 'zeros' has shape");
}

}  // namespace
}  // namespace lathe
