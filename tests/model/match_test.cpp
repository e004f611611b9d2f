#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using nlohmann::json;
using test::message_of;
using test::sample_config;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Match : public ::testing::Test {
protected:
    ModelSpec spec = test::read(sample_config({{"num_hidden_layers", 1}}));
    std::vector<FoundTensor> found = stored(spec);

    /// A checkpoint with exactly the tensors that the spec asks for, in another order.
    static std::vector<FoundTensor> stored(const ModelSpec& spec) {
        std::vector<FoundTensor> tensors;
        for (const TensorSpec& tensor : spec.tensors)
            tensors.push_back({tensor.name, DType::bf16, tensor.source_shape()});
        std::ranges::reverse(tensors);
        return tensors;
    }

    void tie() {
        spec = test::read(sample_config({{"num_hidden_layers", 1}, {"tie_word_embeddings", true}}));
        found = stored(spec);
    }

    FoundTensor& at(const std::string& name) {
        return *std::ranges::find(found, name, &FoundTensor::name);
    }

    void remove(const std::string& name) {
        std::erase_if(found, [&](const FoundTensor& tensor) { return tensor.name == name; });
    }

    std::vector<PassedOver> match(const std::vector<std::string>& ignore = {}) {
        return match_tensors(spec, found, ignore, "some/model");
    }

    std::string refusal(const std::vector<std::string>& ignore = {}) {
        return message_of<DataError>([&] { (void)match(ignore); });
    }
};

// Older programs leave config.json as it was and describe the quantisation in a file of their own.
TEST_F(Match, WhatAQuantiserLeftIsRefusedByName) {
    const std::string name = "model.layers.0.mlp.up_proj";
    remove(name + ".weight");
    for (const char* part : {".qweight", ".weight_packed", ".weight_scale"}) {
        found.push_back({name + part, DType::i32, {4, 4}});
        EXPECT_EQ(refusal(), "some/model: the checkpoint is already quantised (it has a tensor \"" +
                                 name + part + "\"); start from the original weights");
        found.pop_back();
    }
}

// A section that is left over from a quantisation that was undone does no harm; where the weights
// are quantised, or something else is wrong, the message says what it knows.
TEST_F(Match, AQuantisationInTheConfigIsHeldAgainstTheWeights) {
    spec.quantisation = "quantization_config, quant_method \"bitsandbytes\"";
    match();
    FoundTensor& up = at("model.layers.0.mlp.up_proj.weight");
    const FoundTensor before = up;
    up = {up.name, DType::u8, {768, 1}};
    EXPECT_EQ(refusal(),
              "some/model: the checkpoint is already quantised (config.json has "
              "quantization_config, quant_method \"bitsandbytes\"; tensor "
              "\"model.layers.0.mlp.up_proj.weight\" (up_proj of block 0) has type uint8); start "
              "from the original weights");
    up = before;
    found.push_back({"model.layers.0.mlp.up_proj.weight.absmax", DType::f32, {24}});
    EXPECT_THAT(refusal(), AllOf(HasSubstr("already quantised (config.json has quant"),
                                 HasSubstr("up_proj.weight.absmax")));
    found.pop_back();
    remove("lm_head.weight");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("lm_head, shape [100, 32]) is missing"),
                                 HasSubstr("\"tie_word_embeddings\": true"),
                                 HasSubstr("if the weights are quantised")));
}

TEST_F(Match, AnAdapterThatIsNotMergedIsNamed) {
    found.push_back({"model.layers.0.self_attn.q_proj.lora_A.weight", DType::f32, {4, 32}});
    EXPECT_THAT(refusal(), AllOf(HasSubstr("q_proj.lora_A.weight"), HasSubstr("not merged")));
    at("model.layers.0.self_attn.q_proj.weight").name =
        "model.layers.0.self_attn.q_proj.base_layer.weight";
    EXPECT_THAT(refusal(), HasSubstr("not merged"));
}

