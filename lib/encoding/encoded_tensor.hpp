#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lib/core/dtype.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe {

/// One stored array of an encoded tensor: "codes", "scales", ...
/// Layout: row-major, little-endian elements of `dtype`, no padding between elements.
struct TensorPart {
    std::string name;
    DType dtype = DType::u8;
    Shape shape;
    std::vector<std::byte> bytes;
};

/// A tensor as it is stored: the encoding's name, its settings and its arrays, or the tensors that
/// it is made of.
struct EncodedTensor {
    std::string encoding;                          ///< a name of the encoding table, e.g. "integer"
    Shape shape;                                   ///< of the tensor it stands for
    std::map<std::string, std::int64_t> settings;  ///< e.g. num_bits, group_size, symmetric
    std::vector<TensorPart> parts;                 ///< in the order the encoding fixes
    /// Of an encoding that joins others (split, low_rank): encoded each by itself. Such have no
    /// parts. At most max_piece_depth levels of them.
    std::vector<EncodedTensor> pieces = {};
};

/// A split of products of matrices.
inline constexpr std::size_t max_piece_depth = 2;

/// Bytes that a part's elements take.
[[nodiscard]] std::uint64_t stored_bytes(const TensorPart& part);
/// Payload bytes of all parts, those of pieces too; container overhead not included.
[[nodiscard]] std::uint64_t stored_bytes(const EncodedTensor& tensor);

/// Hash over encoding, shape, settings, parts and pieces: equal for equal tensors, whatever file.
[[nodiscard]] std::uint64_t content_hash(const EncodedTensor& tensor);

/// One tensor of such that hold its rows, one after another. Each part's first extent counts rows.
/// @throws InternalError  if they differ in anything else, or are not of that kind
[[nodiscard]] EncodedTensor join_rows(std::vector<EncodedTensor>&& tensors);

/// Checks a tensor that came from a file: known encoding, settings in range, parts with the right
/// names, types, shapes and byte counts, sound pieces that fit together. @throws DataError  naming
/// what is wrong; `where` begins it
void validate(const EncodedTensor& tensor, const std::string& where);

/// Writes the values the tensor stands for to `values`, its shape seen as a matrix
/// [product of all extents but the last, last]; a 1-d tensor is one row.
/// @pre  validate() passed
/// @throws ShapeError  if `values` has another shape
void decode(const EncodedTensor& tensor, MatrixView<float> values);

/// The part called `name`. @throws DataError  if there is none
[[nodiscard]] const TensorPart& part(const EncodedTensor& tensor, const std::string& name);

/// {rows, cols} of a shape seen as a matrix, as in decode().
[[nodiscard]] std::pair<std::size_t, std::size_t> matrix_extents(const Shape& shape);

}  // namespace lathe
