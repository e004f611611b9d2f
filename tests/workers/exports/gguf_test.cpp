#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/model/stream.hpp"
#include "tests/workers/exports/checkpoint_fixture.hpp"
#include "tests/workers/exports/export_test_support.hpp"
#include "workers/exports/gguf/architecture.hpp"
#include "workers/exports/gguf/blocks.hpp"
#include "workers/exports/gguf/dequantise.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using gguf::Type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<float> decoded(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    std::vector<float> values(rows * cols);
    decode(tensor, {values.data(), rows, cols});
    return values;
}

/// The type, and that its blocks, read as ggml reads them, have the values bit for bit.
void expect_exact(const EncodedTensor& tensor, Type type) {
    ASSERT_EQ(gguf::exact_type(tensor), type);
    const auto blocks = gguf::pack_blocks(tensor, type, {});
    EXPECT_EQ(gguf::dequantise(static_cast<std::uint32_t>(type), blocks), decoded(tensor))
        << "type " << static_cast<int>(type);
}

constexpr bool symmetric = true;
constexpr bool asymmetric = false;
const Shape wide{7, 512};
const Shape narrow{7, 96};

// Types by width and group: the table of block types in docs/serving.md.
TEST(GgufBlocks, HoldEveryGridBitForBitInTheFewestBits) {
    const auto at = [](const Shape& shape, unsigned bits, std::size_t group, bool sym) {
        return random_integer(shape, bits, group, sym, bits);
    };
    expect_exact(at(wide, 2, 64, symmetric), Type::q2_0);
    expect_exact(at(wide, 2, 32, symmetric), Type::q4_0);
    expect_exact(at(wide, 2, 256, asymmetric), Type::q2_k);
    expect_exact(at(wide, 2, 64, asymmetric), Type::q4_0);
    expect_exact(at(wide, 3, 256, symmetric), Type::q3_k);
    expect_exact(at(wide, 3, 512, symmetric), Type::q3_k);
    expect_exact(at(wide, 3, 128, symmetric), Type::q4_0);
    expect_exact(at(wide, 3, 128, asymmetric), Type::q4_0);
    expect_exact(at(wide, 4, 32, symmetric), Type::q4_0);
    expect_exact(at(wide, 4, 256, asymmetric), Type::q4_k);
    expect_exact(at(wide, 4, 64, asymmetric), Type::q5_0);
    expect_exact(at(wide, 5, 64, symmetric), Type::q5_0);
    expect_exact(at(wide, 5, 256, asymmetric), Type::q5_k);
    expect_exact(at(wide, 5, 64, asymmetric), Type::q8_0);
    expect_exact(at(wide, 6, 256, symmetric), Type::q6_k);
    expect_exact(at(wide, 6, 64, symmetric), Type::q8_0);
    expect_exact(at(wide, 6, 256, asymmetric), Type::q8_0);
    expect_exact(at(wide, 7, 96, symmetric), Type::q8_0);
    expect_exact(at(wide, 7, 96, asymmetric), Type::q8_0);
    expect_exact(at(wide, 8, 32, symmetric), Type::q8_0);
    // One group a row; a last group that is short but ends with a block.
    expect_exact(at(narrow, 4, 1000, symmetric), Type::q4_0);
    expect_exact(at(narrow, 4, 64, symmetric), Type::q4_0);
    expect_exact(at(narrow, 8, 64, symmetric), Type::q8_0);
}

// A scale of five significant bits times a zero fits into the fp16 minimum of Q4_1 and Q5_1.
TEST(GgufBlocks, HoldGridsWithScalesOfOneByteInFewerBits) {
    const auto at = [](const Shape& shape, unsigned bits, std::size_t group, bool sym) {
        return random_integer(shape, {bits, group, sym, /*float8_scales=*/true}, bits);
    };
    expect_exact(at(wide, 4, 32, asymmetric), Type::q4_1);
    expect_exact(at(narrow, 4, 1000, asymmetric), Type::q4_1);
    expect_exact(at(wide, 4, 256, asymmetric), Type::q4_k);
    expect_exact(at(wide, 5, 64, asymmetric), Type::q5_1);
    expect_exact(at(wide, 5, 256, asymmetric), Type::q5_k);
    expect_exact(at(wide, 3, 64, asymmetric), Type::q4_0);
    expect_exact(at(wide, 6, 64, asymmetric), Type::q8_0);
    expect_exact(at(wide, 4, 64, symmetric), Type::q4_0);
}

