#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/contract/host_checks.hpp"
#include "kernels/layouts/activation_slope.hpp"
#include "kernels/layouts/attention_sequences.hpp"
#include "kernels/reference/reference_gradients.hpp"
#include "kernels/reference/rotate.hpp"

namespace lathe::kernels {

void ReferenceGradients::do_linear(MatrixView<const float> dy, MatrixView<const float> w,
                                   bool accumulate, MatrixView<float> dx) const {
    for (std::size_t t = 0; t < dx.rows; ++t) {
        for (std::size_t k = 0; k < dx.cols; ++k) {
            double sum = accumulate ? dx(t, k) : 0.0;
            for (std::size_t j = 0; j < w.rows; ++j) {
                sum += static_cast<double>(dy(t, j)) * w(j, k);
            }
            dx(t, k) = static_cast<float>(sum);
        }
    }
}

namespace {

/// Of y = n * weight, where n = (x - mean) / root, root^2 = mean((x - mean)^2) + epsilon, and the
/// mean is taken as 0 unless `centred`: with g = dy * weight
///   dx = (g - mean(g n) n - mean(g)) / root, the last term only if `centred`.
void norm_row(std::span<const float> x, std::span<const float> weight, float epsilon, bool centred,
              const float* dy, float* dx) {
    const auto n = static_cast<double>(x.size());
    double mean = 0.0;
    for (const float value : x) {
        mean += centred ? value / n : 0.0;
    }
    double squares = 0.0;
    for (const float value : x) {
        squares += (value - mean) * (value - mean);
    }
    const double root = std::sqrt(squares / n + epsilon);
    double along = 0.0;
    double level = 0.0;
    for (std::size_t j = 0; j < x.size(); ++j) {
        const double g = static_cast<double>(dy[j]) * weight[j];
        along += g * (x[j] - mean) / root / n;
        level += centred ? g / n : 0.0;
    }
    for (std::size_t j = 0; j < x.size(); ++j) {
        const double g = static_cast<double>(dy[j]) * weight[j];
        dx[j] = static_cast<float>((g - along * (x[j] - mean) / root - level) / root);
    }
}

}  // namespace

void ReferenceGradients::do_rms_norm(MatrixView<const float> x, std::span<const float> weight,
                                     float epsilon, MatrixView<const float> dy,
                                     MatrixView<float> dx) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        norm_row({x.row(t), x.cols}, weight, epsilon, false, dy.row(t), dx.row(t));
    }
}

void ReferenceGradients::do_layer_norm(MatrixView<const float> x, std::span<const float> weight,
                                       float epsilon, MatrixView<const float> dy,
                                       MatrixView<float> dx) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        norm_row({x.row(t), x.cols}, weight, epsilon, true, dy.row(t), dx.row(t));
    }
}

void ReferenceGradients::do_rope(MatrixView<float> dx, std::size_t head_dim,
                                 MatrixView<const float> cos, MatrixView<const float> sin,
                                 std::span<const std::uint32_t> positions) const {
    require_below(positions, cos.rows, "gradient of rope: position");
    rotate(dx, head_dim, cos, sin, positions, -1.0);
}

namespace {

/// One query of one head at a position of its sequence, against the keys [begin, end) of the
/// key-value head whose rows of that sequence are k and v; where its derivatives go.
struct Query {
    const float* q;
    const float* dy;
    float* dq;
    MatrixView<const float> k;
    MatrixView<const float> v;
    std::size_t position;
    std::size_t begin;
    std::size_t end;
};

double dot(const float* a, const float* b, std::size_t n) {
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        sum += static_cast<double>(a[i]) * b[i];
    }
    return sum;
}

/// With weights p = softmax(s) and y = sum_j p_j v_j: dp_j = dy.v_j, ds_j = p_j (dp_j - sum p dp).
/// dk, dv [n_keys * d] are added to.
void attend_backwards(const Query& at, float scale, float slope, double* dk, double* dv) {
    const std::size_t d = at.k.cols;
    std::vector<double> p(at.end);
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t j = at.begin; j < at.end; ++j) {
        p[j] = dot(at.q, at.k.row(j), d) * scale +
               slope * (static_cast<double>(j) - static_cast<double>(at.position));
        largest = std::max(largest, p[j]);
    }
    double total = 0.0;
    for (std::size_t j = at.begin; j < at.end; ++j) {
        p[j] = std::exp(p[j] - largest);
        total += p[j];
    }
    double mean = 0.0;
    for (std::size_t j = at.begin; j < at.end; ++j) {
        p[j] /= total;
        mean += p[j] * dot(at.dy, at.v.row(j), d);
    }
    std::vector<double> dq(d, 0.0);
    for (std::size_t j = at.begin; j < at.end; ++j) {
        const double ds = p[j] * (dot(at.dy, at.v.row(j), d) - mean) * scale;
        for (std::size_t i = 0; i < d; ++i) {
            dq[i] += ds * at.k(j, i);
            dk[j * d + i] += ds * at.q[i];
            dv[j * d + i] += p[j] * at.dy[i];
        }
    }
    std::ranges::transform(dq, at.dq, [](double value) { return static_cast<float>(value); });
}

