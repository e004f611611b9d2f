#include <gtest/gtest.h>

#include "lib/core/file.hpp"
#include "lib/encoding/integer.hpp"
#include "tests/workers/exports/checkpoint_fixture.hpp"
#include "tests/workers/exports/export_test_support.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

std::uint64_t bytes_in(const fs::path& directory) {
    std::uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        bytes += entry.is_regular_file() ? entry.file_size() : 0;
    }
    return bytes;
}

/// Units of all kinds side by side, others for another `seed`; every tensor of a unit is alike.
EncodedTensor mixed(const ModelSpec& spec, const TensorSpec& tensor, std::size_t seed) {
    std::size_t u = 0;
    while (std::ranges::none_of(spec.units[u].tensors, [&](std::size_t t) {
        return spec.tensors[t].name == tensor.name;
    })) {
        ++u;
    }
    switch ((u * 7 + seed) % 5) {
        case 0:
            return random_dense(tensor.shape, DType::bf16, 1);
        case 1:
            return random_integer(tensor.shape, 4, 32, true, 2);
        case 2:
            return random_integer(tensor.shape, 8, 1000, true, 3);
        case 3:
            return random_integer(tensor.shape, 4, 32, false, 4);
        default:
            return random_integer(tensor.shape, 3, 32, true, 5);
    }
}

/// A compressed checkpoint, and the same as one that is still to be made.
struct Model {
    ScratchFolder folder;
    fs::path checkpoint = folder / "checkpoint";
    ModelOutline outline;

    explicit Model(std::size_t seed, const std::string& config = small_config()) {
        const ModelSpec spec = read_model_spec(config, "config.json");
        write_checkpoint(
            checkpoint, [&](const TensorSpec& tensor) { return mixed(spec, tensor, seed); },
            config);
        outline = {checkpoint, spec, {}};
        const ExportedModel made(checkpoint);
        for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
            outline.dtypes.push_back(made.dtype(t));
        }
    }

    [[nodiscard]] std::unique_ptr<ExportWriter> planned(const std::string& format,
                                                        std::uint64_t shard, bool all_dense) const {
        const ExportedModel made(checkpoint);
        std::vector<EncodedTensor> headers;
        for (std::size_t t = 0; t < outline.spec.tensors.size(); ++t) {
            EncodedTensor header = made.header(t);
            header.parts.clear();
            if (all_dense) {
                header.encoding = "dense";
            }
            headers.push_back(std::move(header));
        }
        return make_export_writer(
            format, std::make_shared<const ExportedModel>(outline, std::move(headers)), shard);
    }
};

class ExportSize : public ::testing::TestWithParam<const char*> {};

TEST_P(ExportSize, IsKnownToTheByteBeforeThereIsACheckpoint) {
    const std::string format = GetParam();
    for (const std::size_t seed : {0, 1, 2, 3}) {
        for (const std::uint64_t shard : {std::uint64_t{30000}, default_export_shard_bytes}) {
            const Model model(seed);
            const fs::path directory = model.folder / "export";
            write_export(format, model.checkpoint, directory, shard);
            EXPECT_EQ(model.planned(format, shard, false)->total_bytes(), bytes_in(directory))
                << format << ", seed " << seed << ", shards of " << shard;
            EXPECT_EQ(make_export_writer(format, model.checkpoint, shard)->total_bytes(),
                      bytes_in(directory));
        }
    }
}

TEST_P(ExportSize, IsBoundedByASumOverTensors) {
    const std::string format = GetParam();
    for (const std::size_t seed : {0, 1, 2, 3}) {
        for (const std::uint64_t shard : {std::uint64_t{30000}, default_export_shard_bytes}) {
            const Model model(seed);
            const auto dense = model.planned(format, shard, true);
            const auto plan = model.planned(format, shard, false);
            const std::size_t n = model.outline.spec.tensors.size();
            std::uint64_t bound = dense->total_bytes() + plan->settings_bytes();
            for (std::size_t t = 0; t < n; ++t) {
                bound += plan->tensor_bytes(t) - dense->tensor_bytes(t);
            }
            const std::uint64_t exact = plan->total_bytes();
            EXPECT_GE(bound, exact) << format << ", seed " << seed << ", shards of " << shard;
            if (format == "gguf") {
                EXPECT_EQ(bound, exact);
            } else {
                EXPECT_LE(bound, exact + 150 * n + plan->settings_bytes()) << format << seed;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, ExportSize,
                         ::testing::Values("compressed-tensors", "gguf", "mlx", "hf"));

TEST(ExportedModelToBe, HasNothingToRead) {
    const Model model(1);
    ExportedModel to_be(model.outline,
                        std::vector<EncodedTensor>(model.outline.spec.tensors.size()));
    EXPECT_ANY_THROW((void)to_be.read(0));
}

TEST(UnitFate, SaysWhatAFormatDoesWithAUnit) {
    const ModelSpec spec = read_model_spec(small_config(), "config.json");
    const auto fate = [&](const char* format, const char* unit_name, unsigned bits,
                          std::size_t group, bool symmetric) {
        const auto unit = std::ranges::find(spec.units, unit_name, &UnitSpec::name);
        std::vector<EncodedTensor> headers;
        for (const std::size_t t : unit->tensors) {
            headers.push_back(integer_outline(spec.tensors[t].shape, {bits, group, symmetric}));
        }
        return find_export_format(format).unit_fate(spec, *unit, headers).kind;
    };
    using enum UnitFate::Kind;
    EXPECT_EQ(fate("compressed-tensors", "block_0000.qkv", 4, 32, true), packed);
    EXPECT_EQ(fate("compressed-tensors", "block_0000.qkv", 4, 64, true), refused);
    EXPECT_EQ(fate("compressed-tensors", "block_0000.qkv", 5, 32, false), dense);  // no whole words
    EXPECT_EQ(fate("compressed-tensors", "embedding", 4, 32, true), dense);
    EXPECT_EQ(fate("gguf", "embedding", 4, 32, true), packed);
    EXPECT_EQ(fate("gguf", "block_0000.down", 8, 32, false), dense);
    EXPECT_EQ(fate("gguf", "block_0000.down", 4, 48, true), dense);
    EXPECT_EQ(fate("mlx", "block_0000.down", 7, 32, true), dense);
    EXPECT_EQ(fate("mlx", "block_0000.down", 6, 32, true), packed);
}

}  // namespace
}  // namespace lathe
