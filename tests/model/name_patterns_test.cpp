#include "lib/model/name_patterns.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using nlohmann::json;
using test::message_of;
using test::sample_config;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// The units of a model that an entry names.
std::vector<std::string> units_named(const ModelSpec& spec, const std::string& entry) {
    const NamePatterns patterns({entry}, "ignore");
    std::vector<std::string> names;
    for (const UnitSpec& unit : spec.units)
        if (patterns.has(spec, unit)) names.push_back(unit.name);
    return names;
}

ModelSpec llama(bool tied) {
    return test::read(sample_config({{"num_hidden_layers", 2}, {"tie_word_embeddings", tied}}));
}

ModelSpec neox() {
    return test::read({{"model_type", "gpt_neox"},
                       {"hidden_size", 32},
                       {"intermediate_size", 64},
                       {"num_hidden_layers", 1},
                       {"num_attention_heads", 4},
                       {"max_position_embeddings", 64},
                       {"vocab_size", 100}});
}

std::string refusal(const ModelSpec& spec, const std::string& entry) {
    KnownNames known;
    known.add(spec);
    return message_of<UsageError>([&] { known.require({entry}, "ignore"); });
}

TEST(NamePatterns, ShortNamesOfModulesNameWhatTheyNameInOtherTools) {
    const ModelSpec spec = llama(false);
    EXPECT_THAT(units_named(spec, "lm_head"), ElementsAre("head"));
    EXPECT_THAT(units_named(spec, "embed_tokens"), ElementsAre("embedding"));
    EXPECT_THAT(units_named(spec, "q_proj"), ElementsAre("block_0000.qkv", "block_0001.qkv"));
    EXPECT_THAT(units_named(spec, "mlp.down_proj"),
                ElementsAre("block_0000.down", "block_0001.down"));
    EXPECT_THAT(units_named(spec, "layers.1.self_attn"),
                ElementsAre("block_0001.qkv", "block_0001.o"));
    EXPECT_THAT(units_named(spec, "model.layers.0.mlp.up_proj"), ElementsAre("block_0000.gate_up"));
    EXPECT_THAT(units_named(spec, "block_0001.qkv"), ElementsAre("block_0001.qkv"));
    EXPECT_THAT(units_named(spec, "down"), ElementsAre("block_0000.down", "block_0001.down"));
    EXPECT_THAT(units_named(spec, "Embedding"), ElementsAre("embedding"));
    EXPECT_EQ(units_named(spec, "Linear").size(), spec.units.size() - 1);
}

TEST(NamePatterns, ShortNamesAreWholeWords) {
    const ModelSpec spec = llama(false);
    for (const char* entry : {"proj", "q_pro", "layers.", "ayers.0", "weight", "", ".", "lm_hea"})
        EXPECT_THAT(units_named(spec, entry), IsEmpty()) << entry;
    EXPECT_THAT(units_named(test::read(sample_config({{"num_hidden_layers", 12}})), "layers.1"),
                Not(::testing::Contains("block_0011.qkv")));
}

TEST(NamePatterns, ExpressionsMatchTensorsModulesAndUnits) {
    const ModelSpec spec = llama(false);
    EXPECT_THAT(units_named(spec, "re:.*lm_head$"), ElementsAre("head"));  // as a module
    EXPECT_THAT(units_named(spec, "re:.*lm_head.weight$"), ElementsAre("head"));
    EXPECT_THAT(units_named(spec, "re:block_0001.[od]"),
                ElementsAre("block_0001.o", "block_0001.down"));
    EXPECT_THAT(units_named(spec, "re:head"), ElementsAre("head"));
    EXPECT_THAT(units_named(spec, "re:q_proj"), IsEmpty());
}

TEST(NamePatterns, AStarStandsForAnyCharactersOfAWholeName) {
    const ModelSpec spec = llama(false);
    EXPECT_THAT(units_named(spec, "*lm_head*"), ElementsAre("head"));
    EXPECT_THAT(units_named(spec, "*.down_proj"),
                ElementsAre("block_0000.down", "block_0001.down"));
    EXPECT_THAT(
        units_named(spec, "model.layers.1.*"),
        ElementsAre("block_0001.qkv", "block_0001.o", "block_0001.gate_up", "block_0001.down"));
    EXPECT_THAT(units_named(spec, "block_*.o"), ElementsAre("block_0000.o", "block_0001.o"));
    EXPECT_EQ(units_named(spec, "*").size(), spec.units.size());
    EXPECT_EQ(units_named(spec, "model.layers*").size(), 8U);  // four units in each of two blocks
    for (const char* entry : {"lm_*d.", "*[x]*", "*(*", "*proj_", "o*"})
        EXPECT_THAT(units_named(spec, entry), IsEmpty()) << entry;
}

