#include "lib/core/half.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

TEST(Half, EveryBitPatternSurvivesARoundTrip) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<std::uint16_t>(bits);
        const float value = half_to_float(half);
        if (std::isnan(value)) {
            EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value))));
        } else {
            EXPECT_EQ(float_to_half(value), half) << "bits " << bits;
        }
        const float brain = bfloat16_to_float(half);
        if (!std::isnan(brain)) {
            EXPECT_EQ(float_to_bfloat16(brain), half) << "bits " << bits;
        }
    }
}

// Values and codes by hand from the definition of binary16.
TEST(Half, RoundsToNearestEven) {
    EXPECT_EQ(float_to_half(1.0F), 0x3C00);
    EXPECT_EQ(float_to_half(1.0F + 0x1p-11F), 0x3C00);      // halfway: to even, down
    EXPECT_EQ(float_to_half(1.0F + 3 * 0x1p-11F), 0x3C02);  // halfway: to even, up
    EXPECT_EQ(float_to_half(1e-7F), 0x0002);                // subnormal, 1.68 ulp
    EXPECT_EQ(float_to_half(65504.0F), 0x7BFF);             // largest
    EXPECT_EQ(float_to_half(65520.0F), 0x7C00);             // halfway to infinity
    EXPECT_EQ(float_to_half(-std::numeric_limits<float>::infinity()), 0xFC00);
    EXPECT_EQ(float_to_bfloat16(1.0F + 0x1p-8F), 0x3F80);      // halfway: to even, down
    EXPECT_EQ(float_to_bfloat16(1.0F + 3 * 0x1p-8F), 0x3F82);  // halfway: to even, up
}

TEST(Half, BulkConversionEqualsOneByOne) {
    const std::vector<float> values{0.0F, -0.0F, 1.5F, -3e-6F, 7e4F, 1e-30F};
    for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
        std::vector<std::byte> bytes(values.size() * size_bytes(dtype));
        from_float(values, dtype, bytes.data());
        std::vector<float> back(values.size());
        to_float(bytes.data(), dtype, back);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float expected = dtype == DType::f16 ? half_to_float(float_to_half(values[i]))
                                   : dtype == DType::bf16
                                       ? bfloat16_to_float(float_to_bfloat16(values[i]))
                                       : values[i];
            EXPECT_EQ(back[i], expected) << name(dtype) << " element " << i;
        }
    }
}

TEST(Half, RefusesIntegers) {
    std::vector<float> values(1);
    std::vector<std::byte> bytes(8);
    EXPECT_THROW(to_float(bytes.data(), DType::i32, values), DataError);
}

}  // namespace
}  // namespace lathe
