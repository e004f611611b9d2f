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
using ::testing::IsEmpty;

std::vector<std::string> tensor_names(const ModelSpec& spec) {
    std::vector<std::string> names;
    for (const TensorSpec& tensor : spec.tensors) names.push_back(tensor.name);
    return names;
}

/// "block_0000.qkv attention_in: 2 3 4": a unit, its input and its tensors.
std::vector<std::string> unit_lines(const ModelSpec& spec) {
    std::vector<std::string> lines;
    for (const UnitSpec& unit : spec.units) {
        std::string line = unit.name + " " + std::string(name(unit.input)) + ":";
        for (const std::size_t tensor : unit.tensors) line += " " + std::to_string(tensor);
        lines.push_back(line);
    }
    return lines;
}

TEST(Llama, SizesAndDefaults) {
    const ModelSpec spec = read(sample_config());
    EXPECT_EQ(spec.family, "llama");
    EXPECT_EQ(spec.hidden_size, 32U);
    EXPECT_EQ(spec.intermediate_size, 48U);
    EXPECT_EQ(spec.n_blocks, 2U);
    EXPECT_EQ(spec.n_heads, 4U);
    EXPECT_EQ(spec.n_kv_heads, 2U);
    EXPECT_EQ(spec.head_dim, 8U);
    EXPECT_EQ(spec.vocab_size, 100U);
    EXPECT_EQ(spec.max_positions, 64U);
    EXPECT_EQ(spec.norm_epsilon, 1e-6F);
    EXPECT_FALSE(spec.tied_head);
    EXPECT_EQ(spec.rope.inv_freq.size(), 4U);
    EXPECT_THAT(spec.eos_ids, ElementsAre(2U));  // the default of the class
    // By hand: 2 * 100 * 32 + 32 + 2 * (2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32).
    EXPECT_EQ(spec.parameters(), 21920U);
}

TEST(Llama, OptionalKeys) {
    const ModelSpec spec = read(sample_config({{"num_key_value_heads", nullptr},
                                               {"head_dim", 12},
                                               {"rms_norm_eps", 1e-5},
                                               {"tie_word_embeddings", true},
                                               {"hidden_act", "swish"},
                                               {"eos_token_id", {3, 5}}}));
    EXPECT_EQ(spec.n_kv_heads, 4U);
    EXPECT_EQ(spec.head_dim, 12U);
    EXPECT_EQ(spec.norm_epsilon, 1e-5F);
    EXPECT_TRUE(spec.tied_head);
    EXPECT_THAT(spec.eos_ids, ElementsAre(3U, 5U));
    EXPECT_THAT(read(sample_config({{"eos_token_id", 2}})).eos_ids, ElementsAre(2U));
}

TEST(Llama, KeysThatChangeNothing) {
    const ModelSpec spec = read(sample_config({{"pretraining_tp", 4},
                                               {"torch_dtype", "float4_of_the_future"},
                                               {"dtype", 17},
                                               {"partial_rotary_factor", 1.0},
                                               {"architectures", {"LlamaForCausalLM"}},
                                               {"use_cache", false}}));
    EXPECT_EQ(tensor_names(spec), tensor_names(read(sample_config())));
}

TEST(Llama, TensorsInOrder) {
    const ModelSpec spec = read(sample_config({{"num_hidden_layers", 1}}));
    EXPECT_THAT(
        tensor_names(spec),
        ElementsAre(
            "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
            "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
            "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
            "model.layers.0.post_attention_layernorm.weight", "model.layers.0.mlp.gate_proj.weight",
            "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
            "model.norm.weight", "lm_head.weight"));
    EXPECT_EQ(spec.tensors[2].shape, (Shape{32, 32}));
    EXPECT_EQ(spec.tensors[3].shape, (Shape{16, 32}));
    EXPECT_EQ(spec.tensors[9].shape, (Shape{32, 48}));
    EXPECT_EQ(spec.tensors[11].shape, (Shape{100, 32}));
}

TEST(Llama, ShapesFollowAnExplicitHeadDim) {
    const ModelSpec spec = read(sample_config({{"head_dim", 12}}));
    EXPECT_EQ(spec.tensors[spec.find(Role::q_proj, 1).value()].shape, (Shape{48, 32}));
    EXPECT_EQ(spec.tensors[spec.find(Role::v_proj, 1).value()].shape, (Shape{24, 32}));
    EXPECT_EQ(spec.tensors[spec.find(Role::o_proj, 1).value()].shape, (Shape{32, 48}));
}

