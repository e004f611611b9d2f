#include "workers/checkpoint/model_to_run.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {

ModelToRun::ModelToRun(const std::filesystem::path& directory, const ModelReading& reading,
                       LookupTables tables) {
    if (CompressedCheckpoint::is_one(directory)) {
        compressed_ = std::make_unique<CompressedCheckpoint>(directory, reading.allow_nan_rows);
        weights_ = std::make_unique<CheckpointWeights>(*compressed_, tables);
    } else {
        source_ = SourceModel::open(directory, reading);
        weights_ = std::make_unique<SourceWeights>(*source_);
    }
}

const ModelSpec& ModelToRun::spec() const {
    return compressed_ ? compressed_->spec() : source_->spec;
}

void ModelToRun::add_names(KnownNames& names) const {
    names.add(spec());
    if (source_) {
        names.add(source_->passed_over);
    }
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

std::string to_json(const ModelReading& reading) {
    return nlohmann::json{{"ignore", reading.ignore}, {"allow_nan_rows", reading.allow_nan_rows}}
        .dump();
}

ModelReading model_reading_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("ignore").get<std::vector<std::string>>(), json.at("allow_nan_rows")};
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
