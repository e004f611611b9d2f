#include "workers/model/source_model.hpp"

#include "lib/core/errors.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/model/stream.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace fs = std::filesystem;

std::unique_ptr<SourceModel> SourceModel::open(const fs::path& directory,
                                               const std::vector<std::string>& ignore) {
    std::error_code error;
    if (!fs::is_directory(directory, error)) {
        throw MissingInputError("no such model directory: " + directory.string());
    }
    ModelSpec spec = read_model_directory(directory);
    SafetensorsCheckpoint weights(directory);
    std::vector<FoundTensor> found;
    for (const auto& [name, tensor] : weights.tensors()) {
        found.push_back({name, tensor.dtype, tensor.shape});
    }
    auto passed_over = match_tensors(spec, found, ignore, directory.string());
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

EncodedTensor source_tensor(const SourceModel& source, std::size_t index) {
    const TensorSpec& tensor = source.spec.tensors.at(index);
    const StoredTensor& stored = source.weights.at(tensor.name);
    if (tensor.transposed) {
        return dense_from_bytes(logical_bytes(tensor, stored), tensor.shape, stored.dtype);
    }
    return dense_from_bytes(stored.bytes, stored.shape, stored.dtype);
}

}  // namespace lathe
