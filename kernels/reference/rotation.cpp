#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {

void ReferenceBackend::do_accumulate_stream_gram(MatrixView<const float> x,
                                                 MatrixView<double> gram) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t i = 0; i < x.cols; ++i) {
            for (std::size_t j = i; j < x.cols; ++j) {
                gram(i, j) += static_cast<double>(x(t, i)) * static_cast<double>(x(t, j));
            }
        }
    }
}

void ReferenceBackend::do_multiply(MatrixView<const double> a, bool transpose_a,
                                   MatrixView<const double> b, bool transpose_b,
                                   MatrixView<double> y) const {
    const std::size_t depth = transpose_a ? a.rows : a.cols;
    for (std::size_t i = 0; i < y.rows; ++i) {
        for (std::size_t j = 0; j < y.cols; ++j) {
            double sum = 0.0;
            for (std::size_t k = 0; k < depth; ++k) {
                sum += (transpose_a ? a(k, i) : a(i, k)) * (transpose_b ? b(j, k) : b(k, j));
            }
            y(i, j) = sum;
        }
    }
}

namespace {

/// Makes element (p, q) of the symmetric `a` zero by a rotation of rows and columns p and q, and
/// rotates the same rows of `vectors`. Source: Golub and Van Loan, Matrix Computations, 8.5.2.
void rotate_pair(MatrixView<double> a, MatrixView<double> vectors, std::size_t p, std::size_t q) {
    const double theta = (a(q, q) - a(p, p)) / (2.0 * a(p, q));
    const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(theta, 1.0));
    const double c = 1.0 / std::hypot(t, 1.0);
    const double s = t * c;
    const auto rotate = [&](double& x, double& y) {
        const double old = x;
        x = c * old - s * y;
        y = s * old + c * y;
    };
    for (std::size_t k = 0; k < a.rows; ++k) {
        rotate(a(k, p), a(k, q));
    }
    for (std::size_t k = 0; k < a.rows; ++k) {
        rotate(a(p, k), a(q, k));
        rotate(vectors(p, k), vectors(q, k));
    }
}

/// Cyclic Jacobi: sweeps over all pairs until what is off the diagonal is nothing beside it.
void solve_by_jacobi(const SymmetricEigenproblem& problem) {
    constexpr int max_sweeps = 60;
    const std::size_t d = problem.matrix.rows;
    std::vector<double> memory(d * d);
    const MatrixView<double> a(memory.data(), d, d);
    double scale = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
        for (std::size_t j = 0; j < d; ++j) {
            a(i, j) = problem.matrix(std::min(i, j), std::max(i, j));
            problem.vectors(i, j) = i == j ? 1.0 : 0.0;
            scale += a(i, j) * a(i, j);
        }
    }
    bool changed = true;
    for (int sweep = 0; changed && sweep < max_sweeps; ++sweep) {
        changed = false;
        for (std::size_t p = 0; p < d; ++p) {
            for (std::size_t q = p + 1; q < d; ++q) {
                if (a(p, q) * a(p, q) > 1e-34 * scale) {
                    rotate_pair(a, problem.vectors, p, q);
                    changed = true;
                }
            }
        }
    }
    for (std::size_t i = 0; i < d; ++i) {
        problem.values[i] = a(i, i);
    }
}

}  // namespace

void ReferenceBackend::do_symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const {
    for (const SymmetricEigenproblem& problem : problems) {
        solve_by_jacobi(problem);
    }
}

}  // namespace lathe::kernels