TEST_F(Match, AnExactCheckpointIsAccepted) {
    found[3].dtype = DType::f32;
    const ModelSpec before = spec;
    match();
    for (std::size_t i = 0; i < spec.tensors.size(); ++i)
        EXPECT_EQ(spec.tensors[i].name, before.tensors[i].name);
}

TEST_F(Match, NamesWithoutThePrefixAreFound) {
    tie();
    for (FoundTensor& tensor : found)
        tensor.name = tensor.name.substr(std::string("model.").size());
    match();
    EXPECT_EQ(spec.tensors.front().name, "embed_tokens.weight");
    EXPECT_EQ(spec.tensors[2].name, "layers.0.self_attn.q_proj.weight");
    EXPECT_EQ(spec.tensors.back().name, "norm.weight");
}

TEST_F(Match, OlderNamesOfLayerNormsAreFound) {
    spec = test::read({{"model_type", "bert"},
                       {"hidden_size", 32},
                       {"intermediate_size", 48},
                       {"num_hidden_layers", 1},
                       {"num_attention_heads", 4},
                       {"max_position_embeddings", 64},
                       {"vocab_size", 100}});
    found = stored(spec);
    at("bert.embeddings.LayerNorm.weight").name = "embeddings.LayerNorm.gamma";
    at("bert.encoder.layer.0.output.LayerNorm.bias").name =
        "bert.encoder.layer.0.output.LayerNorm.beta";
    match();
    const auto index = spec.find(Role::embedding_norm, std::nullopt);
    EXPECT_EQ(spec.tensors.at(index.value()).name, "embeddings.LayerNorm.gamma");
}

TEST_F(Match, WhatIsPassedOverIsListedWithItsReason) {
    tie();
    found.push_back({"lm_head.weight", DType::bf16, {100, 32}});
    found.push_back({"model.rotary_emb.inv_freq", DType::f32, {4}});
    found.push_back({"adapter.weight", DType::f32, {4}});
    std::string text;
    for (const PassedOver& tensor : match({"re:adapter"}))
        text += tensor.name + ": " + tensor.reason + "\n";
    EXPECT_EQ(text,
              "adapter.weight: named under ignore\n"
              "lm_head.weight: the head is the embedding\n"
              "model.rotary_emb.inv_freq: a buffer\n");
}

TEST_F(Match, AMissingTensorIsNamedWithItsRoleAndShape) {
    remove("model.layers.0.mlp.up_proj.weight");
    EXPECT_EQ(refusal(),
              "some/model: tensor \"model.layers.0.mlp.up_proj.weight\" (up_proj of block 0, shape "
              "[48, 32]) is missing");
    remove("model.norm.weight");
    EXPECT_THAT(refusal(), HasSubstr("up_proj.weight\" (up_proj of block 0, shape [48, 32]) is "
                                     "missing (and 1 more)"));
    found.clear();
    EXPECT_THAT(refusal(), HasSubstr("\"model.embed_tokens.weight\" (token_embedding, shape "
                                     "[100, 32]) is missing (and 11 more)"));
}

TEST_F(Match, AMissingBiasIsNamed) {
    spec = test::read(sample_config({{"num_hidden_layers", 1}, {"attention_bias", true}}));
    EXPECT_THAT(refusal(),
                HasSubstr("q_proj.bias\" (q_proj bias of block 0, shape [32]) is missing (and 3 "
                          "more); config.json asks for it (attention_bias, mlp_bias)"));
}

TEST_F(Match, AMissingHeadIsExplained) {
    remove("lm_head.weight");
    EXPECT_THAT(refusal(),
                AllOf(HasSubstr("\"lm_head.weight\" (lm_head, shape [100, 32]) is missing"),
                      HasSubstr("\"tie_word_embeddings\": true")));
}

TEST_F(Match, AnEmbeddingThatIsMissingBesideAHeadIsExplained) {
    remove("model.embed_tokens.weight");
    EXPECT_EQ(
        refusal(),
        "some/model: tensor \"model.embed_tokens.weight\" (token_embedding, shape [100, 32]) is "
        "missing; these weights have a head (lm_head.weight) and no embedding: if the two are "
        "one, config.json must say \"tie_word_embeddings\": true");
    tie();
    remove("model.embed_tokens.weight");
    EXPECT_THAT(refusal(), HasSubstr("is missing; it is not there as the head either"));
}

