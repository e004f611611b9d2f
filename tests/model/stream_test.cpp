// What slicing does to the list of a model's tensors.

#include "lib/model/stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using nlohmann::json;
using test::message_of;
using test::read;
using test::sample_config;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// All boundaries of this width, the last one, which the head reads, of the hidden size.
StreamShape cut_to(const ModelSpec& spec, std::size_t width) {
    StreamShape shape{std::vector<std::size_t>(n_boundaries(spec), width), true};
    shape.widths.back() = spec.hidden_size;
    return shape;
}

ModelSpec sliced(const ModelSpec& spec, std::size_t width) {
    return sliced_spec(spec, cut_to(spec, width), "here");
}

json opt_config() {
    return {{"model_type", "opt"},
            {"hidden_size", 768},
            {"ffn_dim", 3072},
            {"num_hidden_layers", 12},
            {"num_attention_heads", 12},
            {"vocab_size", 50272},
            {"max_position_embeddings", 2048}};
}

json phi_config() {
    return {{"model_type", "phi"},          {"hidden_size", 2560},
            {"intermediate_size", 10240},   {"num_hidden_layers", 32},
            {"num_attention_heads", 32},    {"vocab_size", 51200},
            {"partial_rotary_factor", 0.4}, {"max_position_embeddings", 2048}};
}

const TensorSpec& tensor(const ModelSpec& spec, Role role, std::optional<std::size_t> block,
                         bool is_bias = false) {
    return spec.tensors.at(spec.find(role, block, is_bias).value());
}

// The published program's own regression counts at 20 %: widths 608 of 768 (rounded down to a
// multiple of 8 from 614.4) and 2048 of 2560, shortcuts counted, head not cut.
TEST(Stream, CountsParametersOfOptLikeThePublishedProgram) {
    EXPECT_EQ(sliced(read(opt_config()), 608).parameters(), 147'250'880U);
}

