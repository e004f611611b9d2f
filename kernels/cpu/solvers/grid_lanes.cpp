#include "kernels/cpu/solvers/grid_lanes.hpp"

#include <cmath>
#include <cstring>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/layouts/integer_grid.hpp"

// Sixteen rows at a time in vectors of the compiler's own kind, which it maps to whatever registers
// the instruction set has. Helpers are always inlined, so how a vector would be passed between
// functions (the warning below) does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace lathe::kernels {
namespace {

using Lanes = float __attribute__((vector_size(n_lanes * sizeof(float))));
using LaneBits = std::int32_t __attribute__((vector_size(n_lanes * sizeof(std::int32_t))));
using LaneBytes = std::uint8_t __attribute__((vector_size(n_lanes)));

LATHE_ALWAYS_INLINE Lanes load(const float* from) {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}
LATHE_ALWAYS_INLINE void store(const Lanes& lanes, float* to) {
    std::memcpy(to, &lanes, sizeof lanes);
}
LATHE_ALWAYS_INLINE Lanes all(float value) {
    return Lanes{} + value;
}

/// The larger and the smaller of two; a value that is not a number loses against the limit.
LATHE_ALWAYS_INLINE Lanes at_least(const Lanes& value, const Lanes& limit) {
    return value > limit ? value : limit;
}
LATHE_ALWAYS_INLINE Lanes at_most(const Lanes& value, const Lanes& limit) {
    return value < limit ? value : limit;
}

/// Nearest whole number, ties to even, for |value| < 2^22: the addition leaves no bits behind the
/// binary point, so the adder does the rounding.
template <class T>
LATHE_ALWAYS_INLINE T nearest_whole(const T& value) {
    constexpr float no_fraction = 0x1.8p23F;
    return (value + no_fraction) - no_fraction;
}

/// storable_scale() of integer_grid.hpp without a branch.
LATHE_ALWAYS_INLINE Lanes storable_scales(const Lanes& scale) {
    const Lanes limited = at_most(scale, all(largest_scale));
    LaneBits bits;
    std::memcpy(&bits, &limited, sizeof bits);
    bits = (bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF;
    Lanes normal;
    std::memcpy(&normal, &bits, sizeof normal);
    const Lanes subnormal = (limited + 0.5F) - 0.5F;  // 0.5 has its last bit at 2^-24
    return at_least(limited < 0x1p-14F ? subnormal : normal, all(smallest_scale));
}

/// next_power() of integer_grid.hpp: a fraction that is not 0 carries into the exponent.
LATHE_ALWAYS_INLINE Lanes next_powers(const Lanes& scale) {
    const Lanes within = at_least(at_most(scale, all(largest_power)), all(smallest_power));
    LaneBits bits;
    std::memcpy(&bits, &within, sizeof bits);
    bits = (bits + 0x7FFFFF) & ~0x7FFFFF;
    Lanes power;
    std::memcpy(&power, &bits, sizeof power);
    return power;
}

/// scale_of_bits() of integer_grid.hpp.
LATHE_ALWAYS_INLINE Lanes scales_of_bits(const Lanes& scale, unsigned significant) {
    const int cut = bits_cut_off(significant);
    LaneBits bits;
    std::memcpy(&bits, &scale, sizeof bits);
    bits = (bits + ((1 << (cut - 1)) - 1) + ((bits >> cut) & 1)) & ~((1 << cut) - 1);
    Lanes rounded;
    std::memcpy(&rounded, &bits, sizeof rounded);
    return at_most(rounded, all(largest_scale_of(significant)));
}

LATHE_ALWAYS_INLINE Lanes storable_scales(const Lanes& scale, const IntegerGridSettings& settings) {
    if (settings.powers_of_two) {
        return next_powers(scale);
    }
    const Lanes half = storable_scales(scale);
    if (settings.float8_scales) {
        return at_least(at_most(scales_of_bits(half, float8_scale_bits), all(largest_float8_scale)),
                        all(smallest_float8_scale));
    }
    return settings.scale_bits == 11 ? half : scales_of_bits(half, settings.scale_bits);
}

struct LaneGrid {
    Lanes scale;
    Lanes zero;
};

/// The grid over `factor` times each row's range.
LATHE_ALWAYS_INLINE LaneGrid grid_over(const Lanes& lowest, const Lanes& highest, float factor,
                                       const IntegerGridSettings& settings) {
    const float highest_code = code_range(settings).highest;
    if (settings.symmetric) {
        const Lanes magnitude = at_least(-lowest, highest) * factor;
        return {storable_scales(magnitude / symmetric_reach(settings), settings),
                all(symmetric_zero(settings.num_bits))};
    }
    const Lanes scale = storable_scales((highest - lowest) * factor / highest_code, settings);
    const Lanes zero = at_most(-lowest * factor / scale, all(highest_code));
    return {scale, nearest_whole(zero)};
}

/// Weighted squared rounding error of each row. Multiplying by the inverse scale may take the other
/// side of a tie than a division does; both sides have the same error.
LATHE_ALWAYS_INLINE Lanes grid_error(const float* columns, std::size_t stride,
                                     const float* importance, std::size_t size,
                                     const LaneGrid& grid, CodeRange codes) {
    const Lanes inverse = 1.0F / grid.scale;
    const Lanes lowest = codes.lowest - grid.zero;
    const Lanes highest = codes.highest - grid.zero;
    Lanes sum = {};
    for (std::size_t j = 0; j < size; ++j) {
        const Lanes w = load(columns + j * stride);
        const Lanes steps = nearest_whole(at_most(at_least(w * inverse, lowest), highest));
        const Lanes difference = w - steps * grid.scale;
        sum += difference * difference * importance[j];
    }
    return sum;
}

}  // namespace

LATHE_VECTOR_CLONES
void fit_lanes(const float* columns, std::size_t stride, const float* importance, std::size_t size,
               const IntegerGridSettings& settings, float* scales, float* zeros) {
    const CodeRange codes = code_range(settings);
    Lanes lowest = {};
    Lanes highest = {};
    for (std::size_t j = 0; j < size; ++j) {
        const Lanes w = load(columns + j * stride);
        lowest = at_most(w, lowest);
        highest = at_least(w, highest);
    }
    LaneGrid best = {};
    Lanes best_error = {};
    for (std::size_t k = 0; k < n_ranges(settings); ++k) {
        const LaneGrid grid = grid_over(lowest, highest, range_factor(k), settings);
        const Lanes error = grid_error(columns, stride, importance, size, grid, codes);
        if (k == 0) {
            best = grid;
            best_error = error;
            continue;
        }
        const auto better = error < best_error;
        best.scale = better ? grid.scale : best.scale;
        best.zero = better ? grid.zero : best.zero;
        best_error = better ? error : best_error;
    }
    store(best.scale, scales);
    store(best.zero, zeros);
}

LATHE_VECTOR_CLONES
void sweep_lanes(const LanePanel& panel, std::size_t begin, std::size_t end, std::size_t n,
                 const float* factor, std::size_t factor_stride,
                 const IntegerGridSettings& settings, const float* scales, const float* zeros) {
    const CodeRange codes = code_range(settings);
    const Lanes scale = load(scales);
    const Lanes zero = load(zeros);
    const Lanes lowest = codes.lowest - zero;
    const Lanes highest = codes.highest - zero;
    float* columns = panel.columns;
    for (std::size_t i = begin; i < end; ++i) {
        const float* u = factor + i * factor_stride;
        const Lanes w = load(columns + i * n_lanes);
        const Lanes steps = nearest_whole(at_most(at_least(w / scale, lowest), highest));
        const Lanes value = scale * steps;
        const Lanes error = (w - value) * (1.0F / u[i]);
        const auto code =
            __builtin_convertvector(__builtin_convertvector(steps + zero, LaneBits), LaneBytes);
        std::memcpy(panel.codes + i * panel.code_stride, &code, sizeof code);
        store(value, columns + i * n_lanes);
        store(error, panel.errors + i * panel.error_stride);
        for (std::size_t k = i + 1; k < n; ++k) {
            float* later = columns + k * n_lanes;
            store(load(later) - error * u[k], later);
        }
    }
}

LATHE_VECTOR_CLONES
void round_group(const float* w, std::size_t size, const IntegerGridSettings& settings, float scale,
                 float zero, std::uint8_t* codes, float* values) {
    const CodeRange range = code_range(settings);
    const float lowest = range.lowest - zero;
    const float highest = range.highest - zero;
    for (std::size_t j = 0; j < size; ++j) {
        float steps = w[j] / scale;
        steps = steps > lowest ? steps : lowest;
        steps = nearest_whole(steps < highest ? steps : highest);
        values[j] = scale * steps;
        codes[j] = static_cast<std::uint8_t>(static_cast<int>(steps + zero));
    }
}

}  // namespace lathe::kernels
