#include "methods/ffsplit.hpp"

#include <algorithm>
#include <limits>

#include "lib/encoding/zeros.hpp"
#include "methods/ffsplit_settings.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

/// Sums up visit(method, setting, shape) over the parts that are not dropped.
template <class Visit>
auto sum_over_parts(const FfSplit& split, const Shape& shape, const Visit& visit) {
    decltype(visit(method_table().front(), split.heavy_setting, shape)) sum = 0;
    for (const FfSplit::Range& range : split.ranges()) {
        if (const Setting* part = split.setting_of(range)) {
            sum += visit(find_method(part->method, ""), *part, split.shape_of(range, shape));
        }
    }
    return sum;
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType source_dtype) {
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    FfSplit split = split_of(setting, 0);
    for (const std::size_t heavy : heavy_sizes(setting)) {
        split.heavy = heavy;
        least = std::min(least, sum_over_parts(split, shape,
                                               [&](const MethodRow& method, const Setting& part,
                                                   const Shape& own) {
                                                   return method.bytes(part, own, source_dtype);
                                               }));
    }
    return least;
}

double flops(const Setting& setting, const Shape& shape) {
    // Of a size in the middle of the possible ones.
    const std::vector<std::size_t> sizes = heavy_sizes(setting);
    return sum_over_parts(split_of(setting, sizes.at(sizes.size() / 2)), shape,
                          [&](const MethodRow& method, const Setting& part, const Shape& own) {
                              return method.flops(part, own);
                          });
}

ContainerParts container(const Setting& setting) {
    const FfSplit split = split_of(setting, 0);
    ContainerParts sum;
    for (const FfSplit::Range& range : split.ranges()) {
        ++sum.groups;
        if (const Setting* part = split.setting_of(range)) {
            const ContainerParts own = container_parts(*part);
            sum.groups += own.groups;
            sum.datasets += own.datasets + 1;
        }
    }
    return sum;
}

/// Why the unit cannot have a part; "": it can have all.
std::string refusal_of_parts(const FfSplit& split, const UnitSpec& unit, const Shape& shape,
                             DType source_dtype) {
    for (const FfSplit::Range& range : split.ranges()) {
        const Setting* part = split.setting_of(range);
        if (part == nullptr) {
            continue;
        }
        const std::string reason =
            find_method(part->method, "")
                .refuses(*part, unit, split.shape_of(range, shape), source_dtype);
        if (!reason.empty()) {
            return std::string(range.is_heavy ? "heavy" : "light") + " part: " + reason;
        }
    }
    return "";
}

std::string refuses(const Setting& setting, const UnitSpec& unit, const Shape& shape,
                    DType source_dtype) {
    if (!setting.values.contains("axis")) {
        return "unit " + unit.name + " is no part of a feed-forward layer, which ffsplit is for";
    }
    const std::string key =
        setting.values.contains("heavy_energy") ? "heavy_energy" : "heavy_fraction";
    std::string reason = key + " and round_interval leave no size for the heavy part of unit " +
                         unit.name + ", which has " + setting_value(setting, "neurons") +
                         " neurons";
    FfSplit split = split_of(setting, 0);
    for (const std::size_t heavy : heavy_sizes(setting)) {
        if (heavy == 0 || heavy >= split.neurons) {
            return key + " and round_interval put " + std::to_string(heavy) + " of the " +
                   std::to_string(split.neurons) + " neurons of unit " + unit.name +
                   " into the heavy part, which leaves one of the two parts empty";
        }
        split.heavy = heavy;
        reason = refusal_of_parts(split, unit, shape, source_dtype);
        if (reason.empty()) {
            break;
        }
    }
    return reason;
}

/// Of a setting that is to be solved.
FfSplit known_split(const Setting& setting) {
    return split_of(setting, std::stoull(setting_value(setting, "heavy")));
}

std::string tie(const Setting& setting) {
    const bool ties = setting.values.contains("heavy") && !known_split(setting).light_setting;
    return ties ? setting_value(setting, "heavy") + " neurons" : "";
}

std::optional<EncodedTensor> outline(const Setting& setting, const Shape& shape) {
    if (!setting.values.contains("heavy")) {
        return std::nullopt;
    }
    const FfSplit split = known_split(setting);
    std::vector<EncodedTensor> pieces;
    for (const FfSplit::Range& range : split.ranges()) {
        const Shape own = split.shape_of(range, shape);
        const Setting* const part = split.setting_of(range);
        std::optional<EncodedTensor> piece =
            part == nullptr ? encode_zeros(own) : outline_of(*part, own);
        if (!piece) {
            return std::nullopt;
        }
        pieces.push_back(std::move(*piece));
    }
    return encode_split(split.axis, std::move(pieces));
}

std::vector<UnitSolution> solve(std::span<const Setting> settings,
                                std::span<const UnitTensor> tensors,
                                const UnitStatistics& statistics, const kernels::Backend& backend) {
    std::vector<FfSplit> splits;
    std::ranges::transform(settings, std::back_inserter(splits), known_split);
    return solve_ffsplit(splits, tensors, statistics, backend);
}

}  // namespace

MethodRow ffsplit_method() {
    MethodRow row{"ffsplit", expand_ffsplit, bytes, flops, refuses, solve};
    row.for_unit = ffsplit_of_unit;
    row.container = container;
    row.outline = outline;
    row.tie = tie;
    row.is_open = [](const Setting& setting) { return setting.values.contains("heavy_energy"); };
    row.orders_neurons = true;
    return row;
}

}  // namespace lathe
