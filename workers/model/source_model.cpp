#include "workers/model/source_model.hpp"

#include <algorithm>
#include <map>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/log.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/model/model_directory.hpp"
#include "lib/model/rope.hpp"
#include "lib/model/settled_config.hpp"
#include "lib/model/stream.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Whether two tensors hold the same values, in whatever types they are stored.
bool same_values(const StoredTensor& a, const StoredTensor& b) {
    if (a.shape != b.shape) {
        return false;
    }
    if (a.dtype == b.dtype) {
        return std::ranges::equal(a.bytes, b.bytes);
    }
    if (!is_floating(a.dtype) || !is_floating(b.dtype)) {
        return false;
    }
    const std::size_t count = element_count(a.shape);
    constexpr std::size_t step = 1 << 16;
    std::vector<float> of_a(std::min(step, count));
    std::vector<float> of_b(of_a.size());
    for (std::size_t i = 0; i < count; i += step) {
        const std::size_t n = std::min(step, count - i);
        to_float(a.bytes.data() + i * size_bytes(a.dtype), a.dtype, {of_a.data(), n});
        to_float(b.bytes.data() + i * size_bytes(b.dtype), b.dtype, {of_b.data(), n});
        if (!std::equal(of_a.begin(), of_a.begin() + static_cast<std::ptrdiff_t>(n),
                        of_b.begin())) {
            return false;
        }
    }
    return true;
}

/// Stored rotary frequencies that contradict config.json are refused: one of the two is wrong.
void check_buffers(const ModelSpec& spec, const SafetensorsCheckpoint& weights,
                   const std::vector<PassedOver>& passed_over, const std::string& where) {
    for (const PassedOver& buffer : passed_over) {
        const StoredTensor& tensor = weights.at(buffer.name);
        if (buffer.reason != "a buffer" || !buffer.name.ends_with(".inv_freq") ||
            !is_floating(tensor.dtype)) {
            continue;
        }
        std::vector<float> values(element_count(tensor.shape));
        to_float(tensor.bytes.data(), tensor.dtype, values);
        check_stored_frequencies(spec.rope, values, buffer.name, where);
    }
}

}  // namespace

std::string ModelOutline::config_text() const {
    return settled_config ? *settled_config : read_file(directory / "config.json");
}

std::unique_ptr<SourceModel> SourceModel::open(const fs::path& directory,
                                               const ModelReading& reading) {
    require_model_directory(directory);
    const fs::path config_file = directory / "config.json";
    const std::string config = read_file(config_file);
    ModelSpec spec = read_model_directory(directory, config);
    SafetensorsCheckpoint weights(directory);
    std::vector<FoundTensor> found;
    for (const auto& [name, tensor] : weights.tensors()) {
        found.push_back({name, tensor.dtype, tensor.shape});
    }
    std::error_code error;
    const bool is_own = fs::exists(directory / slicing_file, error);  // and settled when written
    const auto settled = is_own ? std::nullopt
                                : settle_config(
                                      config, found,
                                      [&](const std::string& a, const std::string& b) {
                                          return same_values(weights.at(a), weights.at(b));
                                      },
                                      config_file.string());
    std::optional<std::string> settled_text;
    if (settled) {
        log_warning_once("weights_win_over_config file=" + config_file.string() + ": " +
                         settled->change);
        settled_text = settled->text;
        spec = read_model_directory(directory, settled->text);
    }
    spec.allow_nan_rows = reading.allow_nan_rows;
    auto passed_over = match_tensors(spec, found, reading.ignore, directory.string());
    check_buffers(spec, weights, passed_over, directory.string());
    if (!spec.quantisation.empty()) {
        log_warning_once("quantisation_left_over model=" + directory.string() +
                         ": config.json has " + spec.quantisation +
                         ", but the weights are not quantised");
    }
    std::vector<DType> dtypes;
    for (const TensorSpec& tensor : spec.tensors) {
        dtypes.push_back(weights.at(tensor.name).dtype);
    }
    return std::make_unique<SourceModel>(
        SourceModel{{directory, std::move(spec), std::move(dtypes), std::move(settled_text)},
                    std::move(weights),
                    std::move(passed_over)});
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& directory, const ModelSpec& spec) {
    std::unique_ptr<Tokenizer> tokenizer;
    try {
        tokenizer = load_tokenizer(directory);
    } catch (const MissingInputError&) {
        return nullptr;
    }
    if (tokenizer->id_limit() > spec.vocab_size) {
        log_info("tokenizer_beyond_model largest_id=" + std::to_string(tokenizer->id_limit() - 1) +
                 " vocab_size=" + std::to_string(spec.vocab_size) +
                 " (an error only where a text uses such an id)");
    }
    return tokenizer;
}

DType main_dtype(const ModelOutline& model) {
    std::map<DType, std::size_t> counts;
    for (std::size_t t = 0; t < model.spec.tensors.size(); ++t) {
        counts[model.dtype(t)] += element_count(model.spec.tensors[t].shape);
    }
    return std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; })->first;
}

bool is_in_unit(const ModelSpec& spec, std::size_t tensor) {
    return std::ranges::any_of(spec.units, [&](const UnitSpec& unit) {
        return std::ranges::count(unit.tensors, tensor) > 0;
    });
}

std::span<const std::byte> elements_of(const SourceModel& source, std::size_t index,
                                       std::vector<std::byte>& memory) {
    const TensorSpec& tensor = source.spec.tensors.at(index);
    const StoredTensor& stored = source.weights.at(tensor.name);
    std::span<const std::byte> elements = stored.bytes;
    if (tensor.transposed) {
        memory =
            turned(stored.bytes, size_bytes(stored.dtype), tensor.shape.at(1), tensor.shape.at(0));
        elements = memory;
    }
    if (!source.neuron_orders.empty() && holds_neurons(tensor)) {
        memory = in_neuron_order(tensor, source.neuron_orders.at(tensor.block.value()), elements,
                                 size_bytes(stored.dtype));
        elements = memory;
    }
    return elements;
}

EncodedTensor source_tensor(const SourceModel& source, std::size_t index) {
    const TensorSpec& tensor = source.spec.tensors.at(index);
    std::vector<std::byte> memory;
    EncodedTensor copy =
        dense_from_bytes(elements_of(source, index, memory), tensor.shape, source.dtype(index));
    source.weights.release(source.weights.at(tensor.name));
    return copy;
}

}  // namespace lathe
