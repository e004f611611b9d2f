#include "tests/workers/exports/checkpoint_fixture.hpp"

#include <random>
#include <vector>

#include <unistd.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/nm.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}

    std::vector<std::uint8_t> below(unsigned limit, std::size_t count) {
        std::vector<std::uint8_t> values(count);
        for (std::uint8_t& value : values) {
            value = static_cast<std::uint8_t>(engine_() % limit);
        }
        return values;
    }
    /// fp16 numbers with all 11 bits in use, from 2^-8 to 2^4.
    std::vector<float> scales(std::size_t count) {
        std::vector<float> values(count);
        for (float& value : values) {
            const auto mantissa = static_cast<std::uint16_t>(engine_() % 1024);
            const auto exponent = static_cast<std::uint16_t>(7 + engine_() % 12);
            value = half_to_float(static_cast<std::uint16_t>(exponent << 10 | mantissa));
        }
        return values;
    }

    /// All of the numbers that a scale of one byte has, from 2^-14 to 3.875.
    std::vector<float> float8_scales(std::size_t count) {
        std::vector<float> values(count);
        for (float& value : values) {
            value = float8_scale(static_cast<std::byte>(engine_() % 256));
        }
        return values;
    }

private:
    std::mt19937 engine_;
};

template <class T>
MatrixView<const T> view(const std::vector<T>& data, std::size_t rows) {
    return {data.data(), rows, rows == 0 ? 0 : data.size() / rows};
}

}  // namespace

ScratchFolder::ScratchFolder() {
    static int count = 0;
    path_ = fs::temp_directory_path() /
            ("lathe_exports_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
    fs::remove_all(path_);
    make_directories(path_);
}

ScratchFolder::~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

std::string small_config() {
    return R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 96,
        "intermediate_size": 160, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": 2, "vocab_size": 50, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
        "hidden_act": "silu"})";
}

void write_checkpoint(const fs::path& directory, const Encode& encode, const std::string& config) {
    make_directories(directory / "blocks");
    write_file(directory / "config.json", config);
    write_file(directory / "tokenizer_config.json",
               R"({"tokenizer_class": "TokenizersBackend", "model_max_length": 64})");
    write_file(directory / "chat_template.jinja", "{{ messages }}\n");
    const ModelSpec spec = read_model_spec(config, "config.json");
    std::vector<std::optional<std::size_t>> blocks{std::nullopt};
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        blocks.emplace_back(b);
    }
    ArtifactWriter master(directory / "checkpoint.h5");
    master.group("/", {{"format_version", std::int64_t{1}},
                       {"source_dtype", std::string("bfloat16")},
                       {"checkpoint_hash", std::string("0")}});
    for (const auto& block : blocks) {
        const std::string file = shard_file(block);
        ArtifactWriter shard(directory / file);
        for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
            if (spec.tensors[t].block == block) {
                write_encoded(shard, "/" + spec.tensors[t].name,
                              is_in_unit(spec, t)
                                  ? encode(spec.tensors[t])
                                  : random_dense(spec.tensors[t].shape, DType::f32, 1));
            }
        }
        shard.commit();
        master.external_link("/" + file.substr(0, file.size() - 3), file);
    }
    master.commit();
}

EncodedTensor random_dense(const Shape& shape, DType dtype, unsigned seed) {
    const auto [rows, cols] = matrix_extents(shape);
    return encode_dense(view(Random(seed).scales(rows * cols), rows), shape, dtype);
}

EncodedTensor random_integer(const Shape& shape, const IntegerLayout& layout, unsigned seed) {
    const auto [rows, cols] = matrix_extents(shape);
    const std::size_t count = rows * groups_per_row(cols, layout.group_size);
    const unsigned levels = 1U << layout.num_bits;
    Random random(seed);
    const auto zeros = random.below(levels, count);
    const auto codes = random.below(levels, rows * cols);
    const auto scales = layout.float8_scales ? random.float8_scales(count) : random.scales(count);
    return encode_integer(shape, layout, view(codes, rows), view(scales, rows),
                          view(std::vector<float>(zeros.begin(), zeros.end()), rows));
}

EncodedTensor random_integer(const Shape& shape, unsigned num_bits, std::size_t group_size,
                             bool symmetric, unsigned seed) {
    return random_integer(shape, {num_bits, group_size, symmetric}, seed);
}

EncodedTensor random_bcq(const Shape& shape, unsigned planes, std::size_t group_size, bool uniform,
                         bool offset, unsigned seed) {
    const auto [rows, cols] = matrix_extents(shape);
    const BcqLayout layout{planes, group_size, uniform, offset};
    const std::size_t groups = groups_per_row(cols, group_size);
    Random random(seed);
    const auto zeros = random.below(1U << planes, rows * groups);
    return encode_bcq(shape, layout, view(random.below(1U << planes, rows * cols), rows),
                      view(random.scales(rows * groups * layout.scales_per_group()), rows),
                      view(std::vector<float>(zeros.begin(), zeros.end()), rows));
}

EncodedTensor random_nm(const Shape& shape, unsigned num_bits, std::size_t group_size, bool binary,
                        unsigned seed) {
    const auto [rows, cols] = matrix_extents(shape);
    NmLayout layout{.n = 2, .m = 4, .num_bits = num_bits, .binary = binary};
    Random random(seed);
    std::vector<std::uint8_t> keep(rows * cols);
    for (std::size_t i = 0; i < keep.size(); ++i) {
        keep[i] = i % 4 == i / cols % 2 || i % 4 == 2 + i / 4 % 2 ? 1 : 0;
    }
    if (num_bits == 0) {
        std::vector<float> values = random.scales(rows * cols);
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = keep[i] != 0 ? values[i] : 0.0F;
        }
        return encode_nm_values(shape, layout, view(keep, rows), view(values, rows));
    }
    layout.group_size = group_size;
    const std::size_t scales = groups_per_row(cols, group_size) * layout.scales_per_group();
    return encode_nm_codes(shape, layout, view(keep, rows),
                           view(random.below(1U << num_bits, rows * cols), rows),
                           view(random.scales(rows * scales), rows));
}

}  // namespace lathe