// Ways to match that a search back and forth would take years to try.
TEST(NamePatterns, NoPatternTakesLong) {
    std::string stars;
    std::string expression = "re:(a+)+$";
    for (int i = 0; i < 100; ++i) stars += "*a";
    const NamePatterns patterns({stars + "*b", expression}, "ignore");
    EXPECT_FALSE(patterns.has(std::string(999, 'a') + "c"));
    EXPECT_TRUE(patterns.has(std::string(999, 'a') + "b"));
    EXPECT_TRUE(patterns.has("aaaa"));
    EXPECT_THROW(NamePatterns({"re:" + std::string(1001, 'a')}, "ignore"), UsageError);
    EXPECT_THROW(NamePatterns({"re:a{5555555555555555555555}"}, "ignore"), UsageError);
    EXPECT_THROW(NamePatterns({"re:(a)\\1"}, "ignore"), UsageError);
}

TEST(NamePatterns, TheHeadOfATiedModelIsItsEmbedding) {
    for (const char* entry : {"lm_head", "lm_head.weight", "head", "embed_tokens", "re:.*lm_head"})
        EXPECT_THAT(units_named(llama(true), entry), ElementsAre("embedding")) << entry;
}

TEST(NamePatterns, HeadAndEmbeddingHaveOneNameInAllFamilies) {
    EXPECT_THAT(units_named(neox(), "lm_head"), ElementsAre("head"));
    EXPECT_THAT(units_named(neox(), "embed_out"), ElementsAre("head"));
    EXPECT_THAT(units_named(neox(), "embed_tokens"), ElementsAre("embedding"));
    EXPECT_THAT(units_named(neox(), "embed_in"), ElementsAre("embedding"));
}

TEST(NamePatterns, NamesHaveTheUsualPrefixAlsoWhereTheWeightsLackIt) {
    ModelSpec spec = llama(true);
    for (TensorSpec& tensor : spec.tensors)
        tensor.name = tensor.name.substr(std::string("model.").size());
    for (const char* entry : {"model.layers.1.mlp.down_proj", "layers.1.mlp.down_proj",
                              "model.layers.1.mlp.down_proj.weight"})
        EXPECT_THAT(units_named(spec, entry), ElementsAre("block_0001.down")) << entry;
}

TEST(KnownNames, WhatNamesNothingIsRefusedWithTheNearest) {
    const ModelSpec spec = llama(false);
    EXPECT_THAT(refusal(spec, "q_porj"),
                AllOf(HasSubstr("ignore names \"q_porj\""), HasSubstr("nearest: q_proj")));
    EXPECT_THAT(refusal(spec, "lmhead"), HasSubstr("nearest: lm_head"));
    EXPECT_THAT(refusal(spec, "embed_token"), HasSubstr("nearest: embed_tokens"));
    EXPECT_THAT(refusal(spec, "model.layers.1.mlp.downproj"),
                HasSubstr("nearest: model.layers.1.mlp.down_proj,"));
    EXPECT_THAT(refusal(spec, "block_0009.qkv"), HasSubstr("nearest: block_0000.qkv"));
    EXPECT_THAT(refusal(spec, "nonsense"),
                AllOf(HasSubstr("no tensor, module or unit"), HasSubstr("q_proj"),
                      HasSubstr("lm_head"), HasSubstr("embed_tokens")));
    EXPECT_THAT(refusal(spec, "re:gate"), HasSubstr("matches from the start of a name"));
    EXPECT_LT(refusal(spec, std::string(1000000, 'x')).size(), 800U);
}

TEST(KnownNames, NamesOfWhatIsKeptOrPassedOverAreKnown) {
    KnownNames known;
    known.add(llama(false));
    known.add(std::vector<PassedOver>{{"model.rotary_emb.inv_freq", "a buffer"}});
    known.require({"model.norm", "re:.*layernorm", "rotary_emb", "inv_freq", "lm_head",
                   "input_layernorm", "model.norm.weight"},
                  "ignore");
}

}  // namespace
}  // namespace lathe
