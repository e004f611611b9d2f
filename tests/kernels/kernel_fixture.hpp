#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {

/// A matrix that owns its elements.
template <class T>
struct Matrix {
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::vector<T> values;

    Matrix(std::size_t rows_, std::size_t cols_, T fill = T{})
        : rows(rows_), cols(cols_), values(rows_ * cols_, fill) {}
    Matrix(std::size_t rows_, std::size_t cols_, std::vector<T> values_)
        : rows(rows_), cols(cols_), values(std::move(values_)) {}

    [[nodiscard]] MatrixView<const T> view() const { return {values.data(), rows, cols}; }
    [[nodiscard]] MatrixView<T> view() { return {values.data(), rows, cols}; }
};

/// Normally distributed elements, the same for the same seed.
inline Matrix<float> random_matrix(std::size_t rows, std::size_t cols, unsigned seed,
                                   float deviation = 1.0F) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0.0F, deviation);
    Matrix<float> matrix(rows, cols);
    for (float& value : matrix.values) {
        value = normal(generator);
    }
    return matrix;
}

/// The largest of |a_t - b_t| / |b_t| over rows t, in the 2-norm.
inline double largest_row_difference(const Matrix<float>& a, const Matrix<float>& b) {
    double largest = 0.0;
    for (std::size_t t = 0; t < a.rows; ++t) {
        double difference = 0.0;
        double norm = 0.0;
        for (std::size_t j = 0; j < a.cols; ++j) {
            const double expected = b.values[t * b.cols + j];
            const double error = a.values[t * a.cols + j] - expected;
            difference += error * error;
            norm += expected * expected;
        }
        const double relative = std::sqrt(difference / norm);
        if (!(relative <= largest)) {
            largest = relative;
        }  // not-a-number counts
    }
    return largest;
}

/// The largest of |a_i - b_i| / |b_i| over elements.
inline double largest_difference(const Matrix<float>& a, const Matrix<float>& b) {
    double largest = 0.0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        const double expected = b.values[i];
        const double relative = std::abs(a.values[i] - expected) / std::abs(expected);
        if (expected != a.values[i] && !(relative <= largest)) {
            largest = relative;
        }
    }
    return largest;
}

/// What `compute` makes of its backend, on `kind` with `n_threads` threads.
template <class Compute>
auto on_backend(BackendKind kind, std::size_t n_threads, const Compute& compute) {
    ThreadPool pool(n_threads);
    const auto backend = make_backend(kind, pool);
    return compute(*backend);
}

/// Fails unless `compute` gives the same on every backend whatever the number of threads.
template <class Compute>
void expect_threads_do_not_show(const Compute& compute) {
    for (const BackendKind kind : available_backends()) {
        const auto expected = on_backend(kind, 1, compute);
        for (const std::size_t n_threads : {2, 3, 5}) {
            EXPECT_EQ(on_backend(kind, n_threads, compute), expected) << n_threads << " threads";
        }
    }
}

/// The message of the `Error` that `call` throws; fails if it throws none.
template <class Error>
std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    ADD_FAILURE() << "nothing of the expected type was thrown";
    return {};
}

/// A test that runs on each backend of this build.
class OnEachBackend : public ::testing::TestWithParam<BackendKind> {
protected:
    ThreadPool pool{2};
    std::unique_ptr<Backend> backend = make_backend(GetParam(), pool);
};

inline std::string backend_test_name(const ::testing::TestParamInfo<BackendKind>& info) {
    ThreadPool pool(1);
    return std::string(make_backend(info.param, pool)->name());
}

}  // namespace lathe::kernels
