#include <algorithm>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/solvers/descent_tile.hpp"
#include "kernels/layouts/integer_grid.hpp"

namespace lathe::kernels {
namespace {

/// Nearest whole number, ties to even, for |value| < 2^22.
LATHE_ALWAYS_INLINE float nearest_whole(float value) {
    constexpr float no_fraction = 0x1.8p23F;
    return (value + no_fraction) - no_fraction;
}

/// The best code for each of columns [begin, end), which share a grid. True if one changed.
LATHE_VECTOR_CLONES
bool descend_codes(const BlockRow& row, const std::uint8_t* keep, std::uint8_t* codes,
                   std::size_t begin, std::size_t end, float scale, float zero, CodeRange range) {
    const float lowest = range.lowest - zero;
    const float highest = range.highest - zero;
    const float per_scale = 1.0F / scale;
    bool changed = false;
    for (std::size_t j = begin; j < end; ++j) {
        if (row.inverse[j] == 0.0F || (keep != nullptr && keep[j] == 0)) {
            continue;
        }
        float steps = (row.values[j] - row.gradient[j] * row.inverse[j]) * per_scale;
        steps = steps > lowest ? steps : lowest;
        steps = nearest_whole(steps < highest ? steps : highest);
        const float value = scale * steps;
        if (value != row.values[j]) {
            changed = true;
            codes[j] = static_cast<std::uint8_t>(static_cast<int>(steps + zero));
            set_value(row, j, value);
        }
    }
    return changed;
}

/// The best scale for columns [begin, end), or the one they have if that is no improvement.
LATHE_VECTOR_CLONES
float best_scale(const BlockRow& row, const std::uint8_t* codes, std::size_t begin, std::size_t end,
                 float scale, float zero, const IntegerGridSettings& settings) {
    float steps[widest_refitted_group];
    const std::size_t n = end - begin;
    float slope = 0.0F;
    for (std::size_t i = 0; i < n; ++i) {
        steps[i] = static_cast<float>(codes[begin + i]) - zero;
        slope += steps[i] * row.gradient[begin + i];
    }
    float product[widest_refitted_group] = {};
    for (std::size_t i = 0; i < n; ++i) {
        if (steps[i] == 0.0F) {
            continue;
        }
        const float* gram = row.gram + (begin + i) * row.n + begin;
        for (std::size_t k = 0; k < n; ++k) {
            product[k] += steps[i] * gram[k];
        }
    }
    float curvature = 0.0F;
    for (std::size_t k = 0; k < n; ++k) {
        curvature += product[k] * steps[k];
    }
    if (!(curvature > 0.0F)) {
        return scale;
    }
    const float found = storable_scale(scale - slope / curvature, settings);
    const float change = found - scale;
    return 2.0F * change * slope + change * change * curvature < 0.0F ? found : scale;
}

LATHE_VECTOR_CLONES
void rescale(const BlockRow& row, const std::uint8_t* codes, std::size_t begin, std::size_t end,
             float scale, float zero) {
    for (std::size_t j = begin; j < end; ++j) {
        const float value = scale * (static_cast<float>(codes[j]) - zero);
        if (value != row.values[j]) {
            set_value(row, j, value);
        }
    }
}

/// Codes of a tile on integer grids.
struct GridCodes {
    IntegerGridSettings settings;
    MatrixView<const std::uint8_t> keep;  ///< of the tile's rows, or empty
    MatrixView<float> scales;
    MatrixView<const float> zeros;
    MatrixView<std::uint8_t> codes;

    void begin(std::size_t r, float* values) const {
        for (std::size_t j = 0; j < codes.cols; ++j) {
            const std::size_t g = j / settings.group_size;
            values[j] = scales(r, g) * (static_cast<float>(codes(r, j)) - zeros(r, g));
        }
    }

    bool descend(const BlockRow& row, std::size_t r, std::size_t g, std::size_t begin,
                 std::size_t end) const {
        const std::uint8_t* kept = keep.rows > 0 ? keep.row(r) + row.first : nullptr;
        std::uint8_t* own = codes.row(r) + row.first;
        float& scale = scales(r, g);
        const float zero = zeros(r, g);
        bool changed = descend_codes(row, kept, own, begin, end, scale, zero, code_range(settings));
        if (settings.group_size > widest_refitted_group) {
            return changed;
        }
        const float found = best_scale(row, own, begin, end, scale, zero, settings);
        if (found != scale) {
            changed = true;
            scale = found;
            rescale(row, own, begin, end, scale, zero);
        }
        return changed;
    }
};

}  // namespace

void CpuBackend::do_descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                                    const IntegerGridSettings& settings, std::size_t n_passes,
                                    MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                                    MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                                    MatrixView<float> values) const {
    const DescentProblem problem{w, gram, n_passes, settings.group_size,
                                 settings.group_size <= widest_refitted_group};
    constexpr std::size_t step = descent_rows_per_tile;
    pool_.for_each((w.rows + step - 1) / step, [&](std::size_t tile) {
        const std::size_t begin = tile * step;
        const std::size_t size = std::min(step, w.rows - begin);
        GridCodes own{settings, keep.rows > 0 ? keep.row_range(begin, size) : keep,
                      scales.row_range(begin, size), zeros.row_range(begin, size),
                      codes.row_range(begin, size)};
        TileDescent(problem, begin, own, values.row_range(begin, size)).run();
    });
}

}  // namespace lathe::kernels
