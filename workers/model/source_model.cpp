#include "workers/model/source_model.hpp"

#include <algorithm>
#include <map>

#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/model/model_directory.hpp"
#include "lib/model/stream.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace fs = std::filesystem;

std::unique_ptr<SourceModel> SourceModel::open(const fs::path& directory,
                                               const ModelReading& reading) {
    require_model_directory(directory);
    ModelSpec spec = read_model_directory(directory);
    SafetensorsCheckpoint weights(directory);
    std::vector<FoundTensor> found;
    for (const auto& [name, tensor] : weights.tensors()) {
        found.push_back({name, tensor.dtype, tensor.shape});
    }
    spec.allow_nan_rows = reading.allow_nan_rows;
    auto passed_over = match_tensors(spec, found, reading.ignore, directory.string());
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
        SourceModel{{directory, std::move(spec), std::move(dtypes)},
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
        throw DataError(directory.string() + ": the tokenizer has ids up to " +
                        std::to_string(tokenizer->id_limit() - 1) +
                        ", but the model's vocabulary (vocab_size) is " +
                        std::to_string(spec.vocab_size));
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

EncodedTensor source_tensor(const SourceModel& source, std::size_t index) {
    const TensorSpec& tensor = source.spec.tensors.at(index);
    const StoredTensor& stored = source.weights.at(tensor.name);
    if (tensor.transposed) {
        return dense_from_bytes(logical_bytes(tensor, stored), tensor.shape, stored.dtype);
    }
    return dense_from_bytes(stored.bytes, stored.shape, stored.dtype);
}

}  // namespace lathe
