#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "kernels/cuda/context.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels::cuda {

/// A matrix as device code sees it; MatrixView's functions are the host's.
template <class T>
struct View {
    T* data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t stride = 0;

    View() = default;
    __host__ __device__ View(T* data_, std::size_t rows_, std::size_t cols_, std::size_t stride_)
        : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
    template <class U>
    requires(std::is_same_v<const U, T>) __host__ __device__ View(const View<U>& other)
        : View(other.data, other.rows, other.cols, other.stride) {}

    [[nodiscard]] __host__ __device__ T* row(std::size_t i) const { return data + i * stride; }
    [[nodiscard]] __device__ T& operator()(std::size_t i, std::size_t j) const {
        return data[i * stride + j];
    }
    [[nodiscard]] __host__ __device__ View row_range(std::size_t begin, std::size_t count) const {
        return {row(begin), count, cols, stride};
    }
    [[nodiscard]] __host__ __device__ View col_range(std::size_t begin, std::size_t count) const {
        return {data + begin, rows, count, stride};
    }
};

/// Whether device code may read it; null is as good as the device's.
[[nodiscard]] bool is_on_device(const void* memory);

/// Rows of bytes from anywhere to anywhere, in the stream's order.
void copy_rows(const Context& context, const void* from, std::size_t from_pitch, void* to,
               std::size_t to_pitch, std::size_t row_bytes, std::size_t rows);

/// The arguments of one call to the backend. What lies on the host is copied to the device, and
/// back by finish() where the call writes it; temporary memory is freed when the call is over.
class Call {
public:
    explicit Call(const Context& context) : context_(context) { context.enter(); }
    ~Call() {
        for (void* memory : temporary_) {
            context_.free(memory);
        }
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    [[nodiscard]] const Context& context() const { return context_; }
    [[nodiscard]] cudaStream_t stream() const { return context_.stream(); }

    template <class T>
    [[nodiscard]] View<const T> in(MatrixView<const T> x) {
        return staged<const T>(x.data, x.rows, x.cols, x.stride, false);
    }
    template <class T>
    [[nodiscard]] View<T> inout(MatrixView<T> x) {
        return staged<T>(x.data, x.rows, x.cols, x.stride, true);
    }
    template <class T>
    [[nodiscard]] const T* in(std::span<const T> x) {
        return staged<const T>(x.data(), 1, x.size(), x.size(), false).data;
    }
    template <class T>
    [[nodiscard]] T* inout(std::span<T> x) {
        return staged<T>(x.data(), 1, x.size(), x.size(), true).data;
    }
    /// Memory for n elements until the call is over, with anything in it.
    template <class T>
    [[nodiscard]] T* scratch(std::size_t n) {
        return static_cast<T*>(temporary(n * sizeof(T)));
    }
    template <class T>
    [[nodiscard]] View<T> scratch(std::size_t rows, std::size_t cols) {
        return {scratch<T>(rows * cols), rows, cols, cols};
    }
    /// A copy of n elements on the device.
    template <class T>
    [[nodiscard]] std::vector<T> to_host(const T* device, std::size_t n) {
        std::vector<T> host(n);
        if (n > 0) {
            check(cudaMemcpyAsync(host.data(), device, n * sizeof(T), cudaMemcpyDefault, stream()),
                  "cudaMemcpyAsync");
            context_.synchronize();
        }
        return host;
    }
    void zero(void* memory, std::size_t bytes) {
        if (bytes > 0) {
            check(cudaMemsetAsync(memory, 0, bytes, stream()), "cudaMemsetAsync");
        }
    }

    /// To be called last: throws what a launch reported, and copies results back.
    void finish();

private:
    struct Result {
        void* host;
        std::size_t host_pitch;
        const void* device;
        std::size_t row_bytes;
        std::size_t rows;
    };

    void* temporary(std::size_t bytes);
    void copy_in(const void* host, std::size_t pitch, void* device, std::size_t row_bytes,
                 std::size_t rows);

    template <class T>
    View<T> staged(T* data, std::size_t rows, std::size_t cols, std::size_t stride, bool written) {
        if (rows == 0 || cols == 0 || is_on_device(data)) {
            return {data, rows, cols, stride};
        }
        using Element = std::remove_const_t<T>;
        auto* const device = scratch<Element>(rows * cols);
        copy_in(data, stride * sizeof(T), device, cols * sizeof(T), rows);
        if (written) {
            results_.push_back(
                {const_cast<Element*>(data), stride * sizeof(T), device, cols * sizeof(T), rows});
        }
        return {device, rows, cols, cols};
    }

    const Context& context_;
    std::vector<void*> temporary_;
    std::vector<Result> results_;
};

/// y = x @ w^T.  x [T, k], w [n, k], y [T, n]; y is scaled by `beta` before.
void multiply_transposed(const Context& context, View<const float> x, View<const float> w,
                         View<float> y, float alpha = 1.0F, float beta = 0.0F);
/// y = alpha * x @ a + beta * y.  x [T, k], a [k, n], y [T, n]
void multiply(const Context& context, View<const float> x, View<const float> a, View<float> y,
              float alpha = 1.0F, float beta = 0.0F);

}  // namespace lathe::kernels::cuda
