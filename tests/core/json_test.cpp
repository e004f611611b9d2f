#include "lib/core/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/whole_number.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string nested(std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
}

TEST(Json, WhatIsNestedTooDeeplyIsRefusedBeforeTheStackEnds) {
    const std::string deep = nested(1'000'000);
    EXPECT_THAT([&] { (void)parse_json(deep, "config.json"); },
                ThrowsMessage<DataError>(HasSubstr("config.json: JSON of more than 500 lists")));
    EXPECT_THROW((void)parse_json(deep), DataError);
    EXPECT_THROW((void)parse_python_json(deep, "row"), DataError);
    EXPECT_TRUE(try_parse_json(deep).is_discarded());
    EXPECT_FALSE(try_parse_json(nested(500)).is_discarded());
}

TEST(Json, NumbersThatAreTooLargeAreRefused) {
    EXPECT_THAT([] { (void)parse_json("{\"a\": 1e999}", "config.json"); },
                ThrowsMessage<DataError>(HasSubstr("config.json: a number that is too large")));
    EXPECT_THROW((void)parse_python_json("[NaN, 1e999]", "row"), DataError);
    EXPECT_TRUE(try_parse_json("1e999").is_discarded());
}

TEST(Json, WholeNumbersAreNotMadeOfOthers) {
    EXPECT_EQ(whole_number<int>(parse_json("-7")), -7);
    EXPECT_EQ(whole_number<std::uint64_t>(parse_json("18446744073709551615")), ~std::uint64_t{0});
    EXPECT_EQ(whole_number<std::uint8_t>(parse_json("255")), 255);
    for (const char* text : {"1.0", "true", "null", "\"1\"", "[]", "2147483648", "-2147483649",
                             "18446744073709551615", "2222222222222222222222222222222"}) {
        EXPECT_THROW((void)whole_number<int>(parse_json(text)), DataError) << text;
    }
    EXPECT_THROW((void)whole_number<std::uint64_t>(parse_json("-1")), DataError);
    EXPECT_THAT([] { (void)whole_number<std::int64_t>(parse_json("1e63")); },
                ThrowsMessage<DataError>(HasSubstr("found 1e+63")));
}

TEST(Json, BracketsInStringsAreNoNesting) {
    const std::string text =
        "[\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"]";
    EXPECT_FALSE(is_nested_too_deeply(text));
    EXPECT_FALSE(try_parse_json(text).is_discarded());
    std::string wide = "[";
    for (int i = 0; i < 1000; ++i) wide += "{\"a\":[]},";
    EXPECT_FALSE(is_nested_too_deeply(wide + "1]"));
}

}  // namespace
}  // namespace lathe
