#include "workers/exports/compressed_tensors.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/model/stream.hpp"
#include "tests/workers/exports/checkpoint_fixture.hpp"
#include "tests/workers/exports/export_test_support.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* format = "compressed-tensors";

bool is_embedding(const TensorSpec& tensor) {
    return tensor.role == Role::token_embedding;
}

/// The same encoding for every linear layer; the embedding dense.
Encode everywhere(std::function<EncodedTensor(const Shape&, unsigned)> encode) {
    return [encode = std::move(encode)](const TensorSpec& tensor) {
        const auto seed = static_cast<unsigned>(tensor.block.value_or(9) * 40) +
                          static_cast<unsigned>(tensor.role);
        return is_embedding(tensor) ? random_dense(tensor.shape, DType::bf16, seed)
                                    : encode(tensor.shape, seed);
    };
}

nlohmann::json config_of(const fs::path& directory) {
    return parse_json(read_file(directory / "config.json"));
}

std::string message_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const DataError& error) {
        return error.what();
    }
    return "no DataError";
}

// Widths of all layers at once: rows of codes that end inside a word (rows of 96 and 160 columns at
// odd widths), one group a row, zeros of 50 rows that end inside a word.
TEST(CompressedTensors, ReadsBackBitForBitAtEveryWidth) {
    const ScratchFolder scratch;
    for (unsigned bits = 2; bits <= 8; ++bits) {
        for (const bool symmetric : {true, false}) {
            for (const std::size_t group : {std::size_t{8}, std::size_t{32}, std::size_t{1000}}) {
                const std::string name = std::to_string(bits) + "_" + std::to_string(group) +
                                         (symmetric ? "" : "_asymmetric");
                write_checkpoint(scratch / name, everywhere([&](const Shape& shape, unsigned seed) {
                                     return random_integer(shape, bits, group, symmetric, seed);
                                 }));
                const ExportSummary summary =
                    write_export(format, scratch / name, scratch / (name + ".ct"));
                EXPECT_THAT(read_export_back(format, scratch / name, scratch / (name + ".ct")),
                            IsEmpty())
                    << name;
                // Zeros of 48 rows of k fill whole words at even widths only.
                const bool packs_qkv = symmetric || bits % 2 == 0;
                EXPECT_EQ(summary.n_packed, packs_qkv ? 15 : 9) << name;
                EXPECT_EQ(summary.dense.size(), packs_qkv ? 0 : 6) << name;
            }
        }
    }
}

TEST(CompressedTensors, HoldsWhatAnIntegerTensorCanStandForAndNamesTheRest) {
    const ScratchFolder scratch;
    struct Case {
        const char* name;
        std::function<EncodedTensor(const Shape&, unsigned)> encode;
        bool packed;
    };
    const std::vector<Case> cases{
        {"uniform", [](const Shape& s, unsigned r) { return random_bcq(s, 3, 32, true, true, r); },
         true},
        {"plane", [](const Shape& s, unsigned r) { return random_bcq(s, 1, 32, false, false, r); },
         true},
        {"planes", [](const Shape& s, unsigned r) { return random_bcq(s, 2, 32, false, false, r); },
         false},
        {"sparse codes", [](const Shape& s, unsigned r) { return random_nm(s, 4, 32, false, r); },
         true},
        {"sparse signs", [](const Shape& s, unsigned r) { return random_nm(s, 1, 32, true, r); },
         true},
        {"sparse values", [](const Shape& s, unsigned r) { return random_nm(s, 0, 0, false, r); },
         false},
        {"uniform, short group",
         [](const Shape& s, unsigned r) { return random_bcq(s, 4, 64, true, false, r); }, false},
    };
    for (const Case& each : cases) {
        write_checkpoint(scratch / each.name, everywhere(each.encode));
        const fs::path to = scratch / (std::string(each.name) + ".ct");
        const ExportSummary summary = write_export(format, scratch / each.name, to);
        EXPECT_THAT(read_export_back(format, scratch / each.name, to), IsEmpty()) << each.name;
        if (each.packed) {
            EXPECT_GE(summary.n_packed, 9U) << each.name;
            continue;
        }
        EXPECT_EQ(summary.n_packed, 0U) << each.name;
        ASSERT_EQ(summary.dense.size(), 15U) << each.name;
        EXPECT_EQ(summary.dense.front().bytes, 96U * 96U * 2U) << each.name;  // q, bfloat16
        EXPECT_FALSE(summary.dense.front().reason.empty());
    }
}

