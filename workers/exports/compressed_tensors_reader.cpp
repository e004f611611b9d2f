#include "workers/exports/compressed_tensors_reader.hpp"

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

/// What a config group says of the modules that it names.
struct Arguments {
    std::string group;
    std::size_t bits = 0;
    bool symmetric = true;
    std::size_t group_size = 0;  ///< 0: a scale a row
};

/// One bit of a string of bits that is cut into 32-bit words, lowest bit first; word w stands at
/// words[w * stride].
unsigned bit_at(std::span<const std::byte> words, std::size_t bit, std::size_t stride) {
    std::uint32_t word = 0;
    std::memcpy(&word, words.data() + bit / 32 * stride * sizeof(word), sizeof(word));
    return word >> bit % 32 & 1U;
}

/// The number whose bits begin at `first`.
unsigned number_at(std::span<const std::byte> words, std::size_t first, std::size_t bits,
                   std::size_t stride) {
    unsigned number = 0;
    for (std::size_t b = 0; b < bits; ++b) {
        number |= bit_at(words, first + b, stride) << b;
    }
    return number;
}

/// @throws DataError  for keys or values that compressed-tensors refuses
Arguments read_arguments(const std::string& group, const json& scheme, const std::string& where) {
    const auto refuse = [&](const std::string& what) {
        throw DataError(where + ": " + group + ": " + what);
    };
    static const std::set<std::string> known_scheme{"targets", "weights", "input_activations",
                                                    "output_activations", "format"};
    static const std::set<std::string> known_weights{"num_bits", "type",    "symmetric",
                                                     "strategy", "dynamic", "group_size"};
    for (const auto& [key, value] : scheme.items()) {
        if (!known_scheme.contains(key)) {
            refuse("no key \"" + key + "\" is known in a group");
        }
    }
    const json& weights = scheme.at("weights");
    for (const auto& [key, value] : weights.items()) {
        if (!known_weights.contains(key)) {
            refuse("no key \"" + key + "\" is known of weights");
        }
    }
    if (weights.at("type") != "int" || weights.at("dynamic") != false ||
        !scheme.at("input_activations").is_null() ||
        scheme.value("format", "pack-quantized") != "pack-quantized") {
        refuse("expected whole numbers of weights alone, packed");
    }
    Arguments arguments{group, weights.at("num_bits"), weights.at("symmetric"), 0};
    if (arguments.bits < 1 || arguments.bits > 8) {
        refuse("num_bits is " + std::to_string(arguments.bits) + ", expected 1 to 8");
    }
    const std::string strategy = weights.at("strategy");
    if (strategy == "group") {
        arguments.group_size = weights.at("group_size");
    }
    if ((strategy != "group" && strategy != "channel") ||
        (strategy == "group") != (arguments.group_size > 0) ||
        (strategy == "channel" && weights.contains("group_size"))) {
        refuse("strategy is \"" + strategy + "\" with group_size " +
               std::to_string(arguments.group_size) +
               "; expected \"group\" with a size or \"channel\" without");
    }
    return arguments;
}

class CompressedTensorsReader final : public ExportReader {
public:
    explicit CompressedTensorsReader(const fs::path& directory)
        : directory_(directory), files_(directory), config_(read_config(directory)) {
        const std::string where = (directory / "config.json").string();
        const auto section = config_.find("quantization_config");
        if (section == config_.end()) {
            return;  // nothing has codes
        }
        try {
            read_section(*section, where);
        } catch (const json::exception& error) {
            throw DataError(where + ": quantization_config: " + error.what());
        }
    }

    [[nodiscard]] std::vector<std::string> problems(const ExportedModel& model) const override {
        std::set<std::string> names;
        std::set<std::string> modules;
        for (const TensorSpec& tensor : model.spec().tensors) {
            modules.insert(module_name(tensor));
            for (const std::string& name : names_of(tensor)) {
                names.insert(name);
            }
        }
        std::vector<std::string> all = wrong_names(files_, names);
        const auto add = [&](const std::vector<std::string>& more) {
            all.insert(all.end(), more.begin(), more.end());
        };
        for (const auto& [target, arguments] : targets_) {
            if (!modules.contains(target)) {
                all.push_back("config.json: " + arguments.group + ": no module of the model is \"" +
                              target + "\"");
            }
        }
        add(wrong_metadata(files_));
        add(wrong_side_files(model, directory_));
        add(wrong_config(model, config_, {"dtype", "torch_dtype"}));
        add(wrong_dtype());
        add(mixed_units(model.spec()));
        return all;
    }

    [[nodiscard]] ReadTensor read(const ExportedModel& model, std::size_t tensor) const override {
        const TensorSpec& spec = model.spec().tensors.at(tensor);
        const auto target = spec.is_bias ? targets_.end() : targets_.find(module_name(spec));
        if (target == targets_.end()) {
            return read_dense(files_, model, tensor);
        }
        return unpack(target->first, target->second);
    }

private:
    void read_section(const json& section, const std::string& where) {
        if (section.at("quant_method") != "compressed-tensors" ||
            section.at("format") != "pack-quantized" ||
            section.at("quantization_status") != "compressed") {
            throw DataError(where +
                            ": quantization_config: expected compressed-tensors, pack-quantized, "
                            "compressed");
        }
        for (const auto& [group, scheme] : section.at("config_groups").items()) {
            const Arguments arguments = read_arguments(group, scheme, where);
            for (const std::string target : scheme.at("targets")) {
                if (!targets_.emplace(target, arguments).second) {
                    throw DataError(where + ": two groups name \"" + target + "\"");
                }
            }
        }
        for (const std::string ignored : section.at("ignore")) {
            if (targets_.contains(ignored)) {
                throw DataError(where + ": \"" + ignored + "\" is a target and ignored");
            }
        }
    }

