#include "workers/slicing/stream_widths.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "lib/core/errors.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/slicing/sliced_model.hpp"

namespace lathe {
namespace {

std::uint64_t parameters_of(const SourceModel& source, const SliceConfig& slice,
                            const std::vector<std::size_t>& widths) {
    return describe_sliced(source, slice, widths).spec.parameters();
}

std::vector<std::size_t> uniform(const SourceModel& source, const SliceConfig& slice,
                                 std::size_t width) {
    const ModelSpec& spec = source.spec;
    std::vector<std::size_t> widths(n_boundaries(spec), width);
    if (!is_rotated(slice, spec, widths.size() - 1)) {
        widths.back() = spec.hidden_size;
    }
    return widths;
}

/// Widths are multiples of it.
std::size_t width_step(const SourceModel& source, const SliceConfig& slice) {
    return slice.is_global() && slice.heads_divide_width
               ? std::lcm(slice.round_interval, source.spec.n_heads)
               : slice.round_interval;
}

std::uint64_t wanted_parameters(const SourceModel& source, double reduction) {
    return static_cast<std::uint64_t>((1.0 - reduction) *
                                      static_cast<double>(source.spec.parameters()));
}

[[noreturn]] void refuse_reduction(const SourceModel& source, const SliceConfig& slice,
                                   std::size_t step) {
    const std::uint64_t least = parameters_of(source, slice, uniform(source, slice, step));
    const auto all = static_cast<double>(source.spec.parameters());
    std::array<char, 200> text{};
    std::snprintf(text.data(), text.size(),
                  "slice.parameter_reduction: no width takes %.4g of the parameters away; the "
                  "smallest one, %zu, takes %.4g",
                  *slice.parameter_reduction, step, 1.0 - static_cast<double>(least) / all);
    throw InfeasibleError(text.data());
}

/// A boundary's effect at any width, from some that were measured.
class EffectCurve {
public:
    EffectCurve(const std::vector<double>& eigenvalues, const std::vector<WidthEffect>& measured)
        : tails_(eigenvalues.size() + 1, 0.0) {
        for (std::size_t w = eigenvalues.size(); w-- > 0;) {
            tails_[w] = tails_[w + 1] + std::max(eigenvalues[w], 0.0);
        }
        for (const WidthEffect& point : measured) {
            const double tail = tails_.at(point.width);
            const bool rises = points_.empty() ||
                               (tail > points_.back().tail && point.effect > points_.back().effect);
            if (tail > 0.0 && point.effect > 0.0 && rises) {
                points_.push_back({tail, point.effect});
            }
        }
    }

    /// Proportional to the energy cut off up to the first point, a power of it between two and
    /// beyond the last.
    [[nodiscard]] double at(std::size_t width) const {
        const double tail = tails_.at(width);
        if (tail == 0.0 || points_.empty()) {
            return 0.0;
        }
        if (tail <= points_.front().tail || points_.size() == 1) {
            return points_.front().effect * tail / points_.front().tail;
        }
        std::size_t next = 1;
        while (next + 1 < points_.size() && tail > points_[next].tail) {
            ++next;
        }
        const Point& a = points_[next - 1];
        const Point& b = points_[next];
        const double power = std::log(b.effect / a.effect) / std::log(b.tail / a.tail);
        return a.effect * std::pow(tail / a.tail, power);
    }

private:
    struct Point {
        double tail;
        double effect;
    };
    std::vector<double> tails_;  ///< energy cut off at each width
    std::vector<Point> points_;  ///< both rising
};

/// How a model's parameters depend on the widths: sum of each width times its weight, and of each
/// product of neighbours times its own.
struct ParameterWeights {
    std::vector<double> width;
    std::vector<double> product;  ///< of boundary b and the next

