#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

#include "kernels/host_checks.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "lib/core/half.hpp"

namespace lathe::kernels {

std::shared_ptr<void> ReferenceBackend::do_allocate(std::size_t bytes) const {
    void* memory = std::calloc(std::max<std::size_t>(bytes, 1), 1);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return {memory, std::free};
}

void ReferenceBackend::do_upload(const std::byte* host, DType dtype, MatrixView<float> y) const {
    const std::size_t row_bytes = y.cols * size_bytes(dtype);
    for (std::size_t i = 0; i < y.rows; ++i) {
        to_float(host + i * row_bytes, dtype, {y.row(i), y.cols});
    }
}

void ReferenceBackend::do_download(MatrixView<const float> x, float* host) const {
    for (std::size_t i = 0; i < x.rows; ++i) {
        std::copy_n(x.row(i), x.cols, host + i * x.cols);
    }
}

void ReferenceBackend::do_embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                                MatrixView<float> y) const {
    require_below(ids, table.rows, "embed: id");
    for (std::size_t t = 0; t < ids.size(); ++t) {
        std::copy_n(table.row(ids[t]), table.cols, y.row(t));
    }
}

void ReferenceBackend::do_linear(MatrixView<const float> x, MatrixView<const float> w,
                                 std::span<const float> bias, MatrixView<float> y) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t j = 0; j < w.rows; ++j) {
            double sum = bias.empty() ? 0.0 : bias[j];
            for (std::size_t k = 0; k < x.cols; ++k) {
                sum += static_cast<double>(x(t, k)) * w(j, k);
            }
            y(t, j) = static_cast<float>(sum);
        }
    }
}

void ReferenceBackend::do_rms_norm(MatrixView<const float> x, std::span<const float> weight,
                                   float epsilon, MatrixView<float> y) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        double sum = 0.0;
        for (std::size_t j = 0; j < x.cols; ++j) {
            sum += static_cast<double>(x(t, j)) * x(t, j);
        }
        const double root = std::sqrt(sum / static_cast<double>(x.cols) + epsilon);
        for (std::size_t j = 0; j < x.cols; ++j) {
            y(t, j) = static_cast<float>(x(t, j) / root * weight[j]);
        }
    }
}

void ReferenceBackend::do_rope(MatrixView<float> x, std::size_t head_dim,
                               MatrixView<const float> cos, MatrixView<const float> sin,
                               std::span<const std::uint32_t> positions) const {
    require_below(positions, cos.rows, "rope: position");
    const std::size_t half = cos.cols;
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t first = 0; first < x.cols; first += head_dim) {
            for (std::size_t i = 0; i < half; ++i) {
                const double c = cos(positions[t], i);
                const double s = sin(positions[t], i);
                const double a = x(t, first + i);
                const double b = x(t, first + half + i);
                x(t, first + i) = static_cast<float>(a * c - b * s);
                x(t, first + half + i) = static_cast<float>(b * c + a * s);
            }
        }
    }
}

void ReferenceBackend::do_attention(MatrixView<const float> q, MatrixView<const float> k,
                                    MatrixView<const float> v, const AttentionShape& shape,
                                    MatrixView<float> y) const {
    const std::size_t d = shape.head_dim;
    const std::size_t heads_per_kv = shape.n_heads / shape.n_kv_heads;
    std::vector<double> p(shape.key_length);
    for (std::size_t row = 0; row < q.rows; ++row) {
        const std::size_t sequence = row / shape.query_length;
        const std::size_t first_key = sequence * shape.key_length;
        const std::size_t position =
            shape.key_length - shape.query_length + row % shape.query_length;
        const std::size_t end = shape.causal ? position + 1 : shape.key_length;
        const std::size_t begin = shape.window > 0 && end > shape.window ? end - shape.window : 0;
        for (std::size_t head = 0; head < shape.n_heads; ++head) {
            const float* query = q.row(row) + head * d;
            const std::size_t kv = head / heads_per_kv * d;
            double largest = -std::numeric_limits<double>::infinity();
            for (std::size_t j = begin; j < end; ++j) {
                double dot = 0.0;
                for (std::size_t i = 0; i < d; ++i) {
                    dot += static_cast<double>(query[i]) * k(first_key + j, kv + i);
                }
                p[j] = dot * shape.scale;
                largest = std::max(largest, p[j]);
            }
            double sum = 0.0;
            for (std::size_t j = begin; j < end; ++j) {
                p[j] = std::exp(p[j] - largest);
                sum += p[j];
            }
            for (std::size_t i = 0; i < d; ++i) {
                double value = 0.0;
                for (std::size_t j = begin; j < end; ++j) {
                    value += p[j] * v(first_key + j, kv + i);
                }
                y(row, head * d + i) = static_cast<float>(value / sum);
            }
        }
    }
}

void ReferenceBackend::do_silu_multiply(MatrixView<const float> gate, MatrixView<const float> up,
                                        MatrixView<float> y) const {
    for (std::size_t t = 0; t < y.rows; ++t) {
        for (std::size_t j = 0; j < y.cols; ++j) {
            const double x = gate(t, j);
            y(t, j) = static_cast<float>(x / (1.0 + std::exp(-x)) * up(t, j));
        }
    }
}

void ReferenceBackend::do_add(MatrixView<const float> x, MatrixView<float> y) const {
    for (std::size_t t = 0; t < y.rows; ++t) {
        for (std::size_t j = 0; j < y.cols; ++j) {
            y(t, j) += x(t, j);
        }
    }
}

bool ReferenceBackend::do_all_finite(MatrixView<const float> x) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            if (!std::isfinite(x(t, j))) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace lathe::kernels