TEST(CompressedTensors, NamesExactModulesInAGroupForEachSetting) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "checkpoint", [](const TensorSpec& tensor) {
        if (tensor.role == Role::down_proj) {
            return random_integer(tensor.shape, 8, 160, true, 1);
        }
        return is_embedding(tensor) || tensor.role == Role::o_proj || tensor.role == Role::lm_head
                   ? random_dense(tensor.shape, DType::bf16, 2)
                   : random_integer(tensor.shape, 4, 32, false, 3);
    });
    write_export(format, scratch / "checkpoint", scratch / "export");
    const nlohmann::json config = config_of(scratch / "export");
    EXPECT_EQ(config["dtype"], "bfloat16");
    EXPECT_EQ(config["torch_dtype"], "bfloat16");
    const nlohmann::json& section = config["quantization_config"];
    EXPECT_EQ(section["quant_method"], "compressed-tensors");
    EXPECT_EQ(section["format"], "pack-quantized");
    EXPECT_EQ(section["ignore"], nlohmann::json::array({"lm_head"}));
    ASSERT_EQ(section["config_groups"].size(), 2U);
    const nlohmann::json& first = section["config_groups"]["group_0"];
    EXPECT_EQ(first["targets"].size(), 10U);
    EXPECT_EQ(first["targets"][0], "model.layers.0.self_attn.q_proj");
    EXPECT_EQ(first["weights"], (nlohmann::json{{"num_bits", 4},
                                                {"type", "int"},
                                                {"symmetric", false},
                                                {"strategy", "group"},
                                                {"group_size", 32},
                                                {"dynamic", false}}));
    const nlohmann::json& second = section["config_groups"]["group_1"];
    EXPECT_EQ(second["targets"], nlohmann::json::array({"model.layers.0.mlp.down_proj",
                                                        "model.layers.1.mlp.down_proj"}));
    EXPECT_EQ(second["weights"]["strategy"], "channel");
    EXPECT_FALSE(second["weights"].contains("group_size"));
}

// The words are the checkpoint's own; the zeros of a column are packed along the rows.
TEST(CompressedTensors, KeepsWordsAndTurnsZeros) {
    const ScratchFolder scratch;
    const auto encode = [](const TensorSpec& tensor) {
        return is_embedding(tensor) ? random_dense(tensor.shape, DType::bf16, 2)
                                    : random_integer(tensor.shape, 4, 32, false, 3);
    };
    write_checkpoint(scratch / "checkpoint", encode);
    write_export(format, scratch / "checkpoint", scratch / "export");
    const SafetensorsCheckpoint files(scratch / "export");
    const EncodedTensor expected = random_integer({96, 160}, 4, 32, false, 3);
    const std::string module = "model.layers.1.mlp.down_proj.";
    const auto bytes_of = [&](const std::string& name) {
        const auto bytes = files.at(module + name).bytes;
        return std::vector<std::byte>(bytes.begin(), bytes.end());
    };
    EXPECT_EQ(bytes_of("weight_packed"), part(expected, "codes").bytes);
    EXPECT_EQ(bytes_of("weight_scale"), part(expected, "scales").bytes);
    const StoredTensor& zeros = files.at(module + "weight_zero_point");
    EXPECT_EQ(zeros.shape, (Shape{12, 5}));
    // Byte b of word w of column g has the zeros of rows 8 w + 2 b and the next, low nibble first.
    for (std::size_t row : {0U, 1U, 7U, 8U, 95U}) {
        for (std::size_t g : {0U, 4U}) {
            const auto byte =
                std::to_integer<unsigned>(zeros.bytes[(row / 8 * 5 + g) * 4 + row % 8 / 2]);
            EXPECT_EQ(byte >> 4 * (row % 2) & 15U,
                      std::to_integer<unsigned>(part(expected, "zeros").bytes[row * 5 + g]))
                << row << " " << g;
        }
    }
}

