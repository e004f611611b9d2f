#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/integer.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// A tensor and the matrices it was made of.
struct Example {
    std::size_t rows, cols, groups;
    BcqLayout layout;
    std::vector<std::uint8_t> codes;
    std::vector<float> scales, offsets;

    Example(std::size_t rows_, std::size_t cols_, const BcqLayout& layout_)
        : rows(rows_),
          cols(cols_),
          groups((cols_ + layout_.group_size - 1) / layout_.group_size),
          layout(layout_) {
        std::mt19937 random(static_cast<unsigned>(cols * 16 + layout.num_bits));
        const unsigned n_codes = 1U << layout.num_bits;
        for (std::size_t i = 0; i < rows * cols; ++i) {
            codes.push_back(static_cast<std::uint8_t>(random() % n_codes));
        }
        const auto half = [&](float least) {
            const float value = least + 0.001F * static_cast<float>(random() % 1000);
            return half_to_float(float_to_half(value));
        };
        for (std::size_t i = 0; i < rows * groups * layout.scales_per_group(); ++i) {
            scales.push_back(half(0.001F));
        }
        for (std::size_t i = 0; i < rows * groups; ++i) {
            offsets.push_back(layout.uniform ? static_cast<float>(random() % n_codes)
                                             : half(-0.5F));
        }
    }
    [[nodiscard]] EncodedTensor encode() const {
        return encode_bcq({rows, cols}, layout, {codes.data(), rows, cols},
                          {scales.data(), rows, groups * layout.scales_per_group()},
                          {offsets.data(), rows, groups});
    }
};

std::vector<std::uint32_t> words_of(const TensorPart& part) {
    std::vector<std::uint32_t> words(part.bytes.size() / 4);
    std::memcpy(words.data(), part.bytes.data(), part.bytes.size());
    return words;
}

std::vector<float> decoded(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    std::vector<float> values(rows * cols);
    decode(tensor, {values.data(), rows, cols});
    return values;
}

TEST(BcqEncoding, AWordOfAPlaneHolds32Columns) {
    // 33 columns of 2 planes: codes 1, 2, 3, 0 ... and 3 in the last.
    std::vector<std::uint8_t> codes(33, 0);
    codes[0] = 1;
    codes[1] = 2;
    codes[2] = 3;
    codes[32] = 3;
    const std::vector<float> scales{2.0F, 0.5F};
    const EncodedTensor tensor = encode_bcq({1, 33}, {.num_bits = 2, .group_size = 64},
                                            {codes.data(), 1, 33}, {scales.data(), 1, 2}, {});
    validate(tensor, "test");
    // Plane 0 has columns 0 and 2, plane 1 has columns 1 and 2; both have column 32.
    EXPECT_THAT(words_of(part(tensor, "planes")), ElementsAre(0b101U, 1U, 0b110U, 1U));
    const std::vector<float> values = decoded(tensor);
    EXPECT_EQ(values[0], 2.0F - 0.5F);
    EXPECT_EQ(values[1], -2.0F + 0.5F);
    EXPECT_EQ(values[2], 2.5F);
    EXPECT_EQ(values[3], -2.5F);
    EXPECT_EQ(values[32], 2.5F);
}

TEST(BcqEncoding, DecodesByTheFormulaAndComesBack) {
    for (const bool offset : {false, true}) {
        for (unsigned num_bits = 1; num_bits <= 8; ++num_bits) {
            for (const std::size_t cols : {1, 31, 32, 70, 97}) {
                const Example e(3, cols,
                                {.num_bits = num_bits, .group_size = 33, .offset = offset});
                const EncodedTensor tensor = e.encode();
                ASSERT_NO_THROW(validate(tensor, "test"));
                ASSERT_EQ(stored_bytes(tensor), bcq_bytes(tensor.shape, e.layout));
                const std::vector<float> values = decoded(tensor);
                std::vector<std::uint8_t> codes(cols);
                for (std::size_t i = 0; i < e.rows; ++i) {
                    unpack_bcq_codes(tensor, i, codes.data());
                    for (std::size_t j = 0; j < cols; ++j) {
                        const std::size_t g = i * e.groups + j / 33;
                        ASSERT_EQ(codes[j], e.codes[i * cols + j]);
                        float value = offset ? e.offsets[g] : 0.0F;
                        for (unsigned p = 0; p < num_bits; ++p) {
                            const float scale = e.scales[g * num_bits + p];
                            value += (codes[j] >> p & 1) != 0 ? scale : -scale;
                        }
                        ASSERT_EQ(values[i * cols + j], value);
                    }
                }
            }
        }
    }
}

/// An integer tensor of the same codes, scales and zeros as a uniform example.
EncodedTensor as_integer(const Example& e) {
    return encode_integer({e.rows, e.cols},
                          {e.layout.num_bits, e.layout.group_size, !e.layout.offset},
                          {e.codes.data(), e.rows, e.cols}, {e.scales.data(), e.rows, e.groups},
                          {e.offsets.data(), e.rows, e.groups});
}

TEST(BcqEncoding, UniformCodesAreTakenOverExactly) {
    for (const bool offset : {false, true}) {
        for (unsigned num_bits = 2; num_bits <= 8; ++num_bits) {
            const Example e(
                4, 70, {.num_bits = num_bits, .group_size = 32, .uniform = true, .offset = offset});
            const EncodedTensor integer = as_integer(e);
            const EncodedTensor binary = bcq_from_integer(integer);
            ASSERT_NO_THROW(validate(binary, "test"));
            EXPECT_EQ(content_hash(binary), content_hash(e.encode()));
            EXPECT_EQ(decoded(binary), decoded(integer));
        }
    }
}

