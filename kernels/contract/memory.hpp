#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/contract/kernel_list.hpp"
#include "lib/core/dtype.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// Memory that a backend owns and its kernels may touch. Move-only; zero-filled when allocated.
/// Host code may not: it may be a device's. Backend::copy() and to_host() bring it over.
template <class T>
class Array {
public:
    Array() = default;
    Array(std::shared_ptr<void> memory, std::size_t size)
        : memory_(std::move(memory)), size_(size) {}
    Array(Array&&) noexcept = default;
    Array& operator=(Array&&) noexcept = default;

    [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_.get()); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::span<T> span() const noexcept { return {data(), size_}; }
    /// The first rows * cols elements as a matrix.
    [[nodiscard]] MatrixView<T> matrix(std::size_t rows, std::size_t cols) const {
        return {data(), rows, cols};
    }

private:
    std::shared_ptr<void> memory_;
    std::size_t size_ = 0;
};

/// The memory that a backend works in. Part of Backend.
class Memory {
public:
    template <class T>
    [[nodiscard]] Array<T> allocate(std::size_t n) const {
        return Array<T>(do_allocate(n * sizeof(T)), n);
    }

    /// Whether its kernels work in host memory. If not, what lies there is copied at each call.
    [[nodiscard]] virtual bool works_on_host() const noexcept = 0;

    /// x where kernels read it as it is: x itself, or a copy, for which `room` is taken.
    template <class T>
    [[nodiscard]] MatrixView<const T> resident(MatrixView<const T> x, Array<T>& room) const {
        if (works_on_host()) {
            return x;
        }
        room = allocate<T>(x.rows * x.cols);
        copy<T>(x, room.matrix(x.rows, x.cols));
        return room.matrix(x.rows, x.cols);
    }

    /// Host to backend, converting `y.rows * y.cols` packed elements of floating type `dtype`.
    /// @throws DataError  if dtype is not floating
    void upload(const std::byte* host, DType dtype, MatrixView<float> y) const;

    /// Backend to host. `host` has room for x.rows * x.cols elements.
    void download(MatrixView<const float> x, float* host) const;

    /// y = x, bit by bit, each of them on the host or the backend's; they do not overlap.
    template <class T>
    void copy(MatrixView<const std::type_identity_t<T>> x, MatrixView<T> y) const {
        require_same_extents(x.rows, x.cols, y.rows, y.cols);
        if (y.rows > 0 && y.cols > 0) {
            do_copy(x.data, x.stride * sizeof(T), y.data, y.stride * sizeof(T), y.cols * sizeof(T),
                    y.rows);
        }
    }

    /// The elements of x, packed, where the host can read them.
    template <class T>
    [[nodiscard]] std::vector<std::remove_const_t<T>> to_host(MatrixView<T> x) const {
        std::vector<std::remove_const_t<T>> host(x.rows * x.cols);
        copy<std::remove_const_t<T>>(x, {host.data(), x.rows, x.cols});
        return host;
    }

protected:
    ~Memory() = default;

private:
    static void require_same_extents(std::size_t x_rows, std::size_t x_cols, std::size_t y_rows,
                                     std::size_t y_cols);
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/memory.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
