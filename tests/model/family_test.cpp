#include "lib/model/family.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using test::message_of;
using test::read;
using test::refusal;
using test::sample_config;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string text_refusal(const std::string& text) {
    return message_of<DataError>([&] { (void)read_model_spec(text, "some/config.json"); });
}

TEST(Family, SyntaxErrorsNameLineAndByte) {
    EXPECT_THAT(text_refusal("{\n  \"hidden_size\": 32,\n  oops\n}"),
                AllOf(StartsWith("some/config.json: not JSON, line 3, byte 26: syntax error"),
                      HasSubstr("last read: '32,<U+000A>  o'")));
    EXPECT_THAT(text_refusal(""), StartsWith("some/config.json: not JSON, byte 1: "));
    EXPECT_THAT(text_refusal("{\"a\": \"\xff\"}"), HasSubstr("not JSON, byte 8: "));
    EXPECT_EQ(text_refusal("[1]"), "some/config.json: expected a JSON object, found array");
}

TEST(Family, EveryCutConfigIsRefusedAndNothingElseHappens) {
    const std::string text = sample_config().dump();
    for (std::size_t length = 0; length < text.size(); ++length)
        EXPECT_THAT(text_refusal(text.substr(0, length)), HasSubstr("not JSON")) << length;
}

TEST(Family, DeeplyNestedInputIsAnErrorAndNoCrash) {
    EXPECT_THAT(text_refusal(std::string(200000, '[')), HasSubstr("within one another"));
}

TEST(Family, UnknownModelTypesAreRefusedWithTheKnownOnes) {
    EXPECT_EQ(refusal({{"model_type", "mamba"}}),
              "config.json: \"model_type\" is \"mamba\"; expected one of the supported families: "
              "llama, mistral, qwen2, qwen3, phi3, opt, phi, gpt2, gpt_neox, bloom, bert, roberta, "
              "distilbert");
    EXPECT_THAT(refusal({{"model_type", nullptr}}),
                HasSubstr("\"model_type\" is null; expected one of the supported families"));
    EXPECT_THAT(refusal({{"model_type", 3}}), HasSubstr("\"model_type\" is 3; expected a string"));
}

// Whether the weights are quantised is theirs to say: match_test.cpp.
TEST(Family, AQuantisationIsNoted) {
    const auto quantisation = [](const nlohmann::json& section) {
        return read(sample_config(section)).quantisation;
    };
    EXPECT_EQ(quantisation({{"quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}}}),
              "quantization_config, quant_method \"gptq\"");
    EXPECT_EQ(quantisation({{"compression_config", {{"format", "x"}}}}),
              "compression_config, quant_method \"unknown\"");
    EXPECT_EQ(quantisation({{"quantization_config", nullptr}}), "");
    EXPECT_EQ(quantisation(nlohmann::json::object()), "");
}

TEST(Family, TheTableFindsEachOfItsRows) {
    for (const FamilyRow& row : family_table()) {
        EXPECT_EQ(find_family(row.model_type), &row);
        EXPECT_NE(row.read, nullptr);
    }
    EXPECT_EQ(find_family("no such family"), nullptr);
}

}  // namespace
}  // namespace lathe
