#include "workers/forward.hpp"

#include <algorithm>
#include <cmath>

#include "lib/core/errors.hpp"

namespace lathe {

KeyValueCache::KeyValueCache(const ModelSpec& spec, const kernels::Backend& backend,
                             std::size_t capacity)
    : width_(spec.n_kv_heads * spec.head_dim), capacity_(capacity) {
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        keys_.push_back(backend.allocate<float>(capacity * width_));
        values_.push_back(backend.allocate<float>(capacity * width_));
    }
}

MatrixView<float> KeyValueCache::keys(std::size_t block) const {
    return keys_.at(block).matrix(capacity_, width_);
}

MatrixView<float> KeyValueCache::values(std::size_t block) const {
    return values_.at(block).matrix(capacity_, width_);
}

ForwardPass::ForwardPass(const ModelSpec& spec, const kernels::Backend& backend,
                         std::size_t max_sequence_length)
    : spec_(spec), backend_(backend), max_sequence_length_(max_sequence_length) {
    // x / sqrt(|x|^2 / D + e) is sqrt(d / D) times a norm over the d elements that x has, with
    // e D / d for e.
    for (const std::size_t width : spec.stream_widths) {
        if (!width_factors_.contains(width)) {
            const auto factor =
                std::sqrt(static_cast<double>(spec.hidden_size) / static_cast<double>(width));
            const std::vector<float> values(width, static_cast<float>(factor));
            kernels::Array<float>& to = width_factors_[width];
            to = backend.allocate<float>(width);
            backend.upload(reinterpret_cast<const std::byte*>(values.data()), DType::f32,
                           to.matrix(1, width));
        }
    }
    const std::size_t pairs = spec.rope.inv_freq.size();
    if (pairs == 0) {
        return;
    }
    cos_ = backend.allocate<float>(max_sequence_length * pairs);
    sin_ = backend.allocate<float>(max_sequence_length * pairs);
    std::vector<float> cosines(max_sequence_length * pairs);
    std::vector<float> sines(cosines.size());
    for (std::size_t p = 0; p < max_sequence_length; ++p) {
        for (std::size_t i = 0; i < pairs; ++i) {
            // The angle is rounded to fp32 as the models were trained with it.
            const float angle = static_cast<float>(p) * static_cast<float>(spec.rope.inv_freq[i]);
            cosines[p * pairs + i] =
                static_cast<float>(std::cos(double{angle}) * spec.rope.attention_factor);
            sines[p * pairs + i] =
                static_cast<float>(std::sin(double{angle}) * spec.rope.attention_factor);
        }
    }
    const auto fill = [&](const std::vector<float>& from, const kernels::Array<float>& to) {
        backend.upload(reinterpret_cast<const std::byte*>(from.data()), DType::f32,
                       to.matrix(max_sequence_length, pairs));
    };
    fill(cosines, cos_);
    fill(sines, sin_);
}

std::vector<Role> ForwardPass::embedding_roles() {
    return {Role::token_embedding, Role::position_embedding, Role::segment_embedding,
            Role::embedding_projection, Role::embedding_norm};
}

std::vector<Role> ForwardPass::head_roles() const {
    if (spec_.head == HeadKind::classifier) {
        return {Role::final_norm, Role::pooler, Role::classifier};
    }
    return {Role::final_norm, Role::head_projection,
            spec_.tied_head ? Role::token_embedding : Role::lm_head};
}

