#include <cmath>

#include "workers/network/forward.hpp"

// The blocks of the forward pass: their three forms, attention and MLP.

namespace lathe {

kernels::AttentionShape attention_shape(const ModelSpec& spec, const TokenSequences& batch,
                                        std::size_t block) {
    kernels::AttentionShape shape;
    shape.n_sequences = batch.count();
    shape.n_heads = spec.n_heads;
    shape.n_kv_heads = spec.n_kv_heads;
    shape.head_dim = spec.head_dim;
    shape.scale = 1.0F / std::sqrt(static_cast<float>(spec.head_dim));
    shape.causal = spec.causal;
    shape.window = spec.window(block);
    shape.alibi_slopes = spec.alibi_slopes;
    shape.lengths = batch.lengths;
    return shape;
}

MatrixView<float> ForwardPass::block(const LoadedWeights& weights, const TokenSequences& batch,
                                     MatrixView<float> hidden, const SignalObserver& observe,
                                     const KeyValueCache* cache) {
    for (std::size_t number = 0; number < spec_.steps_per_block(); ++number) {
        hidden = step(number, weights, batch, hidden, observe, cache);
    }
    return hidden;
}

MatrixView<float> ForwardPass::step(std::size_t number, const LoadedWeights& weights,
                                    const TokenSequences& batch, MatrixView<float> hidden,
                                    const SignalObserver& observe, const KeyValueCache* cache) {
    set_positions(batch, cache == nullptr ? 0 : cache->length());
    if (spec_.form == BlockForm::parallel) {
        return both_at_once(weights, batch, hidden, observe, cache);
    }
    return number == 0 ? attend(weights, batch, hidden, observe, cache)
                       : feed_forward(weights, hidden, observe);
}

MatrixView<float> ForwardPass::add_step(const LoadedWeights& weights, Role shortcut,
                                        MatrixView<float> hidden,
                                        const std::function<void(MatrixView<float>)>& compute) {
    if (!weights.has(shortcut)) {
        const MatrixView<float> update = update_.matrix(hidden.rows, hidden.cols);
        compute(update);
        backend_.add(update, hidden);
        return hidden;
    }
    // The stream's memory is free for the step's output once the shortcut has read it.
    const std::size_t width = weights.weight(shortcut).rows();
    const MatrixView<float> skip = skip_.matrix(hidden.rows, width);
    const MatrixView<float> sum(hidden.data, hidden.rows, width);
    linear(weights, hidden, {{shortcut, skip}});
    compute(sum);
    backend_.add(skip, sum);
    return sum;
}

MatrixView<float> ForwardPass::attend(const LoadedWeights& weights, const TokenSequences& batch,
                                      MatrixView<float> hidden, const SignalObserver& observe,
                                      const KeyValueCache* cache) {
    const bool norm_first = spec_.form != BlockForm::post_norm;
    const MatrixView<float> normed = normed_.matrix(hidden.rows, hidden.cols);
    const MatrixView<const float> x = norm_first ? normed : hidden;
    if (norm_first) {
        stream_norm(weights, Role::attention_norm, hidden, normed);
    }
    if (observe) {
        observe(Signal::attention_in, x);
    }
    const MatrixView<float> sum = add_step(
        weights, Role::attention_shortcut, hidden,
        [&](MatrixView<float> update) { attention(weights, batch, x, update, observe, cache); });
    if (!norm_first) {
        norm(weights, Role::attention_norm, sum, sum);
    }
    return sum;
}

MatrixView<float> ForwardPass::feed_forward(const LoadedWeights& weights, MatrixView<float> hidden,
                                            const SignalObserver& observe) {
    const bool norm_first = spec_.form != BlockForm::post_norm;
    const MatrixView<float> normed = normed_.matrix(hidden.rows, hidden.cols);
    const MatrixView<const float> x = norm_first ? normed : hidden;
    if (norm_first) {
        stream_norm(weights, Role::mlp_norm, hidden, normed);
    }
    if (observe) {
        observe(Signal::mlp_in, x);
    }
    const MatrixView<float> sum =
        add_step(weights, Role::mlp_shortcut, hidden,
                 [&](MatrixView<float> update) { mlp(weights, x, update, observe); });
    if (!norm_first) {
        norm(weights, Role::mlp_norm, sum, sum);
    }
    return sum;
}

MatrixView<float> ForwardPass::both_at_once(const LoadedWeights& weights,
                                            const TokenSequences& batch, MatrixView<float> hidden,
                                            const SignalObserver& observe,
                                            const KeyValueCache* cache) {
    const std::size_t width =
        weights.has(Role::mlp_shortcut) ? weights.weight(Role::mlp_shortcut).rows() : hidden.cols;
    const MatrixView<float> normed = normed_.matrix(hidden.rows, hidden.cols);
    const MatrixView<float> attended = update_.matrix(hidden.rows, width);
    stream_norm(weights, Role::attention_norm, hidden, normed);
    if (observe) {
        observe(Signal::attention_in, normed);
    }
    attention(weights, batch, normed, attended, observe, cache);
    if (weights.has(Role::mlp_norm)) {
        norm(weights, Role::mlp_norm, hidden, normed);
        if (observe) {
            observe(Signal::mlp_in, normed);
        }
    }
    if (!weights.has(Role::mlp_shortcut)) {
        backend_.add(attended, hidden);
        mlp(weights, normed, attended, observe);
        backend_.add(attended, hidden);
        return hidden;
    }
    const MatrixView<float> sum =
        add_step(weights, Role::mlp_shortcut, hidden,
                 [&](MatrixView<float> update) { mlp(weights, normed, update, observe); });
    backend_.add(attended, sum);
    return sum;
}

void ForwardPass::rotate_heads(MatrixView<float> x,
                               std::span<const std::uint32_t> positions) const {
    const std::size_t pairs = spec_.rope.inv_freq.size();
    if (pairs > 0) {
        backend_.rope(x, spec_.head_dim, cos_.matrix(max_sequence_length_, pairs),
                      sin_.matrix(max_sequence_length_, pairs), positions);
    }
}

void ForwardPass::place_heads(const LoadedWeights& weights, MatrixView<float> q,
                              MatrixView<float> k) {
    for (const auto& [role, heads] : {std::pair(Role::q_norm, q), std::pair(Role::k_norm, k)}) {
        if (weights.has(role)) {
            const MatrixView<float> by_head(heads.data, heads.rows * heads.cols / spec_.head_dim,
                                            spec_.head_dim);
            norm(weights, role, by_head, by_head);
        }
    }
    const auto positions = std::span(positions_).first(q.rows);
    rotate_heads(q, positions);
    rotate_heads(k, positions);
}

void ForwardPass::attention(const LoadedWeights& weights, const TokenSequences& batch,
                            MatrixView<const float> x, MatrixView<float> update,
                            const SignalObserver& observe, const KeyValueCache* cache) {
    const std::size_t tokens = batch.tokens();
    const std::size_t kv_width = spec_.n_kv_heads * spec_.head_dim;
    const std::size_t block = weights.block().value();
    const std::size_t past = cache == nullptr ? 0 : cache->length();
    const MatrixView<float> q = q_.matrix(tokens, spec_.n_heads * spec_.head_dim);
    MatrixView<float> k = k_.matrix(tokens, kv_width);
    MatrixView<float> v = v_.matrix(tokens, kv_width);
    if (cache != nullptr) {
        k = cache->keys(block).row_range(past, tokens);
        v = cache->values(block).row_range(past, tokens);
    }
    linear(weights, x, {{Role::q_proj, q}, {Role::k_proj, k}, {Role::v_proj, v}});
    place_heads(weights, q, k);

    const MatrixView<float> mixed = mixed_.matrix(tokens, spec_.n_heads * spec_.head_dim);
    kernels::AttentionShape shape = attention_shape(spec_, batch, block);
    if (cache != nullptr) {
        shape.lengths = {};
        shape.query_length = tokens;
        shape.key_length = past + tokens;
        k = cache->keys(block).row_range(0, past + tokens);
        v = cache->values(block).row_range(0, past + tokens);
    }
    backend_.attention(q, k, v, shape, mixed);
    if (observe) {
        observe(Signal::attention_out, mixed);
    }
    linear(weights, mixed, {{Role::o_proj, update}});
}

void ForwardPass::mlp(const LoadedWeights& weights, MatrixView<const float> x,
                      MatrixView<float> update, const SignalObserver& observe) {
    const MatrixView<float> up = up_.matrix(x.rows, spec_.intermediate_size);
    if (weights.has(Role::gate_proj)) {
        const MatrixView<float> gate = gate_.matrix(x.rows, spec_.intermediate_size);
        linear(weights, x, {{Role::up_proj, up}, {Role::gate_proj, gate}});
        backend_.activate_multiply(spec_.activation, gate, up, up);
    } else {
        linear(weights, x, {{Role::up_proj, up}});
        backend_.activate(spec_.activation, up, up);
    }
    if (observe) {
        observe(Signal::mlp_hidden, up);
    }
    linear(weights, up, {{Role::down_proj, update}});
}

}  // namespace lathe
