#include "workers/network/forward.hpp"

#include <algorithm>
#include <cmath>

#include "lib/core/errors.hpp"
#include "workers/network/linear.hpp"

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

RotaryAngle rotary_angle(const RopeSpec& rope, std::size_t position, std::size_t pair) {
    const float angle = static_cast<float>(position) * static_cast<float>(rope.inv_freq[pair]);
    return {std::cos(double{angle}) * rope.attention_factor,
            std::sin(double{angle}) * rope.attention_factor};
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
            const RotaryAngle angle = rotary_angle(spec.rope, p, i);
            cosines[p * pairs + i] = static_cast<float>(angle.cos);
            sines[p * pairs + i] = static_cast<float>(angle.sin);
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
    positions_.resize(tokens);
    rows_.resize(tokens);
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
            positions_[t++] = static_cast<std::uint32_t>(first_position) + p;
        }
    }
}

void ForwardPass::linear(const LoadedWeights& weights, MatrixView<const float> x,
                         std::initializer_list<Output> outputs) const {
    std::vector<LinearLayer> layers;
    for (const Output& output : outputs) {
        layers.push_back(
            {weights.weight(output.role), weights.vector(output.role, true), output.y});
    }
    multiply_all(backend_, bf16_, x, layers);
}

void ForwardPass::embed_tokens(const LoadedWeights& embedding, const TokenSequences& batch,
                               MatrixView<float> y) const {
    embedding.require_finite_rows(Role::token_embedding, batch.ids);
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
    embed_sum(embedding, batch, hidden, first_position);
    if (embedding.has(Role::embedding_norm)) {
        norm(embedding, Role::embedding_norm, hidden, hidden);
    }
}

void ForwardPass::embed_sum(const LoadedWeights& embedding, const TokenSequences& batch,
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
    const std::span<std::uint32_t> rows = std::span(rows_).first(tokens);
    if (embedding.has(Role::position_embedding)) {
        for (std::size_t t = 0; t < tokens; ++t) {
            rows[t] = positions_[t] + static_cast<std::uint32_t>(spec_.position_offset);
        }
        embedding.require_finite_rows(Role::position_embedding, rows);
        backend_.add_embedding(rows, embedding.table(Role::position_embedding), hidden);
    }
    if (embedding.has(Role::segment_embedding)) {
        std::ranges::fill(rows, 0U);
        std::ranges::copy(batch.segments, rows.begin());
        embedding.require_finite_rows(Role::segment_embedding, rows);
        backend_.add_embedding(rows, embedding.table(Role::segment_embedding), hidden);
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
        const std::span<std::uint32_t> firsts = std::span(rows_).first(batch.count());
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
