// The families that are no Llama: what each makes of its config.json.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using nlohmann::json;
using test::message_of;
using test::read;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

struct PublishedModel {
    std::string name;
    json config;
    std::uint64_t parameters;
};

/// The sizes of published models. Counts: the elements of all parameters of the model that
/// transformers 5.23.0 builds from these sizes.
std::vector<PublishedModel> published_models() {
    const json mistral{{"hidden_size", 4096},      {"intermediate_size", 14336},
                       {"num_hidden_layers", 32},  {"num_attention_heads", 32},
                       {"num_key_value_heads", 8}, {"vocab_size", 32000},
                       {"sliding_window", 4096},   {"max_position_embeddings", 32768}};
    const json qwen2{{"hidden_size", 896},          {"intermediate_size", 4864},
                     {"num_hidden_layers", 24},     {"num_attention_heads", 14},
                     {"num_key_value_heads", 2},    {"vocab_size", 151936},
                     {"tie_word_embeddings", true}, {"max_position_embeddings", 32768}};
    const json qwen3{{"hidden_size", 1024},
                     {"intermediate_size", 3072},
                     {"num_hidden_layers", 28},
                     {"num_attention_heads", 16},
                     {"num_key_value_heads", 8},
                     {"head_dim", 128},
                     {"vocab_size", 151936},
                     {"tie_word_embeddings", true},
                     {"max_position_embeddings", 40960}};
    const json phi3{{"hidden_size", 3072},     {"intermediate_size", 8192},
                    {"num_hidden_layers", 32}, {"num_attention_heads", 32},
                    {"vocab_size", 32064},     {"max_position_embeddings", 4096}};
    const json opt{{"hidden_size", 768},      {"ffn_dim", 3072},
                   {"num_hidden_layers", 12}, {"num_attention_heads", 12},
                   {"vocab_size", 50272},     {"max_position_embeddings", 2048}};
    const json opt_350m{{"hidden_size", 1024},        {"ffn_dim", 4096},
                        {"num_hidden_layers", 24},    {"num_attention_heads", 16},
                        {"vocab_size", 50272},        {"max_position_embeddings", 2048},
                        {"word_embed_proj_dim", 512}, {"do_layer_norm_before", false}};
    const json phi{{"hidden_size", 2560},
                   {"intermediate_size", 10240},
                   {"num_hidden_layers", 32},
                   {"num_attention_heads", 32},
                   {"vocab_size", 51200},
                   {"partial_rotary_factor", 0.4},
                   {"max_position_embeddings", 2048}};
    const json gpt2{{"n_embd", 768},
                    {"n_layer", 12},
                    {"n_head", 12},
                    {"n_positions", 1024},
                    {"vocab_size", 50257}};
    const json neox{{"hidden_size", 512},
                    {"intermediate_size", 2048},
                    {"num_hidden_layers", 6},
                    {"num_attention_heads", 8},
                    {"vocab_size", 50304},
                    {"rotary_pct", 0.25},
                    {"max_position_embeddings", 2048}};
    const json bloom{
        {"hidden_size", 1024}, {"n_layer", 24}, {"n_head", 16}, {"vocab_size", 250880}};
    const json bert{{"hidden_size", 768},      {"intermediate_size", 3072},
                    {"num_hidden_layers", 12}, {"num_attention_heads", 12},
                    {"vocab_size", 30522},     {"max_position_embeddings", 512}};
    json roberta = bert;
    roberta.update({{"vocab_size", 50265},
                    {"max_position_embeddings", 514},
                    {"type_vocab_size", 1},
                    {"pad_token_id", 1}});
    const json distilbert{{"dim", 768},    {"hidden_dim", 3072},  {"n_layers", 6},
                          {"n_heads", 12}, {"vocab_size", 30522}, {"max_position_embeddings", 512}};
    return {{"mistral", mistral, 7241732096},
            {"qwen2", qwen2, 494032768},
            {"qwen3", qwen3, 596049920},
            {"phi3", phi3, 3821079552},
            {"opt", opt, 125239296},
            {"opt", opt_350m, 331196416},
            {"phi", phi, 2779683840},
            {"gpt2", gpt2, 124439808},
            {"gpt_neox", neox, 70426624},
            {"bloom", bloom, 559214592},
            {"bert", bert, 109483778},
            {"roberta", roberta, 124647170},
            {"distilbert", distilbert, 66955010}};
}

