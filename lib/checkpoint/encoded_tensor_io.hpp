#pragma once

#include <string>

#include "lib/checkpoint/artifact.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

/// Attribute that a checkpoint may add to a tensor's own: the element type it had in the source.
inline constexpr const char* source_dtype_attribute = "source_dtype";

/// An encoded tensor in a file: a group `path` with attributes `encoding` (text), `shape` (text,
/// "2048,256"; "" for a scalar), one integer for each setting and `content_hash` (16 hex digits),
/// and a dataset for each part. docs/file_format.md is the contract.
void write_encoded(ArtifactWriter& file, const std::string& path, const EncodedTensor& tensor);

/// Reads it back and validates it. With `check_hash` the content hash is compared too.
/// @throws DataError  naming file and tensor
[[nodiscard]] EncodedTensor read_encoded(const ArtifactReader& file, const std::string& path,
                                         bool check_hash = true);

/// Encoding, shape, settings and parts of the tensor at `path`, the parts without their bytes,
/// which are not read. Not validated.
[[nodiscard]] EncodedTensor read_encoded_header(const ArtifactReader& file,
                                                const std::string& path);

/// The shape of the tensor at `path`, without reading the tensor.
[[nodiscard]] Shape read_shape(const ArtifactReader& file, const std::string& path);

/// The attribute content_hash of the tensor at `path`, without reading the tensor.
[[nodiscard]] std::string stored_content_hash(const ArtifactReader& file, const std::string& path);

}  // namespace lathe