    [[nodiscard]] std::vector<std::string> names_of(const TensorSpec& tensor) const {
        const auto target = tensor.is_bias ? targets_.end() : targets_.find(module_name(tensor));
        if (target == targets_.end()) {
            return {tensor.name};
        }
        const std::string& module = target->first;
        std::vector<std::string> names{module + ".weight_packed", module + ".weight_scale",
                                       module + ".weight_shape"};
        if (!target->second.symmetric) {
            names.push_back(module + ".weight_zero_point");
        }
        return names;
    }

    [[nodiscard]] std::vector<std::string> wrong_dtype() const {
        const json none;
        const json& now = config_.contains("dtype") ? config_["dtype"] : none;
        const json& before = config_.contains("torch_dtype") ? config_["torch_dtype"] : none;
        if (now.is_string() && now == before) {
            return {};
        }
        return {"config.json: dtype is " + now.dump() + " and torch_dtype " + before.dump() +
                "; expected the same name"};
    }

    /// vLLM takes the scheme of the first layer of a unit for all of them.
    [[nodiscard]] std::vector<std::string> mixed_units(const ModelSpec& spec) const {
        std::vector<std::string> problems;
        for (const UnitSpec& unit : spec.units) {
            std::set<std::string> groups;
            for (const std::size_t t : unit.tensors) {
                const auto target = targets_.find(module_name(spec.tensors[t]));
                groups.insert(target == targets_.end() ? "dense" : target->second.group);
            }
            if (groups.size() > 1) {
                problems.push_back("the layers of " + unit.name +
                                   ", which are run as one, have several schemes");
            }
        }
        return problems;
    }

    /// A part of a module's weight. @throws DataError  if it has another type or shape
    [[nodiscard]] const StoredTensor& part(const std::string& name, DType dtype,
                                           const Shape& shape) const {
        const StoredTensor& stored = files_.at(name);
        if (stored.dtype != dtype || stored.shape != shape) {
            throw DataError(name + " is " + std::string(lathe::name(stored.dtype)) +
                            to_string(stored.shape) + ", expected " +
                            std::string(lathe::name(dtype)) + to_string(shape));
        }
        return stored;
    }

    [[nodiscard]] ReadTensor unpack(const std::string& module, const Arguments& arguments) const {
        std::array<std::int64_t, 2> extents{};
        std::memcpy(extents.data(), part(module + ".weight_shape", DType::i64, {2}).bytes.data(),
                    sizeof(extents));
        if (extents[0] < 1 || extents[1] < 1 || extents[0] > (1LL << 40) ||
            extents[1] > (1LL << 40)) {
            throw DataError(module + ".weight_shape: no shape of a matrix");
        }
        const auto rows = static_cast<std::size_t>(extents[0]);
        const auto cols = static_cast<std::size_t>(extents[1]);
        const std::size_t group = arguments.group_size == 0 ? cols : arguments.group_size;
        if (cols % group != 0) {
            throw DataError(module + ": groups of " + std::to_string(group) +
                            " do not divide rows of " + std::to_string(cols));
        }
        const std::size_t groups = cols / group;
        const std::size_t words = (cols * arguments.bits + 31) / 32;
        const auto& packed = part(module + ".weight_packed", DType::i32, {rows, words});
        const auto& scales = part(module + ".weight_scale", DType::f16, {rows, groups});
        std::span<const std::byte> zeros;
        if (!arguments.symmetric) {
            zeros = part(module + ".weight_zero_point", DType::i32,
                         {(rows * arguments.bits + 31) / 32, groups})
                        .bytes;
        }
        ReadTensor read{{rows, cols}, std::vector<float>(rows * cols), std::nullopt};
        for (std::size_t i = 0; i < rows; ++i) {
            const auto row = packed.bytes.subspan(i * words * 4, words * 4);
            for (std::size_t j = 0; j < cols; ++j) {
                const std::size_t g = j / group;
                std::uint16_t scale = 0;
                std::memcpy(&scale, scales.bytes.data() + (i * groups + g) * 2, sizeof(scale));
                const unsigned zero = arguments.symmetric
                                          ? 1U << (arguments.bits - 1)
                                          : number_at(zeros.subspan(g * 4), i * arguments.bits,
                                                      arguments.bits, groups);
                const unsigned code = number_at(row, j * arguments.bits, arguments.bits, 1);
                const int difference = static_cast<int>(code) - static_cast<int>(zero);
                read.values[i * cols + j] = half_to_float(scale) * static_cast<float>(difference);
            }
        }
        return read;
    }

    fs::path directory_;
    SafetensorsCheckpoint files_;
    json config_;
    std::map<std::string, Arguments> targets_;  ///< by module
};

}  // namespace

std::unique_ptr<ExportReader> make_compressed_tensors_reader(const fs::path& directory) {
    return std::make_unique<CompressedTensorsReader>(directory);
}

}  // namespace lathe