void ForwardPass::reserve(std::size_t tokens) {
    if (tokens <= reserved_tokens_) {
        return;
    }
    const std::size_t q_width = spec_.n_heads * spec_.head_dim;
    const std::size_t kv_width = spec_.n_kv_heads * spec_.head_dim;
    positions_ = backend_.allocate<std::uint32_t>(tokens);
    rows_ = backend_.allocate<std::uint32_t>(tokens);
    narrow_ = backend_.allocate<float>(tokens * spec_.embedding_size);
    normed_ = backend_.allocate<float>(tokens * spec_.hidden_size);
    update_ = backend_.allocate<float>(tokens * spec_.hidden_size);
    if (spec_.is_sliced()) {
        skip_ = backend_.allocate<float>(tokens * spec_.hidden_size);
    }
    q_ = backend_.allocate<float>(tokens * q_width);
    k_ = backend_.allocate<float>(tokens * kv_width);
    v_ = backend_.allocate<float>(tokens * kv_width);
    mixed_ = backend_.allocate<float>(tokens * q_width);
    gate_ = backend_.allocate<float>(tokens * spec_.intermediate_size);
    up_ = backend_.allocate<float>(tokens * spec_.intermediate_size);
    reserved_tokens_ = tokens;
}

void ForwardPass::set_positions(const TokenSequences& batch, std::size_t first_position) {
    if (batch.max_length() + first_position > max_sequence_length_) {
        throw ShapeError("sequences of " + std::to_string(batch.max_length() + first_position) +
                         " tokens, tables for " + std::to_string(max_sequence_length_));
    }
    reserve(batch.tokens());
    std::size_t t = 0;
    for (std::uint32_t length : batch.lengths) {
        for (std::uint32_t p = 0; p < length; ++p) {
            positions_.span()[t++] = static_cast<std::uint32_t>(first_position) + p;
        }
    }
}

void ForwardPass::linear(const LoadedWeights& weights, MatrixView<const float> x,
                         std::initializer_list<Output> outputs) const {
    std::vector<kernels::PackedProduct> packed;
    for (const Output& output : outputs) {
        const Weight weight = weights.weight(output.role);
        const std::span<const float> bias = weights.vector(output.role, true);
        if (weight.packed != nullptr) {
            packed.push_back({weight.packed, bias, output.y});
        } else {
            backend_.linear(x, weight.values, bias, output.y);
        }
    }
    if (!packed.empty()) {
        backend_.linear(x, packed);
    }
}

void ForwardPass::embed_tokens(const LoadedWeights& embedding, const TokenSequences& batch,
                               MatrixView<float> y) const {
    const Weight table = embedding.weight(Role::token_embedding);
    if (table.packed != nullptr) {
        backend_.embed(batch.ids, *table.packed, y);
    } else {
        backend_.embed(batch.ids, table.values, y);
    }
}

void ForwardPass::norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
                       MatrixView<float> y) const {
    const std::span<const float> weight = weights.vector(role, false);
    if (spec_.norm == NormKind::rms) {
        backend_.rms_norm(x, weight, spec_.norm_epsilon, y);
    } else {
        backend_.layer_norm(x, weight, weights.vector(role, true), spec_.norm_epsilon, y);
    }
}

void ForwardPass::embed(const LoadedWeights& embedding, const TokenSequences& batch,
                        MatrixView<float> hidden, std::size_t first_position) {
    set_positions(batch, first_position);
    const std::size_t tokens = batch.tokens();
    if (embedding.has(Role::embedding_projection)) {
        const MatrixView<float> narrow = narrow_.matrix(tokens, spec_.embedding_size);
        embed_tokens(embedding, batch, narrow);
        linear(embedding, narrow, {{Role::embedding_projection, hidden}});
    } else {
        embed_tokens(embedding, batch, hidden);
    }
    const std::span<std::uint32_t> rows = rows_.span().first(tokens);
    if (embedding.has(Role::position_embedding)) {
        for (std::size_t t = 0; t < tokens; ++t) {
            rows[t] = positions_.span()[t] + static_cast<std::uint32_t>(spec_.position_offset);
        }
        backend_.add_embedding(rows, embedding.table(Role::position_embedding), hidden);
    }
    if (embedding.has(Role::segment_embedding)) {
        std::ranges::fill(rows, 0U);
        std::ranges::copy(batch.segments, rows.begin());
        backend_.add_embedding(rows, embedding.table(Role::segment_embedding), hidden);
    }
    if (embedding.has(Role::embedding_norm)) {
        norm(embedding, Role::embedding_norm, hidden, hidden);
    }
}