TEST(BcqEncoding, UniformCodesAreABinaryCodingWithinFourUlp) {
    // Scale p is s 2^p / 2 and the offset s ((2^q - 1) / 2 - zero): that kernels for binary codings
    // can take uniform codes rests on it.
    for (unsigned num_bits = 1; num_bits <= 8; ++num_bits) {
        const Example e(3, 70,
                        {.num_bits = num_bits, .group_size = 32, .uniform = true, .offset = true});
        const EncodedTensor tensor = e.encode();
        const std::vector<float> values = decoded(tensor);
        std::vector<float> scales(e.groups);
        std::vector<float> zeros(e.groups);
        const float middle = 0.5F * static_cast<float>((1U << num_bits) - 1U);
        for (std::size_t i = 0; i < e.rows; ++i) {
            read_bcq_terms(tensor, i, scales.data(), zeros.data());
            for (std::size_t j = 0; j < e.cols; ++j) {
                const std::size_t g = j / 32;
                float sum = scales[g] * (middle - zeros[g]);
                float largest = std::abs(sum);
                for (unsigned p = 0; p < num_bits; ++p) {
                    const float term = 0.5F * static_cast<float>(1U << p) * scales[g];
                    sum += (e.codes[i * e.cols + j] >> p & 1) != 0 ? term : -term;
                    largest = std::max(largest, term);
                }
                // Units in the last place of the largest term: terms may cancel.
                EXPECT_NEAR(sum, values[i * e.cols + j], 4 * 0x1p-23F * largest);
            }
        }
    }
}

TEST(BcqEncoding, BytesAreThoseOfTheFormula) {
    // B2 of the paper's memory formula for 256 columns, which fill words and groups:
    // q (1 + 16/g) bits plain, 16/g more with an offset, q + 24/g uniform with a zero.
    const Shape shape{512, 256};
    const double weights = 512.0 * 256.0;
    const auto bits = [&](const BcqLayout& layout) {
        return static_cast<double>(bcq_bytes(shape, layout)) * 8.0 / weights;
    };
    EXPECT_EQ(bits({.num_bits = 3, .group_size = 128}), 3.375);
    EXPECT_EQ(bits({.num_bits = 2, .group_size = 32}), 3.0);
    EXPECT_EQ(bits({.num_bits = 4, .group_size = 128, .offset = true}), 4.625);
    EXPECT_EQ(bits({.num_bits = 4, .group_size = 64, .uniform = true, .offset = true}), 4.375);
    EXPECT_EQ(bits({.num_bits = 4, .group_size = 64, .uniform = true}), 4.25);
}

TEST(BcqEncoding, RefusesDamage) {
    const Example e(2, 40, {.num_bits = 2, .group_size = 16, .offset = true});
    const EncodedTensor good = e.encode();
    const auto refusal = [](const EncodedTensor& tensor) { validate(tensor, "file.h5: w"); };

    EncodedTensor bad = good;
    bad.parts[1].bytes[7] = std::byte{0x80};  // column 63 of row 0, plane 0
    EXPECT_THAT(
        [&] { refusal(bad); },
        ThrowsMessage<DataError>(HasSubstr("bits set behind the last column of row 0, plane 0")));
    bad = good;
    bad.settings["num_bits"] = 9;
    EXPECT_THAT([&] { refusal(bad); },
                ThrowsMessage<DataError>(HasSubstr("'num_bits' is 9, expected 1 to 8")));
    bad = good;
    bad.settings["num_bits"] = 3;
    EXPECT_THAT([&] { refusal(bad); },
                ThrowsMessage<DataError>(HasSubstr("[2, 2, 2], expected [2, 3, 2]")));
    bad = good;
    bad.settings["uniform"] = 1;
    EXPECT_THAT([&] { refusal(bad); },
                ThrowsMessage<DataError>(HasSubstr("expected planes, scales, zeros")));
    bad = good;
    bad.parts[0].bytes[1] = std::byte{0x7C};  // infinity
    bad.parts[0].bytes[0] = std::byte{0};
    EXPECT_THAT([&] { refusal(bad); },
                ThrowsMessage<DataError>(HasSubstr("part 'offsets' holds a value that is not")));
    bad =
        Example(2, 40, {.num_bits = 2, .group_size = 16, .uniform = true, .offset = true}).encode();
    bad.parts[2].bytes[3] = std::byte{4};
    EXPECT_THAT([&] { refusal(bad); },
                ThrowsMessage<DataError>(HasSubstr("holds 4 as element 3, expected at most 3")));
}

TEST(BcqEncoding, RefusesWhatCannotBeStored) {
    Example e(2, 8, {.num_bits = 2, .group_size = 8});
    e.codes[9] = 4;
    EXPECT_THAT([&] { (void)e.encode(); },
                ThrowsMessage<InternalError>(HasSubstr("row 1 holds a code of more than 2")));
    e.codes[9] = 3;
    e.scales[1] = 0.1F;  // no fp16 number
    EXPECT_THAT([&] { (void)e.encode(); },
                ThrowsMessage<InternalError>(HasSubstr("not a finite fp16 number")));
    EXPECT_THAT(
        [&] {
            (void)bcq_from_integer({"dense", {}, {}, {}});
        },
        ThrowsMessage<InternalError>(HasSubstr("'dense' has no integer codes")));
}

}  // namespace
}  // namespace lathe
