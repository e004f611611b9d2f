#pragma once

#include <string>

#include "lib/core/errors.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/nm.hpp"
#include "lib/encoding/nm_meta.hpp"

// What reading and writing tensors in encoding "nm" have in common.

namespace lathe {

inline constexpr std::size_t largest_m = 64;

[[nodiscard]] inline NmMeta nm_meta(const NmLayout& layout) {
    return {layout.n, layout.m};
}

[[nodiscard]] inline bool is_nm_value_type(DType dtype) {
    return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// Elements that a row of `cols` columns stores.
[[nodiscard]] inline std::size_t stored_per_row(std::size_t cols, const NmLayout& layout) {
    return cols / layout.m * layout.n;
}

/// Scales of a row of `cols` columns.
[[nodiscard]] inline std::size_t nm_scales_per_row(std::size_t cols, const NmLayout& layout) {
    return groups_per_row(cols, layout.group_size) * layout.scales_per_group();
}

inline void require_nm_layout(const Shape& shape, const NmLayout& layout) {
    if (const std::string reason = nm_refuses(shape, layout); !reason.empty()) {
        throw InternalError("a tensor of shape " + to_string(shape) +
                            " cannot be stored as nm: " + reason);
    }
}

}  // namespace lathe