TEST(Llama, BiasesFollowTheirWeights) {
    const ModelSpec spec = read(
        sample_config({{"num_hidden_layers", 1}, {"attention_bias", true}, {"mlp_bias", true}}));
    ASSERT_EQ(spec.tensors.size(), 19U);
    const auto q = spec.find(Role::q_proj, 0).value();
    const auto q_bias = spec.find(Role::q_proj, 0, true).value();
    EXPECT_EQ(q_bias, q + 1);
    EXPECT_EQ(spec.tensors[q_bias].name, "model.layers.0.self_attn.q_proj.bias");
    EXPECT_EQ(spec.tensors[q_bias].shape, (Shape{32}));
    EXPECT_EQ(spec.tensors[spec.find(Role::k_proj, 0, true).value()].shape, (Shape{16}));
    EXPECT_EQ(spec.tensors[spec.find(Role::o_proj, 0, true).value()].shape, (Shape{32}));
    EXPECT_EQ(spec.tensors[spec.find(Role::up_proj, 0, true).value()].shape, (Shape{48}));
    EXPECT_EQ(spec.tensors[spec.find(Role::down_proj, 0, true).value()].shape, (Shape{32}));
    EXPECT_EQ(spec.find(Role::attention_norm, 0, true), std::nullopt);
    EXPECT_THAT(unit_lines(spec),
                ElementsAre("embedding token_ids: 0", "block_0000.qkv attention_in: 2 4 6",
                            "block_0000.o attention_out: 8", "block_0000.gate_up mlp_in: 11 13",
                            "block_0000.down mlp_hidden: 15", "head head_in: 18"));
}

TEST(Llama, OneKindOfBiasAlone) {
    const ModelSpec attention = read(sample_config({{"attention_bias", true}}));
    EXPECT_TRUE(attention.find(Role::o_proj, 1, true).has_value());
    EXPECT_FALSE(attention.find(Role::gate_proj, 1, true).has_value());
    const ModelSpec mlp = read(sample_config({{"mlp_bias", true}}));
    EXPECT_FALSE(mlp.find(Role::q_proj, 1, true).has_value());
    EXPECT_TRUE(mlp.find(Role::down_proj, 1, true).has_value());
}

TEST(Llama, UnitsInOrder) {
    const ModelSpec spec = read(sample_config());
    EXPECT_THAT(
        unit_lines(spec),
        ElementsAre("embedding token_ids: 0", "block_0000.qkv attention_in: 2 3 4",
                    "block_0000.o attention_out: 5", "block_0000.gate_up mlp_in: 7 8",
                    "block_0000.down mlp_hidden: 9", "block_0001.qkv attention_in: 11 12 13",
                    "block_0001.o attention_out: 14", "block_0001.gate_up mlp_in: 16 17",
                    "block_0001.down mlp_hidden: 18", "head head_in: 20"));
    EXPECT_EQ(spec.units[0].block, std::nullopt);
    EXPECT_EQ(spec.units[5].block, 1U);
}

TEST(Llama, ATiedHeadIsTheEmbeddingsUnit) {
    const ModelSpec spec = read(sample_config({{"tie_word_embeddings", true}}));
    EXPECT_EQ(spec.find(Role::lm_head, std::nullopt), std::nullopt);
    EXPECT_EQ(unit_lines(spec).front(), "embedding head_in: 0");
    EXPECT_EQ(spec.units.back().name, "block_0001.down");
    EXPECT_EQ(spec.parameters(), 21920U - 3200U);
}

TEST(Llama, SizesThatAreNullAreRefusedByName) {
    for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                            "num_attention_heads", "vocab_size", "max_position_embeddings"})
        EXPECT_THAT(refusal({{key, nullptr}}),
                    HasSubstr("config.json: \"" + std::string(key) +
                              "\" is null; expected an integer from 1 to "));
}

