#include "kernels/contract/integers.hpp"

#include <string>

#include "kernels/contract/backend.hpp"
#include "kernels/contract/host_checks.hpp"
#include "lib/core/errors.hpp"

// What all implementations may take for granted.

namespace lathe::kernels {
namespace {

void require_equal(const char* function, const char* name_a, std::size_t a, const char* name_b,
                   std::size_t b) {
    if (a != b) {
        throw ShapeError("integer " + std::string(function) + ": " + name_a + " is " +
                         std::to_string(a) + " but " + name_b + " is " + std::to_string(b));
    }
}

void require_same_shape(const char* function, const BlockedMatrix& a, const BlockedMatrix& b) {
    require_equal(function, "rows of an operand", a.rows, "rows of another", b.rows);
    require_equal(function, "columns of an operand", a.cols, "columns of another", b.cols);
}

void require_narrow(const char* function, const char* name, const BlockedMatrix& x) {
    if (x.is_wide()) {
        throw ShapeError("integer " + std::string(function) + ": " + name + " has " +
                         std::to_string(x.num_bits) + " bits, at most 8 are possible");
    }
}

void require_row(const char* function, const char* name, const BlockedMatrix* row,
                 std::size_t cols) {
    if (row != nullptr) {
        require_narrow(function, name, *row);
        require_equal(function, "rows of a vector", row->rows, "that of one", 1);
        require_equal(function, name, row->cols, "what it belongs to", cols);
    }
}

void require_heads(const char* function, const BlockedMatrix& x, std::size_t head_dim) {
    require_equal(function, "the block size", x.block_size, "head_dim", head_dim);
    require_equal(function, "columns beyond whole heads", x.cols % head_dim, "that of none", 0);
}

void require_product(const char* function, const BlockedMatrix& x, const IntegerWeight& weight,
                     const BlockedMatrix* bias, std::size_t y_rows, std::size_t y_cols) {
    require_narrow(function, "x", x);
    require_equal(function, "columns of x", x.cols, "columns of the weight", weight.cols());
    require_equal(function, "rows of y", y_rows, "rows of x", x.rows);
    require_equal(function, "columns of y", y_cols, "rows of the weight", weight.rows());
    require_row(function, "the bias", bias, weight.rows());
}

}  // namespace

std::unique_ptr<const Integers> Backend::integers() const {
    throw UsageError("backend " + std::string(name()) +
                     " has no operators on blocks of whole numbers; cpu and reference have");
}

std::unique_ptr<const IntegerWeight> Integers::pack(const BlockedMatrix& weight) const {
    require_narrow("product", "the weight", weight);
    if (weight.cols > widest_integer_product) {
        throw UsageError("a weight of " + std::to_string(weight.cols) +
                         " columns: sums of products of 8 bits could overflow 32 bits beyond " +
                         std::to_string(widest_integer_product) + " columns");
    }
    return do_pack(weight);
}

void Integers::linear(const BlockedMatrix& x, const IntegerWeight& weight,
                      const BlockedMatrix* bias, BlockedMatrix& y) const {
    require_product("linear", x, weight, bias, y.rows, y.cols);
    do_linear(x, weight, bias, y);
}

void Integers::logits(const BlockedMatrix& x, const IntegerWeight& weight,
                      const BlockedMatrix* bias, MatrixView<float> y) const {
    require_product("logits", x, weight, bias, y.rows, y.cols);
    do_logits(x, weight, bias, y);
}

void Integers::embed(std::span<const TableRows> terms, BlockedMatrix& y) const {
    if (terms.empty() || terms.size() > 4) {
        throw ShapeError("integer embed: " + std::to_string(terms.size()) +
                         " terms, expected 1 to 4");
    }
    for (const TableRows& term : terms) {
        require_equal("embed", "columns of a table", term.table->cols, "columns of y", y.cols);
        require_equal("embed", "the number of ids", term.ids.size(), "rows of y", y.rows);
        require_below(term.ids, term.table->rows, "id");
    }
    do_embed(terms, y);
}

void Integers::add(const BlockedMatrix& x, const BlockedMatrix& y, BlockedMatrix& z) const {
    require_same_shape("add", x, y);
    require_same_shape("add", x, z);
    do_add(x, y, z);
}

void Integers::norm(const BlockedMatrix& x, const IntegerNorm& settings, BlockedMatrix& y) const {
    require_same_shape("norm", x, y);
    require_row("norm", "the weight", settings.weight, x.cols);
    require_row("norm", "the bias", settings.bias, x.cols);
    if (x.cols > widest_integer_product) {
        throw UsageError("a norm over " + std::to_string(x.cols) +
                         " columns; sums could overflow " + "beyond " +
                         std::to_string(widest_integer_product));
    }
    do_norm(x, settings, y);
}

void Integers::activate(Activation kind, const BlockedMatrix& x, BlockedMatrix& y) const {
    require_same_shape("activate", x, y);
    do_activate(kind, x, y);
}

void Integers::activate_multiply(Activation kind, const BlockedMatrix& gate,
                                 const BlockedMatrix& up, BlockedMatrix& y) const {
    require_same_shape("activate_multiply", gate, up);
    require_same_shape("activate_multiply", gate, y);
    if (kind == Activation::tanh) {
        throw ShapeError("integer activate_multiply: tanh has no such form");
    }
    do_activate_multiply(kind, gate, up, y);
}

void Integers::rope(const BlockedMatrix& x, MatrixView<const std::int16_t> cos,
                    MatrixView<const std::int16_t> sin, std::span<const std::uint32_t> positions,
                    BlockedMatrix& y) const {
    require_same_shape("rope", x, y);
    require_heads("rope", x, x.block_size);
    require_heads("rope", y, x.block_size);
    require_equal("rope", "rows of cos", cos.rows, "rows of sin", sin.rows);
    require_equal("rope", "columns of cos", cos.cols, "columns of sin", sin.cols);
    require_equal("rope", "the number of positions", positions.size(), "rows of x", x.rows);
    if (2 * cos.cols > x.block_size) {
        throw ShapeError("integer rope: " + std::to_string(cos.cols) + " pairs in a head of " +
                         std::to_string(x.block_size));
    }
    require_below(positions, cos.rows, "position");
    do_rope(x, cos, sin, positions, y);
}

void Integers::attention(const BlockedMatrix& q, const BlockedMatrix& k, const BlockedMatrix& v,
                         const AttentionShape& shape, BlockedMatrix& y) const {
    const char* function = "attention";
    require_same_shape(function, q, y);
    require_same_shape(function, k, v);
    for (const BlockedMatrix* x : {&q, &k, &v}) {
        require_narrow(function, "an operand", *x);
        require_heads(function, *x, shape.head_dim);
    }
    require_heads(function, y, shape.head_dim);
    require_equal(function, "columns of q", q.cols, "n_heads * head_dim",
                  shape.n_heads * shape.head_dim);
    require_equal(function, "columns of k", k.cols, "n_kv_heads * head_dim",
                  shape.n_kv_heads * shape.head_dim);
    do_attention(q, k, v, shape, y);
}

}  // namespace lathe::kernels
