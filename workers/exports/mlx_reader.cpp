#include "workers/exports/mlx_reader.hpp"

#include <cstring>
#include <map>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "lib/model/module_name.hpp"
#include "workers/exports/directory_reader.hpp"

namespace lathe {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct Parameters {
    std::size_t bits = 0;
    std::size_t group_size = 0;
};

class MlxReader final : public ExportReader {
public:
    explicit MlxReader(const fs::path& directory)
        : directory_(directory), files_(directory), config_(read_config(directory)) {
        const json section = config_.value("quantization", json::object());
        for (const auto& [name, value] : section.items()) {
            if (!value.is_object()) {
                continue;  // the defaults
            }
            const Parameters own{value.value("bits", std::size_t{0}),
                                 value.value("group_size", std::size_t{0})};
            const std::set<std::size_t> known_bits{2, 3, 4, 5, 6, 8};
            const std::set<std::size_t> known_groups{32, 64, 128};
            if (!known_bits.contains(own.bits) || !known_groups.contains(own.group_size)) {
                throw DataError((directory / "config.json").string() + ": quantization: " + name +
                                ": MLX has no codes of " + std::to_string(own.bits) +
                                " bits in groups of " + std::to_string(own.group_size));
            }
            modules_.emplace(name, own);
        }
        if (!modules_.empty() && !(section.contains("bits") && section.contains("group_size"))) {
            throw DataError((directory / "config.json").string() +
                            ": quantization lacks bits or group_size, without which mlx-lm fails");
        }
    }

    [[nodiscard]] std::vector<std::string> problems(const ExportedModel& model) const override {
        std::set<std::string> names;
        std::set<std::string> modules;
        for (const TensorSpec& tensor : model.spec().tensors) {
            modules.insert(module_name(tensor));
            names.insert(tensor.name);
            if (!tensor.is_bias && modules_.contains(module_name(tensor))) {
                names.insert(module_name(tensor) + ".scales");
                names.insert(module_name(tensor) + ".biases");
            }
        }
        std::vector<std::string> all = wrong_names(files_, names);
        for (const auto& [name, parameters] : modules_) {
            if (!modules.contains(name)) {
                all.push_back("config.json: quantization: no module of the model is \"" + name +
                              "\"");
            }
        }
        for (const auto& more :
             {wrong_metadata(files_), wrong_side_files(model, directory_),
              wrong_config(model, config_,
                           {"dtype", "torch_dtype", "quantization", "rope_theta", "rope_scaling",
                            "tie_word_embeddings", "head_dim", "num_key_value_heads",
                            "rms_norm_eps", "max_position_embeddings"}),
              wrong_defaults(model)}) {
            all.insert(all.end(), more.begin(), more.end());
        }
        return all;
    }

    [[nodiscard]] ReadTensor read(const ExportedModel& model, std::size_t tensor) const override {
        const TensorSpec& spec = model.spec().tensors.at(tensor);
        const auto module = spec.is_bias ? modules_.end() : modules_.find(module_name(spec));
        return module == modules_.end() ? read_dense(files_, model, tensor)
                                        : unpack(module->first, module->second);
    }

private:
    /// mlx-lm reads these at the top of config.json and has defaults of its own for them.
    [[nodiscard]] std::vector<std::string> wrong_defaults(const ExportedModel& model) const {
        const ModelSpec spec = read_model_spec(model.config(), "config.json");
        const std::map<std::string, json> expected{{"rope_theta", spec.rope.theta},
                                                   {"tie_word_embeddings", spec.tied_head},
                                                   {"head_dim", spec.head_dim},
                                                   {"num_key_value_heads", spec.n_kv_heads},
                                                   {"max_position_embeddings", spec.max_positions}};
        std::vector<std::string> problems;
        for (const auto& [key, value] : expected) {
            if (config_.value(key, json()) != value) {
                problems.push_back("config.json: \"" + key + "\" is " +
                                   config_.value(key, json()).dump() + ", expected " +
                                   value.dump());
            }
        }
        if (config_.value("rms_norm_eps", 0.0F) != spec.norm_epsilon) {
            problems.emplace_back("config.json: \"rms_norm_eps\" is not the model's");
        }
        if (spec.rope.kind != "default" && !config_.value("rope_scaling", json()).is_object()) {
            problems.emplace_back("config.json: no \"rope_scaling\" at the top");
        }
        return problems;
    }

    /// Scales or biases, as float32.
    [[nodiscard]] std::vector<float> grid(const std::string& name, const Shape& shape) const {
        const StoredTensor& stored = files_.at(name);
        if (!is_floating(stored.dtype) || stored.shape != shape) {
            throw DataError(name + " has shape " + to_string(stored.shape) + ", expected " +
                            to_string(shape));
        }
        std::vector<float> values(element_count(shape));
        to_float(stored.bytes.data(), stored.dtype, values);
        return values;
    }

    [[nodiscard]] ReadTensor unpack(const std::string& module, const Parameters& own) const {
        const StoredTensor& words = files_.at(module + ".weight");
        if (words.dtype != DType::u32 || words.shape.size() != 2 ||
            words.shape[1] * 32 % own.bits != 0) {
            throw DataError(module + ".weight is " + std::string(name(words.dtype)) +
                            to_string(words.shape) + ", expected words of " +
                            std::to_string(own.bits) + " bits");
        }
        const std::size_t rows = words.shape[0];
        const std::size_t cols = words.shape[1] * 32 / own.bits;
        const Shape groups{rows, cols / own.group_size};
        const std::vector<float> scales = grid(module + ".scales", groups);
        const std::vector<float> biases = grid(module + ".biases", groups);
        ReadTensor read{{rows, cols}, {}, std::nullopt};
        read.values.reserve(rows * cols);
        for (std::size_t i = 0; i < rows; ++i) {
            // The row as one number in base 2^bits, read from its low end.
            const std::byte* next = words.bytes.data() + i * words.shape[1] * 4;
            std::uint64_t pool = 0;
            std::size_t held = 0;
            for (std::size_t j = 0; j < cols; ++j) {
                while (held < own.bits) {
                    pool |= std::to_integer<std::uint64_t>(*next++) << held;
                    held += 8;
                }
                const auto code = static_cast<float>(pool & ((1U << own.bits) - 1));
                pool >>= own.bits;
                held -= own.bits;
                const std::size_t g = i * groups[1] + j / own.group_size;
                read.values.push_back(scales[g] * code + biases[g]);
            }
        }
        return read;
    }

    fs::path directory_;
    SafetensorsCheckpoint files_;
    json config_;
    std::map<std::string, Parameters> modules_;
};

}  // namespace

std::unique_ptr<ExportReader> make_mlx_reader(const fs::path& directory) {
    return std::make_unique<MlxReader>(directory);
}

}  // namespace lathe
