#include "kernels/contract/gradients.hpp"

#include <numeric>
#include <string>

#include "lib/core/errors.hpp"

// What both implementations may take for granted, and which of them is made.

namespace lathe::kernels {
namespace {

template <class A, class B>
void require_same_shape(const std::string& function, const char* name_a, const MatrixView<A>& a,
                        const char* name_b, const MatrixView<B>& b) {
    if (a.rows != b.rows || a.cols != b.cols) {
        throw ShapeError("gradient of " + function + ": " + name_a + " is " + a.shape_text() +
                         " but " + name_b + " is " + b.shape_text());
    }
}

void require_equal(const std::string& function, const char* name_a, std::size_t a,
                   const char* name_b, std::size_t b) {
    if (a != b) {
        throw ShapeError("gradient of " + function + ": " + name_a + " is " + std::to_string(a) +
                         " but " + name_b + " is " + std::to_string(b));
    }
}

template <class T>
bool is_empty(const MatrixView<T>& x) {
    return x.rows == 0 || x.cols == 0;
}

}  // namespace

void Gradients::linear(MatrixView<const float> dy, MatrixView<const float> w, bool accumulate,
                       MatrixView<float> dx) const {
    require_equal("linear", "columns of dy", dy.cols, "rows of w", w.rows);
    require_equal("linear", "columns of dx", dx.cols, "columns of w", w.cols);
    require_equal("linear", "rows of dx", dx.rows, "rows of dy", dy.rows);
    if (!is_empty(dx)) {
        do_linear(dy, w, accumulate, dx);
    }
}

void Gradients::rms_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                         MatrixView<const float> dy, MatrixView<float> dx) const {
    require_same_shape("rms_norm", "x", x, "dy", dy);
    require_same_shape("rms_norm", "x", x, "dx", dx);
    require_equal("rms_norm", "weight", weight.size(), "columns of x", x.cols);
    if (!is_empty(x)) {
        do_rms_norm(x, weight, epsilon, dy, dx);
    }
}

void Gradients::layer_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                           MatrixView<const float> dy, MatrixView<float> dx) const {
    require_same_shape("layer_norm", "x", x, "dy", dy);
    require_same_shape("layer_norm", "x", x, "dx", dx);
    require_equal("layer_norm", "weight", weight.size(), "columns of x", x.cols);
    if (!is_empty(x)) {
        do_layer_norm(x, weight, epsilon, dy, dx);
    }
}

void Gradients::rope(MatrixView<float> dx, std::size_t head_dim, MatrixView<const float> cos,
                     MatrixView<const float> sin, std::span<const std::uint32_t> positions) const {
    require_same_shape("rope", "cos", cos, "sin", sin);
    require_equal("rope", "the number of positions", positions.size(), "rows of dx", dx.rows);
    if (head_dim == 0 || dx.cols % head_dim != 0 || 2 * cos.cols > head_dim) {
        throw ShapeError("gradient of rope: head_dim " + std::to_string(head_dim) +
                         " does not divide columns of dx " + std::to_string(dx.cols) +
                         " or is less than twice the columns of cos " + cos.shape_text());
    }
    if (!is_empty(dx)) {
        do_rope(dx, head_dim, cos, sin, positions);
    }
}

void Gradients::attention(MatrixView<const float> q, MatrixView<const float> k,
                          MatrixView<const float> v, const AttentionShape& shape,
                          MatrixView<const float> dy, MatrixView<float> dq, MatrixView<float> dk,
                          MatrixView<float> dv) const {
    const char* function = "attention";
    require_same_shape(function, "q", q, "dy", dy);
    require_same_shape(function, "q", q, "dq", dq);
    require_same_shape(function, "k", k, "v", v);
    require_same_shape(function, "k", k, "dk", dk);
    require_same_shape(function, "k", k, "dv", dv);
    if (shape.n_kv_heads == 0 || shape.n_heads % shape.n_kv_heads != 0) {
        throw ShapeError("gradient of attention: n_kv_heads " + std::to_string(shape.n_kv_heads) +
                         " does not divide n_heads " + std::to_string(shape.n_heads));
    }
    require_equal(function, "columns of q", q.cols, "n_heads * head_dim",
                  shape.n_heads * shape.head_dim);
    require_equal(function, "columns of k", k.cols, "n_kv_heads * head_dim",
                  shape.n_kv_heads * shape.head_dim);
    const bool packed = !shape.lengths.empty();
    const std::size_t total =
        std::accumulate(shape.lengths.begin(), shape.lengths.end(), std::size_t{0});
    require_equal(function, "rows of q", q.rows, "the number of queries",
                  packed ? total : shape.n_sequences * shape.query_length);
    require_equal(function, "rows of k", k.rows, "the number of keys",
                  packed ? total : shape.n_sequences * shape.key_length);
    do_attention(q, k, v, shape, dy, dq, dk, dv);
}

void Gradients::activate(Activation kind, MatrixView<const float> x, MatrixView<const float> dy,
                         MatrixView<float> dx) const {
    require_same_shape("activate", "x", x, "dy", dy);
    require_same_shape("activate", "x", x, "dx", dx);
    if (!is_empty(x)) {
        do_activate(kind, x, dy, dx);
    }
}

void Gradients::activate_multiply(Activation kind, MatrixView<const float> gate,
                                  MatrixView<const float> up, MatrixView<const float> dy,
                                  MatrixView<float> d_gate, MatrixView<float> d_up) const {
    const char* function = "activate_multiply";
    require_same_shape(function, "gate", gate, "up", up);
    require_same_shape(function, "gate", gate, "dy", dy);
    require_same_shape(function, "gate", gate, "d_gate", d_gate);
    require_same_shape(function, "gate", gate, "d_up", d_up);
    if (!is_empty(gate)) {
        do_activate_multiply(kind, gate, up, dy, d_gate, d_up);
    }
}

void Gradients::cross_entropy(MatrixView<const float> logits,
                              std::span<const std::uint32_t> targets,
                              MatrixView<float> d_logits) const {
    require_same_shape("cross_entropy", "logits", logits, "d_logits", d_logits);
    require_equal("cross_entropy", "the number of targets", targets.size(), "rows of logits",
                  logits.rows);
    do_cross_entropy(logits, targets, d_logits);
}

void Gradients::sample(MatrixView<const float> logits, std::span<const double> uniform,
                       std::span<std::uint32_t> targets) const {
    require_equal("sample", "the number of uniform", uniform.size(), "rows of logits", logits.rows);
    require_equal("sample", "the number of targets", targets.size(), "rows of logits", logits.rows);
    if (logits.rows > 0 && logits.cols == 0) {
        throw ShapeError("sample: rows of logits are empty");
    }
    do_sample(logits, uniform, targets);
}

void Gradients::add_row_squares(MatrixView<const float> x, std::span<double> sums) const {
    require_equal("add_row_squares", "sums", sums.size(), "rows of x", x.rows);
    if (!is_empty(x)) {
        do_add_row_squares(x, sums);
    }
}

void Gradients::add_squares(MatrixView<const float> x, std::span<double> sums) const {
    require_equal("add_squares", "sums", sums.size(), "columns of x", x.cols);
    if (!is_empty(x)) {
        do_add_squares(x, sums);
    }
}

}  // namespace lathe::kernels
