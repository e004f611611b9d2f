#include <string>

#include "kernels/contract/host_checks.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "lib/core/errors.hpp"

namespace lathe::kernels {

using cuda::Call;
using cuda::View;

namespace {

/// Ids where the host can check them, and on the device.
const std::uint32_t* checked_ids(Call& call, std::span<const std::uint32_t> ids, std::size_t limit,
                                 const char* what) {
    const std::uint32_t* const device = call.in(ids);
    if (device == ids.data()) {
        require_below(call.to_host(device, ids.size()), limit, what);
    } else {
        require_below(ids, limit, what);
    }
    return device;
}

}  // namespace

void CudaBackend::do_embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                           MatrixView<float> y) const {
    Call call(*context_);
    const std::uint32_t* const rows = checked_ids(call, ids, table.rows, "embed: id");
    const View<const float> from = call.in(table);
    const View<float> to = call.inout(y);
    cuda::for_each(call, y.rows, y.cols,
                   [=] __device__(std::size_t t, std::size_t j) { to(t, j) = from(rows[t], j); });
    call.finish();
}

void CudaBackend::do_add_embedding(std::span<const std::uint32_t> ids,
                                   MatrixView<const float> table, MatrixView<float> y) const {
    Call call(*context_);
    const std::uint32_t* const rows = checked_ids(call, ids, table.rows, "add_embedding: id");
    const View<const float> from = call.in(table);
    const View<float> to = call.inout(y);
    cuda::for_each(call, y.rows, y.cols,
                   [=] __device__(std::size_t t, std::size_t j) { to(t, j) += from(rows[t], j); });
    call.finish();
}

void CudaBackend::do_linear(MatrixView<const float> x, MatrixView<const float> w,
                            std::span<const float> bias, MatrixView<float> y) const {
    Call call(*context_);
    const View<const float> weight = call.in(w);
    const View<const float> input = call.in(x);
    const float* const shift = call.in(bias);
    const View<float> output = call.inout(y);
    cuda::multiply_transposed(*context_, input, weight, output);
    if (!bias.empty()) {
        cuda::for_each(call, y.rows, y.cols,
                       [=] __device__(std::size_t t, std::size_t j) { output(t, j) += shift[j]; });
    }
    call.finish();
}

namespace {

/// Threads that share a row: a warp for heads and other short rows, a block for the others.
constexpr std::size_t longest_row_of_a_warp = 1024;

struct WarpRow {
    static constexpr unsigned n_threads = cuda::warp_size;
    __device__ static double sum(double value) { return cuda::warp_sum(value); }
};
struct BlockRow {
    static constexpr unsigned n_threads = cuda::block_threads;
    __device__ static double sum(double value) { return cuda::block_sum(value); }
};

/// work(threads, row, thread) for each row, with the kind of threads that suits its length.
template <class Work>
void for_each_row(const Call& call, std::size_t rows, std::size_t cols, const Work& work) {
    if (cols <= longest_row_of_a_warp) {
        cuda::for_each_warp(call, rows, [=] __device__(std::size_t row, unsigned thread) {
            work(WarpRow{}, row, thread);
        });
    } else {
        cuda::for_each_block(call, rows, [=] __device__(std::size_t row, unsigned thread) {
            work(BlockRow{}, row, thread);
        });
    }
}

struct RmsNorm {
    View<const float> x;
    const float* weight;
    float epsilon;
    View<float> y;

    template <class Threads>
    __device__ void operator()(Threads, std::size_t t, unsigned thread) const {
        double squares = 0.0;
        for (std::size_t j = thread; j < x.cols; j += Threads::n_threads) {
            const double value = x(t, j);
            squares = fma(value, value, squares);
        }
        const double root = sqrt(Threads::sum(squares) / static_cast<double>(x.cols) +
                                 static_cast<double>(epsilon));
        for (std::size_t j = thread; j < x.cols; j += Threads::n_threads) {
            y(t, j) = static_cast<float>(static_cast<double>(x(t, j)) / root *
                                         static_cast<double>(weight[j]));
        }
    }
};

struct LayerNorm {
    View<const float> x;
    const float* weight;
    const float* bias;  ///< or null
    float epsilon;
    View<float> y;

    template <class Threads>
    __device__ void operator()(Threads, std::size_t t, unsigned thread) const {
        const auto n = static_cast<double>(x.cols);
        double sum = 0.0;
        for (std::size_t j = thread; j < x.cols; j += Threads::n_threads) {
            sum += static_cast<double>(x(t, j));
        }
        const double mean = Threads::sum(sum) / n;
        double squares = 0.0;
        for (std::size_t j = thread; j < x.cols; j += Threads::n_threads) {
            const double deviation = static_cast<double>(x(t, j)) - mean;
            squares = fma(deviation, deviation, squares);
        }
        const double root = sqrt(Threads::sum(squares) / n + static_cast<double>(epsilon));
        for (std::size_t j = thread; j < x.cols; j += Threads::n_threads) {
            const double scaled =
                (static_cast<double>(x(t, j)) - mean) / root * static_cast<double>(weight[j]);
            y(t, j) =
                static_cast<float>(scaled + (bias == nullptr ? 0.0 : static_cast<double>(bias[j])));
        }
    }
};

}  // namespace

void CudaBackend::do_rms_norm(MatrixView<const float> x, std::span<const float> weight,
                              float epsilon, MatrixView<float> y) const {
    Call call(*context_);
    const RmsNorm norm{call.in(x), call.in(weight), epsilon, call.inout(y)};
    for_each_row(call, x.rows, x.cols, norm);
    call.finish();
}

