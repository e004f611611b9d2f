#include "methods/quantised.hpp"

#include <algorithm>

#include "methods/better_rows.hpp"

namespace lathe {
Quantised::Quantised(std::size_t rows_, std::size_t cols_,
                     const kernels::IntegerGridSettings& grid_, const kernels::Backend& backend)
    : grid(grid_),
      rows(rows_),
      cols(cols_),
      scale_memory(backend.allocate<float>(rows * n_groups())),
      zero_memory(backend.allocate<float>(rows * n_groups())),
      code_memory(backend.allocate<std::uint8_t>(rows * cols)) {}

void Quantised::decode(MatrixView<float> values, const kernels::Backend& backend) const {
    const std::vector<float> all_scales = backend.to_host(scales());
    const std::vector<float> all_zeros = backend.to_host(zeros());
    const std::vector<std::uint8_t> all_codes = backend.to_host(codes());
    std::vector<float> decoded(rows * cols);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t g = 0; g < n_groups(); ++g) {
            const float scale = all_scales[r * n_groups() + g];
            const float zero = all_zeros[r * n_groups() + g];
            const std::size_t end = std::min((g + 1) * grid.group_size, cols);
            const std::uint8_t* from = &all_codes[r * cols];
            float* to = &decoded[r * cols];
            for (std::size_t j = g * grid.group_size; j < end; ++j) {
                to[j] = scale * (static_cast<float>(from[j]) - zero);
            }
        }
    }
    backend.copy({decoded.data(), rows, cols}, values);
}

Quantised copy_of(const Quantised& quantised, const kernels::Backend& backend) {
    Quantised copy(quantised.rows, quantised.cols, quantised.grid, backend);
    backend.copy(quantised.scales(), copy.scales());
    backend.copy(quantised.zeros(), copy.zeros());
    backend.copy(quantised.codes(), copy.codes());
    copy.errors = quantised.errors;
    return copy;
}

void keep_better_rows(Quantised& best, const Quantised& other, const kernels::Backend& backend) {
    take_better_rows(best.errors, other.errors, [&](std::size_t begin, std::size_t count) {
        const auto copy = [&](const auto& from, const auto& to) {
            backend.copy(from.row_range(begin, count), to.row_range(begin, count));
        };
        copy(other.scales(), best.scales());
        copy(other.zeros(), best.zeros());
        copy(other.codes(), best.codes());
    });
}

}  // namespace lathe
