#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lib/core/matrix_view.hpp"

/// The only door to OpenBLAS and LAPACK: thin wrappers over row-major views that check extents and
/// results. Every call runs on the calling thread alone unless use_threads() says otherwise;
/// parallel work is cut into tiles outside.
///
/// All functions throw ShapeError when extents do not fit together or exceed what the C interface
/// can count (2^31 - 1). Empty matrices are allowed and do nothing.
namespace lathe::kernels::blas {

enum class Transpose { no, yes };
/// Which half of a square row-major matrix is meant; the diagonal belongs to both.
enum class Triangle { upper, lower };

/// Threads that OpenBLAS takes for a call, for the whole process. CpuBackend's constructor sets 1;
/// more is for measuring OpenBLAS itself.
void use_threads(std::size_t n);

/// The kind of processor whose kernels OpenBLAS took when it was loaded: "Haswell", "SkylakeX".
[[nodiscard]] std::string core_name();

/// The environment variable by which OpenBLAS is told.
inline constexpr const char* core_variable = "OPENBLAS_CORETYPE";

/// The kind it is to take, by that variable and before it is loaded, so that processors which have
/// an instruction set (vector_kernels.hpp) all compute alike. Empty: its own choice. So is "auto",
/// unless OpenBLAS chose as it does for a processor that it does not know, one newer than itself:
/// then it is the kind for the best instruction set.
[[nodiscard]] std::string_view core_for(std::string_view instruction_set);

/// c = alpha * op(a) @ op(b) + beta * c, with op(a) [m, k], op(b) [k, n], c [m, n].
/// With beta = 0 the old content of c is not read.
void gemm(Transpose transpose_a, Transpose transpose_b, float alpha, MatrixView<const float> a,
          MatrixView<const float> b, float beta, MatrixView<float> c);
void gemm(Transpose transpose_a, Transpose transpose_b, double alpha, MatrixView<const double> a,
          MatrixView<const double> b, double beta, MatrixView<double> c);

/// y = alpha * a @ x + beta * y.  a [m, n], x [n], y [m].
void gemv(float alpha, MatrixView<const float> a, const float* x, float beta, float* y);

/// b = alpha * op(t)^-1 @ b, in place, with t triangular [m, m] (not unit) and b [m, n].
void trsm_left(Triangle triangle, Transpose transpose, float alpha, MatrixView<const float> t,
               MatrixView<float> b);
void trsm_left(Triangle triangle, Transpose transpose, double alpha, MatrixView<const double> t,
               MatrixView<double> b);

/// Cholesky factor in place, of the matrix whose given triangle is stored in `a`; the other
/// triangle is not touched. upper: a = U^T U; lower: a = L L^T.
/// @return  0, or the order (from 1) of the leading minor that is not positive definite
[[nodiscard]] std::size_t cholesky(Triangle triangle, MatrixView<double> a);

/// Inverse of a triangular matrix (not unit), in place; the other triangle is not touched.
/// @return  0, or the place (from 1) of a zero on the diagonal
[[nodiscard]] std::size_t invert_triangular(Triangle triangle, MatrixView<double> a);

/// Brings the symmetric matrix whose upper triangle is stored in `a` [d, d] to tridiagonal form by
/// d - 1 Householder reflections (dsytrd). Reflection k is I - factors[k] v v^T; v is 0 before
/// place k + 1, 1 there, and then what row k of `a` has; the rest of `a` is undefined.
/// diagonal [d]; beside, factors [d - 1].
void tridiagonalise(MatrixView<double> a, double* diagonal, double* beside, double* factors);

/// Eigenvalues in ascending order and eigenvectors of a symmetric tridiagonal matrix by divide and
/// conquer (dstedc). diagonal [d] becomes the values, row k of vectors [d, d] the unit eigenvector
/// of value k; `beside` [d - 1] is overwritten.
/// @return  0, or more if an eigenvalue did not converge
[[nodiscard]] std::size_t tridiagonal_eigen(double* diagonal, double* beside,
                                            MatrixView<double> vectors);

/// The triangle T of a product of reflections, H_1 H_2 ... = I - V^T T V with a row of v [n, m] for
/// each, of which place k is 1 in row k and what is before it 0 (dlarft; these are not read).
/// Stored transposed: turned_triangle [n, n] = T^T, below its diagonal.
void reflection_triangle(MatrixView<const double> v, const double* factors,
                         MatrixView<double> turned_triangle);

}  // namespace lathe::kernels::blas
