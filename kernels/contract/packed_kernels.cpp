#include "kernels/contract/packed_kernels.hpp"

#include <string>

#include "kernels/contract/grid_checks.hpp"
#include "lib/core/errors.hpp"

// What every backend may take for granted: the public functions check what their comments in the
// header ask for and hand over to the backend. A refusal is a bug in the caller.

namespace lathe::kernels {

using checks::require_length;
using checks::require_shape;

std::unique_ptr<const PackedMatrix> PackedKernels::pack(const CodedMatrix& matrix) const {
    if (matrix.num_bits < 1 || matrix.num_bits > 8) {
        throw InternalError("pack: num_bits is " + std::to_string(matrix.num_bits) +
                            ", expected 1 to 8");
    }
    if (matrix.group_size == 0) {
        throw InternalError("pack: group_size is 0, expected at least 1");
    }
    return do_pack(matrix);
}

std::unique_ptr<const PackedMatrix> PackedKernels::pack(const NmMatrix& matrix) const {
    const auto [n, m] = matrix.pattern;
    const std::string pattern = std::to_string(n) + ":" + std::to_string(m);
    if (n == 0 || n > m || m > 64 || matrix.cols % m != 0) {
        throw InternalError("pack: pattern " + pattern + " of " + std::to_string(matrix.cols) +
                            " columns, expected N:M with 1 <= N <= M <= 64 and M a divisor");
    }
    if (matrix.binary ? matrix.num_bits == 0 || matrix.num_bits > 4
                      : matrix.num_bits == 1 || matrix.num_bits > 8) {
        throw InternalError("pack: num_bits is " + std::to_string(matrix.num_bits) +
                            (matrix.binary ? " of binary codes, expected 1 to 4"
                                           : ", expected 2 to 8, or 0 for floating numbers"));
    }
    if (matrix.has_offsets && !matrix.binary) {
        throw InternalError("pack: offsets of an N:M matrix whose codes are not binary");
    }
    if (matrix.num_bits > 0 && (matrix.group_size == 0 || matrix.group_size % m != 0)) {
        throw InternalError("pack: group_size is " + std::to_string(matrix.group_size) +
                            ", expected a multiple of " + std::to_string(m));
    }
    return do_pack_nm(matrix);
}

void PackedKernels::linear(MatrixView<const float> x,
                           std::span<const PackedProduct> products) const {
    for (const PackedProduct& product : products) {
        const PackedMatrix& w = *product.weight;
        const std::string because = "x " + x.shape_text() + " and packed weights [" +
                                    std::to_string(w.rows()) + ", " + std::to_string(w.cols()) +
                                    "]";
        require_length("linear", "x", x.cols, w.cols(), because);
        require_shape("linear", "y", product.y, x.rows, w.rows(), because);
        if (!product.bias.empty()) {
            require_length("linear", "bias", product.bias.size(), w.rows(), because);
        }
    }
    if (x.rows > 0 && !products.empty()) {
        do_linear_packed(x, products);
    }
}

void PackedKernels::embed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
                          MatrixView<float> y) const {
    require_shape("embed", "y", y, ids.size(), table.cols(),
                  std::to_string(ids.size()) + " ids and a packed table of " +
                      std::to_string(table.cols()) + " columns");
    do_embed_packed(ids, table, y);
}

}  // namespace lathe::kernels
