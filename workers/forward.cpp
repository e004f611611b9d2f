#include "workers/forward.hpp"

#include <algorithm>
#include <cmath>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

constexpr std::size_t tokens_per_batch = 2048;

}  // namespace

std::size_t sequences_per_batch(std::size_t length) {
    return std::max<std::size_t>(1, tokens_per_batch / std::max<std::size_t>(1, length));
}

ForwardPass::ForwardPass(const ModelSpec& spec, const kernels::Backend& backend,
                         std::size_t max_sequence_length)
    : spec_(spec), backend_(backend), max_sequence_length_(max_sequence_length) {
    const std::size_t pairs = spec.rope.inv_freq.size();
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
    return {Role::token_embedding};
}

std::vector<Role> ForwardPass::head_roles() const {
    return {Role::final_norm, spec_.tied_head ? Role::token_embedding : Role::lm_head};
}

void ForwardPass::embed(const LoadedWeights& embedding, std::span<const std::uint32_t> ids,
                        MatrixView<float> hidden) const {
    backend_.embed(ids, embedding.weight(Role::token_embedding), hidden);
}

void ForwardPass::reserve(const SequenceBatch& batch) {
    if (batch.length > max_sequence_length_) {
        throw ShapeError("sequences of " + std::to_string(batch.length) + " tokens, tables for " +
                         std::to_string(max_sequence_length_));
    }
    const std::size_t tokens = batch.tokens();
    if (batch.length != positions_of_.length || tokens > positions_.size()) {
        positions_ = backend_.allocate<std::uint32_t>(tokens);
        for (std::size_t t = 0; t < tokens; ++t) {
            positions_.span()[t] = static_cast<std::uint32_t>(t % batch.length);
        }
        positions_of_ = batch;
    }
    if (tokens <= reserved_tokens_) {
        return;
    }
    normed_ = backend_.allocate<float>(tokens * spec_.hidden_size);
    q_ = backend_.allocate<float>(tokens * spec_.n_heads * spec_.head_dim);
    k_ = backend_.allocate<float>(tokens * spec_.n_kv_heads * spec_.head_dim);
    v_ = backend_.allocate<float>(tokens * spec_.n_kv_heads * spec_.head_dim);
    mixed_ = backend_.allocate<float>(tokens * spec_.n_heads * spec_.head_dim);
    gate_ = backend_.allocate<float>(tokens * spec_.intermediate_size);
    up_ = backend_.allocate<float>(tokens * spec_.intermediate_size);
    reserved_tokens_ = tokens;
}

void ForwardPass::block(const LoadedWeights& weights, const SequenceBatch& batch,
                        MatrixView<float> hidden, const SignalObserver& observe) {
    reserve(batch);
    attention(weights, batch, hidden, observe);
    mlp(weights, hidden, observe);
}

void ForwardPass::attention(const LoadedWeights& weights, const SequenceBatch& batch,
                            MatrixView<float> hidden, const SignalObserver& observe) {
    const std::size_t tokens = batch.tokens();
    const MatrixView<float> normed = normed_.matrix(tokens, spec_.hidden_size);
    backend_.rms_norm(hidden, weights.vector(Role::attention_norm, false), spec_.norm_epsilon,
                      normed);
    if (observe) {
        observe(Signal::attention_in, normed);
    }

    const MatrixView<float> q = q_.matrix(tokens, spec_.n_heads * spec_.head_dim);
    const MatrixView<float> k = k_.matrix(tokens, spec_.n_kv_heads * spec_.head_dim);
    const MatrixView<float> v = v_.matrix(tokens, spec_.n_kv_heads * spec_.head_dim);
    backend_.linear(normed, weights.weight(Role::q_proj), weights.vector(Role::q_proj, true), q);
    backend_.linear(normed, weights.weight(Role::k_proj), weights.vector(Role::k_proj, true), k);
    backend_.linear(normed, weights.weight(Role::v_proj), weights.vector(Role::v_proj, true), v);

    const std::size_t pairs = spec_.rope.inv_freq.size();
    const auto cos = cos_.matrix(max_sequence_length_, pairs);
    const auto sin = sin_.matrix(max_sequence_length_, pairs);
    const std::span<const std::uint32_t> positions = positions_.span().first(tokens);
    backend_.rope(q, spec_.head_dim, cos, sin, positions);
    backend_.rope(k, spec_.head_dim, cos, sin, positions);

    const MatrixView<float> mixed = mixed_.matrix(tokens, spec_.n_heads * spec_.head_dim);
    const kernels::AttentionShape shape{
        .n_sequences = batch.n_sequences,
        .query_length = batch.length,
        .key_length = batch.length,
        .n_heads = spec_.n_heads,
        .n_kv_heads = spec_.n_kv_heads,
        .head_dim = spec_.head_dim,
        .scale = 1.0F / std::sqrt(static_cast<float>(spec_.head_dim)),
    };
    backend_.attention(q, k, v, shape, mixed);
    if (observe) {
        observe(Signal::attention_out, mixed);
    }

    backend_.linear(mixed, weights.weight(Role::o_proj), weights.vector(Role::o_proj, true),
                    normed);
    backend_.add(normed, hidden);
}

void ForwardPass::mlp(const LoadedWeights& weights, MatrixView<float> hidden,
                      const SignalObserver& observe) {
    const std::size_t tokens = hidden.rows;
    const MatrixView<float> normed = normed_.matrix(tokens, spec_.hidden_size);
    backend_.rms_norm(hidden, weights.vector(Role::mlp_norm, false), spec_.norm_epsilon, normed);
    if (observe) {
        observe(Signal::mlp_in, normed);
    }

    const MatrixView<float> gate = gate_.matrix(tokens, spec_.intermediate_size);
    const MatrixView<float> up = up_.matrix(tokens, spec_.intermediate_size);
    backend_.linear(normed, weights.weight(Role::gate_proj), weights.vector(Role::gate_proj, true),
                    gate);
    backend_.linear(normed, weights.weight(Role::up_proj), weights.vector(Role::up_proj, true), up);
    backend_.activate_multiply(Activation::silu, gate, up, gate);
    if (observe) {
        observe(Signal::mlp_hidden, gate);
    }

    backend_.linear(gate, weights.weight(Role::down_proj), weights.vector(Role::down_proj, true),
                    normed);
    backend_.add(normed, hidden);
}

void ForwardPass::final_norm(const LoadedWeights& head, MatrixView<const float> hidden,
                             MatrixView<float> y) const {
    backend_.rms_norm(hidden, head.vector(Role::final_norm, false), spec_.norm_epsilon, y);
}

void ForwardPass::head(const LoadedWeights& head, MatrixView<const float> x,
                       MatrixView<float> logits) const {
    const Role role = spec_.tied_head ? Role::token_embedding : Role::lm_head;
    backend_.linear(x, head.weight(role), head.vector(role, true), logits);
}

}  // namespace lathe
