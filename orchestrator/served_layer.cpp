#include "orchestrator/served_layer.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "lib/encoding/code_parts.hpp"

namespace lathe {
namespace {

/// How a layer is shared out to several devices.
enum class Split { none, rows, columns };

Split split_of(Role role) {
    switch (role) {
        case Role::qkv_proj:
        case Role::q_proj:
        case Role::k_proj:
        case Role::v_proj:
        case Role::gate_up_proj:
        case Role::gate_proj:
        case Role::up_proj:
        case Role::lm_head:
            return Split::rows;
        case Role::o_proj:
        case Role::down_proj:
            return Split::columns;
        default:
            return Split::none;
    }
}

std::string why_not_these_codes(const ServeTarget& target, const ServeConfig& serve,
                                const IntegerLayout& layout) {
    const std::string what = fmt::format(
        "{} codes of {} bits", layout.symmetric ? "symmetric" : "asymmetric", layout.num_bits);
    bool with_package = false;
    for (const ServedCodes& codes : target.codes) {
        if (codes.symmetric == layout.symmetric &&
            std::ranges::find(codes.num_bits, layout.num_bits) != codes.num_bits.end()) {
            if (!codes.is_low || serve.low_bits) {
                return "";
            }
            with_package = true;
        }
    }
    return target.codes.empty() ? ""
           : with_package       ? fmt::format("{} has kernels for {} with serve.low_bits: {} only",
                                              target.name, what, target.low_bits)
                                : fmt::format("{} has no kernel for {}", target.name, what);
}

std::string why_not_this_shape(const ServeTarget& target, std::size_t devices, Role role,
                               std::size_t rows, std::size_t cols, const IntegerLayout& layout) {
    const bool one_group = groups_per_row(cols, layout.group_size) == 1;
    if (!one_group && !target.group_sizes.empty() &&
        std::ranges::find(target.group_sizes, layout.group_size) == target.group_sizes.end()) {
        return fmt::format("{} has no kernel for groups of {}; expected {} or one group a row",
                           target.name, layout.group_size, fmt::join(target.group_sizes, ", "));
    }
    std::string shares;
    if (const Split split = split_of(role); devices > 1 && split != Split::none) {
        std::size_t& extent = split == Split::rows ? rows : cols;
        const char* side = split == Split::rows ? "rows" : "columns";
        if (extent % devices != 0) {
            return fmt::format("{} {} cannot be shared out to {} devices", extent, side, devices);
        }
        extent /= devices;
        shares = fmt::format(" on each of {} devices", devices);
    }
    if (!one_group && cols % layout.group_size != 0) {
        return fmt::format("groups of {} do not divide rows of {}{}", layout.group_size, cols,
                           shares);
    }
    if (rows % target.row_multiple != 0 || cols % target.column_multiple != 0) {
        return fmt::format(
            "{} has kernels for multiples of {} rows and {} columns, and these are "
            "{} and {}{}",
            target.name, target.row_multiple, target.column_multiple, rows, cols, shares);
    }
    return "";
}

}  // namespace

std::string why_not_this_layer(const ServeConfig& serve, const ServedLayer& layer) {
    const ServeTarget& target = *find_serve_target(serve.reader);
    std::string why = why_not_these_codes(target, serve, layer.layout);
    return why.empty() ? why_not_this_shape(target, serve.tensor_parallel, layer.role, layer.rows,
                                            layer.cols, layer.layout)
                       : why;
}

}  // namespace lathe
