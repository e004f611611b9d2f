#include "kernels/cpu/common/blas.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <string>

#include <cblas.h>
#include <lapacke.h>

#include "kernels/cpu/common/vector_kernels.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels::blas {
namespace {

/// SSE3, which every x86-64 processor of the last twenty years has: what OpenBLAS takes for one
/// that it does not know.
[[maybe_unused]] constexpr std::string_view unknown_core = "Prescott";

int count(std::size_t n, const char* function) {
    if (n > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
        throw ShapeError(std::string(function) + ": an extent of " + std::to_string(n) +
                         " is more than BLAS can count");
    }
    return static_cast<int>(n);
}

/// BLAS wants a leading dimension of at least 1 and at least the number of columns, even where
/// there is only one row and the stride is never used.
template <class T>
int leading(const MatrixView<T>& matrix, const char* function) {
    return count(std::max({matrix.stride, matrix.cols, std::size_t{1}}), function);
}

template <class T>
void require_square(const MatrixView<T>& a, const char* function) {
    if (a.rows != a.cols) {
        throw ShapeError(std::string(function) + ": expected a square matrix, found " +
                         a.shape_text());
    }
}

CBLAS_TRANSPOSE flag(Transpose transpose) {
    return transpose == Transpose::yes ? CblasTrans : CblasNoTrans;
}
CBLAS_UPLO flag(Triangle triangle) {
    return triangle == Triangle::upper ? CblasUpper : CblasLower;
}

/// LAPACK counts columns first, so it sees our row-major matrix transposed: our upper triangle is
/// its lower one. Saying so spares the copies that LAPACK_ROW_MAJOR makes.
char transposed_flag(Triangle triangle) {
    return triangle == Triangle::upper ? 'L' : 'U';
}

/// Extents of a product, checked.
struct Product {
    int m;
    int n;
    int k;
};

template <class A, class B, class C>
Product product_of(Transpose transpose_a, Transpose transpose_b, const MatrixView<A>& a,
                   const MatrixView<B>& b, const MatrixView<C>& c) {
    const bool ta = transpose_a == Transpose::yes;
    const bool tb = transpose_b == Transpose::yes;
    const std::size_t m = ta ? a.cols : a.rows;
    const std::size_t k = ta ? a.rows : a.cols;
    const std::size_t k_b = tb ? b.cols : b.rows;
    const std::size_t n = tb ? b.rows : b.cols;
    if (k != k_b || c.rows != m || c.cols != n) {
        throw ShapeError("gemm: " + a.shape_text() + (ta ? "^T" : "") + " @ " + b.shape_text() +
                         (tb ? "^T" : "") + " does not give " + c.shape_text());
    }
    return {count(m, "gemm"), count(n, "gemm"), count(k, "gemm")};
}

template <class T>
void require_trsm(const MatrixView<const T>& t, const MatrixView<T>& b) {
    require_square(t, "trsm");
    if (t.rows != b.rows) {
        throw ShapeError("trsm: a triangular matrix " + t.shape_text() + " cannot divide " +
                         b.shape_text());
    }
}

std::size_t checked(lapack_int info, const char* function) {
    if (info < 0) {
        throw InternalError(std::string(function) + ": LAPACK refused argument " +
                            std::to_string(-info));
    }
    return static_cast<std::size_t>(info);
}

}  // namespace

std::string core_name() {
    return openblas_get_corename();
}

std::string_view core_for(std::string_view instruction_set) {
#if defined(__x86_64__)
    if (instruction_set == "auto") {
        // A sixth of what AVX-512 multiplies in fp64. Who asks for it by the variable gets it.
        const bool is_unknown =
            core_name() == unknown_core && std::getenv(core_variable) == nullptr;
        const std::string_view core = is_unknown ? core_for(vector_kernels().name) : "";
        return core == unknown_core ? "" : core;
    }
    if (instruction_set == "generic") {
        return unknown_core;
    }
    if (instruction_set == "avx2") {
        return "Haswell";
    }
    if (instruction_set.starts_with("avx512")) {
        return "SkylakeX";
    }
#endif
    return {};
}

void use_threads(std::size_t n) {
    static std::mutex mutex;
    static std::size_t current = 0;
    const std::lock_guard lock(mutex);
    if (n != current) {
        openblas_set_num_threads(count(n, "use_threads"));
        current = n;
    }
}

void gemm(Transpose transpose_a, Transpose transpose_b, float alpha, MatrixView<const float> a,
          MatrixView<const float> b, float beta, MatrixView<float> c) {
    const Product p = product_of(transpose_a, transpose_b, a, b, c);
    if (p.m == 0 || p.n == 0) {
        return;
    }
    cblas_sgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), p.m, p.n, p.k, alpha, a.data,
                leading(a, "gemm"), b.data, leading(b, "gemm"), beta, c.data, leading(c, "gemm"));
}

