#include <vector>

#include "kernels/contract/host_checks.hpp"
#include "kernels/layouts/binary_codes.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {
namespace {

/// The values themselves.
class ReferencePacked final : public PackedMatrix {
public:
    explicit ReferencePacked(const CodedMatrix& matrix)
        : rows_(matrix.rows), cols_(matrix.cols), values_(matrix.rows * matrix.cols) {
        const std::size_t n_groups = group_count(cols_, matrix.group_size);
        const std::size_t n_scales = matrix.uniform ? 1 : matrix.num_bits;
        std::vector<std::uint8_t> codes(cols_);
        std::vector<float> scales(n_groups * n_scales);
        // Stays as it is if there are none.
        std::vector<float> offsets(n_groups, usual_offset(matrix));
        for (std::size_t r = 0; r < rows_; ++r) {
            matrix.read(r, codes.data(), scales.data(), offsets.data());
            for (std::size_t j = 0; j < cols_; ++j) {
                const std::size_t g = j / matrix.group_size;
                values_[r * cols_ + j] = coded_value(codes[j], &scales[g * n_scales], offsets[g],
                                                     matrix.num_bits, matrix.uniform);
            }
        }
    }

    explicit ReferencePacked(const NmMatrix& matrix)
        : rows_(matrix.rows), cols_(matrix.cols), values_(matrix.rows * matrix.cols) {
        const bool coded = matrix.num_bits > 0;
        std::vector<std::uint8_t> keep(cols_);
        std::vector<float> stored(coded ? 0 : matrix.stored());
        std::vector<std::uint8_t> codes(coded ? matrix.stored() : 0);
        std::vector<float> scales(matrix.groups() * matrix.scales_per_group());
        // Stays as it is if there are none.
        const float zero =
            coded && !matrix.binary ? static_cast<float>(1U << (matrix.num_bits - 1)) : 0.0F;
        std::vector<float> offsets(matrix.groups(), zero);
        const auto value = [&](std::size_t col, std::size_t next) {
            const std::size_t g = col / matrix.group_size;
            return coded_value(codes[next], &scales[g * matrix.scales_per_group()], offsets[g],
                               matrix.num_bits, !matrix.binary);
        };
        for (std::size_t r = 0; r < rows_; ++r) {
            matrix.read(r, {.keep = keep.data(),
                            .values = stored.data(),
                            .codes = codes.data(),
                            .scales = scales.data(),
                            .offsets = matrix.has_offsets ? offsets.data() : nullptr});
            std::size_t next = 0;
            for (std::size_t j = 0; j < cols_; ++j) {
                if (keep[j] != 0) {
                    values_[r * cols_ + j] = coded ? value(j, next) : stored[next];
                    ++next;
                }
            }
        }
    }

    [[nodiscard]] std::size_t rows() const noexcept override { return rows_; }
    [[nodiscard]] std::size_t cols() const noexcept override { return cols_; }
    [[nodiscard]] std::size_t size_bytes() const noexcept override {
        return values_.size() * sizeof(float);
    }
    [[nodiscard]] MatrixView<const float> values() const { return {values_.data(), rows_, cols_}; }

private:
    std::size_t rows_;
    std::size_t cols_;
    std::vector<float> values_;
};

MatrixView<const float> values_of(const PackedMatrix& packed) {
    return dynamic_cast<const ReferencePacked&>(packed).values();
}

}  // namespace

std::unique_ptr<const PackedMatrix> ReferenceBackend::do_pack(const CodedMatrix& matrix) const {
    return std::make_unique<ReferencePacked>(matrix);
}

std::unique_ptr<const PackedMatrix> ReferenceBackend::do_pack_nm(const NmMatrix& matrix) const {
    return std::make_unique<ReferencePacked>(matrix);
}

void ReferenceBackend::do_linear_packed(MatrixView<const float> x,
                                        std::span<const PackedProduct> products) const {
    for (const PackedProduct& product : products) {
        do_linear(x, values_of(*product.weight), product.bias, product.y);
    }
}

void ReferenceBackend::do_embed_packed(std::span<const std::uint32_t> ids,
                                       const PackedMatrix& table, MatrixView<float> y) const {
    do_embed(ids, values_of(table), y);
}

}  // namespace lathe::kernels
