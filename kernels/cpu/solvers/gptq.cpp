#include <algorithm>
#include <vector>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/solvers/grid_lanes.hpp"

// Rows do not meet, so each tile of rows is swept by one thread from the first column to the last.
// A tile is held transposed, [columns in sweep order, rows], so that 16 rows fill a vector; a panel
// of 16 rows and 128 columns stays in the first-level cache while its columns pass their errors on
// to one another, and what they pass on to the columns behind the panel is one matrix product.

namespace lathe::kernels {
namespace {

constexpr std::size_t rows_per_tile = 256;  // a multiple of n_lanes
constexpr std::size_t panel_width = 128;

/// What all tiles read.
struct Sweep {
    MatrixView<const float> factor;
    std::span<const float> importance;
    std::span<const std::uint32_t> order;
    IntegerGridSettings settings;

    [[nodiscard]] std::size_t n_cols() const { return factor.rows; }
    [[nodiscard]] std::size_t column(std::size_t i) const { return order.empty() ? i : order[i]; }
    [[nodiscard]] std::size_t group_end(std::size_t i) const {
        return std::min((i / settings.group_size + 1) * settings.group_size, n_cols());
    }
    /// A panel ends after 128 columns, or before a group that starts inside it and does not end
    /// there: that group's grid needs all its columns up to date.
    [[nodiscard]] std::size_t panel_end(std::size_t begin) const {
        const std::size_t end = std::min(begin + panel_width, n_cols());
        if (!order.empty() || end == n_cols()) {
            return end;
        }
        const std::size_t last_start = end / settings.group_size * settings.group_size;
        return last_start > begin ? last_start : end;
    }
};

/// A tile of rows: views of the caller's arrays and the transposed working copies.
class TileSweep {
public:
    TileSweep(const Sweep& sweep, MatrixView<float> w, MatrixView<float> scales,
              MatrixView<float> zeros, MatrixView<std::uint8_t> codes)
        : sweep_(sweep),
          w_(w),
          scales_(scales),
          zeros_(zeros),
          codes_(codes),
          width_((w.rows + n_lanes - 1) / n_lanes * n_lanes),
          columns_(sweep.n_cols() * width_, 0.0F),
          errors_(panel_width * width_),
          panel_codes_(panel_width * width_),
          group_scales_(scales.cols * width_, 1.0F),
          group_zeros_(scales.cols * width_, 0.0F) {}

    void run() {
        load();
        for (std::size_t begin = 0; begin < sweep_.n_cols();) {
            const std::size_t end = sweep_.panel_end(begin);
            for (std::size_t lane = 0; lane < width_; lane += n_lanes) {
                sweep_panel(begin, end, lane);
            }
            store_codes(begin, end);
            update_later(begin, end);
            begin = end;
        }
        store();
    }

private:
    /// Calls visit(r, i) for each element; few enough columns at a time that both the rows and
    /// their transpose stay in the cache.
    template <class Visit>
    void for_each_element(const Visit& visit) {
        constexpr std::size_t width = 32;
        for (std::size_t begin = 0; begin < sweep_.n_cols(); begin += width) {
            const std::size_t end = std::min(begin + width, sweep_.n_cols());
            for (std::size_t r = 0; r < w_.rows; ++r) {
                for (std::size_t i = begin; i < end; ++i) {
                    visit(r, i);
                }
            }
        }
    }

    void load() {
        for_each_element([this](std::size_t r, std::size_t i) {
            columns_[i * width_ + r] = w_(r, sweep_.column(i));
        });
        if (sweep_.order.empty()) {
            return;
        }
        for (std::size_t g = 0; g < scales_.cols; ++g) {  // the grids were fitted beforehand
            for (std::size_t r = 0; r < w_.rows; ++r) {
                group_scales_[g * width_ + r] = scales_(r, g);
                group_zeros_[g * width_ + r] = zeros_(r, g);
            }
        }
    }

