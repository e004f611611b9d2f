#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/low_rank.hpp"
#include "lib/encoding/split.hpp"
#include "lib/encoding/zeros.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// first, first + 1, ...
EncodedTensor counting(std::size_t rows, std::size_t cols, float first) {
    std::vector<float> values(rows * cols);
    std::iota(values.begin(), values.end(), first);
    return encode_dense(MatrixView<const float>(values.data(), rows, cols), {rows, cols},
                        DType::f32);
}

std::vector<float> decoded(const EncodedTensor& tensor) {
    validate(tensor, "test");
    std::vector<float> values(element_count(tensor.shape), -1.0F);
    decode(tensor, {values.data(), tensor.shape[0], tensor.shape[1]});
    return values;
}

void expect_refused(const EncodedTensor& tensor, const char* words) {
    EXPECT_THAT([&] { validate(tensor, "test"); }, ThrowsMessage<DataError>(HasSubstr(words)));
}

TEST(Split, RowsStandOneBelowAnother) {
    const EncodedTensor split =
        encode_split(SplitAxis::rows, {counting(1, 2, 1), encode_zeros({1, 2}), counting(2, 2, 5)});
    EXPECT_EQ(split.shape, (Shape{4, 2}));
    EXPECT_THAT(decoded(split), ElementsAre(1, 2, 0, 0, 5, 6, 7, 8));
    EXPECT_EQ(stored_bytes(split), 6U * 4);
}

TEST(Split, ColumnsStandSideBySide) {
    const EncodedTensor split =
        encode_split(SplitAxis::columns, {counting(2, 1, 1), counting(2, 2, 5)});
    EXPECT_EQ(split.shape, (Shape{2, 3}));
    EXPECT_THAT(decoded(split), ElementsAre(1, 5, 6, 2, 7, 8));
}

TEST(Split, RowsOfWholePiecesCanBeTaken) {
    const EncodedTensor split =
        encode_split(SplitAxis::rows, {counting(1, 2, 1), counting(2, 2, 3), counting(1, 2, 7)});
    EXPECT_THAT(decoded(whole_pieces(split, 1, 3).value()), ElementsAre(3, 4, 5, 6, 7, 8));
    EXPECT_THAT(decoded(whole_pieces(split, 0, 1).value()), ElementsAre(1, 2));
    EXPECT_FALSE(whole_pieces(split, 0, 2));
    EXPECT_FALSE(whole_pieces(split, 2, 2));
}

TEST(LowRank, IsTheProductOfItsFactors) {
    // [1; 2] [1 2] + [3; 4] [3 4], by hand.
    EncodedTensor left = counting(2, 2, 1);  // columns (1, 3) and (2, 4)
    const EncodedTensor tensor = encode_low_rank(std::move(left), counting(2, 2, 1));
    EXPECT_THAT(decoded(tensor),
                ElementsAre(1 * 1 + 2 * 3, 1 * 2 + 2 * 4, 3 * 1 + 4 * 3, 3 * 2 + 4 * 4));
}

TEST(LowRank, MayStandInASplit) {
    const EncodedTensor product = encode_low_rank(counting(2, 1, 1), counting(1, 2, 3));
    const EncodedTensor split = encode_split(SplitAxis::columns, {counting(2, 1, 9), product});
    EXPECT_THAT(decoded(split), ElementsAre(9, 3, 4, 10, 6, 8));
    EXPECT_NE(content_hash(split),
              content_hash(encode_split(SplitAxis::columns, {product, counting(2, 1, 9)})));
}

TEST(Pieces, ThatDoNotFitAreRefused) {
    EncodedTensor split = encode_split(SplitAxis::rows, {counting(1, 2, 1), counting(2, 2, 3)});
    split.shape = {4, 2};
    expect_refused(split, "fill 3 of 4");
    split.shape = {2, 2};
    expect_refused(split, "does not fit");
    split.shape = {3, 2};
    split.settings["axis"] = 2;
    expect_refused(split, "'axis' is 2");
    split.settings["axis"] = 1;
    expect_refused(split, "does not fit");
    split.pieces.clear();
    expect_refused(split, "0 pieces");

    EncodedTensor product = encode_low_rank(counting(2, 1, 1), counting(1, 2, 3));
    product.shape = {2, 3};
    expect_refused(product, "do not make");
    product.pieces.pop_back();
    expect_refused(product, "1 pieces");
    expect_refused(encode_low_rank(counting(2, 3, 1), counting(3, 2, 3)), "do not make");

    EncodedTensor bad = counting(1, 2, 1);
    bad.pieces.push_back(counting(1, 2, 1));
    expect_refused(bad, "has pieces");
    EncodedTensor inner = encode_split(SplitAxis::rows, {counting(1, 2, 1)});
    inner.pieces.front().settings["num_bits"] = 4;
    expect_refused(inner, "piece 0");
}

TEST(Pieces, StandAtMostTwoLevelsDeep) {
    const EncodedTensor split = encode_split(SplitAxis::rows, {counting(1, 2, 1)});
    expect_refused(encode_split(SplitAxis::rows, {split}), "'split'");
    EncodedTensor deep =
        encode_low_rank(encode_low_rank(counting(2, 1, 1), counting(1, 2, 3)), counting(2, 2, 3));
    expect_refused(deep, "made of pieces");
    expect_refused(encode_split(SplitAxis::rows, {deep}), "stands within others");
}

TEST(Zeros, HaveNoParts) {
    EncodedTensor zeros = encode_zeros({1, 2});
    EXPECT_THAT(decoded(zeros), ElementsAre(0, 0));
    EXPECT_EQ(stored_bytes(zeros), 0U);
    zeros.parts = counting(1, 2, 1).parts;
    expect_refused(zeros, "parts of encoding 'zeros'");
}

}  // namespace
}  // namespace lathe
