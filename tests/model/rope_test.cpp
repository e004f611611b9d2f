#include "lib/model/rope.hpp"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using nlohmann::json;
using test::read;
using test::refusal;
using test::sample_config;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<double> frequencies(const json& config, std::size_t rotary_dim,
                                std::size_t max_positions = 131072) {
    ConfigReader reader(config, "config.json");
    reader.assume_defaults("llama");
    const RopeSpec rope = read_rope(reader, rotary_dim, max_positions);
    EXPECT_EQ(rope.attention_factor, 1.0);
    return rope.inv_freq;
}

json llama3(double factor) {
    return {{"rope_type", "llama3"},   {"rope_theta", 500000.0},
            {"factor", factor},        {"low_freq_factor", 1.0},
            {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
}

json without(json object, const char* key) {
    object.erase(key);
    return object;
}

// The hexadecimal numbers are LlamaRotaryEmbedding(config).inv_freq of transformers 5.23.0 (torch
// 2.15, CPU), printed by float(x).hex(). They are compared bit for bit.

TEST(Rope, DefaultAsInTransformers) {
    EXPECT_THAT(frequencies({{"rope_theta", 10000.0}}, 16),
                ElementsAre(0x1p+0, 0x1.43d136p-2, 0x1.99999ap-4, 0x1.030dc6p-5, 0x1.47ae14p-7,
                            0x1.9e7c70p-9, 0x1.0624dep-10, 0x1.4b96c0p-12));
}

TEST(Rope, LinearAsInTransformers) {
    EXPECT_THAT(
        frequencies(
            {{"rope_theta", 10000.0}, {"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}}, 16),
        ElementsAre(0x1p-2, 0x1.43d136p-4, 0x1.99999ap-6, 0x1.030dc6p-7, 0x1.47ae14p-9,
                    0x1.9e7c70p-11, 0x1.0624dep-12, 0x1.4b96c0p-14));
}

TEST(Rope, Llama31AsInTransformers) {
    // Llama 3.1 8B: kept up to index 28, interpolated from 29 to 34, divided by 8 from 35 on.
    const auto f = frequencies({{"rope_parameters", llama3(8.0)}}, 128);
    ASSERT_EQ(f.size(), 64U);
    EXPECT_EQ(f[0], 0x1p+0);
    EXPECT_EQ(f[1], 0x1.a11582p-1);
    EXPECT_EQ(f[20], 0x1.0f5386p-6);
    EXPECT_EQ(f[28], 0x1.a4ee40p-9);
    EXPECT_EQ(f[29], 0x1.1bfa0cp-9);
    EXPECT_EQ(f[30], 0x1.67a23ap-10);
    EXPECT_EQ(f[32], 0x1.132ba4p-11);
    EXPECT_EQ(f[34], 0x1.765ba4p-13);
    EXPECT_EQ(f[35], 0x1.90d10cp-14);
    EXPECT_EQ(f[40], 0x1.1f91f0p-15);
    EXPECT_EQ(f[63], 0x1.4985fep-22);
}

TEST(Rope, Llama32AsInTransformers) {
    const auto f = frequencies({{"rope_parameters", llama3(32.0)}}, 64);
    ASSERT_EQ(f.size(), 32U);
    EXPECT_EQ(f[1], 0x1.53c38cp-1);
    EXPECT_EQ(f[14], 0x1.a4ee40p-9);
    EXPECT_EQ(f[15], 0x1.524f36p-10);
    EXPECT_EQ(f[16], 0x1.c26c40p-12);
    EXPECT_EQ(f[17], 0x1.9731eep-14);
    EXPECT_EQ(f[18], 0x1.46831ap-16);
    EXPECT_EQ(f[31], 0x1.948360p-24);
}

TEST(Rope, BothSpellingsAgree) {
    const auto expected = frequencies({{"rope_parameters", llama3(8.0)}}, 32);
    const json scaling = without(llama3(8.0), "rope_theta");
    EXPECT_EQ(frequencies({{"rope_theta", 500000.0}, {"rope_scaling", scaling}}, 32), expected);

    json old_key = without(scaling, "rope_type");
    old_key["type"] = "llama3";
    EXPECT_EQ(frequencies({{"rope_theta", 500000}, {"rope_scaling", old_key}}, 32), expected);
}

TEST(Rope, WhatIsAbsentOrNullHasItsDefault) {
    const auto plain = frequencies({{"rope_theta", 10000.0}}, 16);
    EXPECT_EQ(frequencies(json::object(), 16), plain);
    EXPECT_EQ(frequencies({{"rope_scaling", nullptr}, {"rope_parameters", nullptr}}, 16), plain);
    EXPECT_EQ(frequencies({{"rope_scaling", json::object()}}, 16), plain);
    EXPECT_EQ(frequencies({{"rope_parameters", {{"rope_type", "default"}}}}, 16), plain);
}

TEST(Rope, TheInnerThetaAndTheOldScalingWin) {
    const auto at_20 = frequencies({{"rope_theta", 20.0}}, 16);
    EXPECT_EQ(frequencies({{"rope_theta", 10.0}, {"rope_parameters", {{"rope_theta", 20.0}}}}, 16),
              at_20);
    EXPECT_EQ(frequencies({{"rope_scaling", {{"type", "default"}, {"rope_theta", 20.0}}},
                           {"rope_parameters", {{"rope_type", "yarn"}}}},
                          16),
              at_20);
}

TEST(Rope, OriginalPositionsDefaultToTheMaximum) {
    const auto expected = frequencies({{"rope_parameters", llama3(8.0)}}, 128);
    const json open = without(llama3(8.0), "original_max_position_embeddings");
    EXPECT_EQ(frequencies({{"rope_parameters", open}}, 128, 8192), expected);
    EXPECT_NE(frequencies({{"rope_parameters", open}}, 128, 16384), expected);
    EXPECT_EQ(frequencies({{"rope_parameters", open}, {"original_max_position_embeddings", 8192}},
                          128, 16384),
              expected);
}

TEST(Rope, OtherKindsAreRefusedByName) {
    for (const char* kind : {"dynamic", "yarn", "longrope", "su", "mrope"})
        EXPECT_EQ(refusal({{"rope_scaling", {{"type", kind}, {"factor", 2.0}}}}),
                  "config.json: \"rope_scaling.type\" is \"" + std::string(kind) +
                      "\"; expected one of the supported kinds: default, linear, llama3");
    EXPECT_THAT(refusal({{"rope_parameters", {{"rope_type", "yarn"}}}}),
                HasSubstr("\"rope_parameters.rope_type\" is \"yarn\""));
}

TEST(Rope, ParametersForEachKindOfBlockAreRefused) {
    EXPECT_THAT(refusal({{"rope_parameters", {{"full_attention", {{"rope_theta", 5000.0}}}}}}),
                HasSubstr("\"rope_parameters.full_attention\" is {\"rope_theta\":5000.0}; expected "
                          "one set of parameters for all blocks"));
}

TEST(Rope, NumbersMayBeWrittenAsFloats) {
    json floats = llama3(8.0);
    floats["original_max_position_embeddings"] = 8192.0;
    floats["low_freq_factor"] = 1;
    EXPECT_EQ(frequencies({{"rope_parameters", floats}}, 128),
              frequencies({{"rope_parameters", llama3(8.0)}}, 128));
}

std::string stored_refusal(const RopeSpec& rope, const std::vector<float>& stored) {
    return test::message_of<DataError>(
        [&] { check_stored_frequencies(rope, stored, "inv_freq", "some/model"); });
}

// Old programs stored frequencies before scaling or after it, and rounded them with the weights.
TEST(Rope, StoredFrequenciesMustBeThoseOfTheConfig) {
    const json config{{"rope_theta", 10000.0},
                      {"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}};
    ConfigReader reader(config, "config.json");
    reader.assume_defaults("llama");
    const RopeSpec rope = read_rope(reader, 8, 2048);
    check_stored_frequencies(rope, std::vector<float>{1.0F, 0.1F, 0.01F, 0.001F}, "", "");
    check_stored_frequencies(rope, std::vector<float>{0.25F, 0.025F, 0.0025F, 0.00025F}, "", "");
    check_stored_frequencies(rope, std::vector<float>{1.0F, 0.10009765F, 0.01F, 0.001F}, "", "");
    EXPECT_EQ(
        stored_refusal(rope, {1.0F, 0.5F, 0.01F, 0.001F}),
        "some/model: tensor \"inv_freq\": rotary frequency 1 is 0.500000; config.json gives "
        "0.025000 (rope_theta and what scales it); under \"ignore\" the tensor is passed over, "
        "as newer programs do");
    EXPECT_EQ(stored_refusal(rope, {1.0F, 0.1F}),
              "some/model: tensor \"inv_freq\" has 2 rotary frequencies; config.json asks for 4");
}

TEST(Rope, MissingOrAbsurdValuesAreRefused) {
    EXPECT_THAT(refusal({{"rope_scaling", {{"type", "linear"}}}}),
                HasSubstr("\"rope_scaling.factor\" is missing; expected a number from 0.001"));
    EXPECT_THAT(refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}),
                HasSubstr("\"rope_scaling.factor\" is 0"));
    EXPECT_THAT(refusal({{"rope_scaling", {{"type", "linear"}, {"factor", "2"}}}}),
                HasSubstr("\"rope_scaling.factor\" is \"2\""));
    EXPECT_THAT(refusal({{"rope_theta", 0}}), HasSubstr("\"rope_theta\" is 0; expected a number"));
    EXPECT_THAT(refusal({{"rope_scaling", "linear"}}),
                HasSubstr("\"rope_scaling\" is \"linear\"; expected an object"));
    for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"})
        EXPECT_THAT(refusal({{"rope_parameters", without(llama3(8.0), key)}}),
                    HasSubstr("\"rope_parameters." + std::string(key) + "\" is missing"));
    json same = llama3(8.0);
    same["high_freq_factor"] = 1.0;
    EXPECT_THAT(refusal({{"rope_parameters", same}}),
                HasSubstr("\"rope_parameters.high_freq_factor\" is 1.0; expected more than "
                          "low_freq_factor"));
}

}  // namespace
}  // namespace lathe
