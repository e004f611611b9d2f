#include "kernels/contract/memory.hpp"

#include <string>

#include "kernels/contract/grid_checks.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels {

void Memory::upload(const std::byte* host, DType dtype, MatrixView<float> y) const {
    if (!is_floating(dtype)) {
        throw DataError("upload: cannot convert " + std::string(lathe::name(dtype)) +
                        " to float32; expected a floating type");
    }
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    do_upload(host, dtype, y);
}

void Memory::require_same_extents(std::size_t x_rows, std::size_t x_cols, std::size_t y_rows,
                                  std::size_t y_cols) {
    checks::require_equal("copy", "rows of x", x_rows, "rows of y", y_rows);
    checks::require_equal("copy", "columns of x", x_cols, "columns of y", y_cols);
}

void Memory::download(MatrixView<const float> x, float* host) const {
    if (x.rows == 0 || x.cols == 0) {
        return;
    }
    do_download(x, host);
}

}  // namespace lathe::kernels
