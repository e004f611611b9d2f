#include "workers/network/integer_pass.hpp"

// The blocks of an integer pass: their three forms, attention and MLP.

namespace lathe {

using kernels::BlockedMatrix;

namespace {

/// Rows of y below those of x, which has as many columns and blocks as wide.
void append_rows(BlockedMatrix& x, const BlockedMatrix& y) {
    x.rows += y.rows;
    x.narrow.insert(x.narrow.end(), y.narrow.begin(), y.narrow.end());
    x.shifts.insert(x.shifts.end(), y.shifts.begin(), y.shifts.end());
}

}  // namespace

void IntegerPass::block(const MixedWeights& weights, const TokenSequences& batch, Flow& hidden,
                        IntegerCache* cache) {
    set_positions(batch, cache == nullptr ? 0 : cache->length);
    if (spec_.form == BlockForm::parallel) {
        Flow x = norm(weights, Role::attention_norm, hidden, parts_.block_size, 8);
        Flow attended = attention(weights, batch, x, cache);
        if (weights.has(Role::mlp_norm)) {
            x = norm(weights, Role::mlp_norm, hidden, parts_.block_size, 8);
        }
        Flow update = mlp(weights, x);
        hidden = add(hidden, attended, 16);
        hidden = add(hidden, update, 16);
        return;
    }
    if (norm_first_) {
        Flow x = norm(weights, Role::attention_norm, hidden, parts_.block_size, 8);
        Flow update = attention(weights, batch, x, cache);
        hidden = add(hidden, update, 16);
        x = norm(weights, Role::mlp_norm, hidden, parts_.block_size, 8);
        update = mlp(weights, x);
        hidden = add(hidden, update, 16);
        return;
    }
    Flow update = attention(weights, batch, hidden, cache);
    hidden = add(hidden, update, 16);
    hidden = norm(weights, Role::attention_norm, hidden, parts_.block_size, 8);
    update = mlp(weights, hidden);
    hidden = add(hidden, update, 16);
    hidden = norm(weights, Role::mlp_norm, hidden, parts_.block_size, 8);
}

Flow IntegerPass::activate(Activation kind, Flow& x) {
    return make(
        parts_.activation, x.rows(), x.cols(), parts_.block_size, 8,
        [&](BlockedMatrix& y) { integers_->activate(kind, blocks_of(x), y); },
        [&](MatrixView<float> y) { backend_.activate(kind, x.values(), y); });
}

Flow IntegerPass::rotate(Flow& x) {
    return make(
        parts_.residual, x.rows(), x.cols(), spec_.head_dim, 8,
        [&](BlockedMatrix& y) {
            integers_->rope(x.blocks(spec_.head_dim, 16),
                            {cos_.data(), max_sequence_length_, pairs_},
                            {sin_.data(), max_sequence_length_, pairs_}, positions_, y);
        },
        [&](MatrixView<float> y) {
            backend_.copy(MatrixView<const float>(x.values()), y);
            forward_.rotate_heads(y, positions_);
        });
}

Flow IntegerPass::heads(const MixedWeights& weights, Role projection, Role head_norm, Flow& x) {
    const bool is_value = projection == Role::v_proj;
    const bool has_norm = !is_value && weights.has(head_norm);
    const bool rotates = !is_value && pairs_ > 0;
    Flow y = linear(weights, projection, x, spec_.head_dim, has_norm || rotates ? 16 : 8);
    if (has_norm) {
        const std::size_t rows = y.rows();
        const std::size_t cols = y.cols();
        y.reshape(rows * cols / spec_.head_dim, spec_.head_dim);
        y = norm(weights, head_norm, y, spec_.head_dim, rotates ? 16 : 8);
        y.reshape(rows, cols);
    }
    return rotates ? rotate(y) : std::move(y);
}

Flow IntegerPass::attend(Flow& q, Flow& k, Flow& v, const kernels::AttentionShape& shape) {
    return make(
        parts_.softmax, q.rows(), q.cols(), spec_.head_dim, 8,
        [&](BlockedMatrix& y) {
            integers_->attention(q.blocks(spec_.head_dim, 8), k.blocks(spec_.head_dim, 8),
                                 v.blocks(spec_.head_dim, 8), shape, y);
        },
        [&](MatrixView<float> y) {
            backend_.attention(q.values(), k.values(), v.values(), shape, y);
        });
}

Flow IntegerPass::attention(const MixedWeights& weights, const TokenSequences& batch, Flow& x,
                            IntegerCache* cache) {
    Flow q = heads(weights, Role::q_proj, Role::q_norm, x);
    Flow k = heads(weights, Role::k_proj, Role::k_norm, x);
    Flow v = heads(weights, Role::v_proj, Role::v_proj, x);
    const std::size_t block = weights.block.value();
    kernels::AttentionShape shape = attention_shape(spec_, batch, block);
    if (cache != nullptr) {
        shape.lengths = {};
        shape.query_length = batch.tokens();
        shape.key_length = cache->length + batch.tokens();
        IntegerCache::Block& past = cache->blocks.at(block);
        append_rows(past.keys, k.blocks(spec_.head_dim, 8));
        append_rows(past.values, v.blocks(spec_.head_dim, 8));
        k = Flow(past.keys);
        v = Flow(past.values);
    }
    Flow mixed = attend(q, k, v, shape);
    return linear(weights, Role::o_proj, mixed, parts_.block_size, 16);
}

Flow IntegerPass::mlp(const MixedWeights& weights, Flow& x) {
    Flow up = linear(weights, Role::up_proj, x, parts_.block_size, 16);
    Flow inner;
    if (weights.has(Role::gate_proj)) {
        Flow gate = linear(weights, Role::gate_proj, x, parts_.block_size, 16);
        inner = make(
            parts_.activation, up.rows(), up.cols(), parts_.block_size, 8,
            [&](BlockedMatrix& y) {
                integers_->activate_multiply(spec_.activation, blocks_of(gate), blocks_of(up), y);
            },
            [&](MatrixView<float> y) {
                backend_.activate_multiply(spec_.activation, gate.values(), up.values(), y);
            });
    } else {
        inner = activate(spec_.activation, up);
    }
    return linear(weights, Role::down_proj, inner, parts_.block_size, 16);
}

}  // namespace lathe