TEST(GgufBlocks, HoldWhatStandsForAGrid) {
    expect_exact(random_bcq(wide, 1, 128, false, false, 1), Type::q1_0);
    expect_exact(random_bcq(wide, 1, 64, false, false, 1), Type::q2_0);
    expect_exact(random_bcq(wide, 3, 256, true, false, 1), Type::q3_k);
    expect_exact(random_nm(wide, 4, 64, false, 1), Type::q4_0);
    expect_exact(random_nm(wide, 1, 64, true, 1), Type::q2_0);
}

TEST(GgufBlocks, HoldNothingElse) {
    EXPECT_EQ(gguf::exact_type(random_integer(wide, 8, 64, asymmetric, 1)), std::nullopt);
    EXPECT_EQ(gguf::exact_type(random_integer(wide, 4, 48, symmetric, 1)), std::nullopt);
    EXPECT_EQ(gguf::exact_type(random_integer({4, 80}, 4, 16, symmetric, 1)), std::nullopt);
    EXPECT_EQ(gguf::exact_type(random_bcq(wide, 2, 128, false, false, 1)), std::nullopt);
    EXPECT_EQ(gguf::exact_type(random_bcq(wide, 1, 128, false, true, 1)), std::nullopt);
    EXPECT_EQ(gguf::exact_type(random_nm(wide, 0, 0, false, 1)), std::nullopt);
}

// A block by hand: codes 0 to 31, as 4 bits, in ggml-common.h's order: byte j has element j in its
// low half and element j + 16 in its high one.
TEST(GgufBlocks, LieAsPublished) {
    std::vector<std::uint8_t> codes(32);
    for (std::size_t j = 0; j < codes.size(); ++j) {
        codes[j] = static_cast<std::uint8_t>(j % 16 + (j < 16 ? 0 : (j % 2 == 0 ? 0 : -1)));
    }
    const std::vector<float> scale{0.5F};
    const EncodedTensor tensor =
        encode_integer({1, 32}, {4, 32, true}, {codes.data(), 1, 32}, {scale.data(), 1, 1}, {});
    const auto block = gguf::pack_blocks(tensor, Type::q4_0, {});
    ASSERT_EQ(block.size(), 18U);
    EXPECT_EQ(block[0], std::byte{0x00});  // 0.5 in fp16
    EXPECT_EQ(block[1], std::byte{0x38});
    EXPECT_EQ(block[2], std::byte{0x00});   // elements 0 and 16: 0 and 0
    EXPECT_EQ(block[3], std::byte{0x01});   // 1 and 17: 1 and 0
    EXPECT_EQ(block[17], std::byte{0xEF});  // 15 and 31: 15 and 14
}

TEST(GgufRows, OfRotatedHalvesStandInPairs) {
    const ModelSpec spec = read_model_spec(small_config(), "config.json");
    const TensorSpec& q = spec.tensors.at(*spec.find(Role::q_proj, 0));
    const auto order = gguf::row_order(spec, q);
    ASSERT_EQ(order.size(), 96U);
    EXPECT_THAT(std::vector<std::uint32_t>(order.begin(), order.begin() + 4),
                ElementsAre(0, 12, 1, 13));  // halves of 12 in a head of 24
    EXPECT_EQ(order[24], 24U);
    EXPECT_EQ(order[95], 95U);
    EXPECT_THAT(gguf::row_order(spec, spec.tensors.at(*spec.find(Role::v_proj, 0))), IsEmpty());
}

Encode alternating() {
    return [](const TensorSpec& tensor) {
        const auto seed = static_cast<unsigned>(tensor.block.value_or(9) * 40) +
                          static_cast<unsigned>(tensor.role);
        switch (tensor.role) {
            case Role::token_embedding:
                return random_integer(tensor.shape, 8, 32, true, seed);
            case Role::down_proj:
                return random_integer(tensor.shape, 3, 32, true, seed);
            case Role::gate_proj:
                return random_nm(tensor.shape, 0, 0, false, seed);
            case Role::o_proj:
                return random_dense(tensor.shape, DType::bf16, seed);
            default:
                return random_integer(tensor.shape, 4, 32, false, seed);
        }
    };
}