TEST(CompressedTensors, IsCutIntoShardsWithAnIndex) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "checkpoint", everywhere([](const Shape& shape, unsigned seed) {
                         return random_integer(shape, 4, 32, true, seed);
                     }));
    write_export(format, scratch / "checkpoint", scratch / "export", 10'000);
    EXPECT_THAT(read_export_back(format, scratch / "checkpoint", scratch / "export"), IsEmpty());
    const nlohmann::json index =
        parse_json(read_file(scratch / "export" / "model.safetensors.index.json"));
    EXPECT_TRUE(index["weight_map"].contains("model.layers.1.mlp.down_proj.weight_packed"));
    EXPECT_GT(std::distance(fs::directory_iterator(scratch / "export"), {}), 8);
    EXPECT_EQ(read_file(scratch / "export" / "chat_template.jinja"), "{{ messages }}\n");
    EXPECT_EQ(
        parse_json(read_file(scratch / "export" / "tokenizer_config.json"))["tokenizer_class"],
        "PreTrainedTokenizerFast");
}

TEST(CompressedTensors, RefusesAShortLastGroup) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "checkpoint", everywhere([](const Shape& shape, unsigned seed) {
                         return random_integer(shape, 4, 64, true, seed);
                     }));
    EXPECT_THAT(message_of([&] { (void)make_export_writer(format, scratch / "checkpoint"); }),
                AllOf(HasSubstr("q_proj"), HasSubstr("groups of 64"), HasSubstr("rows of 96")));
}

// vLLM takes the first layer's scheme for all of a fused one: perplexity 754 in place of 19.
TEST(CompressedTensors, RefusesLayersThatRunAsOneUnderSeveralSettings) {
    const ScratchFolder scratch;
    const auto refusal = [&](const std::string& name, auto&& encode_k) {
        write_checkpoint(scratch / name, [&](const TensorSpec& tensor) {
            return tensor.role == Role::k_proj ? encode_k(tensor.shape)
                                               : random_integer(tensor.shape, 4, 32, true, 1);
        });
        return message_of([&] { (void)make_export_writer(format, scratch / name); });
    };
    const auto names = AllOf(HasSubstr("q_proj.weight has 4 bits, groups of 32, symmetric"),
                             HasSubstr("k_proj.weight has "), HasSubstr("one setting for all"));
    EXPECT_THAT(
        refusal("symmetry", [](const Shape& s) { return random_integer(s, 4, 32, false, 1); }),
        names);
    EXPECT_THAT(refusal("bits", [](const Shape& s) { return random_integer(s, 8, 32, true, 1); }),
                names);
    EXPECT_THAT(refusal("group", [](const Shape& s) { return random_integer(s, 4, 16, true, 1); }),
                names);
    EXPECT_THAT(refusal("dense", [](const Shape& s) { return random_dense(s, DType::bf16, 1); }),
                names);
}

TEST(CompressedTensors, RefusesModelsThatNoReaderHasAPathFor) {
    const ModelSpec spec = read_model_spec(small_config(), "config.json");
    EXPECT_EQ(compressed_tensors_refuses(spec), "");
    const std::vector<std::size_t> widths(n_boundaries(spec), 8);
    EXPECT_THAT(compressed_tensors_refuses(sliced_spec(spec, {widths, true, false}, "test")),
                HasSubstr("slice.rotation: global"));
    const ModelSpec gpt2 = read_model_spec(
        read_file(fs::path(LATHE_SOURCE_DIR) / "tests/data/parity/gpt2/config.json"), "gpt2");
    EXPECT_THAT(compressed_tensors_refuses(gpt2), HasSubstr("[in, out]"));
}

// ---- what the check finds ----------------------------------------------------------------------

