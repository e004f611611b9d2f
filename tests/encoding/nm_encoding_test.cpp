#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/nm.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

NmLayout values_of(std::size_t n, std::size_t m, DType dtype = DType::f16) {
    return {.n = n, .m = m, .num_bits = 0, .group_size = 0, .value_type = dtype};
}

std::vector<std::uint32_t> words_of(const TensorPart& part) {
    std::vector<std::uint32_t> words(part.bytes.size() / 4);
    std::memcpy(words.data(), part.bytes.data(), part.bytes.size());
    return words;
}

/// A row whose values that are not 0 are kept.
EncodedTensor encode_row(const NmLayout& layout, const std::vector<float>& row) {
    std::vector<std::uint8_t> keep;
    for (const float value : row) {
        keep.push_back(value != 0.0F ? 1 : 0);
    }
    return encode_nm_values({1, row.size()}, layout, {keep.data(), 1, keep.size()},
                            {row.data(), 1, row.size()});
}

std::vector<float> decoded(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    std::vector<float> values(rows * cols, -7.0F);
    decode(tensor, {values.data(), rows, cols});
    return values;
}

TEST(NmMeta, TwoOfFourAreTheNibblesOfSparseTensorCores) {
    // The six legal nibbles, i0 | i1 << 2, the first group in the low half of the first byte.
    const EncodedTensor tensor =
        encode_row(values_of(2, 4),
                   {1, 2, 0, 0, 3, 0, 4, 0, 5, 0, 0, 6, 0, 7, 8, 0, 0, 9, 0, 10, 0, 0, 11, 12});
    EXPECT_THAT(words_of(part(tensor, "meta")), ElementsAre(0x00ED9C84U));
    EXPECT_NO_THROW(validate(tensor, "test"));
}

TEST(NmMeta, GroupsThatAreNotFullAreWrittenAsTheReferencePackerDoes) {
    // All zero 0xE, a lone column 0 0xC, 1 0xD, 2 0xE, 3 0xE.
    const std::vector<float> row = {0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4};
    const EncodedTensor tensor = encode_row(values_of(2, 4), row);
    EXPECT_THAT(words_of(part(tensor, "meta")), ElementsAre(0x000EEDCEU));
    EXPECT_EQ(decoded(tensor), row);
}

