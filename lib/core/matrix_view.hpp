#pragma once

#include <cstddef>
#include <string>
#include <type_traits>

namespace lathe {

/// A row-major matrix that somebody else owns. Layout: element (i, j) at data[i * stride + j];
/// stride >= cols, in elements.
template <class T>
struct MatrixView {
    T* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t stride = 0;

    MatrixView() = default;
    MatrixView(T* data_, std::size_t rows_, std::size_t cols_)
        : MatrixView(data_, rows_, cols_, cols_) {}
    MatrixView(T* data_, std::size_t rows_, std::size_t cols_, std::size_t stride_)
        : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
    /// A view of mutable elements is a view of constant ones.
    template <class U>
    requires(std::is_same_v<const U, T>) MatrixView(const MatrixView<U>& other)
        : MatrixView(other.data, other.rows, other.cols, other.stride) {}

    [[nodiscard]] T* row(std::size_t i) const { return data + i * stride; }
    [[nodiscard]] T& operator()(std::size_t i, std::size_t j) const { return row(i)[j]; }
    [[nodiscard]] bool contiguous() const { return stride == cols || rows <= 1; }
    [[nodiscard]] MatrixView row_range(std::size_t begin, std::size_t count) const {
        return {row(begin), count, cols, stride};
    }
    [[nodiscard]] MatrixView col_range(std::size_t begin, std::size_t count) const {
        return {data + begin, rows, count, stride};
    }
    /// "[rows, cols]", for messages.
    [[nodiscard]] std::string shape_text() const {
        return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
    }
};

}  // namespace lathe
