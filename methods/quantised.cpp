#include "methods/quantised.hpp"

#include <algorithm>

namespace lathe {
namespace {

template <class T>
void copy_row(MatrixView<T> from, MatrixView<T> to, std::size_t row) {
    std::copy_n(from.row(row), from.cols, to.row(row));
}

}  // namespace

Quantised::Quantised(std::size_t rows_, std::size_t cols_,
                     const kernels::IntegerGridSettings& grid_, const kernels::Backend& backend)
    : grid(grid_),
      rows(rows_),
      cols(cols_),
      scale_memory(backend.allocate<float>(rows * n_groups())),
      zero_memory(backend.allocate<float>(rows * n_groups())),
      code_memory(backend.allocate<std::uint8_t>(rows * cols)) {}

void Quantised::decode(MatrixView<float> values) const {
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t g = 0; g < n_groups(); ++g) {
            const float scale = scales()(r, g);
            const float zero = zeros()(r, g);
            const std::size_t end = std::min((g + 1) * grid.group_size, cols);
            const std::uint8_t* from = codes().row(r);
            float* to = values.row(r);
            for (std::size_t j = g * grid.group_size; j < end; ++j) {
                to[j] = scale * (static_cast<float>(from[j]) - zero);
            }
        }
    }
}

Quantised copy_of(const Quantised& quantised, const kernels::Backend& backend) {
    Quantised copy(quantised.rows, quantised.cols, quantised.grid, backend);
    const auto copy_all = [](const auto& from, const auto& to) {
        std::copy(from.span().begin(), from.span().end(), to.data());
    };
    copy_all(quantised.scale_memory, copy.scale_memory);
    copy_all(quantised.zero_memory, copy.zero_memory);
    copy_all(quantised.code_memory, copy.code_memory);
    copy.errors = quantised.errors;
    return copy;
}

void keep_better_rows(Quantised& best, const Quantised& other) {
    for (std::size_t r = 0; r < best.rows; ++r) {
        if (best.errors[r] <= other.errors[r]) {
            continue;
        }
        copy_row(other.scales(), best.scales(), r);
        copy_row(other.zeros(), best.zeros(), r);
        copy_row(other.codes(), best.codes(), r);
        best.errors[r] = other.errors[r];
    }
}

}  // namespace lathe
