#include <cmath>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/encoding/dense.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// All are numbers of bfloat16 and of float16.
const std::vector<float> exact{1.0F, -2.0F, 0.5F, 4.0F, 0.0F, -0.125F};

TEST(DenseEncoding, EveryTypeComesBack) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        const EncodedTensor tensor = encode_dense({exact.data(), 2, 3}, {2, 3}, dtype);
        validate(tensor, "test");
        EXPECT_EQ(stored_bytes(tensor), 6 * size_bytes(dtype));
        std::vector<float> values(6);
        decode(tensor, {values.data(), 2, 3});
        EXPECT_EQ(values, exact);
    }
}

TEST(DenseEncoding, StridesAreKept) {
    const EncodedTensor tensor = encode_dense({exact.data(), 2, 2, 3}, {2, 2}, DType::f32);
    std::vector<float> values(8, 9.0F);
    decode(tensor, {values.data(), 2, 2, 4});
    EXPECT_THAT(values, ElementsAre(1, -2, 9, 9, 4, 0, 9, 9));
}

TEST(DenseEncoding, SourceBytesStayAsTheyAre) {
    // A signalling NaN and negative zero, which a conversion could change.
    const std::vector<std::uint16_t> bits{0x7F81, 0x8000, 0x3F80};
    const auto bytes = std::as_bytes(std::span(bits));
    const EncodedTensor tensor = dense_from_bytes(bytes, {3}, DType::bf16);
    validate(tensor, "test");
    EXPECT_EQ(std::memcmp(tensor.parts[0].bytes.data(), bytes.data(), bytes.size()), 0);
}

TEST(DenseEncoding, EmptyAndScalar) {
    const EncodedTensor empty = dense_from_bytes({}, {0, 4}, DType::f32);
    validate(empty, "test");
    decode(empty, {nullptr, 0, 4});
    const EncodedTensor scalar = encode_dense({exact.data(), 1, 1}, {}, DType::f16);
    validate(scalar, "test");
    float value = 0;
    decode(scalar, {&value, 1, 1});
    EXPECT_EQ(value, 1.0F);
}

TEST(DenseEncoding, WhatDoesNotFitIsABugOfTheCaller) {
    EXPECT_THAT(
        [] {
            (void)encode_dense({exact.data(), 2, 3}, {3, 2}, DType::f32);
        },
        ThrowsMessage<ShapeError>(HasSubstr("[2, 3] cannot stand for")));
    EXPECT_THAT(
        [] {
            (void)encode_dense({exact.data(), 2, 3}, {2, 3}, DType::i32);
        },
        ThrowsMessage<ShapeError>(HasSubstr("not int32")));
    EXPECT_THAT([] { (void)dense_from_bytes(std::as_bytes(std::span(exact)), {5}, DType::f32); },
                ThrowsMessage<ShapeError>(HasSubstr("24 bytes cannot stand for")));
}

TEST(DenseEncoding, DamageIsRefused) {
    const auto refused = [](const EncodedTensor& tensor, const char* text) {
        EXPECT_THAT([&] { validate(tensor, "here"); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr("here"), HasSubstr(text))));
    };
    const EncodedTensor good = encode_dense({exact.data(), 2, 3}, {2, 3}, DType::f16);
    EncodedTensor tensor = good;
    tensor.shape = {2, 4};
    refused(tensor, "part 'values' has shape [2, 3], expected [2, 4]");
    tensor = good;
    tensor.parts[0].dtype = DType::u16;
    refused(tensor, "has type uint16, expected float32, float16 or bfloat16");
    tensor = good;
    tensor.parts[0].bytes.pop_back();
    refused(tensor, "has 11 bytes, expected 12");
    tensor = good;
    tensor.parts.clear();
    refused(tensor, "are none, expected values");
    tensor = good;
    tensor.settings["num_bits"] = 4;
    refused(tensor, "has no setting 'num_bits'; its settings are: none");
}

}  // namespace
}  // namespace lathe
