#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "kernels/contract/host_checks.hpp"
#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"

namespace lathe::kernels {
namespace {

/// Elements of a tile of rows: enough to be worth a hand-over between threads, few enough to stay
/// in the second-level cache.
constexpr std::size_t row_tile_elements = std::size_t{1} << 16;

/// Calls row(i) for all rows, in tiles whose height depends on the row length alone.
template <class Row>
void for_each_row(ThreadPool& pool, std::size_t n_rows, std::size_t n_cols, const Row& row) {
    const std::size_t height =
        std::max<std::size_t>(1, row_tile_elements / std::max<std::size_t>(n_cols, 1));
    pool.for_each((n_rows + height - 1) / height, [&](std::size_t tile) {
        const std::size_t end = std::min(n_rows, (tile + 1) * height);
        for (std::size_t i = tile * height; i < end; ++i) {
            row(i);
        }
    });
}

const ActivationKernels& kernels_of(Activation kind) {
    const VectorKernels& kernels = vector_kernels();
    switch (kind) {
        case Activation::silu:
            return *kernels.silu;
        case Activation::gelu:
            return *kernels.gelu;
        case Activation::gelu_tanh:
            return *kernels.gelu_tanh;
        case Activation::relu:
            return *kernels.relu;
        case Activation::tanh:
            return *kernels.tanh;
    }
    throw InternalError("activation " + std::to_string(static_cast<int>(kind)) + " is not defined");
}

}  // namespace

CpuBackend::CpuBackend(ThreadPool& pool) : pool_(pool) {
    blas::use_threads(1);
}

std::shared_ptr<void> CpuBackend::do_allocate(std::size_t bytes) const {
    return allocate_zeroed(bytes);
}

void CpuBackend::do_upload(const std::byte* host, DType dtype, MatrixView<float> y) const {
    const std::size_t row_bytes = y.cols * size_bytes(dtype);
    for_each_row(pool_, y.rows, y.cols, [&](std::size_t i) {
        to_float(host + i * row_bytes, dtype, {y.row(i), y.cols});
    });
}

void CpuBackend::do_download(MatrixView<const float> x, float* host) const {
    for_each_row(pool_, x.rows, x.cols,
                 [&](std::size_t i) { std::copy_n(x.row(i), x.cols, host + i * x.cols); });
}

void CpuBackend::do_copy(const void* from, std::size_t from_pitch, void* to, std::size_t to_pitch,
                         std::size_t row_bytes, std::size_t rows) const {
    for_each_row(pool_, rows, row_bytes / sizeof(float), [&](std::size_t i) {
        std::memcpy(static_cast<std::byte*>(to) + i * to_pitch,
                    static_cast<const std::byte*>(from) + i * from_pitch, row_bytes);
    });
}

void CpuBackend::do_embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                          MatrixView<float> y) const {
    require_below(ids, table.rows, "embed: id");
    for_each_row(pool_, y.rows, y.cols,
                 [&](std::size_t t) { std::copy_n(table.row(ids[t]), table.cols, y.row(t)); });
}

void CpuBackend::do_add_embedding(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                                  MatrixView<float> y) const {
    require_below(ids, table.rows, "add_embedding: id");
    const VectorKernels& kernels = vector_kernels();
    for_each_row(pool_, y.rows, y.cols,
                 [&](std::size_t t) { kernels.add(table.row(ids[t]), y.cols, y.row(t)); });
}

void CpuBackend::do_rms_norm(MatrixView<const float> x, std::span<const float> weight,
                             float epsilon, MatrixView<float> y) const {
    const VectorKernels& kernels = vector_kernels();
    for_each_row(pool_, x.rows, x.cols, [&](std::size_t t) {
        kernels.rms_norm(x.row(t), weight.data(), epsilon, x.cols, y.row(t));
    });
}

void CpuBackend::do_layer_norm(MatrixView<const float> x, std::span<const float> weight,
                               std::span<const float> bias, float epsilon,
                               MatrixView<float> y) const {
    const VectorKernels& kernels = vector_kernels();
    const float* shift = bias.empty() ? nullptr : bias.data();
    for_each_row(pool_, x.rows, x.cols, [&](std::size_t t) {
        kernels.layer_norm(x.row(t), weight.data(), shift, epsilon, x.cols, y.row(t));
    });
}

void CpuBackend::do_rope(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
                         MatrixView<const float> sin,
                         std::span<const std::uint32_t> positions) const {
    require_below(positions, cos.rows, "rope: position");
    const VectorKernels& kernels = vector_kernels();
    for_each_row(pool_, x.rows, x.cols, [&](std::size_t t) {
        for (std::size_t first = 0; first < x.cols; first += head_dim) {
            kernels.rotate(x.row(t) + first, cos.row(positions[t]), sin.row(positions[t]),
                           cos.cols);
        }
    });
}

void CpuBackend::do_activate(Activation kind, MatrixView<const float> x,
                             MatrixView<float> y) const {
    const ActivationKernels& kernels = kernels_of(kind);
    for_each_row(pool_, y.rows, y.cols,
                 [&](std::size_t t) { kernels.apply(x.row(t), y.cols, y.row(t)); });
}

void CpuBackend::do_activate_multiply(Activation kind, MatrixView<const float> gate,
                                      MatrixView<const float> up, MatrixView<float> y) const {
    const ActivationKernels& kernels = kernels_of(kind);
    for_each_row(pool_, y.rows, y.cols, [&](std::size_t t) {
        kernels.multiply(gate.row(t), up.row(t), y.cols, y.row(t));
    });
}

void CpuBackend::do_add(MatrixView<const float> x, MatrixView<float> y) const {
    const VectorKernels& kernels = vector_kernels();
    for_each_row(pool_, y.rows, y.cols,
                 [&](std::size_t t) { kernels.add(x.row(t), x.cols, y.row(t)); });
}

void CpuBackend::do_subtract(MatrixView<const float> x, MatrixView<const float> y,
                             MatrixView<float> z) const {
    for_each_row(pool_, z.rows, z.cols, [&](std::size_t t) {
        std::transform(x.row(t), x.row(t) + x.cols, y.row(t), z.row(t), std::minus<>());
    });
}

bool CpuBackend::do_all_finite(MatrixView<const float> x) const {
    const VectorKernels& kernels = vector_kernels();
    std::atomic<bool> finite{true};
    for_each_row(pool_, x.rows, x.cols, [&](std::size_t t) {
        if (!kernels.all_finite(x.row(t), x.cols)) {
            finite.store(false);
        }
    });
    return finite.load();
}

}  // namespace lathe::kernels