TEST_F(Match, OfATiedMatrixTheHeadMayBeWhatIsStored) {
    tie();
    at("model.embed_tokens.weight").name = "lm_head.weight";
    EXPECT_TRUE(match().empty());
    EXPECT_EQ(spec.tensors.front().role, Role::token_embedding);
    EXPECT_EQ(spec.tensors.front().name, "lm_head.weight");
}

TEST_F(Match, AHeadIsFoundUnderItsOtherName) {
    for (const bool tied : {false, true}) {
        spec = test::read({{"model_type", "gpt_neox"},
                           {"hidden_size", 32},
                           {"intermediate_size", 48},
                           {"num_hidden_layers", 1},
                           {"num_attention_heads", 2},
                           {"vocab_size", 100},
                           {"tie_word_embeddings", tied}});
        found = stored(spec);
        const char* old = tied ? "gpt_neox.embed_in.weight" : "embed_out.weight";
        at(old).name = "lm_head.weight";
        EXPECT_TRUE(match().empty());
        EXPECT_EQ((tied ? spec.tensors.front() : spec.tensors.back()).name, "lm_head.weight");
    }
}

TEST_F(Match, BiasesThatTheConfigDeniesAreExplained) {
    found.push_back({"model.layers.0.self_attn.q_proj.bias", DType::bf16, {32}});
    EXPECT_THAT(refusal(),
                HasSubstr("; config.json asks for no such bias (attention_bias, mlp_bias)"));
}

TEST_F(Match, BuffersOfOldProgramsArePassedOver) {
    const auto expect_passed_over = [&](const nlohmann::json& config, const char* name) {
        spec = test::read(config);
        found = stored(spec);
        found.push_back({name, DType::f32, {4}});
        const std::vector<PassedOver> passed_over = match();
        ASSERT_EQ(passed_over.size(), 1U) << name;
        EXPECT_EQ(passed_over[0].reason, "a buffer") << name;
    };
    const nlohmann::json one_block{{"num_hidden_layers", 1}, {"n_layer", 1}, {"n_layers", 1}};
    const auto of = [&](const char* family) {
        nlohmann::json config = one_block;
        config["model_type"] = family;
        return config;
    };
    for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "phi3", "phi"})
        for (const char* name : {"model.rotary_emb.inv_freq", "model.rotary_emb.cos_cached",
                                 "model.layers.0.self_attn.rotary_emb.sin_cached"})
            expect_passed_over(of(family), name);
    expect_passed_over(of("gpt_neox"), "gpt_neox.layers.0.attention.masked_bias");
    expect_passed_over(of("gpt2"), "h.0.attn.bias");
    expect_passed_over(of("opt"), "decoder.version");
    expect_passed_over(of("bert"), "bert.embeddings.position_ids");
    expect_passed_over(of("roberta"), "roberta.pooler.dense.weight");
    expect_passed_over(of("distilbert"), "distilbert.embeddings.position_ids");
}

TEST_F(Match, AHeadBesideATiedEmbeddingIsPassedOver) {
    tie();
    found.push_back({"lm_head.weight", DType::bf16, {100, 32}});
    match();
    EXPECT_EQ(spec.find(Role::lm_head, std::nullopt), std::nullopt);
}

TEST_F(Match, RotaryBuffersArePassedOver) {
    found.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::f32, {4}});
    found.push_back({"model.rotary_emb.inv_freq", DType::f32, {4}});
    match();
}

TEST_F(Match, OtherShapesAreRefused) {
    at("model.layers.0.self_attn.k_proj.weight").shape = {32, 16};
    EXPECT_EQ(
        refusal(),
        "some/model: tensor \"model.layers.0.self_attn.k_proj.weight\" (k_proj of block 0) has "
        "shape [32, 16]; config.json asks for [16, 32]");
    at("model.layers.0.self_attn.k_proj.weight").shape = {16, 32, 1};
    EXPECT_THAT(refusal(), HasSubstr("has shape [16, 32, 1]"));
}

