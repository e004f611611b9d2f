#pragma once

#include <cstdint>
#include <vector>

#include "kernels/contract/backend.hpp"

namespace lathe {

/// A binary coding of a matrix [rows, cols], in a backend's memory.
struct BinaryCoded {
    kernels::BinaryCodeSettings settings;
    std::size_t rows = 0;
    std::size_t cols = 0;
    kernels::Array<float> scale_memory;
    kernels::Array<float> offset_memory;
    kernels::Array<std::uint8_t> code_memory;
    std::vector<double> errors;  ///< squared output error of each row

    BinaryCoded(std::size_t rows_, std::size_t cols_, const kernels::BinaryCodeSettings& settings_,
                const kernels::Backend& backend);

    [[nodiscard]] std::size_t n_groups() const {
        return kernels::group_count(cols, settings.group_size);
    }
    [[nodiscard]] kernels::BinaryCodes view() const {
        return {scale_memory.matrix(rows, n_groups() * settings.num_bits),
                offset_memory.matrix(rows, n_groups()), code_memory.matrix(rows, cols)};
    }
    /// Writes the values of all codes. values [rows, cols]
    void decode(MatrixView<float> values, const kernels::Backend& backend) const;
    /// What the codes can stand for.
    [[nodiscard]] kernels::MatrixLimits limits(MatrixView<const std::uint8_t> keep) const;
    /// Takes the codes of values that are levels. values [rows, cols]
    void take_codes(MatrixView<float> values, const kernels::Backend& backend) const {
        backend.round_to_levels(values, settings, view(), values);
    }
};

/// A copy in memory of its own.
[[nodiscard]] BinaryCoded copy_of(const BinaryCoded& coded, const kernels::Backend& backend);

/// Takes over the rows in which `other`, of the same shape, is better.
void keep_better_rows(BinaryCoded& best, const BinaryCoded& other, const kernels::Backend& backend);

}  // namespace lathe
