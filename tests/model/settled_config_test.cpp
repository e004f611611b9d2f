#include "lib/model/settled_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using nlohmann::json;
using test::sample_config;
using ::testing::HasSubstr;

/// The two matrices of a checkpoint, those that are there, and whether they hold the same.
struct Stored {
    bool embedding = true;
    bool head = true;
    bool equal = false;
    Shape head_shape{100, 32};
    std::string embedding_name = "model.embed_tokens.weight";
    std::string head_name = "lm_head.weight";
};

std::optional<SettledConfig> settle(const json& config, const Stored& stored) {
    std::vector<FoundTensor> found{{"model.norm.weight", DType::bf16, {32}}};
    if (stored.embedding) found.push_back({stored.embedding_name, DType::bf16, {100, 32}});
    if (stored.head) found.push_back({stored.head_name, DType::bf16, stored.head_shape});
    return settle_config(
        config.dump(), found,
        [&](const std::string& a, const std::string& b) {
            EXPECT_EQ(a, stored.embedding_name);
            EXPECT_EQ(b, stored.head_name);
            return stored.equal;
        },
        "config.json");
}

json tied(bool flag) {
    return sample_config({{"tie_word_embeddings", flag}});
}

TEST(SettledConfig, OnlyTwoDifferentMatricesUntieAHead) {
    for (const bool embedding : {false, true})
        for (const bool head : {false, true})
            for (const bool equal : {false, true})
                for (const bool flag : {false, true}) {
                    const auto settled =
                        settle(tied(flag), {.embedding = embedding, .head = head, .equal = equal});
                    EXPECT_EQ(settled.has_value(), flag && embedding && head && !equal)
                        << embedding << head << equal << flag;
                }
}

TEST(SettledConfig, TheTextSaysSoAndNothingElseChanges) {
    const auto settled = settle(tied(true), {});
    ASSERT_TRUE(settled.has_value());
    json expected = tied(true);
    expected["tie_word_embeddings"] = false;
    EXPECT_EQ(parse_json(settled->text), expected);
    EXPECT_EQ(settled->change,
              "tie_word_embeddings is false, not true: lm_head.weight is stored beside "
              "model.embed_tokens.weight and differs from it");
}

// GPT-2 is tied unless its config says otherwise; its names may lack the prefix.
TEST(SettledConfig, AFlagByDefaultCountsToo) {
    const json gpt2{
        {"model_type", "gpt2"}, {"n_embd", 32}, {"n_layer", 1}, {"n_head", 4}, {"vocab_size", 100}};
    const auto settled = settle(gpt2, {.embedding_name = "wte.weight"});
    ASSERT_TRUE(settled.has_value());
    EXPECT_EQ(parse_json(settled->text)["tie_word_embeddings"], false);
}

TEST(SettledConfig, TheOtherNameOfAHeadCountsToo) {
    const json neox{{"model_type", "gpt_neox"},   {"hidden_size", 32}, {"num_hidden_layers", 1},
                    {"num_attention_heads", 4},   {"vocab_size", 100}, {"rotary_pct", 0.5},
                    {"tie_word_embeddings", true}};
    for (const char* head : {"embed_out.weight", "lm_head.weight"})
        EXPECT_TRUE(settle(neox, {.embedding_name = "gpt_neox.embed_in.weight", .head_name = head}))
            << head;
}

// What cannot be one matrix is two; their shapes are checked with all the others.
TEST(SettledConfig, OtherShapesAreNotCompared) {
    EXPECT_TRUE(settle(tied(true), {.equal = true, .head_shape = {104, 32}}).has_value());
}

TEST(SettledConfig, EncodersHaveNoSuchHead) {
    const json bert{{"model_type", "bert"}};
    EXPECT_FALSE(settle(bert, {.embedding_name = "bert.embeddings.word_embeddings.weight"}));
}

}  // namespace
}  // namespace lathe