TEST_F(Match, OnlyFloatingTypesAreAccepted) {
    at("model.norm.weight").dtype = DType::i8;
    EXPECT_EQ(refusal(),
              "some/model: tensor \"model.norm.weight\" (final_norm) has type int8; expected a "
              "floating type: bfloat16, float16, float32 or float64");
}

TEST_F(Match, UnclaimedTensorsAreRefusedAndMayBeIgnored) {
    found.push_back({"model.layers.1.self_attn.q_proj.weight", DType::bf16, {32, 32}});
    found.push_back({"score.weight", DType::bf16, {2, 32}});
    EXPECT_EQ(
        refusal(),
        "some/model: tensor \"model.layers.1.self_attn.q_proj.weight\" [32, 32] belongs to no "
        "part of a llama model (and 1 more); what the key \"ignore\" or the option --ignore names "
        "is "
        "passed over");
    EXPECT_THAT(refusal({"re:.*layers\\.1\\."}), HasSubstr("\"score.weight\" [2, 32] belongs"));
    match({"re:.*layers\\.1\\.", "score.weight"});
}

TEST_F(Match, IgnoredNamesAreWholeWordsAndPatternsMatchFromTheStart) {
    found.push_back({"score.weight", DType::bf16, {2, 32}});
    EXPECT_THAT(refusal({"scor"}), HasSubstr("belongs to no part"));
    EXPECT_THAT(refusal({"s.*"}), HasSubstr("belongs to no part"));
    EXPECT_THAT(refusal({"weight"}), HasSubstr("belongs to no part"));
    EXPECT_THAT(refusal({"re:weight"}), HasSubstr("belongs to no part"));
    match({"re:sco"});
    match({"score"});
}

// "q_proj" says that the model's own q_proj stay as they are; a block too many is still a mistake.
TEST_F(Match, AShortNameOfPartsOfTheModelPassesNothingOver) {
    found.push_back({"model.layers.1.self_attn.q_proj.weight", DType::bf16, {32, 32}});
    EXPECT_THAT(refusal({"q_proj"}), HasSubstr("belongs to no part"));
    match({"layers.1"});
    match({"model.layers.1.self_attn.q_proj"});
}

TEST_F(Match, WhatTheModelNeedsIsNeverIgnored) {
    match({"re:.*"});
    EXPECT_EQ(spec.tensors.back().name, "lm_head.weight");
    remove("lm_head.weight");
    EXPECT_THAT(refusal({"re:.*"}), HasSubstr("is missing"));
}

TEST_F(Match, BadPatternsAreTheUsersError) {
    const std::string message = message_of<UsageError>([&] { match({"re:layers.(0"}); });
    EXPECT_THAT(message, HasSubstr("ignore: \"re:layers.(0\" is not a regular expression: "));
}

TEST_F(Match, RepeatedNamesAreRefused) {
    found.push_back(found.front());
    EXPECT_EQ(refusal(), "some/model: tensor \"lm_head.weight\" is there twice");
}

TEST_F(Match, AWeightUnderBothNamesIsRefused) {
    found.push_back({"norm.weight", DType::bf16, {32}});
    EXPECT_THAT(refusal(), HasSubstr("\"norm.weight\" [32] belongs to no part"));
}

TEST_F(Match, AHugeNameIsAnErrorOfReadableLength) {
    found.push_back({std::string(10000000, 'x'), DType::bf16, {1}});
    EXPECT_LT(refusal({"re:(x|y)*z"}).size(), 500U);
}

TEST_F(Match, ARefusedCheckpointLeavesTheSpecAsItWas) {
    tie();
    for (FoundTensor& tensor : found)
        tensor.name = tensor.name.substr(std::string("model.").size());
    found.push_back({"score.weight", DType::bf16, {2, 32}});
    (void)refusal();
    EXPECT_EQ(spec.tensors.front().name, "model.embed_tokens.weight");
}

}  // namespace
}  // namespace lathe