void write(const std::vector<double>& from, MatrixView<float> to) {
    for (std::size_t i = 0; i < from.size(); ++i) {
        to(i / to.cols, i % to.cols) = static_cast<float>(from[i]);
    }
}

}  // namespace

void ReferenceGradients::do_attention(MatrixView<const float> q, MatrixView<const float> k,
                                      MatrixView<const float> v, const AttentionShape& shape,
                                      MatrixView<const float> dy, MatrixView<float> dq,
                                      MatrixView<float> dk, MatrixView<float> dv) const {
    const std::size_t d = shape.head_dim;
    const std::size_t group = shape.n_heads / shape.n_kv_heads;
    for (const AttentionSequence& s : sequences_of(shape)) {
        for (std::size_t kv = 0; kv < shape.n_kv_heads; ++kv) {
            std::vector<double> dk_sum(s.n_keys * d, 0.0);
            std::vector<double> dv_sum(s.n_keys * d, 0.0);
            for (std::size_t head = kv * group; head < (kv + 1) * group; ++head) {
                const float slope = shape.alibi_slopes.empty() ? 0.0F : shape.alibi_slopes[head];
                for (std::size_t i = 0; i < s.n_queries; ++i) {
                    const auto [begin, end] = visible_keys(shape, s, i);
                    const std::size_t row = s.first_query + i;
                    attend_backwards(
                        {q.row(row) + head * d, dy.row(row) + head * d, dq.row(row) + head * d,
                         k.row_range(s.first_key, s.n_keys).col_range(kv * d, d),
                         v.row_range(s.first_key, s.n_keys).col_range(kv * d, d), s.position(i),
                         begin, end},
                        shape.scale, slope, dk_sum.data(), dv_sum.data());
                }
            }
            write(dk_sum, dk.row_range(s.first_key, s.n_keys).col_range(kv * d, d));
            write(dv_sum, dv.row_range(s.first_key, s.n_keys).col_range(kv * d, d));
        }
    }
}

void ReferenceGradients::do_activate(Activation kind, MatrixView<const float> x,
                                     MatrixView<const float> dy, MatrixView<float> dx) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            dx(t, j) = static_cast<float>(dy(t, j) * activation_point<double>(kind, x(t, j)).slope);
        }
    }
}

void ReferenceGradients::do_activate_multiply(Activation kind, MatrixView<const float> gate,
                                              MatrixView<const float> up,
                                              MatrixView<const float> dy, MatrixView<float> d_gate,
                                              MatrixView<float> d_up) const {
    for (std::size_t t = 0; t < gate.rows; ++t) {
        for (std::size_t j = 0; j < gate.cols; ++j) {
            const auto [value, slope] = activation_point<double>(kind, gate(t, j));
            const double u = up(t, j);
            d_gate(t, j) = static_cast<float>(dy(t, j) * u * slope);
            d_up(t, j) = static_cast<float>(dy(t, j) * value);
        }
    }
}

namespace {

/// softmax of a row.
std::vector<double> probabilities(std::span<const float> logits) {
    const double largest = logits.empty() ? 0.0 : std::ranges::max(logits);
    std::vector<double> p;
    double total = 0.0;
    for (const float logit : logits) {
        total += p.emplace_back(std::exp(logit - largest));
    }
    for (double& value : p) {
        value /= total;
    }
    return p;
}

}  // namespace

void ReferenceGradients::do_cross_entropy(MatrixView<const float> logits,
                                          std::span<const std::uint32_t> targets,
                                          MatrixView<float> d_logits) const {
    require_below(targets, logits.cols, "gradient of cross_entropy: target");
    for (std::size_t t = 0; t < logits.rows; ++t) {
        const std::vector<double> p = probabilities({logits.row(t), logits.cols});
        for (std::size_t j = 0; j < logits.cols; ++j) {
            d_logits(t, j) = static_cast<float>(p[j] - (j == targets[t] ? 1.0 : 0.0));
        }
    }
}

void ReferenceGradients::do_sample(MatrixView<const float> logits, std::span<const double> uniform,
                                   std::span<std::uint32_t> targets) const {
    for (std::size_t t = 0; t < logits.rows; ++t) {
        const std::vector<double> p = probabilities({logits.row(t), logits.cols});
        double sum = 0.0;
        std::size_t j = 0;
        // What rounding leaves of a whole belongs to the last output.
        while (j + 1 < p.size() && (sum += p[j]) <= uniform[t]) {
            ++j;
        }
        targets[t] = static_cast<std::uint32_t>(j);
    }
}

void ReferenceGradients::do_add_row_squares(MatrixView<const float> x,
                                            std::span<double> sums) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            sums[t] += static_cast<double>(x(t, j)) * x(t, j);
        }
    }
}

void ReferenceGradients::do_add_squares(MatrixView<const float> x, std::span<double> sums) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            sums[j] += static_cast<double>(x(t, j)) * x(t, j);
        }
    }
}

}  // namespace lathe::kernels
