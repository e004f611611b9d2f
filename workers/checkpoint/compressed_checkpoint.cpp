#include "workers/checkpoint/compressed_checkpoint.hpp"

#include <algorithm>

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/errors.hpp"
#include "lib/job/run_directory.hpp"
#include "lib/model/stream.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {
namespace fs = std::filesystem;

std::string shard_file(std::optional<std::size_t> block) {
    return "blocks/" + (block ? block_name(*block).substr(6) : std::string("outer")) + ".h5";
}

bool CompressedCheckpoint::is_one(const fs::path& directory) {
    std::error_code ignored;
    return fs::exists(directory / "checkpoint.h5", ignored);
}

CompressedCheckpoint::CompressedCheckpoint(fs::path directory, bool allow_nan_rows)
    : directory_(std::move(directory)),
      attributes_(ArtifactReader(directory_ / "checkpoint.h5").attributes("/")) {
    const std::int64_t version =
        integer_attribute(attributes_, "format_version", (directory_ / "checkpoint.h5").string());
    if (version != 1) {
        throw DataError((directory_ / "checkpoint.h5").string() + ": format version " +
                        std::to_string(version) + ", this program reads version 1");
    }
    spec_ = describe(directory_);
    spec_.allow_nan_rows = allow_nan_rows;
}

ModelSpec CompressedCheckpoint::describe(const fs::path& directory) {
    return read_model_directory(directory);
}

EncodedTensor CompressedCheckpoint::read(std::size_t tensor, bool check_hash) const {
    const TensorSpec& spec = spec_.tensors.at(tensor);
    const ArtifactReader shard(directory_ / shard_file(spec.block));
    return read_encoded(shard, "/" + spec.name, check_hash);
}

DType CompressedCheckpoint::source_dtype(std::size_t tensor) const {
    const TensorSpec& spec = spec_.tensors.at(tensor);
    const ArtifactReader shard(directory_ / shard_file(spec.block));
    const std::string path = "/" + spec.name;
    const Attributes attributes = shard.attributes(path);
    if (attributes.contains(source_dtype_attribute)) {
        return dtype_from_name(text_attribute(attributes, source_dtype_attribute,
                                              shard.path().string() + ": " + path));
    }
    // Norms and biases that are dense are stored as they were.
    if (!is_in_unit(spec_, tensor)) {
        const EncodedTensor header = read_encoded_header(shard, path);
        if (header.encoding == "dense") {
            return header.parts.at(0).dtype;
        }
    }
    return dtype_from_name(text_attribute(attributes_, "source_dtype", directory_.string()));
}

EncodedTensor CompressedCheckpoint::read_header(std::size_t tensor) const {
    const TensorSpec& spec = spec_.tensors.at(tensor);
    return read_encoded_header(ArtifactReader(directory_ / shard_file(spec.block)),
                               "/" + spec.name);
}

}  // namespace lathe