void CudaBackend::do_layer_norm(MatrixView<const float> x, std::span<const float> weight,
                                std::span<const float> bias, float epsilon,
                                MatrixView<float> y) const {
    Call call(*context_);
    const LayerNorm norm{call.in(x), call.in(weight), bias.empty() ? nullptr : call.in(bias),
                         epsilon, call.inout(y)};
    for_each_row(call, x.rows, x.cols, norm);
    call.finish();
}

void CudaBackend::do_rope(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
                          MatrixView<const float> sin,
                          std::span<const std::uint32_t> positions) const {
    Call call(*context_);
    const std::uint32_t* const places = checked_ids(call, positions, cos.rows, "rope: position");
    const View<const float> cosines = call.in(cos);
    const View<const float> sines = call.in(sin);
    const View<float> heads = call.inout(x);
    const std::size_t half = cos.cols;
    const std::size_t n_heads = x.cols / head_dim;
    cuda::for_each(call, half == 0 ? 0 : x.rows, n_heads * half,
                   [=] __device__(std::size_t t, std::size_t at) {
                       const std::size_t i = at % half;
                       float* const head = heads.row(t) + at / half * head_dim;
                       const double c = cosines(places[t], i);
                       const double s = sines(places[t], i);
                       const double a = head[i];
                       const double b = head[half + i];
                       head[i] = static_cast<float>(a * c - b * s);
                       head[half + i] = static_cast<float>(b * c + a * s);
                   });
    call.finish();
}

namespace {

/// In fp64: data centre devices do half as many of those operations as in fp32, which is still
/// more than their memory can feed.
template <Activation kind>
__device__ double activation_of(double x) {
    if constexpr (kind == Activation::silu) {
        return x / (1.0 + exp(-x));
    } else if constexpr (kind == Activation::gelu) {
        return x * erfc(-x / 1.4142135623730951) / 2.0;
    } else if constexpr (kind == Activation::gelu_tanh) {
        constexpr double root = 0.79788456080286541;  // sqrt(2 / pi)
        return x / (1.0 + exp(-2.0 * root * (x + 0.044715 * x * x * x)));
    } else if constexpr (kind == Activation::relu) {
        return x < 0.0 ? 0.0 : x;
    } else {
        return tanh(x);
    }
}

/// y = f(x), times `up` if there is one.
template <Activation kind>
void activate_with(const Call& call, View<const float> x, View<const float> up, View<float> y) {
    cuda::for_each(call, y.rows, y.cols, [=] __device__(std::size_t t, std::size_t j) {
        const double value = activation_of<kind>(static_cast<double>(x(t, j)));
        y(t, j) =
            static_cast<float>(up.data == nullptr ? value : value * static_cast<double>(up(t, j)));
    });
}

void activate_with(const Call& call, Activation kind, View<const float> x, View<const float> up,
                   View<float> y) {
    switch (kind) {
        case Activation::silu:
            return activate_with<Activation::silu>(call, x, up, y);
        case Activation::gelu:
            return activate_with<Activation::gelu>(call, x, up, y);
        case Activation::gelu_tanh:
            return activate_with<Activation::gelu_tanh>(call, x, up, y);
        case Activation::relu:
            return activate_with<Activation::relu>(call, x, up, y);
        case Activation::tanh:
            return activate_with<Activation::tanh>(call, x, up, y);
    }
    throw InternalError("activation " + std::to_string(static_cast<int>(kind)) + " is not defined");
}

}  // namespace

void CudaBackend::do_activate(Activation kind, MatrixView<const float> x,
                              MatrixView<float> y) const {
    Call call(*context_);
    const View<const float> from = call.in(x);
    activate_with(call, kind, from, {}, call.inout(y));
    call.finish();
}

void CudaBackend::do_activate_multiply(Activation kind, MatrixView<const float> gate,
                                       MatrixView<const float> up, MatrixView<float> y) const {
    Call call(*context_);
    const View<const float> from = call.in(gate);
    const View<const float> factor = call.in(up);
    activate_with(call, kind, from, factor, call.inout(y));
    call.finish();
}

void CudaBackend::do_add(MatrixView<const float> x, MatrixView<float> y) const {
    Call call(*context_);
    const View<const float> from = call.in(x);
    const View<float> to = call.inout(y);
    cuda::for_each(call, y.rows, y.cols,
                   [=] __device__(std::size_t t, std::size_t j) { to(t, j) += from(t, j); });
    call.finish();
}

void CudaBackend::do_subtract(MatrixView<const float> x, MatrixView<const float> y,
                              MatrixView<float> z) const {
    Call call(*context_);
    const View<const float> a = call.in(x);
    const View<const float> b = call.in(y);
    const View<float> to = call.inout(z);
    cuda::for_each(call, z.rows, z.cols,
                   [=] __device__(std::size_t t, std::size_t j) { to(t, j) = a(t, j) - b(t, j); });
    call.finish();
}

bool CudaBackend::do_all_finite(MatrixView<const float> x) const {
    Call call(*context_);
    const View<const float> from = call.in(x);
    auto* const found = call.scratch<unsigned>(1);
    call.zero(found, sizeof(unsigned));
    cuda::for_each(call, x.rows, x.cols, [=] __device__(std::size_t t, std::size_t j) {
        if (!isfinite(from(t, j))) {
            *found = 1;  // whoever writes writes the same
        }
    });
    call.finish();
    return call.to_host(found, 1).front() == 0;
}

}  // namespace lathe::kernels
