#pragma once

#include <string>

#include "kernels/contract/rounding_kernels.hpp"
#include "lib/core/errors.hpp"

/// What the public functions of Backend check their arguments with. Each throws ShapeError, or
/// InternalError for a value out of range, with a message that begins with the function's name.
namespace lathe::kernels::checks {

/// One length against another, with the words for both.
inline void require_equal(const char* function, const char* name_a, std::size_t a,
                          const char* name_b, std::size_t b) {
    if (a != b) {
        throw ShapeError(std::string(function) + ": " + name_a + " is " + std::to_string(a) +
                         " but " + name_b + " is " + std::to_string(b));
    }
}

template <class A, class B>
void require_equal_shape(const char* function, const char* name, const MatrixView<A>& matrix,
                         const char* expected_name, const MatrixView<B>& expected) {
    if (matrix.rows != expected.rows || matrix.cols != expected.cols) {
        throw ShapeError(std::string(function) + ": " + name + " " + matrix.shape_text() +
                         " must have the shape of " + expected_name + " " + expected.shape_text());
    }
}

template <class T>
void require_shape(const char* function, const char* name, const MatrixView<T>& matrix,
                   std::size_t rows, std::size_t cols, const std::string& because) {
    if (matrix.rows != rows || matrix.cols != cols) {
        throw ShapeError(std::string(function) + ": " + name + " " + matrix.shape_text() +
                         " must be [" + std::to_string(rows) + ", " + std::to_string(cols) +
                         "] for " + because);
    }
}

inline void require_length(const char* function, const char* name, std::size_t length,
                           std::size_t expected, const std::string& because) {
    if (length != expected) {
        throw ShapeError(std::string(function) + ": " + name + " has " + std::to_string(length) +
                         " entries, expected " + std::to_string(expected) + " for " + because);
    }
}

inline void require_grid(const char* function, const IntegerGridSettings& settings) {
    if (settings.num_bits < 2 || settings.num_bits > 8) {
        throw InternalError(std::string(function) + ": num_bits is " +
                            std::to_string(settings.num_bits) + ", expected 2 to 8");
    }
    if (settings.group_size == 0) {
        throw InternalError(std::string(function) + ": group_size is 0, expected at least 1");
    }
    if (settings.scale_bits < 1 || settings.scale_bits > 11) {
        throw InternalError(std::string(function) + ": scale_bits is " +
                            std::to_string(settings.scale_bits) + ", expected 1 to 11");
    }
}

/// Scales and zeros have one entry for each group of each row of w.
inline void require_grid_arrays(const char* function, const MatrixView<const float>& w,
                                const IntegerGridSettings& settings,
                                const MatrixView<const float>& scales,
                                const MatrixView<const float>& zeros) {
    require_grid(function, settings);
    const std::size_t n_groups = group_count(w.cols, settings.group_size);
    const std::string because =
        "w " + w.shape_text() + " in groups of " + std::to_string(settings.group_size);
    require_shape(function, "scales", scales, w.rows, n_groups, because);
    require_shape(function, "zeros", zeros, w.rows, n_groups, because);
}

/// Scales and offsets of a binary coding of w.
inline void require_binary(const char* function, const MatrixView<const float>& w,
                           const BinaryCodeSettings& settings,
                           const MatrixView<const float>& scales,
                           const MatrixView<const float>& offsets) {
    if (settings.num_bits < 1 || settings.num_bits > 4) {
        throw InternalError(std::string(function) + ": num_bits is " +
                            std::to_string(settings.num_bits) + ", expected 1 to 4");
    }
    if (settings.group_size == 0) {
        throw InternalError(std::string(function) + ": group_size is 0, expected at least 1");
    }
    const std::size_t n_groups = group_count(w.cols, settings.group_size);
    const std::string because = "w " + w.shape_text() + " in groups of " +
                                std::to_string(settings.group_size) + ", " +
                                std::to_string(settings.num_bits) + " planes";
    require_shape(function, "scales", scales, w.rows, n_groups * settings.num_bits, because);
    require_shape(function, "offsets", offsets, w.rows, n_groups, because);
}

}  // namespace lathe::kernels::checks