TEST(Stream, CountsParametersOfPhi2LikeThePublishedProgram) {
    EXPECT_EQ(sliced(read(phi_config()), 2048).parameters(), 2'391'772'160U);
}

// d 24 of D 32, 2 blocks, q 32 and k, v 16 rows, FFN 48, vocabulary 100: by hand.
TEST(Stream, CountsParametersOfALlamaByHand) {
    const std::size_t embedding = 100 * 24;
    const std::size_t block = 24 * (32 + 16 + 16) + 24 * 32 + 2 * 24 * 48;
    const std::size_t down = 24 * 48 + 32 * 48;
    const std::size_t shortcuts = (24 * 24 + 24 * 24) + (24 * 24 + 24 * 32);
    const std::size_t head = 100 * 32;
    EXPECT_EQ(sliced(read(sample_config()), 24).parameters(),
              embedding + 2 * block + down + shortcuts + head);
}

TEST(Stream, BoundariesAreTwoABlockOrOneInParallelOnes) {
    EXPECT_EQ(n_boundaries(read(sample_config())), 5U);
    EXPECT_EQ(n_boundaries(read(phi_config())), 33U);
}

TEST(Stream, SidesOfASequentialBlock) {
    const ModelSpec spec = sliced(read(sample_config()), 24);
    const auto sides = [&](Role role) {
        const StreamSides s = stream_sides(spec, tensor(spec, role, 1));
        return std::pair(s.rows, s.columns);
    };
    using Sides = std::pair<std::optional<std::size_t>, std::optional<std::size_t>>;
    EXPECT_EQ(sides(Role::q_proj), Sides(std::nullopt, 2));
    EXPECT_EQ(sides(Role::o_proj), Sides(3, std::nullopt));
    EXPECT_EQ(sides(Role::attention_shortcut), Sides(3, 2));
    EXPECT_EQ(sides(Role::up_proj), Sides(std::nullopt, 3));
    EXPECT_EQ(sides(Role::down_proj), Sides(4, std::nullopt));
    EXPECT_EQ(sides(Role::mlp_shortcut), Sides(4, 3));
}

TEST(Stream, ParallelBlocksHaveOneShortcutAndOneWidth) {
    json config = phi_config();
    config["num_hidden_layers"] = 2;
    const ModelSpec spec = sliced(read(config), 1024);
    EXPECT_FALSE(spec.has(Role::attention_shortcut, 0));
    EXPECT_EQ(tensor(spec, Role::mlp_shortcut, 0).shape, (Shape{1024, 1024}));
    EXPECT_EQ(tensor(spec, Role::mlp_shortcut, 1).shape, (Shape{2560, 1024}));
    EXPECT_EQ(tensor(spec, Role::up_proj, 1).shape, (Shape{10240, 1024}));
    EXPECT_EQ(tensor(spec, Role::o_proj, 0).shape, (Shape{1024, 2560}));
    EXPECT_EQ(tensor(spec, Role::o_proj, 0, true).shape, Shape{1024});
}

TEST(Stream, NormsGoAndTheirBiasesFindAPlace) {
    json config = opt_config();
    config["enable_bias"] = false;
    const ModelSpec spec = sliced(read(config), 608);
    for (const Role norm : {Role::attention_norm, Role::mlp_norm}) {
        EXPECT_FALSE(spec.has(norm, 0)) << name(norm);
    }
    EXPECT_FALSE(spec.has(Role::final_norm, std::nullopt));
    EXPECT_EQ(tensor(spec, Role::q_proj, 3, true).name,
              "model.decoder.layers.3.self_attn.q_proj.bias");
    EXPECT_EQ(tensor(spec, Role::up_proj, 3, true).shape, Shape{3072});
    EXPECT_FALSE(spec.find(Role::o_proj, 3, true)) << "a writer reads no norm";
    EXPECT_EQ(tensor(spec, Role::lm_head, std::nullopt, true).name, "lm_head.bias");
}

TEST(Stream, ATiedHeadBecomesATensorAndAUnitOfItsOwn) {
    const ModelSpec spec = sliced(read(opt_config()), 608);
    EXPECT_FALSE(spec.tied_head);
    EXPECT_EQ(tensor(spec, Role::lm_head, std::nullopt).shape, (Shape{50272, 768}));
    EXPECT_EQ(spec.units.back().name, "head");
    EXPECT_EQ(spec.units.front().name, "embedding");
    EXPECT_EQ(spec.units.front().input, Signal::token_ids);
}

TEST(Stream, ATiedHeadMayKeepTheTableWithProjectionsAroundIt) {
    const ModelSpec source = read(opt_config());
    StreamShape shape = cut_to(source, 608);
    shape.shares_table = true;
    const ModelSpec spec = sliced_spec(source, shape, "here");
    EXPECT_TRUE(spec.shares_table());
    EXPECT_FALSE(spec.has(Role::lm_head, std::nullopt));
    EXPECT_EQ(tensor(spec, Role::token_embedding, std::nullopt).shape, (Shape{50272, 768}));
    const TensorSpec& before = tensor(spec, Role::embedding_projection, std::nullopt);
    EXPECT_EQ(before.shape, (Shape{608, 768}));
    EXPECT_EQ(before.name, "model.decoder.embedding_projection.weight");
    EXPECT_EQ(tensor(spec, Role::head_projection, std::nullopt).shape, (Shape{768, 768}));
    EXPECT_EQ(tensor(spec, Role::head_projection, std::nullopt, true).shape, Shape{768})
        << "for the bias of the final norm";
    EXPECT_EQ(tensor(spec, Role::position_embedding, std::nullopt).shape.back(), 608U);
    EXPECT_EQ(spec.units.front().input, Signal::head_in);
    EXPECT_EQ(spec.head_width(), 768U);
    const std::size_t two = sliced(source, 608).parameters();
    EXPECT_EQ(spec.parameters(), two - 50272 * 608 - 50272 + 608 * 768 + 768 * 768 + 768);
}

TEST(Stream, ShortcutsAreUnitsThatReadTheStream) {
    const ModelSpec spec = sliced(read(sample_config()), 24);
    std::vector<std::string> names;
    for (const UnitSpec& unit : spec.units) {
        if (unit.block == std::optional<std::size_t>(1)) {
            names.push_back(unit.name + " " + std::string(name(unit.input)));
        }
        for (const std::size_t t : unit.tensors) {
            EXPECT_EQ(spec.tensors[t].block, unit.block) << unit.name;
        }
    }
    EXPECT_THAT(names, ElementsAre("block_0001.qkv attention_in", "block_0001.o attention_out",
                                   "block_0001.gate_up mlp_in", "block_0001.down mlp_hidden",
                                   "block_0001.attention_shortcut stream_in",
                                   "block_0001.mlp_shortcut stream_mid"));
    EXPECT_EQ(tensor(spec, Role::attention_shortcut, 1).name,
              "model.layers.1.attention_shortcut.weight");
}

TEST(Stream, WithoutCutsAndShortcutsOnlyNormsGo) {
    const ModelSpec source = read(sample_config());
    const ModelSpec fused = sliced_spec(source, StreamShape::uncut(source), "here");
    EXPECT_EQ(fused.parameters(), source.parameters() - 5 * 32);
    EXPECT_TRUE(fused.is_sliced());
}

TEST(Stream, ShapeSurvivesJson) {
    const ModelSpec spec = read(sample_config());
    const StreamShape shape = cut_to(spec, 16);
    const StreamShape again = stream_shape_from_json(to_json(shape, spec), "slicing.json");
    EXPECT_EQ(again.widths, shape.widths);
    EXPECT_EQ(again.has_shortcuts, shape.has_shortcuts);
    EXPECT_FALSE(again.shares_table);
    StreamShape shared = shape;
    shared.shares_table = true;
    EXPECT_TRUE(stream_shape_from_json(to_json(shared, spec), "slicing.json").shares_table);
}

TEST(Stream, RefusesDamagedDescriptions) {
    const auto refusal = [](const std::string& text) {
        return message_of<DataError>([&] { (void)stream_shape_from_json(text, "slicing.json"); });
    };
    EXPECT_THAT(refusal("{"), HasSubstr("slicing.json: expected an object"));
    EXPECT_THAT(refusal(R"({"format_version": 3})"), HasSubstr("\"format_version\": 1 or 2"));
    EXPECT_THAT(refusal(R"({"format_version": 2, "stream_widths": [1], "shortcuts": true})"),
                HasSubstr("expected \"shared_table\""));
    EXPECT_THAT(refusal(R"({"format_version": 1, "stream_widths": [1], "shortcuts": true,
                            "shared_table": true})"),
                HasSubstr("with \"format_version\": 2 alone"));
    EXPECT_THAT(refusal(R"({"format_version": 1, "stream_widths": [1.5]})"),
                HasSubstr("\"stream_widths\", a list of whole numbers"));
    EXPECT_THAT(refusal(R"({"format_version": 1, "stream_widths": [1]})"),
                HasSubstr("\"shortcuts\": true or false"));
}