void gemm(Transpose transpose_a, Transpose transpose_b, double alpha, MatrixView<const double> a,
          MatrixView<const double> b, double beta, MatrixView<double> c) {
    const Product p = product_of(transpose_a, transpose_b, a, b, c);
    if (p.m == 0 || p.n == 0) {
        return;
    }
    cblas_dgemm(CblasRowMajor, flag(transpose_a), flag(transpose_b), p.m, p.n, p.k, alpha, a.data,
                leading(a, "gemm"), b.data, leading(b, "gemm"), beta, c.data, leading(c, "gemm"));
}

void gemv(float alpha, MatrixView<const float> a, const float* x, float beta, float* y) {
    if (a.rows == 0) {
        return;
    }
    cblas_sgemv(CblasRowMajor, CblasNoTrans, count(a.rows, "gemv"), count(a.cols, "gemv"), alpha,
                a.data, leading(a, "gemv"), x, 1, beta, y, 1);
}

void trsm_left(Triangle triangle, Transpose transpose, float alpha, MatrixView<const float> t,
               MatrixView<float> b) {
    require_trsm(t, b);
    if (b.rows == 0 || b.cols == 0) {
        return;
    }
    cblas_strsm(CblasRowMajor, CblasLeft, flag(triangle), flag(transpose), CblasNonUnit,
                count(b.rows, "trsm"), count(b.cols, "trsm"), alpha, t.data, leading(t, "trsm"),
                b.data, leading(b, "trsm"));
}

void trsm_left(Triangle triangle, Transpose transpose, double alpha, MatrixView<const double> t,
               MatrixView<double> b) {
    require_trsm(t, b);
    if (b.rows == 0 || b.cols == 0) {
        return;
    }
    cblas_dtrsm(CblasRowMajor, CblasLeft, flag(triangle), flag(transpose), CblasNonUnit,
                count(b.rows, "trsm"), count(b.cols, "trsm"), alpha, t.data, leading(t, "trsm"),
                b.data, leading(b, "trsm"));
}

std::size_t cholesky(Triangle triangle, MatrixView<double> a) {
    require_square(a, "cholesky");
    if (a.rows == 0) {
        return 0;
    }
    return checked(LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, transposed_flag(triangle),
                                       count(a.rows, "cholesky"), a.data, leading(a, "cholesky")),
                   "cholesky");
}

std::size_t invert_triangular(Triangle triangle, MatrixView<double> a) {
    require_square(a, "invert_triangular");
    if (a.rows == 0) {
        return 0;
    }
    return checked(LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, transposed_flag(triangle), 'N',
                                       count(a.rows, "invert_triangular"), a.data,
                                       leading(a, "invert_triangular")),
                   "invert_triangular");
}

void tridiagonalise(MatrixView<double> a, double* diagonal, double* beside, double* factors) {
    require_square(a, "tridiagonalise");
    if (a.rows == 0) {
        return;
    }
    checked(LAPACKE_dsytrd(LAPACK_COL_MAJOR, transposed_flag(Triangle::upper),
                           count(a.rows, "tridiagonalise"), a.data, leading(a, "tridiagonalise"),
                           diagonal, beside, factors),
            "tridiagonalise");
}

std::size_t tridiagonal_eigen(double* diagonal, double* beside, MatrixView<double> vectors) {
    require_square(vectors, "tridiagonal_eigen");
    if (vectors.rows == 0) {
        return 0;
    }
    return checked(
        LAPACKE_dstedc(LAPACK_COL_MAJOR, 'I', count(vectors.rows, "tridiagonal_eigen"), diagonal,
                       beside, vectors.data, leading(vectors, "tridiagonal_eigen")),
        "tridiagonal_eigen");
}

void reflection_triangle(MatrixView<const double> v, const double* factors,
                         MatrixView<double> turned_triangle) {
    constexpr const char* function = "reflection_triangle";
    if (turned_triangle.rows != v.rows || turned_triangle.cols != v.rows || v.cols < v.rows) {
        throw ShapeError(std::string(function) + ": vectors " + v.shape_text() + ", triangle " +
                         turned_triangle.shape_text());
    }
    if (v.rows == 0) {
        return;
    }
    checked(LAPACKE_dlarft(LAPACK_COL_MAJOR, 'F', 'C', count(v.cols, function),
                           count(v.rows, function), v.data, leading(v, function), factors,
                           turned_triangle.data, leading(turned_triangle, function)),
            function);
}

}  // namespace lathe::kernels::blas