ModelSpec read_as(const std::string& family, json config) {
    config["model_type"] = family;
    return read(config);
}

const json& config_of(const std::string& family) {
    static const std::vector<PublishedModel> models = published_models();
    return std::ranges::find(models, family, &PublishedModel::name)->config;
}

/// The spec of a published model with some keys changed.
ModelSpec changed(const std::string& family, const json& changes = json::object()) {
    json config = config_of(family);
    config.update(changes);
    return read_as(family, config);
}

std::string refusal(const std::string& family, const json& changes) {
    return message_of<DataError>([&] { (void)changed(family, changes); });
}

const TensorSpec& tensor(const ModelSpec& spec, Role role, std::optional<std::size_t> block) {
    return spec.tensors.at(spec.find(role, block).value());
}

TEST(Families, PublishedSizesGivePublishedCounts) {
    for (const PublishedModel& model : published_models()) {
        const ModelSpec spec = read_as(model.name, model.config);
        EXPECT_EQ(spec.parameters(), model.parameters) << model.name;
        EXPECT_EQ(spec.family, model.name);
    }
}

TEST(Families, EveryLinearWeightOfABlockBelongsToOneUnit) {
    for (const PublishedModel& model : published_models()) {
        const ModelSpec spec = read_as(model.name, model.config);
        std::vector<int> uses(spec.tensors.size());
        for (const UnitSpec& unit : spec.units)
            for (const std::size_t t : unit.tensors) {
                ++uses[t];
                if (unit.input != Signal::token_ids) {
                    EXPECT_EQ(spec.tensors[t].shape.back(),
                              spec.tensors[unit.tensors.front()].shape.back());
                }
            }
        for (std::size_t t = 0; t < uses.size(); ++t) {
            const bool is_matrix = spec.tensors[t].shape.size() == 2;
            if (spec.tensors[t].block) {
                EXPECT_EQ(uses[t], is_matrix ? 1 : 0) << spec.tensors[t].name;
            }
        }
    }
}

TEST(Families, FusedRowsAreSharedOut) {
    const ModelSpec gpt2 = changed("gpt2");
    const TensorSpec& concatenated = tensor(gpt2, Role::qkv_proj, 0);
    EXPECT_EQ(concatenated.fused.n_groups, 1U);
    EXPECT_EQ(concatenated.fused.parts.at(2).rows, 768U);
    EXPECT_TRUE(concatenated.transposed);
    EXPECT_EQ(concatenated.shape, (Shape{2304, 768}));
    EXPECT_EQ(concatenated.source_shape(), (Shape{768, 2304}));

    const ModelSpec neox = changed("gpt_neox");
    const TensorSpec& by_head = tensor(neox, Role::qkv_proj, 0);
    EXPECT_EQ(by_head.fused.n_groups, 8U);
    EXPECT_EQ(by_head.fused.parts.at(1).role, Role::k_proj);
    EXPECT_EQ(by_head.fused.parts.at(1).rows, 64U);

    const ModelSpec phi3 = changed("phi3", {{"num_key_value_heads", 8}});
    EXPECT_EQ(tensor(phi3, Role::qkv_proj, 0).shape, (Shape{3072 + 2 * 768, 3072}));
    EXPECT_EQ(tensor(phi3, Role::gate_up_proj, 0).shape, (Shape{2 * 8192, 3072}));
}