TEST(Stream, RefusesShapesThatDoNotFit) {
    const ModelSpec spec = read(sample_config());
    const auto refusal = [&](const StreamShape& shape) {
        return message_of<DataError>([&] { (void)sliced_spec(spec, shape, "here"); });
    };
    EXPECT_THAT(refusal({{24, 24}, true}),
                HasSubstr("widths for 2 boundaries of the residual stream, the model has 5"));
    EXPECT_THAT(refusal(cut_to(spec, 33)), HasSubstr("33 wide; expected 1 to 32"));
    EXPECT_THAT(refusal(cut_to(spec, 0)), HasSubstr("0 wide"));
    EXPECT_THAT(refusal({{16, 16, 16, 16, 32}, false}), HasSubstr("must be equal"));
}

TEST(Stream, RefusesModelsWhoseFormForbidsIt) {
    const auto refusal = [](const json& config) { return reason_not_to_slice(read(config)); };
    json post_norm = opt_config();
    post_norm["do_layer_norm_before"] = false;
    EXPECT_THAT(refusal(post_norm), HasSubstr("norm after the addition"));
    json projected = opt_config();
    projected["word_embed_proj_dim"] = 512;
    EXPECT_THAT(refusal(projected), HasSubstr("another width than its blocks"));
    json without_norm = opt_config();
    without_norm["_remove_final_layer_norm"] = true;
    EXPECT_THAT(refusal(without_norm), HasSubstr("no norm before the head"));
    EXPECT_EQ(refusal(opt_config()), "");
    const ModelSpec twice = sliced(read(sample_config()), 16);
    EXPECT_EQ(reason_not_to_slice(twice), "it is sliced already");
}

}  // namespace
}  // namespace lathe
