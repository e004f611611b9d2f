#include "lib/core/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

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