TEST(Families, BlockForms) {
    EXPECT_EQ(changed("phi").form, BlockForm::parallel);
    EXPECT_FALSE(changed("phi").has(Role::mlp_norm, 0));
    EXPECT_EQ(changed("gpt_neox").form, BlockForm::parallel);
    EXPECT_TRUE(changed("gpt_neox").has(Role::mlp_norm, 0));
    EXPECT_EQ(changed("gpt_neox", {{"use_parallel_residual", false}}).form, BlockForm::pre_norm);
    EXPECT_EQ(changed("opt").form, BlockForm::pre_norm);
    const ModelSpec post = changed("opt", {{"do_layer_norm_before", false}});
    EXPECT_EQ(post.form, BlockForm::post_norm);
    EXPECT_FALSE(post.has(Role::final_norm, std::nullopt));
    EXPECT_EQ(changed("bert").form, BlockForm::post_norm);
}

TEST(Families, Positions) {
    EXPECT_EQ(changed("opt").position_offset, 2U);
    EXPECT_EQ(tensor(changed("opt"), Role::position_embedding, std::nullopt).shape,
              (Shape{2050, 768}));
    const ModelSpec roberta = changed("roberta");
    EXPECT_EQ(roberta.position_offset, 2U);
    EXPECT_EQ(roberta.max_positions, 512U);
    EXPECT_EQ(changed("phi").rope.inv_freq.size(), 16U);  // 0.4 of 80, in pairs
    EXPECT_EQ(changed("gpt_neox").rope.inv_freq.size(), 8U);
    EXPECT_TRUE(changed("bloom").rope.inv_freq.empty());
}

// Press, Smith, Lewis: 8 heads have 1/2, 1/4, ... 1/256; of 16 heads every second one fills up.
TEST(Families, AlibiSlopes) {
    const auto slopes = changed("bloom", {{"n_head", 8}}).alibi_slopes;
    ASSERT_EQ(slopes.size(), 8U);
    EXPECT_EQ(slopes.front(), 0.5F);
    EXPECT_EQ(slopes.back(), 1.0F / 256.0F);
    const auto six = changed("bloom", {{"n_head", 6}, {"hidden_size", 48}}).alibi_slopes;
    EXPECT_THAT(six, ElementsAre(FloatEq(0.25F), FloatEq(0.0625F), FloatEq(0.015625F),
                                 FloatEq(0.00390625F), FloatEq(0.5F), FloatEq(0.125F)));
}

TEST(Families, SlidingWindows) {
    EXPECT_EQ(changed("mistral").window(31), 4096U);
    EXPECT_TRUE(changed("mistral", {{"sliding_window", nullptr}}).windows.empty());
    json absent = config_of("mistral");
    absent.erase("sliding_window");
    EXPECT_EQ(read_as("mistral", absent).window(0), 4096U);
    const ModelSpec ministral = changed(
        "mistral",
        {{"num_hidden_layers", 2}, {"layer_types", {"full_attention", "sliding_attention"}}});
    EXPECT_THAT(ministral.windows, ElementsAre(0U, 4096U));
    // Without a list Mistral has one window for all, whatever words of Qwen's stand there.
    EXPECT_EQ(
        changed("mistral", {{"use_sliding_window", false}, {"max_window_layers", 31}}).window(0),
        4096U);
    EXPECT_TRUE(changed("qwen2", {{"sliding_window", 8}}).windows.empty());
    // Qwen2's windows begin behind block 28 and are 4096 wide unless the config says otherwise.
    const ModelSpec by_default =
        changed("qwen2", {{"use_sliding_window", true}, {"num_hidden_layers", 30}});
    EXPECT_EQ(by_default.window(27), 0U);
    EXPECT_EQ(by_default.window(28), 4096U);
    EXPECT_THAT(
        refusal("qwen2", {{"num_hidden_layers", 1}, {"layer_types", {"sliding_attention"}}}),
        HasSubstr("no \"sliding_attention\": there is no window"));
    EXPECT_THAT(
        refusal("qwen2", {{"num_hidden_layers", 1}, {"layer_types", {"chunked_attention"}}}),
        HasSubstr("\"full_attention\" and \"sliding_attention\" only"));
    const ModelSpec late = changed(
        "qwen2", {{"use_sliding_window", true}, {"sliding_window", 8}, {"max_window_layers", 20}});
    EXPECT_EQ(late.window(19), 0U);
    EXPECT_EQ(late.window(20), 8U);
    const ModelSpec listed =
        changed("qwen2", {{"use_sliding_window", true},
                          {"sliding_window", 8},
                          {"num_hidden_layers", 2},
                          {"layer_types", {"sliding_attention", "full_attention"}}});
    EXPECT_THAT(listed.windows, ElementsAre(8U, 0U));
    EXPECT_THAT(refusal("qwen2", {{"use_sliding_window", true},
                                  {"sliding_window", 8},
                                  {"layer_types", {"full_attention"}}}),
                HasSubstr("one entry for each of the 24 blocks"));
}