    /// Columns [begin, end) of 16 rows.
    void sweep_panel(std::size_t begin, std::size_t end, std::size_t lane) {
        const std::size_t n = end - begin;
        alignas(64) float local[panel_width * n_lanes];
        for (std::size_t i = 0; i < n; ++i) {
            std::copy_n(&columns_[(begin + i) * width_ + lane], n_lanes, local + i * n_lanes);
        }
        const LanePanel panel{local, &errors_[lane], &panel_codes_[lane], width_, width_};
        const float* factor = sweep_.factor.row(begin) + begin;
        for (std::size_t i = begin; i < end;) {
            const std::size_t group = sweep_.column(i) / sweep_.settings.group_size;
            float* scales = &group_scales_[group * width_ + lane];
            float* zeros = &group_zeros_[group * width_ + lane];
            const bool in_order = sweep_.order.empty();
            const std::size_t run_end = in_order ? std::min(sweep_.group_end(i), end) : i + 1;
            if (in_order && i % sweep_.settings.group_size == 0) {
                const std::size_t size = sweep_.group_end(i) - i;
                const float* importance = sweep_.importance.data() + i;
                const bool inside = i + size <= end;
                fit_lanes(inside ? local + (i - begin) * n_lanes : &columns_[i * width_ + lane],
                          inside ? n_lanes : width_, importance, size, sweep_.settings, scales,
                          zeros);
            }
            sweep_lanes(panel, i - begin, run_end - begin, n, factor, sweep_.factor.stride,
                        sweep_.settings, scales, zeros);
            i = run_end;
        }
        for (std::size_t i = 0; i < n; ++i) {
            std::copy_n(local + i * n_lanes, n_lanes, &columns_[(begin + i) * width_ + lane]);
        }
    }

    /// columns[end..] -= U[panel, end..]^T @ errors
    void update_later(std::size_t begin, std::size_t end) {
        const std::size_t n = end - begin;
        const std::size_t left = sweep_.n_cols() - end;
        if (left == 0) {
            return;
        }
        blas::gemm(blas::Transpose::yes, blas::Transpose::no, -1.0F,
                   sweep_.factor.row_range(begin, n).col_range(end, left),
                   MatrixView<const float>(errors_.data(), n, width_), 1.0F,
                   MatrixView<float>(&columns_[end * width_], left, width_));
    }

    void store_codes(std::size_t begin, std::size_t end) {
        for (std::size_t r = 0; r < w_.rows; ++r) {
            for (std::size_t i = begin; i < end; ++i) {
                codes_(r, sweep_.column(i)) = panel_codes_[(i - begin) * width_ + r];
            }
        }
    }

    void store() {
        for_each_element([this](std::size_t r, std::size_t i) {
            w_(r, sweep_.column(i)) = columns_[i * width_ + r];
        });
        for (std::size_t r = 0; r < w_.rows; ++r) {
            for (std::size_t g = 0; g < scales_.cols; ++g) {
                scales_(r, g) = group_scales_[g * width_ + r];
                zeros_(r, g) = group_zeros_[g * width_ + r];
            }
        }
    }

    const Sweep& sweep_;
    MatrixView<float> w_;
    MatrixView<float> scales_;
    MatrixView<float> zeros_;
    MatrixView<std::uint8_t> codes_;
    std::size_t width_;                      ///< rows, filled up to whole vectors with zeros
    std::vector<float> columns_;             ///< [cols, width], in sweep order
    std::vector<float> errors_;              ///< [panel, width]
    std::vector<std::uint8_t> panel_codes_;  ///< [panel, width]
    std::vector<float> group_scales_;        ///< [groups, width]
    std::vector<float> group_zeros_;         ///< [groups, width]
};

}  // namespace

void CpuBackend::do_gptq(MatrixView<float> w, MatrixView<const float> factor,
                         std::span<const float> importance, std::span<const std::uint32_t> order,
                         const IntegerGridSettings& settings, MatrixView<float> scales,
                         MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const {
    if (!order.empty()) {
        do_fit_integer_grid(w, importance, settings, scales, zeros);
    }
    const Sweep sweep{factor, importance, order, settings};
    pool_.for_each((w.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        const std::size_t begin = tile * rows_per_tile;
        const std::size_t size = std::min(rows_per_tile, w.rows - begin);
        TileSweep(sweep, w.row_range(begin, size), scales.row_range(begin, size),
                  zeros.row_range(begin, size), codes.row_range(begin, size))
            .run();
    });
}

}  // namespace lathe::kernels