    explicit ParameterWeights(const ModelSpec& sliced)
        : width(n_boundaries(sliced), 0.0), product(n_boundaries(sliced), 0.0) {
        for (const TensorSpec& tensor : sliced.tensors) {
            const StreamSides sides = stream_sides(sliced, tensor);
            const auto elements = static_cast<double>(element_count(tensor.shape));
            if (is_shortcut(tensor.role)) {
                product[*sides.columns] += 1.0;
            } else if (sides.rows || (sides.columns && !tensor.is_bias)) {
                const std::size_t boundary = sides.rows ? *sides.rows : *sides.columns;
                width[boundary] += elements / static_cast<double>(sliced.stream_width(boundary));
            }
        }
    }
};

/// The path of least cost: costs[b][i] of level i at boundary b, and `pair` times the product of
/// neighbouring levels.
std::vector<std::size_t> cheapest_path(const std::vector<std::vector<std::size_t>>& levels,
                                       const std::vector<std::vector<double>>& costs,
                                       const std::vector<double>& pair) {
    std::vector<std::vector<std::size_t>> from(levels.size());
    std::vector<double> best = costs.front();
    for (std::size_t b = 1; b < levels.size(); ++b) {
        std::vector<double> next(levels[b].size(), std::numeric_limits<double>::infinity());
        from[b].assign(levels[b].size(), 0);
        for (std::size_t j = 0; j < levels[b].size(); ++j) {
            for (std::size_t i = 0; i < best.size(); ++i) {
                const double cost =
                    best[i] + pair[b - 1] * static_cast<double>(levels[b - 1][i] * levels[b][j]);
                if (cost < next[j]) {
                    next[j] = cost;
                    from[b][j] = i;
                }
            }
            next[j] += costs[b][j];
        }
        best = std::move(next);
    }
    std::vector<std::size_t> widths(levels.size());
    auto place = static_cast<std::size_t>(std::ranges::min_element(best) - best.begin());
    for (std::size_t b = levels.size(); b-- > 0;) {
        widths[b] = levels[b][place];
        place = b > 0 ? from[b][place] : 0;
    }
    return widths;
}

}  // namespace

std::vector<std::size_t> probe_widths(const SourceModel& source, const SliceConfig& slice) {
    const std::size_t d = source.spec.hidden_size;
    const std::size_t middle = constant_widths(source, slice).front();
    const std::size_t half = (d - middle) / 2;
    return {d - half, middle, std::max<std::size_t>(1, middle - std::min(half, middle))};
}

std::vector<std::size_t> effect_widths(const SourceModel& source, const SliceConfig& slice,
                                       const std::vector<std::vector<double>>& eigenvalues,
                                       const std::vector<std::vector<WidthEffect>>& effects) {
    constexpr std::size_t max_levels = 64;
    const std::size_t d = source.spec.hidden_size;
    const std::vector<std::size_t> constant = constant_widths(source, slice);
    const std::uint64_t wanted = parameters_of(source, slice, constant);
    const std::size_t unit = width_step(source, slice);
    const std::size_t step = unit * ((d / unit + max_levels - 1) / max_levels);
    std::vector<std::vector<std::size_t>> levels(constant.size(), {d});
    std::vector<std::vector<double>> curves(constant.size(), {0.0});
    for (std::size_t b = 0; b < levels.size(); ++b) {
        if (effects[b].empty()) {
            continue;
        }
        const EffectCurve curve(eigenvalues[b], effects[b]);
        for (std::size_t width = (d - 1) / step * step; width > 0; width -= step) {
            levels[b].push_back(width);
            curves[b].push_back(curve.at(width));
        }
    }
    const ParameterWeights weights(describe_sliced(source, slice, constant).spec);
    const auto widths_at = [&](double price) {
        std::vector<std::vector<double>> costs = curves;
        for (std::size_t b = 0; b < levels.size(); ++b) {
            for (std::size_t i = 0; i < levels[b].size(); ++i) {
                costs[b][i] += price * weights.width[b] * static_cast<double>(levels[b][i]);
            }
        }
        std::vector<double> pair = weights.product;
        std::ranges::for_each(pair, [&](double& value) { value *= price; });
        return cheapest_path(levels, costs, pair);
    };
    double low = -100.0;  // powers of 2 of the price; too many parameters
    double high = 60.0;
    for (int i = 0; i < 60; ++i) {
        const double middle = (low + high) / 2.0;
        const bool fits = parameters_of(source, slice, widths_at(std::exp2(middle))) <= wanted;
        (fits ? high : low) = middle;
    }
    return widths_at(std::exp2(high));
}

std::vector<std::size_t> constant_widths(const SourceModel& source, const SliceConfig& slice) {
    const std::size_t d = source.spec.hidden_size;
    const std::size_t step = width_step(source, slice);
    if (!slice.parameter_reduction) {
        auto width = static_cast<std::size_t>((1.0 - slice.sparsity) * static_cast<double>(d));
        width -= slice.sparsity > 0.0 ? width % step : 0;
        if (width == 0) {
            throw InfeasibleError("slice.sparsity: nothing is left of a hidden size of " +
                                  std::to_string(d) + " in steps of " + std::to_string(step));
        }
        return uniform(source, slice, width);
    }
    // Parameters grow with the width, so the largest width that fits is found by halving.
    const std::uint64_t wanted = wanted_parameters(source, *slice.parameter_reduction);
    std::size_t low = 0;  // fits, or 0
    std::size_t high = d / step + 1;
    while (low + 1 < high) {
        const std::size_t middle = (low + high) / 2;
        const bool fits =
            parameters_of(source, slice, uniform(source, slice, middle * step)) <= wanted;
        (fits ? low : high) = middle;
    }
    if (low == 0) {
        refuse_reduction(source, slice, step);
    }
    return uniform(source, slice, low * step);
}

std::vector<std::size_t> energy_widths(const SourceModel& source, const SliceConfig& slice,
                                       const std::vector<std::vector<double>>& eigenvalues) {
    const std::size_t d = source.spec.hidden_size;
    const std::size_t step = width_step(source, slice);
    const std::uint64_t wanted = parameters_of(source, slice, constant_widths(source, slice));
    /// The smallest widths that cut off at most `share` of the energy.
    const auto widths_for = [&](double share) {
        std::vector<std::size_t> widths(eigenvalues.size(), d);
        for (std::size_t b = 0; b < eigenvalues.size(); ++b) {
            if (eigenvalues[b].empty()) {
                continue;
            }
            const double total = std::accumulate(eigenvalues[b].begin(), eigenvalues[b].end(), 0.0);
            double cut = 0.0;
            std::size_t width = d;
            while (width > 1 && cut + eigenvalues[b][width - 1] <= share * total) {
                cut += eigenvalues[b][--width];
            }
            widths[b] = std::min(d, (width + step - 1) / step * step);
        }
        return widths;
    };
    double low = -40.0;  // powers of 2 of the share; too many parameters
    double high = 0.0;
    for (int i = 0; i < 50; ++i) {
        const double middle = (low + high) / 2.0;
        const bool fits = parameters_of(source, slice, widths_for(std::exp2(middle))) <= wanted;
        (fits ? high : low) = middle;
    }
    return widths_for(std::exp2(high));
}

}  // namespace lathe
