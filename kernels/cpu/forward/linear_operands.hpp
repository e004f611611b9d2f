#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/common/vector_kernels.hpp"
#include "lib/core/matrix_view.hpp"

// The operands of y = x @ w^T as the inner loop reads them (kernels/cpu/forward/linear.cpp).

namespace lathe::kernels::linear_operands {

/// Tiles that copy a strip of x each rather than share one.
inline constexpr std::size_t max_copies = 4;
/// Strips that are packed at a time.
inline constexpr std::size_t strips_per_task = 8;
inline constexpr std::size_t floats_per_line = 16;

inline std::size_t divide_up(std::size_t n, std::size_t by) {
    return (n + by - 1) / by;
}
inline std::size_t round_up(std::size_t n, std::size_t multiple) {
    return divide_up(n, multiple) * multiple;
}

/// The depth in slabs of equal size, whole cache lines each; one empty slab if there is nothing to
/// sum.
struct Slabs {
    std::size_t depth;
    std::size_t count;
    std::size_t step;

    explicit Slabs(std::size_t depth_)
        : depth(depth_),
          count(std::max<std::size_t>(1, divide_up(depth, depth_block))),
          step(round_up(divide_up(depth, count), floats_per_line)) {}

    [[nodiscard]] std::size_t begin(std::size_t slab) const { return std::min(slab * step, depth); }
    [[nodiscard]] std::size_t size(std::size_t slab) const { return begin(slab + 1) - begin(slab); }
};

/// The first of some rows, and how far apart they are.
struct Rows {
    const float* data;
    std::size_t stride;
};

/// x in strips of panel_height tokens, [panel_height][packed_stride] for each slab. If few tiles
/// read a strip they copy it themselves, into their first-level cache; else it is packed before
/// they begin: for each slab all strips.
class Strips {
public:
    Strips(MatrixView<const float> x, const Slabs& slabs, std::size_t n_readers)
        : x_(x), slabs_(slabs), shared_(n_readers > max_copies) {}

    /// Floats to pack into.
    [[nodiscard]] std::size_t size() const {
        return shared_ ? slabs_.count * round_up(x_.rows, height_) * packed_stride : 0;
    }
    void place(float* memory) { memory_ = memory; }
    [[nodiscard]] std::size_t n_tasks() const {
        return shared_ ? divide_up(x_.rows, strips_per_task * height_) : 0;
    }
    void pack(std::size_t task) const {
        const std::size_t step = strips_per_task * height_;
        const std::size_t end = std::min(x_.rows, (task + 1) * step);
        for (std::size_t t = task * step; t < end; t += height_) {
            for (std::size_t slab = 0; slab < slabs_.count; ++slab) {
                copy(slab, t, packed(slab, t));
            }
        }
    }

    /// The strip that begins with a token; `own` is where to copy it if it is not packed.
    [[nodiscard]] const float* get(std::size_t slab, std::size_t token, float* own) const {
        if (shared_) {
            return packed(slab, token);
        }
        copy(slab, token, own);
        return own;
    }
    /// Two rows of memory that the next strip will be read from, beginning with its row i.
    [[nodiscard]] Rows after(std::size_t slab, std::size_t token, std::size_t i) const {
        if (shared_) {
            return {packed(slab, token) + (height_ + i) * packed_stride, packed_stride};
        }
        const std::size_t row = std::min(token + height_ + i, x_.rows - 1);
        return {x_.row(row) + slabs_.begin(slab), x_.stride};
    }

private:
    [[nodiscard]] float* packed(std::size_t slab, std::size_t token) const {
        return memory_ + (slab * round_up(x_.rows, height_) + token) * packed_stride;
    }
    void copy(std::size_t slab, std::size_t token, float* strip) const {
        const std::size_t n = std::min(height_, x_.rows - token);
        for (std::size_t i = 0; i < n; ++i) {
            std::copy_n(x_.row(token + i) + slabs_.begin(slab), slabs_.size(slab),
                        strip + i * packed_stride);
        }
    }

    MatrixView<const float> x_;
    const Slabs& slabs_;
    bool shared_;
    float* memory_ = nullptr;
    std::size_t height_ = vector_kernels().panel_height;
};

/// Some slabs of w in panels: for each slab, for each panel_width features,
/// [size of the slab][panel_width].
class Panels {
public:
    /// Floats that so many features take.
    static std::size_t size(std::size_t n_features, std::size_t depth) {
        return round_up(n_features, vector_kernels().panel_width) * depth;
    }

    Panels(MatrixView<const float> w, const Slabs& slabs, float* memory)
        : w_(w), slabs_(slabs), memory_(memory) {}

    [[nodiscard]] float* at(std::size_t slab, std::size_t feature) const {
        return memory_ + round_up(w_.rows, width_) * slabs_.begin(slab) +
               feature * slabs_.size(slab);
    }
    [[nodiscard]] std::size_t n_tasks() const { return divide_up(w_.rows, width_); }
    void pack(std::size_t task) const {
        for (std::size_t slab = 0; slab < slabs_.count; ++slab) {
            pack(task, slab, at(slab, task * width_));
        }
    }
    void pack(std::size_t task, std::size_t slab, float* panel) const {
        const std::size_t feature = task * width_;
        vector_kernels().pack_transposed(w_.row(feature) + slabs_.begin(slab), w_.stride,
                                         std::min(width_, w_.rows - feature), slabs_.size(slab),
                                         panel);
    }

private:
    MatrixView<const float> w_;
    const Slabs& slabs_;
    float* memory_;
    std::size_t width_ = vector_kernels().panel_width;
};

}  // namespace lathe::kernels::linear_operands
