#include "methods/binary_coded.hpp"

#include <vector>

#include "kernels/layouts/binary_codes.hpp"
#include "methods/better_rows.hpp"

namespace lathe {
namespace {

void copy_rows(const BinaryCoded& from, const BinaryCoded& to, std::size_t begin, std::size_t count,
               const kernels::Backend& backend) {
    const auto copy = [&](const auto& x, const auto& y) {
        backend.copy(x.row_range(begin, count), y.row_range(begin, count));
    };
    copy(from.view().scales, to.view().scales);
    copy(from.view().offsets, to.view().offsets);
    copy(from.view().codes, to.view().codes);
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

void BinaryCoded::decode(MatrixView<float> values, const kernels::Backend& backend) const {
    const std::vector<float> scales = backend.to_host(view().scales);
    const std::vector<float> offsets = backend.to_host(view().offsets);
    const std::vector<std::uint8_t> codes = backend.to_host(view().codes);
    std::vector<float> decoded(rows * cols);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t j = 0; j < cols; ++j) {
            const std::size_t g = r * n_groups() + j / settings.group_size;
            decoded[r * cols + j] =
                kernels::coded_value(codes[r * cols + j], &scales[g * settings.num_bits],
                                     offsets[g], settings.num_bits, false);
        }
    }
    backend.copy({decoded.data(), rows, cols}, values);
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
    copy_rows(coded, copy, 0, coded.rows, backend);
    copy.errors = coded.errors;
    return copy;
}

void keep_better_rows(BinaryCoded& best, const BinaryCoded& other,
                      const kernels::Backend& backend) {
    take_better_rows(best.errors, other.errors, [&](std::size_t begin, std::size_t count) {
        copy_rows(other, best, begin, count, backend);
    });
}

}  // namespace lathe
