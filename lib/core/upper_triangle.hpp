#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "lib/core/matrix_view.hpp"

namespace lathe {

/// Elements of a triangle of n rows with its diagonal.
[[nodiscard]] constexpr std::size_t triangle_size(std::size_t n) {
    return n * (n + 1) / 2;
}

/// The upper triangle of a square matrix that somebody else owns, with its diagonal. Layout: packed
/// (row after row, n elements, then n - 1, ..., then 1), or as it lies in a whole matrix.
template <class T>
struct UpperTriangle {
    T* data = nullptr;
    std::size_t size = 0;    ///< rows
    std::size_t stride = 0;  ///< 0: packed; else of the whole matrix

    UpperTriangle() = default;
    /// Packed, triangle_size(n) elements.
    UpperTriangle(T* data_, std::size_t n) : data(data_), size(n) {}
    /// That of a square matrix.
    explicit UpperTriangle(MatrixView<T> whole)
        : data(whole.data), size(whole.rows), stride(whole.stride) {}
    /// A view of mutable elements is a view of constant ones.
    template <class U>
    requires(std::is_same_v<const U, T>) UpperTriangle(const UpperTriangle<U>& other)
        : data(other.data), size(other.size), stride(other.stride) {}

    /// Element (i, i), which the others of its row follow.
    [[nodiscard]] T* diagonal(std::size_t i) const {
        return data + (stride > 0 ? i * (stride + 1) : i * size - i * (i - 1) / 2);
    }
    /// @pre  i <= j
    [[nodiscard]] T& operator()(std::size_t i, std::size_t j) const { return diagonal(i)[j - i]; }
    /// "[n, n]", for messages.
    [[nodiscard]] std::string shape_text() const {
        return "[" + std::to_string(size) + ", " + std::to_string(size) + "]";
    }
};

/// Moves the upper triangle of a matrix of n rows, `whole`, to its beginning, packed.
template <class T>
void pack_upper(std::span<T> whole, std::size_t n) {
    const UpperTriangle<T> packed(whole.data(), n);
    for (std::size_t i = 0; i < n; ++i) {  // to the left of what is still to be moved
        std::memmove(packed.diagonal(i), whole.data() + i * n + i, (n - i) * sizeof(T));
    }
}

/// Moves a packed triangle from the end of the memory of a matrix of n rows, `whole`, to its place
/// there. What then lies below the diagonal is of no use.
template <class T>
void spread_upper(std::span<T> whole, std::size_t n) {
    const UpperTriangle<T> packed(whole.data() + whole.size() - triangle_size(n), n);
    for (std::size_t i = 0; i < n; ++i) {  // to the left of what is still to be moved
        std::memmove(whole.data() + i * n + i, packed.diagonal(i), (n - i) * sizeof(T));
    }
}

}  // namespace lathe
