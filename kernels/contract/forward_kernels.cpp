#include "kernels/contract/forward_kernels.hpp"

#include <numeric>
#include <string>

#include "kernels/contract/grid_checks.hpp"
#include "lib/core/errors.hpp"

// What every backend may take for granted: the public functions check what their comments in the
// header ask for and hand over to the backend. A refusal is a bug in the caller.

namespace lathe::kernels {
namespace {

using checks::require_equal;

[[noreturn]] void refuse(const char* function, const std::string& found) {
    throw ShapeError(std::string(function) + ": " + found);
}

template <class A, class B>
void require_same_shape(const char* function, const char* name_a, const MatrixView<A>& a,
                        const char* name_b, const MatrixView<B>& b) {
    if (a.rows != b.rows || a.cols != b.cols) {
        refuse(function, std::string(name_a) + " is " + a.shape_text() + " but " + name_b + " is " +
                             b.shape_text());
    }
}

void require_linear(const char* function, MatrixView<const float> x, MatrixView<const float> w,
                    std::span<const float> bias, MatrixView<float> y) {
    if (x.cols != w.cols || y.rows != x.rows || y.cols != w.rows) {
        refuse(function, "x " + x.shape_text() + " @ w " + w.shape_text() + "^T does not give y " +
                             y.shape_text());
    }
    if (!bias.empty()) {
        require_equal(function, "bias", bias.size(), "rows of w", w.rows);
    }
    if (y.rows != 0 && y.cols != 0 && static_cast<const float*>(y.data) == x.data) {
        refuse(function, "y is x");
    }
}

void require_attention_shape(const AttentionShape& shape) {
    const char* function = "attention";
    if (shape.n_kv_heads == 0 || shape.n_heads % shape.n_kv_heads != 0) {
        refuse(function, "n_kv_heads " + std::to_string(shape.n_kv_heads) +
                             " does not divide n_heads " + std::to_string(shape.n_heads));
    }
    if (shape.head_dim == 0) {
        refuse(function, "head_dim is 0");
    }
    if (!shape.alibi_slopes.empty()) {
        require_equal(function, "the number of alibi_slopes", shape.alibi_slopes.size(), "n_heads",
                      shape.n_heads);
    }
    if (!shape.lengths.empty()) {
        require_equal(function, "the number of lengths", shape.lengths.size(), "n_sequences",
                      shape.n_sequences);
    } else if (shape.query_length > shape.key_length) {
        refuse(function, "query_length " + std::to_string(shape.query_length) +
                             " is more than key_length " + std::to_string(shape.key_length));
    }
}

/// Rows of q and of k against what the shape says.
void require_attention_rows(const AttentionShape& shape, std::size_t q_rows, std::size_t k_rows) {
    const char* function = "attention";
    if (!shape.lengths.empty()) {
        const std::size_t total =
            std::accumulate(shape.lengths.begin(), shape.lengths.end(), std::size_t{0});
        require_equal(function, "rows of q", q_rows, "the sum of lengths", total);
        require_equal(function, "rows of k", k_rows, "the sum of lengths", total);
        return;
    }
    require_equal(function, "rows of q", q_rows, "n_sequences * query_length",
                  shape.n_sequences * shape.query_length);
    require_equal(function, "rows of k", k_rows, "n_sequences * key_length",
                  shape.n_sequences * shape.key_length);
}

}  // namespace

void ForwardKernels::embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                           MatrixView<float> y) const {
    require_equal("embed", "the number of ids", ids.size(), "rows of y", y.rows);
    require_equal("embed", "columns of table", table.cols, "columns of y", y.cols);
    do_embed(ids, table, y);
}

void ForwardKernels::add_embedding(std::span<const std::uint32_t> ids,
                                   MatrixView<const float> table, MatrixView<float> y) const {
    require_equal("add_embedding", "the number of ids", ids.size(), "rows of y", y.rows);
    require_equal("add_embedding", "columns of table", table.cols, "columns of y", y.cols);
    do_add_embedding(ids, table, y);
}

void ForwardKernels::linear(MatrixView<const float> x, MatrixView<const float> w,
                            std::span<const float> bias, MatrixView<float> y) const {
    require_linear("linear", x, w, bias, y);
    if (y.rows != 0 && y.cols != 0) {
        do_linear(x, w, bias, y);
    }
}

void ForwardKernels::linear_bf16(MatrixView<const float> x, MatrixView<const float> w,
                                 std::span<const float> bias, MatrixView<float> y) const {
    require_linear("linear_bf16", x, w, bias, y);
    if (y.rows != 0 && y.cols != 0) {
        do_linear_bf16(x, w, bias, y);
    }
}