TEST(NmMeta, OtherPatterns) {
    // 1:4: two bits a group: columns 2, 0, 3 and, where there is nothing, the last.
    EXPECT_THAT(
        words_of(part(encode_row(values_of(1, 4), {0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0}),
                      "meta")),
        ElementsAre(0b11'11'00'10U));
    // 2:8: a byte a group, bit i for column i.
    EXPECT_THAT(
        words_of(part(encode_row(values_of(2, 8), {1, 0, 0, 0, 0, 0, 0, 2, 0, 3, 4, 0, 0, 0, 0, 0}),
                      "meta")),
        ElementsAre(0b00000110'10000001U));
    // 2:3: a bit a column.
    EXPECT_THAT(words_of(part(encode_row(values_of(2, 3), {0, 1, 2, 3, 0, 4}), "meta")),
                ElementsAre(0b101'110U));
}

TEST(NmEncoding, BitsPerColumnOfTheMeta) {
    EXPECT_EQ(nm_meta_bits(values_of(2, 4)), 1.0);
    EXPECT_EQ(nm_meta_bits(values_of(1, 4)), 0.5);
    EXPECT_EQ(nm_meta_bits(values_of(2, 8)), 1.0);
    EXPECT_EQ(nm_meta_bits(values_of(4, 8)), 1.0);
}

TEST(NmEncoding, BytesWorkedOutByHand) {
    // BERT's 768 x 768 at 2:4 with 4-bit codes in groups of 64: 3.25 bits a weight.
    const NmLayout codes{.n = 2, .m = 4, .num_bits = 4, .group_size = 64};
    EXPECT_EQ(nm_bytes({768, 768}, codes), 768U * 768 * 325 / 800);
    // 2:4 in 16 bits: 9 bits a weight. 1:4 with 4 bits: 1 + 0.5 + 0.25.
    EXPECT_EQ(nm_bytes({64, 128}, values_of(2, 4)), 64U * 128 * 9 / 8);
    EXPECT_EQ(nm_bytes({64, 128}, {.n = 1, .m = 4, .num_bits = 4, .group_size = 64}),
              64U * 128 * 175 / 800);
    // One group of 20 columns: 10 codes of 3 bits in a word, 5 nibbles in a word, one scale.
    EXPECT_EQ(nm_bytes({3, 20}, {.n = 2, .m = 4, .num_bits = 3, .group_size = 64}),
              3U * (4 + 4 + 2));
    EXPECT_EQ(nm_bytes({3, 20}, values_of(2, 4, DType::f32)), 3U * (10 * 4 + 4));
}

/// A random tensor with at most n kept in each group, sometimes fewer.
struct Example {
    std::size_t rows, cols;
    NmLayout layout;
    std::vector<std::uint8_t> keep, codes;
    std::vector<float> values, scales, expected;

    Example(std::size_t rows_, std::size_t cols_, const NmLayout& layout_)
        : rows(rows_),
          cols(cols_),
          layout(layout_),
          keep(rows * cols, 0),
          codes(rows * cols),
          values(rows * cols, 0.0F),
          expected(rows * cols, 0.0F) {
        std::mt19937 random(static_cast<unsigned>(cols * 64 + layout.n * 8 + layout.num_bits));
        const std::size_t groups =
            layout.num_bits == 0 ? 0 : (cols + layout.group_size - 1) / layout.group_size;
        for (std::size_t i = 0; i < rows * groups; ++i) {
            scales.push_back(half_to_float(float_to_half(0.01F * static_cast<float>(i + 1))));
        }
        const unsigned middle = layout.num_bits == 0 ? 0 : 1U << (layout.num_bits - 1);
        std::fill(codes.begin(), codes.end(), static_cast<std::uint8_t>(middle));
        for (std::size_t begin = 0; begin < rows * cols; begin += layout.m) {
            for (std::size_t k = random() % (layout.n + 1); k > 0; --k) {
                const std::size_t at = begin + random() % layout.m;
                keep[at] = 1;
                values[at] = static_cast<float>(1 + random() % 100) / 8.0F;
                if (layout.num_bits == 0) {
                    expected[at] = values[at];
                    continue;
                }
                codes[at] = static_cast<std::uint8_t>(random() % (2 * middle));
                const std::size_t group = at / cols * groups + at % cols / layout.group_size;
                expected[at] =
                    scales[group] * (static_cast<float>(codes[at]) - static_cast<float>(middle));
            }
        }
    }
    [[nodiscard]] EncodedTensor encode() const {
        if (layout.num_bits == 0) {
            return encode_nm_values({rows, cols}, layout, {keep.data(), rows, cols},
                                    {values.data(), rows, cols});
        }
        return encode_nm_codes(
            {rows, cols}, layout, {keep.data(), rows, cols}, {codes.data(), rows, cols},
            {scales.data(), rows, scales.size() / std::max(rows, std::size_t{1})});
    }
};

TEST(NmEncoding, ComesBackInAllPatternsAndWidths) {
    for (const auto& [n, m] : {std::pair<std::size_t, std::size_t>{2, 4},
                               {1, 4},
                               {4, 8},
                               {2, 8},
                               {3, 7},
                               {4, 4},
                               {16, 32}}) {
        for (const unsigned num_bits : {0U, 2U, 3U, 4U, 8U}) {
            for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
                for (const std::size_t n_groups : {1, 3, 40}) {
                    // Scales for three groups of m columns each: the last may be short.
                    const Example e(3, n_groups * m,
                                    {n, m, num_bits, num_bits == 0 ? 0 : 3 * m, dtype});
                    const EncodedTensor tensor = e.encode();
                    ASSERT_NO_THROW(validate(tensor, "test"));
                    EXPECT_EQ(stored_bytes(tensor), nm_bytes(tensor.shape, e.layout));
                    ASSERT_EQ(decoded(tensor), e.expected) << n << ":" << m << ", " << num_bits;
                    std::vector<std::uint8_t> places(e.cols);
                    unpack_places(tensor, 1, places.data());
                    EXPECT_EQ(std::accumulate(places.begin(), places.end(), std::size_t{0}),
                              n * n_groups);
                }
            }
        }
    }
}

TEST(NmEncoding, BinaryCodesAreSumsOfSignedScales) {
    // Two groups of four columns, two scales each: codes 0 .. 3 are -a-b, +a-b, -a+b, +a+b.
    const NmLayout layout{.n = 2, .m = 4, .num_bits = 2, .group_size = 4, .binary = true};
    const std::vector<std::uint8_t> keep = {1, 0, 0, 1, 0, 1, 1, 0};
    const std::vector<std::uint8_t> codes = {0, 9, 9, 1, 9, 2, 3, 9};
    const std::vector<float> scales = {2, 0.5F, 8, 1};
    const auto encode = [&](const std::vector<std::uint8_t>& kept) {
        return encode_nm_codes({1, 8}, layout, {kept.data(), 1, 8}, {codes.data(), 1, 8},
                               {scales.data(), 1, 4});
    };
    const EncodedTensor tensor = encode(keep);
    EXPECT_NO_THROW(validate(tensor, "test"));
    EXPECT_EQ(stored_bytes(tensor), nm_bytes({1, 8}, layout));
    EXPECT_EQ(nm_bytes({1, 8}, layout), 4U + 4 + 4 * 2);
    EXPECT_EQ(part(tensor, "scales").shape, (Shape{1, 2, 2}));
    EXPECT_THAT(decoded(tensor), ElementsAre(-2.5F, 0, 0, 1.5F, 0, -7, 9, 0));
    // No code stands for 0, so that nothing can fill up a group.
    EXPECT_THAT(
        [&] {
            (void)encode({1, 0, 0, 0, 0, 1, 1, 0});
        },
        ThrowsMessage<InternalError>(HasSubstr("row 0, column 3")));
    EXPECT_THAT(
        nm_refuses({1, 8}, {.n = 2, .m = 4, .num_bits = 5, .group_size = 4, .binary = true}),
        HasSubstr("binary codes have 1 to 4 bits, not 5"));
}

TEST(NmEncoding, EmptyTensorsComeBack) {
    for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{0, 8}, {3, 0}}) {
        const EncodedTensor tensor = Example(rows, cols, values_of(2, 4)).encode();
        EXPECT_NO_THROW(validate(tensor, "test"));
        EXPECT_EQ(stored_bytes(tensor), 0U);
        EXPECT_TRUE(decoded(tensor).empty());
    }
}

TEST(NmEncoding, SaysWhyALayoutDoesNotFit) {
    EXPECT_EQ(nm_refuses({3, 8}, values_of(2, 4)), "");
    EXPECT_THAT(nm_refuses({3, 10}, values_of(2, 4)), HasSubstr("2:4 does not divide rows of 10"));
    EXPECT_THAT(nm_refuses({3, 8}, values_of(5, 4)), HasSubstr("1 <= N <= M <= 64"));
    EXPECT_THAT(nm_refuses({3, 8}, {.n = 2, .m = 4, .num_bits = 4, .group_size = 6}),
                HasSubstr("group_size 6 is not a multiple of the 4 columns"));
    EXPECT_THAT(nm_refuses({3, 8}, {.n = 2, .m = 4, .num_bits = 9, .group_size = 8}),
                HasSubstr("2 to 8 bits, not 9"));
}

TEST(NmEncoding, WhatDoesNotFitIsABugOfTheCaller) {
    EXPECT_THAT(
        [] {
            (void)encode_row(values_of(2, 4), {1, 2, 3, 0});
        },
        ThrowsMessage<InternalError>(
            HasSubstr("row 0 keeps 3 of columns 0 to 3, at most 2 are allowed")));
    EXPECT_THAT(
        [] {
            (void)encode_row(values_of(2, 4), {1, 2, 3});
        },
        ThrowsMessage<InternalError>(HasSubstr("does not divide")));
    Example e(2, 8, {.n = 1, .m = 4, .num_bits = 3, .group_size = 4});
    std::fill(e.keep.begin(), e.keep.end(), std::uint8_t{0});
    e.codes[7] = 5;
    EXPECT_THAT([&] { (void)e.encode(); },
                ThrowsMessage<InternalError>(HasSubstr("row 0, column 7")));
}

class DamagedNm : public ::testing::Test {
protected:
    EncodedTensor tensor =
        Example(2, 20, {.n = 2, .m = 4, .num_bits = 3, .group_size = 8}).encode();

    void expect_refused(const std::string& text) {
        EXPECT_THAT([&] { validate(tensor, "block.h5: q"); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr("block.h5: q"), HasSubstr(text))));
    }
};

TEST_F(DamagedNm, IllegalNibbles) {
    // Row 1 begins with word 1. Of 16 nibbles 6 are legal: the first index below the second.
    const std::byte intact = tensor.parts[1].bytes[5];
    for (unsigned nibble = 0; nibble < 16; ++nibble) {
        tensor.parts[1].bytes[5] = (intact & std::byte{0x0F}) | static_cast<std::byte>(nibble << 4);
        if ((nibble & 3U) < nibble >> 2) {
            EXPECT_NO_THROW(validate(tensor, "test")) << nibble;
        } else {
            expect_refused("does not name 2 ascending columns of 4 in group 3 of row 1");
        }
    }
}

TEST_F(DamagedNm, MasksWithAnotherNumberOfPlaces) {
    tensor = Example(2, 16, values_of(2, 8)).encode();
    tensor.parts[0].bytes[1] = std::byte{0x07};
    expect_refused("does not name 2 ascending columns of 8 in group 1 of row 0");
    std::vector<std::uint8_t> places(16);
    EXPECT_THROW(unpack_places(tensor, 0, places.data()), DataError);
}

TEST_F(DamagedNm, Settings) {
    tensor.settings["n"] = 5;
    expect_refused("setting 'n' is 5, expected 1 to 4");
    tensor.settings["n"] = 2;
    tensor.settings["m"] = 65;
    expect_refused("setting 'm' is 65, expected 1 to 64");
    tensor.settings["m"] = 8;
    expect_refused("2:8 does not divide rows of 20");
    tensor.settings["m"] = 4;
    tensor.settings["num_bits"] = 1;
    expect_refused("2 to 8 bits, not 1");
    tensor.settings["num_bits"] = 0;
    expect_refused("floating values have no groups");
    tensor.settings["group_size"] = 0;
    tensor.settings["binary"] = 2;
    expect_refused("setting 'binary' is 2, expected 0 to 1");
    tensor.settings["binary"] = 0;
    expect_refused("are codes, meta, scales, expected meta, values");
}

TEST_F(DamagedNm, Parts) {
    tensor.parts[1].bytes[3] |= std::byte{0x10};
    expect_refused("part 'meta' has bits set behind the last place of row 0");
    tensor.parts[1].bytes[3] = std::byte{0};
    tensor.parts[0].bytes[3] |= std::byte{0x80};
    expect_refused("part 'codes' has bits set behind the last code of row 0");
    tensor.parts[0].bytes[3] &= std::byte{0x3F};
    tensor.parts[2].shape = {2, 2};
    expect_refused("part 'scales' has shape [2, 2], expected [2, 3]");
    tensor.parts[2].shape = {2, 3};
    tensor.settings["binary"] = 1;
    expect_refused("part 'scales' has shape [2, 3], expected [2, 3, 3]");
    tensor = Example(2, 8, values_of(2, 4)).encode();
    tensor.parts[1].dtype = DType::f64;
    expect_refused("part 'values' has type float64");
}

}  // namespace
}  // namespace lathe
