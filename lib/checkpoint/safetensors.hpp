#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/core/dtype.hpp"
#include "lib/core/file.hpp"

namespace lathe {

/// A tensor inside a safetensors file. `bytes` points into the mapped file.
struct StoredTensor {
    DType dtype = DType::f32;
    Shape shape;
    std::span<const std::byte> bytes;  ///< element_count(shape) * size_bytes(dtype) of them
    std::size_t file_index = 0;
};

/// The weights of a Hugging Face directory: `model.safetensors`, or the shards that
/// `model.safetensors.index.json` names. Files are mapped; only headers are read on opening.
class SafetensorsCheckpoint {
public:
    /// Reads and checks all headers: length field and JSON inside the file, at most 100 MB; each
    /// tensor of a known dtype, with offsets that lie inside the file, match dtype and shape, and
    /// neither overlap nor leave gaps; every tensor in the shard that the index names; no shard
    /// outside the directory. With both `model.safetensors` and an index the single file is read,
    /// as transformers does. An entry of the index that no shard has, and a second tensor of one
    /// name beside that in the shard the index names, are passed over with a warning.
    /// @throws MissingInputError  no such directory, weights file or shard
    /// @throws DataError          anything else, naming file, tensor, value and what was expected
    explicit SafetensorsCheckpoint(const std::filesystem::path& directory);

    [[nodiscard]] const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
    /// @throws DataError  naming the tensor and the directory
    [[nodiscard]] const StoredTensor& at(const std::string& name) const;
    /// Tells the system that these pages will not be read again soon.
    void release(const StoredTensor& tensor) const;

    /// The files it is read from, without the index.
    [[nodiscard]] std::vector<std::filesystem::path> files() const;
    /// Sum of all tensors' bytes.
    [[nodiscard]] std::uint64_t tensor_bytes() const;
    /// Hash over file names, sizes and headers (names, types, shapes, offsets) and a sample of the
    /// data: 64 KiB at the start, middle and end of each file. Cheap for any size; guards against
    /// another model in the same place. The same for a model that was moved.
    [[nodiscard]] std::uint64_t fingerprint() const;

private:
    [[nodiscard]] StoredTensor choose(const std::string& name, StoredTensor first,
                                      StoredTensor second,
                                      const std::map<std::string, std::string>& shard_of) const;

    std::filesystem::path directory_;
    std::vector<MappedFile> files_;
    std::map<std::string, StoredTensor> tensors_;
};

/// A tensor to be written.
struct TensorToWrite {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    std::span<const std::byte> bytes;
};

/// Writes one safetensors file, atomically: header padded to 8 bytes, tensors in the given order
/// but wider elements first, so that each is aligned to its element size; metadata
/// {"format": "pt"}, so that transformers loads it.
/// @throws IoError     disk full, no such directory, no permission
/// @throws ShapeError  if a tensor's bytes do not fit its shape
/// @throws InternalError  for two tensors of one name
/// Bytes of the file that write_safetensors() writes of such tensors. Their bytes may be missing.
[[nodiscard]] std::uint64_t safetensors_bytes(std::span<const TensorToWrite> tensors);

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors);

}  // namespace lathe