std::vector<std::string> problems(const ScratchFolder& scratch) {
    return read_export_back("gguf", scratch / "checkpoint", scratch / "export");
}

TEST(Gguf, ReadsBackBitForBit) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "checkpoint", alternating());
    // In pieces of some tensors each, the last one first.
    const ExportSummary summary =
        write_export("gguf", scratch / "checkpoint", scratch / "export", 10'000);
    EXPECT_THAT(problems(scratch), IsEmpty());
    EXPECT_EQ(summary.n_packed, 12U);  // q, k, v, up, down twice; embedding, head
    ASSERT_EQ(summary.dense.size(), 2U);
    EXPECT_THAT(summary.dense[0].reason, HasSubstr("nm"));
    EXPECT_THAT(summary.dense[0].name, HasSubstr("gate_proj"));
    // The same bytes from one piece.
    write_export("gguf", scratch / "checkpoint", scratch / "whole");
    EXPECT_EQ(read_file(scratch / "whole" / "model.gguf"),
              read_file(scratch / "export" / "model.gguf"));
}

TEST(Gguf, IsNoFileBeforeItsHeaderIsWritten) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "checkpoint", alternating());
    const auto writer = make_export_writer("gguf", scratch / "checkpoint");
    make_directories(scratch / "export");
    writer->write_piece(0, scratch / "export");
    EXPECT_THROW((void)problems(scratch), DataError);
    writer->write_frame(scratch / "export");
    EXPECT_THAT(problems(scratch), IsEmpty());
}

TEST(Gguf, CheckFindsAFlippedBitAnywhere) {
    const ScratchFolder scratch;
    write_checkpoint(scratch / "checkpoint", alternating());
    write_export("gguf", scratch / "checkpoint", scratch / "export");
    const fs::path file = scratch / "export" / "model.gguf";
    const std::string before = read_file(file);
    // Inside keys (the number of neurons), the table of tensors, and the data.
    const std::size_t key = before.find("llama.feed_forward_length") + 29;
    const std::size_t table = before.find("blk.1.ffn_up.weight") + 23;
    for (const std::size_t place : {std::size_t{4}, key, table, before.size() - 40}) {
        std::string damaged = before;
        damaged[place] ^= 1;
        write_file(file, damaged);
        std::vector<std::string> found;
        try {
            found = problems(scratch);
        } catch (const DataError& error) {
            found.emplace_back(error.what());
        }
        EXPECT_THAT(found, Not(IsEmpty())) << place;
    }
}

TEST(Gguf, RefusesWhatLlamaCppComputesOtherwise) {
    const auto config_of = [](const std::string& folder) {
        const fs::path file = fs::path(LATHE_SOURCE_DIR) / "tests/data/parity" / folder;
        return read_model_spec(read_file(file / "config.json"), folder);
    };
    EXPECT_THAT(gguf::refuses(config_of("mistral")), HasSubstr("sliding window of 7"));
    EXPECT_THAT(gguf::refuses(config_of("opt")), HasSubstr("no architecture"));
    EXPECT_THAT(gguf::refuses(config_of("bert")), HasSubstr("no architecture"));
    ModelSpec spec = config_of("llama");
    EXPECT_EQ(gguf::refuses(spec), "");
    spec.activation = Activation::gelu;
    EXPECT_THAT(gguf::refuses(spec), HasSubstr("another activation"));
    spec = config_of("llama");
    const std::vector<std::size_t> widths(n_boundaries(spec), 8);
    EXPECT_THAT(gguf::refuses(sliced_spec(spec, {widths, true, false}, "test")),
                HasSubstr("slice.rotation: global"));
    const ModelSpec tied = config_of("llama3");
    const std::vector<std::size_t> of_tied(n_boundaries(tied), 8);
    EXPECT_THAT(gguf::refuses(sliced_spec(tied, {of_tied, false, true}, "test")),
                HasSubstr("slice.tables: own"));
}

}  // namespace
}  // namespace lathe
