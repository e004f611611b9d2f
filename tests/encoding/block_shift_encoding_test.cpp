#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/encoding/block_shift.hpp"

// The checks of the quantiser are those of its definition: the largest shift at which a block's
// largest value still fits, half to even.

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<float> normal_values(std::size_t n, float spread = 1.0F) {
    std::mt19937 random(static_cast<unsigned>(n));
    std::normal_distribution<float> normal(0.0F, spread);
    std::vector<float> values(n);
    std::ranges::generate(values, [&] { return normal(random); });
    return values;
}

EncodedTensor rounded(const std::vector<float>& values, std::size_t rows,
                      const BlockShiftLayout& layout) {
    const std::size_t cols = values.size() / rows;
    return round_to_blocks({rows, cols}, layout, {values.data(), rows, cols});
}

std::vector<float> decoded(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    std::vector<float> values(rows * cols);
    decode(tensor, {values.data(), rows, cols});
    return values;
}

double squared_error(const std::vector<float>& values, const BlockShiftLayout& layout) {
    const std::vector<float> back = decoded(rounded(values, 8, layout));
    double error = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        error += std::pow(double{values[i]} - double{back[i]}, 2);
    }
    return error;
}

TEST(BlockShift, KnowsTheLargestShiftThatFits) {
    EXPECT_EQ(block_shift_of(0.0F, 8), 0);
    EXPECT_EQ(block_shift_of(127.0F, 8), 0);
    EXPECT_EQ(block_shift_of(127.4F, 8), 0);   // 127.4 rounds to 127
    EXPECT_EQ(block_shift_of(127.5F, 8), -1);  // 127.5 rounds to 128, the even one
    EXPECT_EQ(block_shift_of(63.5F, 8), 1);
    EXPECT_EQ(block_shift_of(1.0F, 8), 6);
    EXPECT_EQ(block_shift_of(7.0F, 4), 0);
    EXPECT_EQ(block_shift_of(1.0F, 2), 0);
    EXPECT_EQ(block_shift_of(0.7F, 2), 1);  // 1.4 rounds to 1
    // Far ends keep to the range of a stored shift.
    EXPECT_EQ(block_shift_of(0x1p-149F, 8), largest_shift);
    EXPECT_EQ(block_shift_of(0x1.8p127F, 2), -127);
}

TEST(BlockShift, RoundsHalfToEven) {
    const EncodedTensor tensor = rounded({127.0F, 0.5F, 1.5F, -0.5F, -2.5F, 3.0F}, 1, {8, 16, 8});
    std::int8_t q[6];
    read_block_row(tensor, 0, q);
    EXPECT_THAT(q, ElementsAre(127, 0, 2, 0, -2, 3));
    EXPECT_THAT(read_shifts(tensor), ElementsAre(0));
}

TEST(BlockShift, ErrorIsAtMostHalfAStep) {
    const std::vector<float> values = normal_values(8 * 300);
    for (unsigned bits = 2; bits <= 8; ++bits) {
        const EncodedTensor tensor = rounded(values, 8, {bits, 64, 8});
        const std::vector<float> back = decoded(tensor);
        const std::vector<std::int8_t> shifts = read_shifts(tensor);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const int shift = shifts[i / 300 * 5 + i % 300 / 64];
            EXPECT_LE(std::abs(values[i] - back[i]), std::ldexp(0.5F, -shift)) << bits << " bits";
        }
    }
}

TEST(BlockShift, CompressingWhatWasDecodedChangesNothing) {
    for (const unsigned scale_bits : {6U, 8U}) {
        for (unsigned bits = 2; bits <= 8; ++bits) {
            const BlockShiftLayout layout{bits, 48, scale_bits};
            const EncodedTensor once = rounded(normal_values(5 * 131), 5, layout);
            EXPECT_EQ(content_hash(rounded(decoded(once), 5, layout)), content_hash(once));
        }
    }
}

TEST(BlockShift, APowerOfTwoChangesShiftsOnly) {
    std::vector<float> values = normal_values(4 * 100);
    const EncodedTensor before = rounded(values, 4, {4, 32, 8});
    std::ranges::for_each(values, [](float& value) { value *= 0x1p-20F; });
    const EncodedTensor after = rounded(values, 4, {4, 32, 8});
    EXPECT_EQ(before.parts[0].bytes, after.parts[0].bytes);
    const std::vector<std::int8_t> a = read_shifts(before);
    const std::vector<std::int8_t> b = read_shifts(after);
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(b[i], a[i] + 20);
    }
}