void ForwardPass::stream_norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
                              MatrixView<float> y) const {
    if (!spec_.is_sliced()) {
        norm(weights, role, x, y);
        return;
    }
    const float share = static_cast<float>(spec_.hidden_size) / static_cast<float>(x.cols);
    backend_.rms_norm(x, width_factors_.at(x.cols).span(), spec_.norm_epsilon * share, y);
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

void ForwardPass::rotate(MatrixView<float> x) {
    const std::size_t pairs = spec_.rope.inv_freq.size();
    if (pairs > 0) {
        backend_.rope(x, spec_.head_dim, cos_.matrix(max_sequence_length_, pairs),
                      sin_.matrix(max_sequence_length_, pairs), positions_.span().first(x.rows));
    }
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
    for (const auto& [role, heads] : {std::pair(Role::q_norm, q), std::pair(Role::k_norm, k)}) {
        if (weights.has(role)) {
            const MatrixView<float> by_head(heads.data, heads.rows * heads.cols / spec_.head_dim,
                                            spec_.head_dim);
            norm(weights, role, by_head, by_head);
        }
    }
    rotate(q);
    rotate(k);

    const MatrixView<float> mixed = mixed_.matrix(tokens, spec_.n_heads * spec_.head_dim);
    kernels::AttentionShape shape;
    shape.n_sequences = batch.count();
    shape.n_heads = spec_.n_heads;
    shape.n_kv_heads = spec_.n_kv_heads;
    shape.head_dim = spec_.head_dim;
    shape.scale = 1.0F / std::sqrt(static_cast<float>(spec_.head_dim));
    shape.causal = spec_.causal;
    shape.window = spec_.window(block);
    shape.alibi_slopes = spec_.alibi_slopes;
    if (cache != nullptr) {
        shape.query_length = tokens;
        shape.key_length = past + tokens;
        k = cache->keys(block).row_range(0, past + tokens);
        v = cache->values(block).row_range(0, past + tokens);
    } else {
        shape.lengths = batch.lengths;
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

void ForwardPass::final_norm(const LoadedWeights& head, MatrixView<float> hidden) const {
    if (spec_.is_sliced() || head.has(Role::final_norm)) {
        stream_norm(head, Role::final_norm, hidden, hidden);
    }
}

MatrixView<const float> ForwardPass::head_input(const LoadedWeights& head,
                                                const TokenSequences& batch,
                                                MatrixView<const float> hidden) {
    reserve(batch.tokens());
    if (spec_.head == HeadKind::classifier) {
        const std::span<std::uint32_t> firsts = rows_.span().first(batch.count());
        std::uint32_t first = 0;
        for (std::size_t s = 0; s < batch.count(); ++s) {
            firsts[s] = first;
            first += batch.lengths[s];
        }
        const MatrixView<float> texts = normed_.matrix(batch.count(), spec_.hidden_size);
        backend_.embed(firsts, hidden, texts);
        return texts;
    }
    if (head.has(Role::head_projection)) {
        const MatrixView<float> narrow = narrow_.matrix(hidden.rows, spec_.embedding_size);
        linear(head, hidden, {{Role::head_projection, narrow}});
        return narrow;
    }
    return hidden;
}

void ForwardPass::head(const LoadedWeights& head, MatrixView<const float> x,
                       MatrixView<float> logits, const SignalObserver& observe) {
    if (spec_.head == HeadKind::language_model) {
        linear(head, x, {{spec_.tied_head ? Role::token_embedding : Role::lm_head, logits}});
        return;
    }
    reserve(x.rows);
    const MatrixView<float> pooled = update_.matrix(x.rows, spec_.hidden_size);
    linear(head, x, {{Role::pooler, pooled}});
    backend_.activate(spec_.pooler_activation, pooled, pooled);
    if (observe) {
        observe(Signal::classifier_in, pooled);
    }
    linear(head, pooled, {{Role::classifier, logits}});
}

}  // namespace lathe
