#include <string>

#include "kernels/backend.hpp"
#include "kernels/grid_checks.hpp"
#include "kernels/nm_matrix.hpp"
#include "lib/core/errors.hpp"

// The public functions on binary codings and packed weights: they check what their comments in
// backend.hpp ask for and hand over to the backend. A refusal is a bug in the caller.

namespace lathe::kernels {
namespace {

using checks::require_binary;
using checks::require_equal_shape;
using checks::require_length;
using checks::require_shape;

void require_codes(const char* function, const MatrixView<const float>& w,
                   const BinaryCodeSettings& settings, const BinaryCodes& codes) {
    require_binary(function, w, settings, codes.scales, codes.offsets);
    require_equal_shape(function, "codes", codes.codes, "w", w);
}

void require_keep(const char* function, const MatrixView<const std::uint8_t>& keep,
                  const MatrixView<const float>& w) {
    if (keep.rows > 0) {
        require_equal_shape(function, "keep", keep, "w", w);
    }
}

}  // namespace

void Backend::fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                               const BinaryCodeSettings& settings,
                               MatrixView<const std::uint8_t> keep,
                               const BinaryCodes& codes) const {
    require_codes("fit_binary_codes", w, settings, codes);
    require_keep("fit_binary_codes", keep, w);
    require_length("fit_binary_codes", "importance", importance.size(), w.cols,
                   "w " + w.shape_text());
    do_fit_binary_codes(w, importance, settings, keep, codes);
}

void Backend::round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                              const BinaryCodes& codes, MatrixView<float> values) const {
    require_codes("round_to_levels", w, settings, codes);
    require_equal_shape("round_to_levels", "values", values, "w", w);
    do_round_to_levels(w, settings, codes, values);
}

void Backend::sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                                 std::span<const float> importance,
                                 const BinaryCodeSettings& settings,
                                 const BinaryCodes& codes) const {
    constexpr const char* function = "sweep_binary_codes";
    require_codes(function, w, settings, codes);
    require_shape(function, "factor", factor, w.cols, w.cols, "w " + w.shape_text());
    require_length(function, "importance", importance.size(), w.cols, "w " + w.shape_text());
    do_sweep_binary_codes(w, factor, importance, settings, codes);
}

void Backend::descend_on_binary_codes(MatrixView<const float> w, MatrixView<const float> gram,
                                      const BinaryCodeSettings& settings, std::size_t n_passes,
                                      MatrixView<const std::uint8_t> keep, const BinaryCodes& codes,
                                      MatrixView<float> values) const {
    constexpr const char* function = "descend_on_binary_codes";
    require_codes(function, w, settings, codes);
    require_keep(function, keep, w);
    require_shape(function, "gram", gram, w.cols, w.cols, "w " + w.shape_text());
    require_equal_shape(function, "values", values, "w", w);
    do_descend_on_binary_codes(w, gram, settings, n_passes, keep, codes, values);
}

std::unique_ptr<const PackedMatrix> Backend::pack(const CodedMatrix& matrix) const {
    if (matrix.num_bits < 1 || matrix.num_bits > 8) {
        throw InternalError("pack: num_bits is " + std::to_string(matrix.num_bits) +
                            ", expected 1 to 8");
    }
    if (matrix.group_size == 0) {
        throw InternalError("pack: group_size is 0, expected at least 1");
    }
    return do_pack(matrix);
}

std::unique_ptr<const PackedMatrix> Backend::pack(const NmMatrix& matrix) const {
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

void Backend::linear(MatrixView<const float> x, std::span<const PackedProduct> products) const {
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

void Backend::embed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
                    MatrixView<float> y) const {
    require_shape("embed", "y", y, ids.size(), table.cols(),
                  std::to_string(ids.size()) + " ids and a packed table of " +
                      std::to_string(table.cols()) + " columns");
    do_embed_packed(ids, table, y);
}

}  // namespace lathe::kernels
