#include "lib/encoding/integer_form.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/block_shift.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/nm.hpp"

namespace lathe {
namespace {

// Rows that fill no word, and a last group that is short.
constexpr std::size_t rows = 5;
constexpr std::size_t cols = 36;
constexpr std::size_t group = 16;
constexpr std::size_t groups = 3;
const Shape shape{rows, cols};

template <class T>
MatrixView<const T> view(const std::vector<T>& data, std::size_t n_cols) {
    return {data.data(), rows, n_cols};
}

std::vector<std::uint8_t> random_codes(unsigned bits, std::size_t count) {
    std::mt19937 random(bits);
    std::vector<std::uint8_t> codes(count);
    for (std::uint8_t& code : codes) {
        code = static_cast<std::uint8_t>(random() % (1U << bits));
    }
    return codes;
}

/// Powers of two and their halves' sums: fp16 numbers; negative ones too.
std::vector<float> scales(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = (i % 3 == 0 ? -1.0F : 1.0F) * (0.25F + 0.125F * static_cast<float>(i % 7));
    }
    return values;
}

std::vector<float> decoded(const EncodedTensor& tensor) {
    std::vector<float> values(rows * cols);
    decode(tensor, {values.data(), rows, cols});
    return values;
}

/// The integer form is valid, is announced rightly, and stands for the same values.
void expect_same_values(const EncodedTensor& tensor, unsigned bits, bool symmetric) {
    const auto layout = integer_form(tensor);
    ASSERT_TRUE(layout.has_value()) << tensor.encoding;
    EXPECT_EQ(layout->num_bits, bits);
    EXPECT_EQ(layout->group_size, group);
    EXPECT_EQ(layout->symmetric, symmetric);
    const EncodedTensor integer = to_integer(tensor);
    validate(integer, "integer form");
    EXPECT_EQ(integer.encoding, "integer");
    EXPECT_EQ(integer.settings.at("num_bits"), bits);
    EXPECT_EQ(integer.settings.at("symmetric"), symmetric ? 1 : 0);
    EXPECT_EQ(decoded(integer), decoded(tensor));  // -0 == 0
}

TEST(IntegerForm, OfScalesOfOneByteHasThoseOfTwo) {
    for (const bool symmetric : {true, false}) {
        const auto zeros_as_codes = random_codes(3, rows * groups);
        const std::vector<float> zeros(zeros_as_codes.begin(), zeros_as_codes.end());
        std::vector<float> powers(rows * groups);
        for (std::size_t g = 0; g < powers.size(); ++g) {
            powers[g] = std::ldexp(1.25F, -static_cast<int>(g % 15));
        }
        const EncodedTensor tensor = encode_integer(shape, {3, group, symmetric, true},
                                                    view(random_codes(3, rows * cols), cols),
                                                    view(powers, groups), view(zeros, groups));
        expect_same_values(tensor, 3, symmetric);
        EXPECT_EQ(part(to_integer(tensor), "scales").dtype, DType::f16);
        EXPECT_EQ(decoded(bcq_from_integer(tensor)), decoded(tensor));
    }
}

TEST(IntegerForm, OfUniformBinaryCodesAreTheirCodes) {
    for (const unsigned bits : {1U, 2U, 3U, 5U, 8U}) {
        for (const bool offset : {false, true}) {
            const auto zeros_as_codes = random_codes(bits, rows * groups);
            const std::vector<float> zeros(zeros_as_codes.begin(), zeros_as_codes.end());
            const EncodedTensor bcq = encode_bcq(
                shape, {bits, group, true, offset}, view(random_codes(bits, rows * cols), cols),
                view(scales(rows * groups), groups), view(zeros, groups));
            expect_same_values(bcq, std::max(bits, 2U), !offset);
        }
    }
}

TEST(IntegerForm, OfOnePlaneAreTwoBits) {
    const EncodedTensor bcq =
        encode_bcq(shape, {1, group, false, false}, view(random_codes(1, rows * cols), cols),
                   view(scales(rows * groups), groups), {});
    expect_same_values(bcq, 2, true);
}

TEST(IntegerForm, OfSparseCodesHasTheCodeOfZeroInFreePlaces) {
    std::vector<std::uint8_t> keep(rows * cols);
    for (std::size_t i = 0; i < keep.size(); ++i) {
        keep[i] = i % 4 == i / cols % 3 || i % 4 == 3 ? 1 : 0;
    }
    for (const unsigned bits : {2U, 4U, 7U}) {
        const EncodedTensor nm = encode_nm_codes(
            shape, {.n = 2, .m = 4, .num_bits = bits, .group_size = group}, view(keep, cols),
            view(random_codes(bits, rows * cols), cols), view(scales(rows * groups), groups));
        expect_same_values(nm, bits, true);
    }
    const EncodedTensor binary =
        encode_nm_codes(shape, {.n = 2, .m = 4, .num_bits = 1, .group_size = group, .binary = true},
                        view(keep, cols), view(random_codes(1, rows * cols), cols),
                        view(scales(rows * groups), groups));
    expect_same_values(binary, 2, true);
}

TEST(IntegerForm, OfBlocksWithScalesOfFp16AreTheirCodes) {
    const std::vector<float> values = scales(rows * cols);
    for (const unsigned bits : {2U, 5U, 8U}) {
        expect_same_values(round_to_blocks(shape, {bits, group, 16}, view(values, cols)), bits,
                           true);
    }
    EXPECT_FALSE(integer_form(round_to_blocks(shape, {8, group, 8}, view(values, cols))));
}

TEST(IntegerForm, IsMissingWhereLevelsAreNoGrid) {
    const auto codes = random_codes(2, rows * cols);
    const auto of_planes = [&](bool offset) {
        return encode_bcq(shape, {2, group, false, offset}, view(codes, cols),
                          view(scales(rows * groups * 2), groups * 2),
                          view(scales(rows * groups), groups));
    };
    const std::vector<float> values(rows * cols, 1.0F);
    for (const EncodedTensor& tensor :
         {of_planes(false), of_planes(true),
          encode_bcq(shape, {1, group, false, true}, view(random_codes(1, rows * cols), cols),
                     view(scales(rows * groups), groups), view(scales(rows * groups), groups)),
          encode_dense(view(values, cols), shape, DType::f16)}) {
        EXPECT_FALSE(integer_form(tensor).has_value());
        EXPECT_THROW((void)to_integer(tensor), InternalError);
    }
}

}  // namespace
}  // namespace lathe