/// A heavy tail makes the difference plain: few blocks hold the large values.
TEST(BlockShift, BlocksBeatOneScaleForTheTensor) {
    std::vector<float> values = normal_values(8 * 1024);
    for (std::size_t i = 0; i < values.size(); i += 500) {
        values[i] *= 50.0F;
    }
    const double whole = squared_error(values, {4, values.size(), 8});
    EXPECT_LT(squared_error(values, {4, 64, 8}), whole);
}

TEST(BlockShift, SmallerBlocksAreNotWorseOnNormalNumbers) {
    const std::vector<float> values = normal_values(8 * 4096);
    double finer = 0.0;
    for (const std::size_t size : {16, 64, 256, 1024}) {
        const double error = squared_error(values, {4, size, 8});
        EXPECT_GE(error, 0.99 * finer) << size;
        finer = error;
    }
}

/// 3 / ln 4 = 2.16: the mean of the square of a scale that is rounded up to a power of two, uniform
/// in its logarithm, over that of the scale itself. The largest of 64 normal numbers is not spread
/// so evenly, and what clips is not the same: hence the wide bounds.
TEST(BlockShift, PowersOfTwoCostAboutHalfABit) {
    std::vector<float> values = normal_values(8 * 4096);
    std::mt19937 random(1);
    std::uniform_real_distribution<float> octave(0.0F, 1.0F);
    for (std::size_t begin = 0; begin < values.size(); begin += 64) {
        const float factor = std::exp2(octave(random));
        for (std::size_t j = begin; j < begin + 64; ++j) values[j] *= factor;
    }
    const double ratio = squared_error(values, {6, 64, 8}) / squared_error(values, {6, 64, 16});
    EXPECT_GT(ratio, 1.7);
    EXPECT_LT(ratio, 2.6);
}

TEST(BlockShift, StoresWhatItPredicts) {
    for (const std::size_t cols : {1UL, 31UL, 64UL, 131UL}) {
        for (const unsigned scale_bits : {6U, 8U, 16U}) {
            for (unsigned bits = 2; bits <= 8; ++bits) {
                const BlockShiftLayout layout{bits, 16, scale_bits};
                const EncodedTensor tensor = rounded(normal_values(3 * cols), 3, layout);
                EXPECT_EQ(stored_bytes(tensor), block_shift_bytes({3, cols}, layout));
                EXPECT_EQ(block_shift_layout(tensor), layout);
                EXPECT_NO_THROW(validate(tensor, "made"));
            }
        }
    }
}

TEST(BlockShift, TakesTensorsOfOneDimension) {
    const EncodedTensor tensor = round_to_blocks({3}, {8, 64, 8}, {normal_values(3).data(), 1, 3});
    EXPECT_NO_THROW(validate(tensor, "made"));
    EXPECT_EQ(stored_bytes(tensor), 4U + 1U);
}

TEST(BlockShift, SixBitsReachSixtyThreeAboveTheBase) {
    const std::vector<float> values{1.0F, 0x1p-70F, 0.0F, 0x1p-62F};
    const EncodedTensor tensor = rounded(values, 4, {8, 16, 6});
    EXPECT_EQ(tensor.settings.at("shift_base"), 6);
    EXPECT_THAT(read_shifts(tensor), ElementsAre(6, 69, 6, 68));
    EXPECT_THAT(decoded(tensor), ElementsAre(1.0F, 0.0F, 0.0F, 0x1p-62F));
}

TEST(BlockShift, ShiftsBeyondFp16AreDecodedBeforeProducts) {
    const EncodingRow row = block_shift_encoding();
    EXPECT_TRUE(row.matrix(rounded({1.0F, 2.0F}, 1, {8, 16, 8})));
    EXPECT_FALSE(row.matrix(rounded({0x1p-40F, 0x1p-41F}, 1, {8, 16, 8})));
}

TEST(BlockShift, RefusesDamagedTensors) {
    const auto refused = [](EncodedTensor tensor, const char* why) {
        EXPECT_THAT([&] { validate(tensor, "x.h5"); }, ThrowsMessage<DataError>(HasSubstr(why)));
    };
    const EncodedTensor good = rounded(normal_values(4 * 32), 4, {8, 16, 8});
    EncodedTensor bad = good;
    bad.settings["scale_bits"] = 7;
    refused(bad, "scale_bits is 7");
    bad = good;
    bad.settings["num_bits"] = 9;
    refused(bad, "num_bits");
    bad = good;
    bad.parts[0].bytes[5] = std::byte{0};
    refused(bad, "code 0");
    bad = good;
    bad.parts[1].bytes[3] = std::byte{0x80};
    refused(bad, "a shift is -128");
    bad = rounded(normal_values(4 * 32), 4, {8, 16, 6});
    bad.settings["shift_base"] = 127;
    refused(bad, "a shift is above");
}

}  // namespace
}  // namespace lathe
