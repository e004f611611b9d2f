#include "lib/checkpoint/encoded_tensor_io.hpp"

#include <charconv>

#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"

namespace lathe {
namespace {

std::string shape_to_text(const Shape& shape) {
    std::string text;
    for (std::size_t extent : shape) {
        text += (text.empty() ? "" : ",") + std::to_string(extent);
    }
    return text;
}

Shape shape_from_text(const std::string& text, const std::string& where) {
    Shape shape;
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    while (at != end) {
        std::size_t extent = 0;
        const auto [next, error] = std::from_chars(at, end, extent);
        const bool more = next != end && *next == ',' && next + 1 != end;
        if (error != std::errc() || (next != end && !more)) {
            throw DataError(where + ": shape is '" + text + "', expected numbers and commas");
        }
        shape.push_back(extent);
        at = more ? next + 1 : next;
    }
    return shape;
}

/// Pieces are groups named by their number.
std::string piece_path(const std::string& path, std::size_t piece) {
    return path + "/" + std::to_string(piece);
}

bool is_own_attribute(const std::string& key) {
    return key == "encoding" || key == "shape" || key == "content_hash" ||
           key == source_dtype_attribute;
}

/// The tensor at `path`, which has these attributes, without the bytes of its parts. `depth`: of
/// pieces that it may have, so that no file leads round in circles.
EncodedTensor header_of(const ArtifactReader& file, const std::string& path,
                        const Attributes& attributes, std::size_t depth = max_piece_depth) {
    const std::string where = file.path().string() + ": " + path;
    EncodedTensor tensor;
    tensor.encoding = text_attribute(attributes, "encoding", where);
    tensor.shape = shape_from_text(text_attribute(attributes, "shape", where), where);
    for (const auto& [key, value] : attributes) {
        if (!is_own_attribute(key)) {
            tensor.settings[key] = integer_attribute(attributes, key, where);
        }
    }
    std::size_t n_pieces = 0;
    for (const std::string& name : file.children(path)) {
        if (!file.is_dataset(path + "/" + name)) {
            ++n_pieces;
            continue;
        }
        const DatasetInfo info = file.info(path + "/" + name);
        tensor.parts.push_back({name, info.dtype, info.shape, {}});
    }
    if (n_pieces > 0 && depth == 0) {
        throw DataError(where + ": pieces within pieces, more than any encoding has");
    }
    for (std::size_t i = 0; i < n_pieces; ++i) {
        const std::string piece = piece_path(path, i);
        tensor.pieces.push_back(header_of(file, piece, file.attributes(piece), depth - 1));
    }
    return tensor;
}

void write_tensor(ArtifactWriter& file, const std::string& path, const EncodedTensor& tensor,
                  Attributes attributes) {
    attributes["encoding"] = tensor.encoding;
    attributes["shape"] = shape_to_text(tensor.shape);
    for (const auto& [key, value] : tensor.settings) {
        attributes[key] = value;
    }
    file.group(path, attributes);
    for (const TensorPart& p : tensor.parts) {
        file.dataset(path + "/" + p.name, p.dtype, p.shape, p.bytes.data());
    }
    for (std::size_t i = 0; i < tensor.pieces.size(); ++i) {
        write_tensor(file, piece_path(path, i), tensor.pieces[i], {});
    }
}

void read_bytes(const ArtifactReader& file, const std::string& path, bool check_hash,
                EncodedTensor& tensor) {
    for (TensorPart& part : tensor.parts) {
        part.bytes = file.read(path + "/" + part.name, check_hash);
    }
    for (std::size_t i = 0; i < tensor.pieces.size(); ++i) {
        read_bytes(file, piece_path(path, i), check_hash, tensor.pieces[i]);
    }
}

}  // namespace

void write_encoded(ArtifactWriter& file, const std::string& path, const EncodedTensor& tensor) {
    write_tensor(file, path, tensor, {{"content_hash", to_hex(content_hash(tensor))}});
}

EncodedTensor read_encoded_header(const ArtifactReader& file, const std::string& path) {
    return header_of(file, path, file.attributes(path));
}

EncodedTensor read_encoded(const ArtifactReader& file, const std::string& path, bool check_hash) {
    const std::string where = file.path().string() + ": " + path;
    const Attributes attributes = file.attributes(path);
    EncodedTensor tensor = header_of(file, path, attributes);
    read_bytes(file, path, check_hash, tensor);
    validate(tensor, where);
    if (check_hash) {
        const std::string expected = text_attribute(attributes, "content_hash", where);
        const std::string found = to_hex(content_hash(tensor));
        if (found != expected) {
            throw DataError(where + ": content hash is " + found + ", the file says " + expected);
        }
    }
    return tensor;
}

Shape read_shape(const ArtifactReader& file, const std::string& path) {
    const std::string where = file.path().string() + ": " + path;
    return shape_from_text(text_attribute(file.attributes(path), "shape", where), where);
}

std::string stored_content_hash(const ArtifactReader& file, const std::string& path) {
    return text_attribute(file.attributes(path), "content_hash",
                          file.path().string() + ": " + path);
}

}  // namespace lathe
