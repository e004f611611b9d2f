#include "lib/model/config_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/json.hpp"
#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using nlohmann::json;
using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr IntegerRange one_to_ten{.low = 1, .high = 10};

/// The message for asking the integer "n" of this text.
std::string integer_refusal(const std::string& object) {
    const json parsed = parse_json(object);
    return message_of<DataError>(
        [&] { (void)ConfigReader(parsed, "file").integer("n", one_to_ten); });
}

TEST(ConfigReader, IntegersOfTheRangeAreReadEndsIncluded) {
    const json object{{"low", 1}, {"high", 10}, {"none", nullptr}};
    const ConfigReader config(object, "file");
    EXPECT_EQ(config.integer("low", one_to_ten), 1U);
    EXPECT_EQ(config.integer("high", one_to_ten), 10U);
    EXPECT_EQ(config.optional_integer("none", one_to_ten), std::nullopt);
    EXPECT_EQ(config.optional_integer("absent", one_to_ten), std::nullopt);
}

TEST(ConfigReader, WholeNumbersMayBeWrittenAsFloats) {
    const json object{{"n", 4.0}, {"ids", {2.0, 3}}};
    const ConfigReader config(object, "file");
    EXPECT_EQ(config.integer("n", one_to_ten), 4U);
    EXPECT_THAT(config.token_ids("ids"), ElementsAre(2U, 3U));
}

TEST(ConfigReader, WhatIsNoIntegerOfTheRangeIsRefused) {
    const std::string expected = "; expected an integer from 1 to 10";
    EXPECT_EQ(integer_refusal(R"({})"), "file: \"n\" is missing" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": null})"), "file: \"n\" is null" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": 0})"), "file: \"n\" is 0" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": 11})"), "file: \"n\" is 11" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": -1})"), "file: \"n\" is -1" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": 4.5})"), "file: \"n\" is 4.5" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": 11.0})"), "file: \"n\" is 11.0" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": -4.0})"), "file: \"n\" is -4.0" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": "4"})"), "file: \"n\" is \"4\"" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": true})"), "file: \"n\" is true" + expected);
    EXPECT_EQ(integer_refusal(R"({"n": [4]})"), "file: \"n\" is [4]" + expected);
    EXPECT_THAT(integer_refusal(R"({"n": 123456789012345678901234567890})"),
                HasSubstr("1.2345678901234568e+29" + expected));
}

TEST(ConfigReader, NumbersAreIntegersOrFloats) {
    const json object{{"whole", 3}, {"part", 0.25}, {"text", "1"}, {"below", -0.5}};
    const ConfigReader config(object, "file");
    const NumberRange positive{.low = 0.0, .high = 5.0};
    EXPECT_EQ(config.number("whole", positive), 3.0);
    EXPECT_EQ(config.number("part", positive), 0.25);
    EXPECT_EQ(config.optional_number("absent", positive), std::nullopt);
    EXPECT_EQ(message_of<DataError>([&] { (void)config.number("text", positive); }),
              "file: \"text\" is \"1\"; expected a number from 0 to 5");
    EXPECT_EQ(message_of<DataError>([&] { (void)config.number("below", NumberRange{}); }),
              "file: \"below\" is -0.5; expected a number of at least 0");
    EXPECT_EQ(message_of<DataError>([&] { (void)config.number("absent", positive); }),
              "file: \"absent\" is missing; expected a number from 0 to 5");
}

TEST(ConfigReader, BooleansAndStringsAreStrict) {
    const json object{{"yes", true}, {"one", 1}, {"text", "abc"}};
    const ConfigReader config(object, "file");
    EXPECT_TRUE(config.boolean("yes"));
    EXPECT_FALSE(config.boolean("absent"));
    EXPECT_EQ(config.string("text"), "abc");
    EXPECT_EQ(config.optional_string("absent"), std::nullopt);
    EXPECT_EQ(message_of<DataError>([&] { (void)config.boolean("one"); }),
              "file: \"one\" is 1; expected true or false");
    EXPECT_EQ(message_of<DataError>([&] { (void)config.string("one"); }),
              "file: \"one\" is 1; expected a string");
    EXPECT_EQ(message_of<DataError>([&] { (void)config.string("absent"); }),
              "file: \"absent\" is missing; expected a string");
}

