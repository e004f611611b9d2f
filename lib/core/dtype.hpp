#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// Element types of stored tensors.
enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

[[nodiscard]] std::size_t size_bytes(DType dtype) noexcept;

/// "float32", "bfloat16", ...: the spelling of config.json and of our HDF5 attributes.
[[nodiscard]] std::string_view name(DType dtype) noexcept;

/// f64, f32, f16 or bf16.
[[nodiscard]] bool is_floating(DType dtype) noexcept;

/// @throws DataError  for a name that is none of ours
[[nodiscard]] DType dtype_from_name(std::string_view name);

/// Extents, outermost first. Empty: a scalar.
using Shape = std::vector<std::size_t>;

[[nodiscard]] std::size_t element_count(const Shape& shape) noexcept;

/// "[3, 64]".
[[nodiscard]] std::string to_string(const Shape& shape);

}  // namespace lathe
