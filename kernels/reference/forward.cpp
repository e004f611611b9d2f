#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <numbers>
#include <string>
#include <vector>

#include "kernels/contract/host_checks.hpp"
#include "kernels/layouts/attention_sequences.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/reference/rotate.hpp"
#include "lib/core/errors.hpp"
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

void ReferenceBackend::do_copy(const void* from, std::size_t from_pitch, void* to,
                               std::size_t to_pitch, std::size_t row_bytes,
                               std::size_t rows) const {
    for (std::size_t i = 0; i < rows; ++i) {
        std::memcpy(static_cast<std::byte*>(to) + i * to_pitch,
                    static_cast<const std::byte*>(from) + i * from_pitch, row_bytes);
    }
}

void ReferenceBackend::do_embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                                MatrixView<float> y) const {
    require_below(ids, table.rows, "embed: id");
    for (std::size_t t = 0; t < ids.size(); ++t) {
        std::copy_n(table.row(ids[t]), table.cols, y.row(t));
    }
}

void ReferenceBackend::do_add_embedding(std::span<const std::uint32_t> ids,
                                        MatrixView<const float> table, MatrixView<float> y) const {
    require_below(ids, table.rows, "add_embedding: id");
    for (std::size_t t = 0; t < ids.size(); ++t) {
        for (std::size_t j = 0; j < y.cols; ++j) {
            y(t, j) += table(ids[t], j);
        }
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

void ReferenceBackend::do_linear_bf16(MatrixView<const float> x, MatrixView<const float> w,
                                      std::span<const float> bias, MatrixView<float> y) const {
    const auto rounded = [](MatrixView<const float> matrix) {
        std::vector<float> values;
        for (std::size_t i = 0; i < matrix.rows; ++i) {
            for (std::size_t j = 0; j < matrix.cols; ++j) {
                values.push_back(bfloat16_to_float(float_to_bfloat16(matrix(i, j))));
            }
        }
        return values;
    };
    const std::vector<float> near_x = rounded(x);
    const std::vector<float> near_w = rounded(w);
    do_linear({near_x.data(), x.rows, x.cols}, {near_w.data(), w.rows, w.cols}, bias, y);
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

void ReferenceBackend::do_layer_norm(MatrixView<const float> x, std::span<const float> weight,
                                     std::span<const float> bias, float epsilon,
                                     MatrixView<float> y) const {
    const auto n = static_cast<double>(x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) {
        double sum = 0.0;
        for (std::size_t j = 0; j < x.cols; ++j) {
            sum += x(t, j);
        }
        const double mean = sum / n;
        double squares = 0.0;
        for (std::size_t j = 0; j < x.cols; ++j) {
            squares += (x(t, j) - mean) * (x(t, j) - mean);
        }
        const double root = std::sqrt(squares / n + epsilon);
        for (std::size_t j = 0; j < x.cols; ++j) {
            const double shift = bias.empty() ? 0.0 : bias[j];
            y(t, j) = static_cast<float>((x(t, j) - mean) / root * weight[j] + shift);
        }
    }
}

void ReferenceBackend::do_rope(MatrixView<float> x, std::size_t head_dim,
                               MatrixView<const float> cos, MatrixView<const float> sin,
                               std::span<const std::uint32_t> positions) const {
    require_below(positions, cos.rows, "rope: position");
    rotate(x, head_dim, cos, sin, positions, 1.0);
}

namespace {

/// One query of one head: `query` [head_dim] at a position of its sequence, against the keys
/// [begin, end) of the key-value head whose rows of that sequence are k and v.
struct Query {
    const float* query;
    MatrixView<const float> k;
    MatrixView<const float> v;
    std::size_t position;
    std::size_t begin;
    std::size_t end;
};

void attend(const Query& at, float scale, float slope, float* y) {
    std::vector<double> p(at.end);
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t j = at.begin; j < at.end; ++j) {
        double dot = 0.0;
        for (std::size_t i = 0; i < at.k.cols; ++i) {
            dot += static_cast<double>(at.query[i]) * at.k(j, i);
        }
        p[j] = dot * scale + slope * (static_cast<double>(j) - static_cast<double>(at.position));
        largest = std::max(largest, p[j]);
    }
    double sum = 0.0;
    for (std::size_t j = at.begin; j < at.end; ++j) {
        p[j] = std::exp(p[j] - largest);
        sum += p[j];
    }
    for (std::size_t i = 0; i < at.v.cols; ++i) {
        double value = 0.0;
        for (std::size_t j = at.begin; j < at.end; ++j) {
            value += p[j] * at.v(j, i);
        }
        y[i] = static_cast<float>(value / sum);
    }
}

}  // namespace

void ReferenceBackend::do_attention(MatrixView<const float> q, MatrixView<const float> k,
                                    MatrixView<const float> v, const AttentionShape& shape,
                                    MatrixView<float> y) const {
    const std::size_t d = shape.head_dim;
    for (const AttentionSequence& s : sequences_of(shape)) {
        for (std::size_t i = 0; i < s.n_queries; ++i) {
            const auto [begin, end] = visible_keys(shape, s, i);
            for (std::size_t head = 0; head < shape.n_heads; ++head) {
                const std::size_t kv = head / (shape.n_heads / shape.n_kv_heads) * d;
                const float slope = shape.alibi_slopes.empty() ? 0.0F : shape.alibi_slopes[head];
                attend({q.row(s.first_query + i) + head * d,
                        k.row_range(s.first_key, s.n_keys).col_range(kv, d),
                        v.row_range(s.first_key, s.n_keys).col_range(kv, d), s.position(i), begin,
                        end},
                       shape.scale, slope, y.row(s.first_query + i) + head * d);
            }
        }
    }
}

namespace {

double activation_of(Activation kind, double x) {
    switch (kind) {
        case Activation::silu:
            return x / (1.0 + std::exp(-x));
        case Activation::gelu:
            // 1 + erf(z) = erfc(-z), which keeps its digits where erf is close to -1.
            return x * std::erfc(-x / std::numbers::sqrt2) / 2.0;
        case Activation::gelu_tanh: {
            // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), for the same reason.
            const double root = std::sqrt(2.0 * std::numbers::inv_pi);
            return x / (1.0 + std::exp(-2.0 * root * (x + 0.044715 * x * x * x)));
        }
        case Activation::relu:
            return x < 0.0 ? 0.0 : x;  // NaN stays NaN
        case Activation::tanh:
            return std::tanh(x);
    }
    throw InternalError("activation " + std::to_string(static_cast<int>(kind)) + " is not defined");
}

}  // namespace

void ReferenceBackend::do_activate(Activation kind, MatrixView<const float> x,
                                   MatrixView<float> y) const {
    for (std::size_t t = 0; t < y.rows; ++t) {
        for (std::size_t j = 0; j < y.cols; ++j) {
            y(t, j) = static_cast<float>(activation_of(kind, x(t, j)));
        }
    }
}

void ReferenceBackend::do_activate_multiply(Activation kind, MatrixView<const float> gate,
                                            MatrixView<const float> up, MatrixView<float> y) const {
    for (std::size_t t = 0; t < y.rows; ++t) {
        for (std::size_t j = 0; j < y.cols; ++j) {
            y(t, j) = static_cast<float>(activation_of(kind, gate(t, j)) * up(t, j));
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

void ReferenceBackend::do_subtract(MatrixView<const float> x, MatrixView<const float> y,
                                   MatrixView<float> z) const {
    for (std::size_t t = 0; t < z.rows; ++t) {
        for (std::size_t j = 0; j < z.cols; ++j) {
            z(t, j) = x(t, j) - y(t, j);
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