TEST(ConfigReader, TokenIdsAreOneOrAList) {
    const json object{{"one", 7}, {"list", {1, 2}}, {"bad", {1, -2}}, {"huge", 2147483648U}};
    const ConfigReader config(object, "file");
    EXPECT_THAT(config.token_ids("one"), ElementsAre(7U));
    EXPECT_THAT(config.token_ids("list"), ElementsAre(1U, 2U));
    EXPECT_THAT(config.token_ids("absent"), IsEmpty());
    EXPECT_EQ(message_of<DataError>([&] { (void)config.token_ids("bad"); }),
              "file: \"bad\" is [1,-2]; expected a token id or a list of token ids");
    EXPECT_THAT(message_of<DataError>([&] { (void)config.token_ids("huge"); }),
                HasSubstr("2147483648"));
}

TEST(ConfigReader, NestedObjectsAreNamedInMessages) {
    const json object{{"outer", {{"inner", "x"}}}, {"number", 3}};
    const ConfigReader config(object, "file");
    const auto outer = config.object("outer");
    ASSERT_TRUE(outer.has_value());
    EXPECT_TRUE(outer->has("inner"));
    EXPECT_EQ(config.object("absent").has_value(), false);
    EXPECT_EQ(message_of<DataError>([&] { (void)outer->integer("inner", one_to_ten); }),
              "file: \"outer.inner\" is \"x\"; expected an integer from 1 to 10");
    EXPECT_EQ(message_of<DataError>([&] { (void)config.object("number"); }),
              "file: \"number\" is 3; expected an object");
}

TEST(ConfigReader, AbsentKeysHaveTheDefaultsOfTheFamily) {
    const json object{{"sliding_window", nullptr}, {"num_key_value_heads", 99}};
    ConfigReader config(object, "file");
    EXPECT_FALSE(config.optional_integer("max_position_embeddings", {}));
    config.assume_defaults("mistral");
    EXPECT_EQ(config.integer("max_position_embeddings", {}), 131072U);
    EXPECT_FALSE(config.has("max_position_embeddings"));
    // A null is there, and no value.
    EXPECT_FALSE(config.optional_integer("sliding_window", {}));
    EXPECT_EQ(message_of<DataError>([&] { (void)config.integer("hidden_size", one_to_ten); }),
              "file: \"hidden_size\" is 4096, the default; expected an integer from 1 to 10");
    EXPECT_EQ(message_of<DataError>([&] { config.refuse("sliding_window", "one"); }),
              "file: \"sliding_window\" is null; expected one");
    // A key that the table lacks is our mistake.
    EXPECT_THROW((void)config.optional_integer("n_embd", {}), InternalError);
}

TEST(ConfigReader, TheOtherNameOfAKeyWins) {
    const json object{{"n_embd", 8}, {"hidden_size", 16}, {"num_hidden_layers", nullptr}};
    ConfigReader config(object, "file");
    config.assume_defaults("gpt2");
    EXPECT_EQ(config.integer("n_embd", {}), 16U);
    EXPECT_EQ(config.integer("n_layer", {}), 12U);
}

TEST(ConfigReader, WhatIsUnsupportedIsRefusedOrListed) {
    const json object{{"kind", "odd"}, {"inner", {{"type", "odd"}}}};
    ConfigReader config(object, "file");
    EXPECT_EQ(message_of<DataError>([&] { config.unsupported("kind", "even"); }),
              "file: \"kind\" is \"odd\"; expected even");
    std::vector<std::string> list;
    config.list_unsupported(&list);
    config.unsupported("kind", "even");
    config.object("inner")->unsupported("type", "even");
    EXPECT_THAT(list, ElementsAre("\"kind\" is \"odd\"; expected even",
                                  "\"inner.type\" is \"odd\"; expected even"));
}

TEST(ConfigReader, MessagesStayShortAndAscii) {
    const json object{{"n", "\u00e9" + std::string(5000, 'x')}};
    const std::string message =
        message_of<DataError>([&] { (void)ConfigReader(object, "file").integer("n", one_to_ten); });
    EXPECT_LT(message.size(), 200U);
    EXPECT_THAT(message, HasSubstr("\\u00e9xxx"));
    EXPECT_THAT(message, HasSubstr("..."));
}

}  // namespace
}  // namespace lathe
