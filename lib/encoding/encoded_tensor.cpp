#include "lib/encoding/encoded_tensor.hpp"

#include <bit>

#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/encoding/encoding_table.hpp"
#include "lib/encoding/part_checks.hpp"

// Parts are little-endian on disk and are used where they lie.
static_assert(std::endian::native == std::endian::little);

namespace lathe {
namespace {

std::string known_encodings() {
    std::string names;
    for (const EncodingRow& row : encoding_table()) {
        names += (names.empty() ? "" : ", ") + std::string(row.name);
    }
    return names;
}

void add_shape(Hasher& hasher, const Shape& shape) {
    hasher.add_field(std::uint64_t{shape.size()});
    for (const std::size_t extent : shape) {
        hasher.add_field(std::uint64_t{extent});
    }
}

}  // namespace

std::uint64_t stored_bytes(const TensorPart& part) {
    return element_count(part.shape) * size_bytes(part.dtype);
}

std::uint64_t stored_bytes(const EncodedTensor& tensor) {
    std::uint64_t total = 0;
    for (const TensorPart& part : tensor.parts) {
        total += stored_bytes(part);
    }
    for (const EncodedTensor& piece : tensor.pieces) {
        total += stored_bytes(piece);
    }
    return total;
}

std::uint64_t content_hash(const EncodedTensor& tensor) {
    Hasher hasher;
    hasher.add_field(tensor.encoding);
    add_shape(hasher, tensor.shape);
    hasher.add_field(std::uint64_t{tensor.settings.size()});
    for (const auto& [key, value] : tensor.settings) {
        hasher.add_field(key);
        hasher.add_field(static_cast<std::uint64_t>(value));
    }
    hasher.add_field(std::uint64_t{tensor.parts.size()});
    for (const TensorPart& part : tensor.parts) {
        hasher.add_field(part.name);
        hasher.add_field(name(part.dtype));
        add_shape(hasher, part.shape);
        hasher.add_field(std::uint64_t{part.bytes.size()});
        hasher.add(part.bytes);
    }
    for (const EncodedTensor& piece : tensor.pieces) {
        hasher.add_field(content_hash(piece));
    }
    return hasher.digest();
}

namespace {

void validate_at(const EncodedTensor& tensor, const std::string& where, std::size_t depth) {
    const EncodingRow* row = find_encoding(tensor.encoding);
    if (row == nullptr) {
        throw DataError(where + ": unknown encoding '" + tensor.encoding + "'; known are " +
                        known_encodings());
    }
    if (row->has_pieces ? depth == max_piece_depth : !tensor.pieces.empty()) {
        throw DataError(where + ": encoding '" + tensor.encoding +
                        (row->has_pieces ? "' stands within others, " : "' has pieces, ") +
                        "which it may not");
    }
    check_extents(tensor.shape, where);
    for (std::size_t i = 0; i < tensor.pieces.size(); ++i) {
        validate_at(tensor.pieces[i], where + ": piece " + std::to_string(i), depth + 1);
    }
    row->validate(tensor, where);
}

}  // namespace

EncodedTensor join_rows(std::vector<EncodedTensor>&& tensors) {
    EncodedTensor whole = std::move(tensors.at(0));
    const auto require = [&](bool holds) {
        if (!holds) {
            throw InternalError("tensors in encoding " + whole.encoding +
                                " cannot be joined row by row");
        }
    };
    require(whole.pieces.empty() && whole.shape.size() == 2);
    for (const TensorPart& part : whole.parts) {
        require(!part.shape.empty() && part.shape[0] == whole.shape[0]);
    }
    for (std::size_t i = 1; i < tensors.size(); ++i) {
        const EncodedTensor& next = tensors[i];
        require(next.encoding == whole.encoding && next.settings == whole.settings &&
                next.parts.size() == whole.parts.size() && next.shape.size() == 2 &&
                next.shape[1] == whole.shape[1] && next.pieces.empty());
        for (std::size_t p = 0; p < whole.parts.size(); ++p) {
            TensorPart& part = whole.parts[p];
            const TensorPart& more = next.parts[p];
            Shape expected = part.shape;
            expected[0] = next.shape[0];
            require(more.name == part.name && more.dtype == part.dtype && more.shape == expected);
            part.bytes.insert(part.bytes.end(), more.bytes.begin(), more.bytes.end());
            part.shape[0] += more.shape[0];
        }
        whole.shape[0] += next.shape[0];
    }
    return whole;
}

void validate(const EncodedTensor& tensor, const std::string& where) {
    validate_at(tensor, where, 0);
}

void decode(const EncodedTensor& tensor, MatrixView<float> values) {
    const EncodingRow* row = find_encoding(tensor.encoding);
    if (row == nullptr) {
        throw InternalError("decode of the unknown encoding '" + tensor.encoding + "'");
    }
    const auto [rows, cols] = matrix_extents(tensor.shape);
    if (values.rows != rows || values.cols != cols) {
        throw ShapeError("a tensor of shape " + to_string(tensor.shape) +
                         " cannot be decoded into a matrix " + values.shape_text());
    }
    row->decode(tensor, values);
}

const TensorPart& part(const EncodedTensor& tensor, const std::string& name) {
    for (const TensorPart& candidate : tensor.parts) {
        if (candidate.name == name) {
            return candidate;
        }
    }
    throw DataError("a tensor in encoding '" + tensor.encoding + "' has no part '" + name + "'");
}

std::pair<std::size_t, std::size_t> matrix_extents(const Shape& shape) {
    if (shape.empty()) {
        return {1, 1};
    }
    std::size_t rows = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) {
        rows *= shape[i];
    }
    return {rows, shape.back()};
}

}  // namespace lathe