TEST(Llama, AbsurdSizesAreRefused) {
    EXPECT_THAT(refusal({{"num_attention_heads", 0}}),
                HasSubstr("\"num_attention_heads\" is 0; expected an integer from 1 to 16384"));
    EXPECT_THAT(refusal({{"num_key_value_heads", 0}}), HasSubstr("\"num_key_value_heads\" is 0"));
    EXPECT_THAT(refusal({{"hidden_size", 1048577}}),
                HasSubstr("\"hidden_size\" is 1048577; expected an integer from 1 to 1048576"));
    EXPECT_THAT(refusal({{"hidden_size", -32}}), HasSubstr("\"hidden_size\" is -32"));
    EXPECT_THAT(refusal({{"hidden_size", "32"}}), HasSubstr("\"hidden_size\" is \"32\""));
    EXPECT_THAT(refusal({{"intermediate_size", 48.5}}), HasSubstr("\"intermediate_size\" is 48.5"));
    EXPECT_THAT(
        refusal({{"vocab_size", 2147483648U}}),
        HasSubstr("\"vocab_size\" is 2147483648; expected an integer from 1 to 2147483647"));
    EXPECT_THAT(refusal({{"num_hidden_layers", 10001}}),
                HasSubstr("\"num_hidden_layers\" is 10001; expected an integer from 1 to 10000"));
    EXPECT_THAT(refusal({{"max_position_embeddings", 0}}),
                HasSubstr("\"max_position_embeddings\" is 0"));
    EXPECT_THAT(refusal({{"rms_norm_eps", -1e-5}}),
                HasSubstr("\"rms_norm_eps\" is -1e-05; expected a number from 0 to 1"));
    EXPECT_THAT(refusal({{"tie_word_embeddings", "true"}}),
                HasSubstr("\"tie_word_embeddings\" is \"true\"; expected true or false"));
    EXPECT_THAT(refusal({{"eos_token_id", -1}}), HasSubstr("\"eos_token_id\" is -1"));
}

TEST(Llama, HeadsMustDivide) {
    EXPECT_THAT(refusal({{"num_key_value_heads", 3}}),
                HasSubstr("\"num_key_value_heads\" is 3; expected a divisor of "
                          "num_attention_heads = 4"));
    EXPECT_THAT(refusal({{"num_key_value_heads", 8}}), HasSubstr("a divisor of"));
    EXPECT_THAT(refusal({{"hidden_size", 34}}),
                HasSubstr("\"hidden_size\" is 34; expected a multiple of num_attention_heads = 4"));
    EXPECT_THAT(refusal({{"hidden_size", 36}}),
                HasSubstr("rotary positions on 9 of 9 elements of a head"));
    EXPECT_THAT(refusal({{"head_dim", 7}}),
                HasSubstr("rotary positions on 7 of 7 elements of a head"));
    EXPECT_THAT(refusal({{"head_dim", 0}}), HasSubstr("\"head_dim\" is 0"));
    EXPECT_EQ(read(sample_config({{"hidden_size", 34}, {"head_dim", 8}})).head_dim, 8U);
}

TEST(Llama, TheLargestSizesDoNotOverflow) {
    const ModelSpec spec = read(sample_config({{"hidden_size", 1048576},
                                               {"intermediate_size", 16777216},
                                               {"num_hidden_layers", 10000},
                                               {"num_attention_heads", 16384},
                                               {"num_key_value_heads", 16384},
                                               {"head_dim", 4096},
                                               {"vocab_size", 2147483647},
                                               {"attention_bias", true},
                                               {"mlp_bias", true}}));
    // About 10000 * 2^20 * (4 * 2^26 + 3 * 2^24), below 2^63.
    EXPECT_GT(spec.parameters(), 3342000000000000000U);
    EXPECT_LT(spec.parameters(), 3350000000000000000U);
    EXPECT_EQ(spec.units.back().name, "head");
    EXPECT_EQ(spec.units[spec.units.size() - 2].name, "block_9999.down");
}

TEST(Llama, OtherActivationsAreRefusedByName) {
    EXPECT_THAT(refusal({{"hidden_act", "gelu_10"}}),
                HasSubstr("\"hidden_act\" is \"gelu_10\"; expected one of the supported "
                          "activations: gelu, gelu_accurate, gelu_fast, gelu_new, gelu_python"));
    EXPECT_THAT(refusal({{"architectures", {"LlamaForSequenceClassification"}}}),
                HasSubstr("LlamaForSequenceClassification is not supported; expected one that ends "
                          "in ForCausalLM"));
}

TEST(Llama, PartialRotaryIsRefusedWhereverItStands) {
    EXPECT_THAT(refusal({{"partial_rotary_factor", 0.5}}),
                HasSubstr("\"partial_rotary_factor\" is 0.5"));
    EXPECT_THAT(
        refusal({{"rope_parameters", {{"rope_theta", 10000.0}, {"partial_rotary_factor", 0.25}}}}),
        HasSubstr("\"partial_rotary_factor\" is 0.25"));
}

}  // namespace
}  // namespace lathe
