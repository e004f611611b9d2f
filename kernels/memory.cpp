#include "kernels/memory.hpp"

#include <string>

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
    const auto require = [](const char* what, std::size_t x, std::size_t y) {
        if (x != y) {
            throw ShapeError("copy: " + std::string(what) + " of x is " + std::to_string(x) +
                             " but " + what + " of y is " + std::to_string(y));
        }
    };
    require("rows", x_rows, y_rows);
    require("columns", x_cols, y_cols);
}

void Memory::download(MatrixView<const float> x, float* host) const {
    if (x.rows == 0 || x.cols == 0) {
        return;
    }
    do_download(x, host);
}

}  // namespace lathe::kernels
