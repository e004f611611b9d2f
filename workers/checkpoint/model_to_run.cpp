#include "workers/checkpoint/model_to_run.hpp"

#include "lib/core/errors.hpp"

namespace lathe {

ModelToRun::ModelToRun(const std::filesystem::path& directory, LookupTables tables) {
    if (CompressedCheckpoint::is_one(directory)) {
        compressed_ = std::make_unique<CompressedCheckpoint>(directory);
        weights_ = std::make_unique<CheckpointWeights>(*compressed_, tables);
    } else {
        source_ = SourceModel::open(directory, {});
        weights_ = std::make_unique<SourceWeights>(source_->spec, source_->weights);
    }
}

const ModelSpec& ModelToRun::spec() const {
    return compressed_ ? compressed_->spec() : source_->spec;
}

std::uint64_t ModelToRun::weight_bytes() const {
    if (source_) {
        return source_->weights.tensor_bytes();
    }
    std::uint64_t bytes = std::filesystem::file_size(compressed_->directory() / shard_file({}));
    for (std::size_t b = 0; b < compressed_->spec().n_blocks; ++b) {
        bytes += std::filesystem::file_size(compressed_->directory() / shard_file(b));
    }
    return bytes;
}

void require_same_outputs(const ModelSpec& model, const ModelSpec& reference,
                          const std::string& where) {
    if (reference.head != model.head || reference.n_outputs() != model.n_outputs()) {
        throw DataError(where + ": has " + std::to_string(reference.n_outputs()) +
                        " outputs (vocabulary or labels), the evaluated model " +
                        std::to_string(model.n_outputs()));
    }
}

}  // namespace lathe
