#include "methods/low_rank_factors.hpp"

#include <algorithm>
#include <cmath>

#include "methods/host_matrix.hpp"

namespace lathe {
namespace {

using Matrix = HostMatrix<double>;

Matrix widened(MatrixView<const float> narrow, const kernels::Backend& backend) {
    const std::vector<float> host = backend.to_host(narrow);
    return {narrow.rows, narrow.cols, {host.begin(), host.end()}};
}

enum class Taken { as_is, transposed };

Matrix product(MatrixView<const double> a, Taken of_a, MatrixView<const double> b, Taken of_b,
               const kernels::Backend& backend) {
    Matrix y{of_a == Taken::as_is ? a.rows : a.cols, of_b == Taken::as_is ? b.cols : b.rows};
    backend.multiply(a, of_a == Taken::transposed, b, of_b == Taken::transposed, y.view());
    return y;
}

/// Eigenvalues, largest first, and vectors as rows.
struct Eigen {
    std::vector<double> values;
    Matrix vectors;
};

Eigen eigen_of(Matrix& symmetric, const kernels::Backend& backend) {
    const std::size_t n = symmetric.rows;
    Eigen found{std::vector<double>(n), {n, n}};
    const kernels::SymmetricEigenproblem problem{symmetric.view(), found.values,
                                                 found.vectors.view()};
    backend.symmetric_eigen({&problem, 1});
    return found;
}

/// Eigenvalues below this share of the largest are noise of fp64.
constexpr double noise = 1e-13;

/// W of more rows than columns.
Components of_tall(Matrix w, MatrixView<const double> gram, const kernels::Backend& backend) {
    Matrix squared = product(w.view(), Taken::transposed, w.view(), Taken::as_is, backend);
    const Eigen shape = eigen_of(squared, backend);
    // K^T: row k scaled by the root of its eigenvalue.
    Matrix root = shape.vectors;
    for (std::size_t k = 0; k < w.cols; ++k) {
        const bool counts = shape.values[k] > noise * shape.values.front();
        const double scale = counts ? std::sqrt(shape.values[k]) : 0.0;
        for (std::size_t j = 0; j < w.cols; ++j) {
            root.view()(k, j) *= scale;
        }
    }
    Matrix half = product(root.view(), Taken::as_is, gram, Taken::as_is, backend);
    Matrix inner = product(half.view(), Taken::as_is, root.view(), Taken::transposed, backend);
    Eigen found = eigen_of(inner, backend);
    Matrix right = product(found.vectors.view(), Taken::as_is, root.view(), Taken::as_is, backend);
    return {w.cols, std::move(right.values), std::move(found.values)};
}

Components of_wide(Matrix w, MatrixView<const double> gram, const kernels::Backend& backend) {
    Matrix half = product(w.view(), Taken::as_is, gram, Taken::as_is, backend);
    Matrix outputs = product(half.view(), Taken::as_is, w.view(), Taken::transposed, backend);
    Eigen found = eigen_of(outputs, backend);
    Matrix right = product(found.vectors.view(), Taken::as_is, w.view(), Taken::as_is, backend);
    return {w.cols, std::move(right.values), std::move(found.values)};
}

}  // namespace

Components output_components(MatrixView<const float> weight, MatrixView<const float> gram,
                             const kernels::Backend& backend) {
    Matrix w = widened(weight, backend);
    const Matrix g = widened(gram, backend);
    return weight.rows > weight.cols ? of_tall(std::move(w), g.view(), backend)
                                     : of_wide(std::move(w), g.view(), backend);
}

std::vector<float> fit_left(MatrixView<const float> weight, MatrixView<const float> gram,
                            MatrixView<const float> right, std::vector<float>& narrow_gram,
                            const kernels::Backend& backend) {
    Matrix w = widened(weight, backend);
    Matrix r = widened(right, backend);
    const Matrix g = widened(gram, backend);
    Matrix seen = product(g.view(), Taken::as_is, r.view(), Taken::transposed, backend);  // [n, r]
    Matrix inner = product(r.view(), Taken::as_is, seen.view(), Taken::as_is, backend);
    Matrix target = product(w.view(), Taken::as_is, seen.view(), Taken::as_is, backend);
    narrow_gram.assign(inner.values.begin(), inner.values.end());
    // The inverse by eigenvectors: directions that no input reaches stay out.
    const Eigen found = eigen_of(inner, backend);
    Matrix turned = product(target.view(), Taken::as_is,
                            MatrixView<const double>(found.vectors.values.data(), r.rows, r.rows),
                            Taken::transposed, backend);
    for (std::size_t k = 0; k < r.rows; ++k) {
        const bool counts = found.values[k] > noise * found.values.front();
        for (std::size_t i = 0; i < w.rows; ++i) {
            turned.view()(i, k) *= counts ? 1.0 / found.values[k] : 0.0;
        }
    }
    const Matrix left =
        product(turned.view(), Taken::as_is, {found.vectors.values.data(), r.rows, r.rows},
                Taken::as_is, backend);
    return {left.values.begin(), left.values.end()};
}

}  // namespace lathe
