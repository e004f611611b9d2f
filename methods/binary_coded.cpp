#include "methods/binary_coded.hpp"

#include <algorithm>

#include "kernels/binary_codes.hpp"

namespace lathe {
namespace {

template <class T>
void copy_row(MatrixView<T> from, MatrixView<T> to, std::size_t row) {
    std::copy_n(from.row(row), from.cols, to.row(row));
}

void copy_row(const BinaryCoded& from, const BinaryCoded& to, std::size_t row) {
    copy_row(from.view().scales, to.view().scales, row);
    copy_row(from.view().offsets, to.view().offsets, row);
    copy_row(from.view().codes, to.view().codes, row);
}

}  // namespace

BinaryCoded::BinaryCoded(std::size_t rows_, std::size_t cols_,
                         const kernels::BinaryCodeSettings& settings_,
                         const kernels::Backend& backend)
    : settings(settings_),
      rows(rows_),
      cols(cols_),
      scale_memory(backend.allocate<float>(rows * n_groups() * settings.num_bits)),
      offset_memory(backend.allocate<float>(rows * n_groups())),
      code_memory(backend.allocate<std::uint8_t>(rows * cols)) {}

void BinaryCoded::decode(MatrixView<float> values) const {
    const kernels::BinaryCodes codes = view();
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t j = 0; j < cols; ++j) {
            const std::size_t g = j / settings.group_size;
            values(r, j) =
                kernels::coded_value(codes.codes(r, j), codes.scales.row(r) + g * settings.num_bits,
                                     codes.offsets(r, g), settings.num_bits, false);
        }
    }
}

kernels::MatrixLimits BinaryCoded::limits(MatrixView<const std::uint8_t> keep) const {
    return {.grid = nullptr,
            .binary = &settings,
            .scales = view().scales,
            .zeros = view().offsets,
            .keep = keep,
            .pattern = {},
            .importance = {}};
}

BinaryCoded copy_of(const BinaryCoded& coded, const kernels::Backend& backend) {
    BinaryCoded copy(coded.rows, coded.cols, coded.settings, backend);
    for (std::size_t r = 0; r < coded.rows; ++r) {
        copy_row(coded, copy, r);
    }
    copy.errors = coded.errors;
    return copy;
}

void keep_better_rows(BinaryCoded& best, const BinaryCoded& other) {
    for (std::size_t r = 0; r < best.rows; ++r) {
        if (best.errors[r] > other.errors[r]) {
            copy_row(other, best, r);
            best.errors[r] = other.errors[r];
        }
    }
}

}  // namespace lathe