TEST(Families, Labels) {
    EXPECT_THAT(changed("bert").labels, ElementsAre("LABEL_0", "LABEL_1"));
    const ModelSpec named =
        changed("bert", {{"id2label", {{"0", "no"}, {"1", "maybe"}, {"2", "yes"}}}});
    EXPECT_THAT(named.labels, ElementsAre("no", "maybe", "yes"));
    EXPECT_EQ(named.n_outputs(), 3U);
    EXPECT_THAT(changed("bert", {{"id2label", {{"0", "a"}, {"2", "c"}}}}).labels,
                ElementsAre("a", "LABEL_1"));
    // transformers gives up the names where num_labels is another number.
    EXPECT_THAT(changed("bert", {{"id2label", {{"0", "a"}, {"1", "c"}}}, {"num_labels", 1}}).labels,
                ElementsAre("LABEL_0"));
    EXPECT_EQ(named.head_width(), 768U);
    EXPECT_EQ(changed("opt", {{"word_embed_proj_dim", 100}}).head_width(), 100U);
}

TEST(Families, WhatIsNotSupportedIsNamed) {
    EXPECT_THAT(refusal("gpt2", {{"scale_attn_by_inverse_layer_idx", true}}),
                HasSubstr("\"scale_attn_by_inverse_layer_idx\" is true; expected false"));
    EXPECT_THAT(refusal("gpt2", {{"activation_function", "quick_gelu"}}),
                AllOf(HasSubstr("\"quick_gelu\""), HasSubstr("supported activations")));
    EXPECT_THAT(refusal("bloom", {{"apply_residual_connection_post_layernorm", true}}),
                HasSubstr("apply_residual_connection_post_layernorm"));
    EXPECT_THAT(refusal("phi", {{"qk_layernorm", true}}), HasSubstr("qk_layernorm"));
    EXPECT_THAT(refusal("phi", {{"tie_word_embeddings", true}}),
                HasSubstr("this head has a bias, and tied it is unsupported here"));
    EXPECT_THAT(refusal("gpt2", {{"add_cross_attention", true}}), HasSubstr("add_cross_attention"));
    EXPECT_THAT(refusal("opt", {{"layer_norm_elementwise_affine", false}}),
                HasSubstr("layer_norm_elementwise_affine"));
    EXPECT_THAT(refusal("bert", {{"position_embedding_type", "relative_key"}}),
                HasSubstr("\"relative_key\"; expected \"absolute\""));
    EXPECT_THAT(refusal("bert", {{"architectures", {"BertForMaskedLM"}}}),
                HasSubstr("BertForMaskedLM is not supported; expected one that ends in "
                          "ForSequenceClassification"));
    EXPECT_THAT(refusal("roberta", {{"max_position_embeddings", 2}}),
                HasSubstr("counting begins after pad_token_id"));
    EXPECT_THAT(refusal("phi3", {{"rope_scaling", {{"type", "longrope"}}}}), HasSubstr("longrope"));
    EXPECT_THAT(refusal("mistral", {{"partial_rotary_factor", 0.5}}),
                HasSubstr("this family rotates whole heads"));
}

}  // namespace
}  // namespace lathe