void ForwardKernels::rms_norm(MatrixView<const float> x, std::span<const float> weight,
                              float epsilon, MatrixView<float> y) const {
    require_same_shape("rms_norm", "x", x, "y", y);
    require_equal("rms_norm", "weight", weight.size(), "columns of x", x.cols);
    if (x.rows == 0 || x.cols == 0) {
        return;
    }
    do_rms_norm(x, weight, epsilon, y);
}

void ForwardKernels::layer_norm(MatrixView<const float> x, std::span<const float> weight,
                                std::span<const float> bias, float epsilon,
                                MatrixView<float> y) const {
    require_same_shape("layer_norm", "x", x, "y", y);
    require_equal("layer_norm", "weight", weight.size(), "columns of x", x.cols);
    if (!bias.empty()) {
        require_equal("layer_norm", "bias", bias.size(), "columns of x", x.cols);
    }
    if (x.rows == 0 || x.cols == 0) {
        return;
    }
    do_layer_norm(x, weight, bias, epsilon, y);
}

void ForwardKernels::rope(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
                          MatrixView<const float> sin,
                          std::span<const std::uint32_t> positions) const {
    if (head_dim == 0 || x.cols % head_dim != 0) {
        refuse("rope", "head_dim " + std::to_string(head_dim) + " does not divide columns of x " +
                           std::to_string(x.cols));
    }
    require_same_shape("rope", "cos", cos, "sin", sin);
    if (2 * cos.cols > head_dim) {
        refuse("rope", "cos " + cos.shape_text() + " has more than half of head_dim " +
                           std::to_string(head_dim) + " columns");
    }
    require_equal("rope", "the number of positions", positions.size(), "rows of x", x.rows);
    do_rope(x, head_dim, cos, sin, positions);
}

void ForwardKernels::attention(MatrixView<const float> q, MatrixView<const float> k,
                               MatrixView<const float> v, const AttentionShape& shape,
                               MatrixView<float> y) const {
    require_attention_shape(shape);
    const char* function = "attention";
    require_same_shape(function, "q", q, "y", y);
    require_same_shape(function, "k", k, "v", v);
    require_attention_rows(shape, q.rows, k.rows);
    require_equal(function, "columns of q", q.cols, "n_heads * head_dim",
                  shape.n_heads * shape.head_dim);
    require_equal(function, "columns of k", k.cols, "n_kv_heads * head_dim",
                  shape.n_kv_heads * shape.head_dim);
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    do_attention(q, k, v, shape, y);
}

void ForwardKernels::activate(Activation kind, MatrixView<const float> x,
                              MatrixView<float> y) const {
    require_same_shape("activate", "x", x, "y", y);
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    do_activate(kind, x, y);
}

void ForwardKernels::activate_multiply(Activation kind, MatrixView<const float> gate,
                                       MatrixView<const float> up, MatrixView<float> y) const {
    require_same_shape("activate_multiply", "gate", gate, "up", up);
    require_same_shape("activate_multiply", "gate", gate, "y", y);
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    do_activate_multiply(kind, gate, up, y);
}

void ForwardKernels::add(MatrixView<const float> x, MatrixView<float> y) const {
    require_same_shape("add", "x", x, "y", y);
    if (y.rows == 0 || y.cols == 0) {
        return;
    }
    do_add(x, y);
}

void ForwardKernels::subtract(MatrixView<const float> x, MatrixView<const float> y,
                              MatrixView<float> z) const {
    require_same_shape("subtract", "x", x, "y", y);
    require_same_shape("subtract", "x", x, "z", z);
    if (z.rows > 0 && z.cols > 0) {
        do_subtract(x, y, z);
    }
}

bool ForwardKernels::all_finite(MatrixView<const float> x) const {
    return x.rows == 0 || x.cols == 0 || do_all_finite(x);
}

void ForwardKernels::cross_entropy(MatrixView<const float> logits,
                                   std::span<const std::uint32_t> targets,
                                   std::span<double> losses) const {
    require_equal("cross_entropy", "the number of targets", targets.size(), "rows of logits",
                  logits.rows);
    require_equal("cross_entropy", "the number of losses", losses.size(), "rows of logits",
                  logits.rows);
    do_cross_entropy(logits, targets, losses);
}

void ForwardKernels::kl_divergence(MatrixView<const float> p_logits,
                                   MatrixView<const float> q_logits, std::span<double> kl,
                                   std::span<std::uint8_t> agree) const {
    require_same_shape("kl_divergence", "p_logits", p_logits, "q_logits", q_logits);
    require_equal("kl_divergence", "the number of kl", kl.size(), "rows of p_logits",
                  p_logits.rows);
    require_equal("kl_divergence", "the number of agree", agree.size(), "rows of p_logits",
                  p_logits.rows);
    if (p_logits.rows == 0) {
        return;
    }
    if (p_logits.cols == 0) {
        refuse("kl_divergence", "rows of p_logits are empty");
    }
    do_kl_divergence(p_logits, q_logits, kl, agree);
}

}  // namespace lathe::kernels
