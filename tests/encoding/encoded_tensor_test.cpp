#include "lib/encoding/encoded_tensor.hpp"

#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

EncodedTensor small_tensor() {
    const std::vector<float> values{1.0F, -2.0F, 0.5F, 4.0F, 8.0F, 16.0F};
    return encode_dense({values.data(), 2, 3}, {2, 3}, DType::bf16);
}

TEST(EncodedTensor, MatrixExtents) {
    EXPECT_THAT(matrix_extents({}), Pair(1, 1));
    EXPECT_THAT(matrix_extents({7}), Pair(1, 7));
    EXPECT_THAT(matrix_extents({2, 3, 4}), Pair(6, 4));
    EXPECT_THAT(matrix_extents({0, 4}), Pair(0, 4));
    EXPECT_THAT(matrix_extents({4, 0}), Pair(4, 0));
}

TEST(EncodedTensor, EqualTensorsHaveEqualHashesAndNoOthers) {
    EXPECT_EQ(content_hash(small_tensor()), content_hash(small_tensor()));
    const std::vector<std::function<void(EncodedTensor&)>> changes{
        [](EncodedTensor&) {},
        [](EncodedTensor& t) { t.encoding = "densf"; },
        [](EncodedTensor& t) {
            t.shape = {3, 2};
        },
        [](EncodedTensor& t) {
            t.shape = {2, 3, 1};
        },
        [](EncodedTensor& t) { t.settings["a"] = 1; },
        [](EncodedTensor& t) { t.settings["a"] = -1; },
        [](EncodedTensor& t) { t.parts[0].name = "value"; },
        [](EncodedTensor& t) { t.parts[0].dtype = DType::f16; },
        [](EncodedTensor& t) { t.parts[0].shape = {6}; },
        [](EncodedTensor& t) { t.parts[0].bytes[5] ^= std::byte{1}; },
        [](EncodedTensor& t) { t.parts[0].bytes.pop_back(); },
        [](EncodedTensor& t) { t.parts.push_back({}); },
    };
    std::set<std::uint64_t> hashes;
    for (const auto& change : changes) {
        EncodedTensor tensor = small_tensor();
        change(tensor);
        hashes.insert(content_hash(tensor));
    }
    EXPECT_EQ(hashes.size(), changes.size());
}

TEST(EncodedTensor, UnknownEncodingIsRefusedWithTheKnownOnes) {
    EncodedTensor tensor = small_tensor();
    tensor.encoding = "gzip";
    EXPECT_THAT([&] { validate(tensor, "block.h5: q"); },
                ThrowsMessage<DataError>(AllOf(HasSubstr("block.h5: q: unknown encoding 'gzip'"),
                                               HasSubstr("dense, integer"))));
    float value = 0;
    EXPECT_THROW(decode(tensor, {&value, 1, 1}), InternalError);
}

TEST(EncodedTensor, RowsAreJoined) {
    const std::vector<float> values{1.0F, -2.0F, 0.5F, 4.0F, 8.0F, 16.0F};
    const auto rows = [&](std::size_t first, std::size_t count, DType dtype) {
        return encode_dense({values.data() + 3 * first, count, 3}, {count, 3}, dtype);
    };
    EXPECT_EQ(content_hash(join_rows({rows(0, 1, DType::bf16), rows(1, 1, DType::bf16)})),
              content_hash(small_tensor()));
    EXPECT_EQ(content_hash(join_rows({small_tensor()})), content_hash(small_tensor()));
    EXPECT_THROW((void)join_rows({rows(0, 1, DType::bf16), rows(1, 1, DType::f16)}), InternalError);
    EncodedTensor narrow = encode_dense({values.data(), 3, 2}, {3, 2}, DType::bf16);
    EXPECT_THROW((void)join_rows({small_tensor(), std::move(narrow)}), InternalError);
}

TEST(EncodedTensor, PartByName) {
    const EncodedTensor tensor = small_tensor();
    EXPECT_EQ(&part(tensor, "values"), tensor.parts.data());
    EXPECT_THAT([&] { (void)part(tensor, "scales"); },
                ThrowsMessage<DataError>(HasSubstr("'dense' has no part 'scales'")));
}

TEST(EncodedTensor, DecodingIntoAnotherShapeIsRefused) {
    std::vector<float> values(6);
    EXPECT_THAT(
        [&] {
            decode(small_tensor(), {values.data(), 3, 2});
        },
        ThrowsMessage<ShapeError>(AllOf(HasSubstr("[2, 3]"), HasSubstr("[3, 2]"))));
}

TEST(EncodingTable, NamesAreUniqueAndRowsComplete) {
    std::set<std::string_view> names;
    for (const EncodingRow& row : encoding_table()) {
        EXPECT_TRUE(names.insert(row.name).second) << row.name;
        EXPECT_NE(row.validate, nullptr);
        EXPECT_NE(row.decode, nullptr);
    }
    EXPECT_THAT(names, ::testing::IsSupersetOf({"dense", "integer"}));
}

}  // namespace
}  // namespace lathe
