#include "workers/network/backward.hpp"

// The blocks of the backward pass: their three forms, attention and MLP.

namespace lathe {

MatrixView<float> BackwardPass::block(const LoadedWeights& weights, const TokenSequences& batch,
                                      MatrixView<const float> input, MatrixView<float> d,
                                      const GradientObserver& observe) {
    reserve(batch.tokens());
    forward_.set_positions(batch, 0);
    const Step at{weights, batch, observe};
    if (spec_.form == BlockForm::parallel) {
        return both_at_once(at, input, d);
    }
    // The stream between the two steps; of a sliced model it may be wider than the block's input.
    const MatrixView<float> start = middle_.matrix(input.rows, input.cols);
    backend_.copy(input, start);
    const MatrixView<const float> middle = forward_.step(0, weights, batch, start);
    if (spec_.form == BlockForm::post_norm) {
        norm_last(at, 1, middle, d);
        norm_last(at, 0, input, d);
        return d;
    }
    return norm_first(at, 0, input, norm_first(at, 1, middle, d));
}

/// h' = S h + f(norm(h)), with S = 1 but for a sliced model.
MatrixView<float> BackwardPass::norm_first(const Step& at, std::size_t number,
                                           MatrixView<const float> input, MatrixView<float> d) {
    const bool attends = number == 0;
    const Role norm_role = attends ? Role::attention_norm : Role::mlp_norm;
    const Role shortcut = attends ? Role::attention_shortcut : Role::mlp_shortcut;
    const MatrixView<float> x = x_.matrix(input.rows, input.cols);
    const MatrixView<float> dx = dx_.matrix(input.rows, input.cols);
    forward_.stream_norm(at.weights, norm_role, input, x);
    if (attends) {
        attention(at, x, d, dx);
    } else {
        mlp(at, x, d, dx);
    }
    stream_norm(at.weights, norm_role, input, dx, dx);
    if (!at.weights.has(shortcut)) {
        backend_.add(dx, d);
        return d;
    }
    const MatrixView<float> skip = d_skip_.matrix(input.rows, input.cols);
    const MatrixView<float> sum(d.data, input.rows, input.cols);
    linear(at.weights, shortcut, d, false, skip, at.observe);
    backend_.copy(skip, sum);
    backend_.add(dx, sum);
    return sum;
}

/// h' = norm(h + f(h)).
void BackwardPass::norm_last(const Step& at, std::size_t number, MatrixView<const float> input,
                             MatrixView<float> d) {
    const bool attends = number == 0;
    const MatrixView<float> sum = x_.matrix(input.rows, input.cols);
    const MatrixView<float> dx = dx_.matrix(input.rows, input.cols);
    if (attends) {
        forward_.attention(at.weights, at.batch, input, sum, {}, nullptr);
    } else {
        forward_.mlp(at.weights, input, sum, {});
    }
    backend_.add(input, sum);
    norm(at.weights, attends ? Role::attention_norm : Role::mlp_norm, sum, d, d);
    if (attends) {
        attention(at, input, d, dx);
    } else {
        mlp(at, input, d, dx);
    }
    backend_.add(dx, d);
}

/// h' = S h + A(norm(h)) + M(norm'(h)).
MatrixView<float> BackwardPass::both_at_once(const Step& at, MatrixView<const float> input,
                                             MatrixView<float> d) {
    const MatrixView<float> x = x_.matrix(input.rows, input.cols);
    const MatrixView<float> dx = dx_.matrix(input.rows, input.cols);
    const MatrixView<float> d_attended = middle_.matrix(input.rows, input.cols);
    const bool own_norm = at.weights.has(Role::mlp_norm);
    forward_.stream_norm(at.weights, Role::attention_norm, input, x);
    attention(at, x, d, d_attended);
    if (own_norm) {
        stream_norm(at.weights, Role::attention_norm, input, d_attended, d_attended);
        forward_.norm(at.weights, Role::mlp_norm, input, x);
    }
    mlp(at, x, d, dx);
    if (own_norm) {
        norm(at.weights, Role::mlp_norm, input, dx, dx);
        backend_.add(d_attended, dx);
    } else {
        backend_.add(d_attended, dx);
        stream_norm(at.weights, Role::attention_norm, input, dx, dx);
    }
    if (!at.weights.has(Role::mlp_shortcut)) {
        backend_.add(dx, d);
        return d;
    }
    const MatrixView<float> skip = d_skip_.matrix(input.rows, input.cols);
    const MatrixView<float> sum(d.data, input.rows, input.cols);
    linear(at.weights, Role::mlp_shortcut, d, false, skip, at.observe);
    backend_.copy(skip, sum);
    backend_.add(dx, sum);
    return sum;
}

void BackwardPass::head_norm(const Step& at, Role role, MatrixView<const float> x,
                             MatrixView<float> d) const {
    if (!at.weights.has(role)) {
        return;
    }
    const std::size_t rows = x.rows * x.cols / spec_.head_dim;
    const MatrixView<float> by_head(d.data, rows, spec_.head_dim);
    norm(at.weights, role, {x.data, rows, spec_.head_dim}, by_head, by_head);
}

void BackwardPass::attention(const Step& at, MatrixView<const float> x,
                             MatrixView<const float> d_update, MatrixView<float> dx) {
    const std::size_t q_width = spec_.n_heads * spec_.head_dim;
    const std::size_t kv_width = spec_.n_kv_heads * spec_.head_dim;
    const MatrixView<float> raw_q = raw_q_.matrix(x.rows, q_width);
    const MatrixView<float> raw_k = raw_k_.matrix(x.rows, kv_width);
    const MatrixView<float> q = forward_.q_.matrix(x.rows, q_width);
    const MatrixView<float> k = forward_.k_.matrix(x.rows, kv_width);
    const MatrixView<float> v = forward_.v_.matrix(x.rows, kv_width);
    forward_.linear(at.weights, x,
                    {{Role::q_proj, raw_q}, {Role::k_proj, raw_k}, {Role::v_proj, v}});
    backend_.copy(raw_q, q);
    backend_.copy(raw_k, k);
    forward_.place_heads(at.weights, q, k);

    const MatrixView<float> d_mixed = dmixed_.matrix(x.rows, q_width);
    const MatrixView<float> dq = dq_.matrix(x.rows, q_width);
    const MatrixView<float> dk = dk_.matrix(x.rows, kv_width);
    const MatrixView<float> dv = dv_.matrix(x.rows, kv_width);
    linear(at.weights, Role::o_proj, d_update, false, d_mixed, at.observe);
    gradients_.attention(q, k, v,
                         attention_shape(forward_.spec(), at.batch, at.weights.block().value()),
                         d_mixed, dq, dk, dv);
    const std::size_t pairs = spec_.rope.inv_freq.size();
    for (const MatrixView<float>& rotated : {dq, dk}) {
        if (pairs > 0) {
            gradients_.rope(rotated, spec_.head_dim,
                            forward_.cos_.matrix(forward_.max_sequence_length_, pairs),
                            forward_.sin_.matrix(forward_.max_sequence_length_, pairs),
                            std::span(forward_.positions_).first(x.rows));
        }
    }
    head_norm(at, Role::q_norm, raw_q, dq);
    head_norm(at, Role::k_norm, raw_k, dk);
    linear(at.weights, Role::q_proj, dq, false, dx, at.observe);
    linear(at.weights, Role::k_proj, dk, true, dx, at.observe);
    linear(at.weights, Role::v_proj, dv, true, dx, at.observe);
}

void BackwardPass::mlp(const Step& at, MatrixView<const float> x, MatrixView<const float> d_update,
                       MatrixView<float> dx) {
    const MatrixView<float> up = forward_.up_.matrix(x.rows, spec_.intermediate_size);
    const MatrixView<float> d_hidden = dhidden_.matrix(x.rows, spec_.intermediate_size);
    linear(at.weights, Role::down_proj, d_update, false, d_hidden, at.observe);
    if (!at.weights.has(Role::gate_proj)) {
        forward_.linear(at.weights, x, {{Role::up_proj, up}});
        gradients_.activate(spec_.activation, up, d_hidden, up);
        linear(at.weights, Role::up_proj, up, false, dx, at.observe);
        return;
    }
    const MatrixView<float> gate = forward_.gate_.matrix(x.rows, spec_.intermediate_size);
    forward_.linear(at.weights, x, {{Role::up_proj, up}, {Role::gate_proj, gate}});
    gradients_.activate_multiply(spec_.activation, gate, up, d_hidden, gate, up);
    linear(at.weights, Role::up_proj, up, false, dx, at.observe);
    linear(at.weights, Role::gate_proj, gate, true, dx, at.observe);
}

}  // namespace lathe