class ExportCheck : public ::testing::Test {
protected:
    ExportCheck() {
        write_checkpoint(scratch_ / "checkpoint", everywhere([](const Shape& shape, unsigned seed) {
                             return random_integer(shape, 4, 32, false, seed);
                         }));
        write_export(format, scratch_ / "checkpoint", scratch_ / "export");
    }
    [[nodiscard]] std::vector<std::string> problems() const {
        return read_export_back(format, scratch_ / "checkpoint", scratch_ / "export");
    }
    void edit_config(const std::function<void(nlohmann::json&)>& change) const {
        nlohmann::json config = config_of(scratch_ / "export");
        change(config);
        write_file(scratch_ / "export" / "config.json", config.dump());
    }
    /// Flips a bit of a tensor.
    void flip(const std::string& name, std::size_t byte) const {
        const fs::path file = scratch_ / "export" / "model.safetensors";
        std::size_t place = 0;
        {
            const SafetensorsCheckpoint files(scratch_ / "export");
            const MappedFile mapped(file);
            std::uint64_t header = 0;
            std::memcpy(&header, mapped.bytes().data(), 8);
            const nlohmann::json entries = parse_json(
                std::string(reinterpret_cast<const char*>(mapped.bytes().data()) + 8, header));
            place = 8 + header + entries[name]["data_offsets"][0].get<std::size_t>() + byte;
        }
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekg(static_cast<std::streamoff>(place));
        const auto old = static_cast<char>(stream.get());
        stream.seekp(static_cast<std::streamoff>(place));
        stream.put(static_cast<char>(old ^ 1));
    }

    ScratchFolder scratch_;
};

TEST_F(ExportCheck, FindsAFlippedBitOfAnyPart) {
    EXPECT_THAT(problems(), IsEmpty());
    const std::string module = "model.layers.1.mlp.up_proj";
    for (const char* part : {".weight_packed", ".weight_scale", ".weight_zero_point"}) {
        flip(module + part, 12);
        EXPECT_THAT(problems(), ElementsAre(HasSubstr(module + ".weight"))) << part;
        flip(module + part, 12);
    }
    flip("model.embed_tokens.weight", 100);
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("embed_tokens.weight: 1 of 4800 values")));
    flip("model.embed_tokens.weight", 100);
    flip(module + ".weight_shape", 0);
    EXPECT_THAT(problems(), Each(HasSubstr(module)));
}

TEST_F(ExportCheck, FindsWhatConfigSaysWrongly) {
    const auto groups = [](nlohmann::json& config) -> nlohmann::json& {
        return config["quantization_config"]["config_groups"];
    };
    const auto expect = [&](auto&& change, const std::string& words) {
        const nlohmann::json before = config_of(scratch_ / "export");
        edit_config(change);
        std::vector<std::string> found;
        try {
            found = problems();
        } catch (const DataError& error) {
            found.emplace_back(error.what());
        }
        EXPECT_THAT(found, Contains(HasSubstr(words)));
        write_file(scratch_ / "export" / "config.json", before.dump());
    };
    expect([&](auto& c) { groups(c)["group_0"]["weights"]["symmetric"] = true; },
           "weight_zero_point belongs to no part");
    expect([&](auto& c) { groups(c)["group_0"]["weights"]["num_bits"] = 8; }, "weight_packed is");
    expect([&](auto& c) { groups(c)["group_0"]["weights"]["actorder"] = "group"; }, "actorder");
    expect([&](auto& c) { groups(c)["group_0"]["targets"].erase(0); }, "q_proj");
    expect([&](auto& c) { groups(c)["group_0"]["targets"][0] = "Linear"; },
           "no module of the model is \"Linear\"");
    expect(
        [&](auto& c) {
            groups(c)["group_1"] = groups(c)["group_0"];
            groups(c)["group_1"]["targets"] = {"model.layers.0.self_attn.q_proj"};
            groups(c)["group_0"]["targets"].erase(0);
        },
        "block_0000.qkv");
    expect([](auto& c) { c["torch_dtype"] = nullptr; }, "torch_dtype");
    expect([](auto& c) { c["hidden_size"] = 97; }, "\"hidden_size\" is 97, expected 96");
}

TEST_F(ExportCheck, FindsMissingFiles) {
    fs::remove(scratch_ / "export" / "chat_template.jinja");
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("chat_template.jinja")));
}

}  // namespace
}  // namespace lathe
