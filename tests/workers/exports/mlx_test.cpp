#include "workers/exports/mlx.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "tests/workers/exports/checkpoint_fixture.hpp"
#include "tests/workers/exports/export_test_support.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Encode everywhere(std::function<EncodedTensor(const Shape&, unsigned)> encode) {
    return [encode = std::move(encode)](const TensorSpec& tensor) {
        return encode(tensor.shape, static_cast<unsigned>(tensor.block.value_or(9) * 40) +
                                        static_cast<unsigned>(tensor.role));
    };
}

std::vector<std::string> problems(const ScratchFolder& scratch, const std::string& name) {
    return read_export_back("mlx", scratch / name, scratch / (name + ".mlx"));
}

// Embedding and head too. Rows of 96 and 160 columns: groups of 32 alone fill both.
TEST(Mlx, ReadsBackBitForBitAtEveryWidth) {
    const ScratchFolder scratch;
    for (unsigned bits = 2; bits <= 8; ++bits) {
        for (const bool symmetric : {true, false}) {
            for (const std::size_t group : {std::size_t{32}, std::size_t{64}, std::size_t{1000}}) {
                const std::string name = std::to_string(bits) + "_" + std::to_string(group) +
                                         (symmetric ? "" : "_asymmetric");
                write_checkpoint(scratch / name, everywhere([&](const Shape& shape, unsigned seed) {
                                     return random_integer(shape, bits, group, symmetric, seed);
                                 }));
                const ExportSummary summary =
                    write_export("mlx", scratch / name, scratch / (name + ".mlx"));
                EXPECT_THAT(problems(scratch, name), IsEmpty()) << name;
                EXPECT_EQ(summary.n_packed, bits == 7 ? 0 : 16) << name;
            }
        }
    }
}

TEST(Mlx, NamesEachModuleAndStatesWhatHasOtherDefaults) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "c", [](const TensorSpec& tensor) {
        return tensor.role == Role::lm_head     ? random_dense(tensor.shape, DType::bf16, 1)
               : tensor.role == Role::down_proj ? random_integer(tensor.shape, 8, 160, true, 2)
                                                : random_integer(tensor.shape, 4, 96, true, 3);
    });
    write_export("mlx", scratch / "c", scratch / "c.mlx");
    const nlohmann::json config = parse_json(read_file(scratch / "c.mlx" / "config.json"));
    const nlohmann::json& section = config["quantization"];
    EXPECT_EQ(section["model.layers.1.mlp.down_proj"],
              (nlohmann::json{{"bits", 8}, {"group_size", 32}}));
    EXPECT_EQ(section["model.embed_tokens"], (nlohmann::json{{"bits", 4}, {"group_size", 32}}));
    EXPECT_FALSE(section.contains("lm_head"));
    EXPECT_EQ(section["bits"], 4);
    EXPECT_EQ(config["rope_theta"], 10000.0);
    EXPECT_EQ(config["tie_word_embeddings"], false);
    EXPECT_EQ(config["head_dim"], 24);
    const SafetensorsCheckpoint files(scratch / "c.mlx");
    EXPECT_EQ(files.at("model.layers.0.self_attn.q_proj.weight").shape, (Shape{96, 12}));
    EXPECT_EQ(files.at("model.layers.0.self_attn.q_proj.biases").shape, (Shape{96, 3}));
}

TEST(Mlx, CheckFindsAnotherBias) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "c", everywhere([](const Shape& shape, unsigned seed) {
                         return random_integer(shape, 4, 32, false, seed);
                     }));
    write_export("mlx", scratch / "c", scratch / "c.mlx");
    EXPECT_THAT(problems(scratch, "c"), IsEmpty());
    const fs::path file = scratch / "c.mlx" / "config.json";
    nlohmann::json config = parse_json(read_file(file));
    config["rope_theta"] = 500000.0;
    write_file(file, config.dump());
    EXPECT_THAT(problems(scratch, "c"), ElementsAre(HasSubstr("rope_theta")));
}

TEST(Mlx, RefusesOtherFamilies) {
    const auto spec_of = [](const std::string& folder) {
        const fs::path file = fs::path(LATHE_SOURCE_DIR) / "tests/data/parity" / folder;
        return read_model_spec(read_file(file / "config.json"), folder);
    };
    EXPECT_EQ(mlx_refuses(spec_of("llama3")), "");
    EXPECT_THAT(mlx_refuses(spec_of("opt")), HasSubstr("family opt"));
    EXPECT_THAT(mlx_refuses(spec_of("mistral")), HasSubstr("sliding window"));
}

}  // namespace
}  // namespace lathe
