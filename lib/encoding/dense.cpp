#include "lib/encoding/dense.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

bool is_dense_type(DType dtype) {
    return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

EncodedTensor dense_tensor(const Shape& shape, DType dtype) {
    if (!is_dense_type(dtype)) {
        throw ShapeError("encoding 'dense' holds float32, float16 or bfloat16, not " +
                         std::string(name(dtype)));
    }
    return {.encoding = "dense",
            .shape = shape,
            .settings = {},
            .parts = {{.name = "values", .dtype = dtype, .shape = shape, .bytes = {}}}};
}

void validate_dense(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {}, where);
    check_part_names(tensor, {"values"}, where);
    const TensorPart& values = tensor.parts.front();
    if (!is_dense_type(values.dtype)) {
        throw DataError(where + ": part 'values' has type " + std::string(name(values.dtype)) +
                        ", expected float32, float16 or bfloat16");
    }
    check_part(values, values.dtype, tensor.shape, where);
}

void decode_dense(const EncodedTensor& tensor, MatrixView<float> values) {
    const TensorPart& stored = tensor.parts.front();
    const std::size_t row_bytes = values.cols * size_bytes(stored.dtype);
    for (std::size_t i = 0; i < values.rows; ++i) {
        to_float(stored.bytes.data() + i * row_bytes, stored.dtype, {values.row(i), values.cols});
    }
}

}  // namespace

EncodedTensor encode_dense(MatrixView<const float> values, const Shape& shape, DType dtype) {
    const auto [rows, cols] = matrix_extents(shape);
    if (values.rows != rows || values.cols != cols) {
        throw ShapeError("a matrix " + values.shape_text() +
                         " cannot stand for a tensor of shape " + to_string(shape));
    }
    EncodedTensor tensor = dense_tensor(shape, dtype);
    const std::size_t row_bytes = cols * size_bytes(dtype);
    std::vector<std::byte>& bytes = tensor.parts.front().bytes;
    bytes.resize(rows * row_bytes);
    for (std::size_t i = 0; i < rows; ++i) {
        from_float({values.row(i), cols}, dtype, bytes.data() + i * row_bytes);
    }
    return tensor;
}

EncodedTensor dense_from_bytes(std::span<const std::byte> bytes, const Shape& shape, DType dtype) {
    EncodedTensor tensor = dense_tensor(shape, dtype);
    const std::size_t expected = element_count(shape) * size_bytes(dtype);
    if (bytes.size() != expected) {
        throw ShapeError(std::to_string(bytes.size()) + " bytes cannot stand for a " +
                         std::string(name(dtype)) + " tensor of shape " + to_string(shape) + ", " +
                         std::to_string(expected) + " expected");
    }
    tensor.parts.front().bytes.assign(bytes.begin(), bytes.end());
    return tensor;
}

EncodedTensor dense_outline(const Shape& shape) {
    return {.encoding = "dense", .shape = shape, .settings = {}, .parts = {}};
}

EncodingRow dense_encoding() {
    return {"dense", validate_dense, decode_dense};
}

}  // namespace lathe
