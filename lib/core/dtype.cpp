#include "lib/core/dtype.hpp"

#include <array>
#include <utility>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

struct DTypeRow {
    DType dtype;
    std::string_view name;
    std::size_t bytes;
};

constexpr std::array<DTypeRow, 13> dtype_table{{
    {DType::f64, "float64", 8},
    {DType::f32, "float32", 4},
    {DType::f16, "float16", 2},
    {DType::bf16, "bfloat16", 2},
    {DType::i64, "int64", 8},
    {DType::i32, "int32", 4},
    {DType::i16, "int16", 2},
    {DType::i8, "int8", 1},
    {DType::u64, "uint64", 8},
    {DType::u32, "uint32", 4},
    {DType::u16, "uint16", 2},
    {DType::u8, "uint8", 1},
    {DType::boolean, "bool", 1},
}};

const DTypeRow& row(DType dtype) noexcept {
    return dtype_table[static_cast<std::size_t>(dtype)];
}

}  // namespace

std::size_t size_bytes(DType dtype) noexcept {
    return row(dtype).bytes;
}

std::string_view name(DType dtype) noexcept {
    return row(dtype).name;
}

bool is_floating(DType dtype) noexcept {
    return dtype <= DType::bf16;
}

DType dtype_from_name(std::string_view name) {
    for (const DTypeRow& r : dtype_table) {
        if (r.name == name) {
            return r.dtype;
        }
    }
    throw DataError("unknown element type '" + std::string(name) + "'");
}

std::size_t element_count(const Shape& shape) noexcept {
    std::size_t n = 1;
    for (std::size_t extent : shape) {
        n *= extent;
    }
    return n;
}

std::string to_string(const Shape& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += (i ? ", " : "") + std::to_string(shape[i]);
    }
    return text + "]";
}

}  // namespace lathe
