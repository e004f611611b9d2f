#include "workers/network/backward.hpp"

#include <algorithm>

#include "workers/network/head.hpp"

namespace lathe {

BackwardPass::BackwardPass(const ModelSpec& spec, const kernels::Backend& backend,
                           const kernels::Gradients& gradients, std::size_t max_sequence_length)
    : spec_(spec),
      backend_(backend),
      gradients_(gradients),
      forward_(spec, backend, max_sequence_length),
      logits_(backend.allocate<float>(logit_rows * spec.n_outputs())) {}

void BackwardPass::reserve(std::size_t tokens) {
    if (tokens <= reserved_tokens_) {
        return;
    }
    const std::size_t q_width = spec_.n_heads * spec_.head_dim;
    const std::size_t kv_width = spec_.n_kv_heads * spec_.head_dim;
    for (kernels::Array<float>* array : {&middle_, &x_, &dx_, &d_skip_}) {
        *array = backend_.allocate<float>(tokens * spec_.hidden_size);
    }
    for (kernels::Array<float>* array : {&raw_q_, &dq_, &dmixed_}) {
        *array = backend_.allocate<float>(tokens * q_width);
    }
    for (kernels::Array<float>* array : {&raw_k_, &dk_, &dv_}) {
        *array = backend_.allocate<float>(tokens * kv_width);
    }
    dhidden_ = backend_.allocate<float>(tokens * spec_.intermediate_size);
    narrow_ = backend_.allocate<float>(tokens * spec_.embedding_size);
    reserved_tokens_ = tokens;
}

void BackwardPass::linear(const LoadedWeights& weights, Role role, MatrixView<const float> dy,
                          bool accumulate, MatrixView<float> dx,
                          const GradientObserver& observe) const {
    if (observe) {
        observe(role, dy);
    }
    gradients_.linear(dy, weights.table(role), accumulate, dx);
}

void BackwardPass::norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
                        MatrixView<const float> dy, MatrixView<float> dx) const {
    const std::span<const float> weight = weights.vector(role, false);
    if (spec_.norm == NormKind::rms) {
        gradients_.rms_norm(x, weight, spec_.norm_epsilon, dy, dx);
    } else {
        gradients_.layer_norm(x, weight, spec_.norm_epsilon, dy, dx);
    }
}

void BackwardPass::stream_norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
                               MatrixView<const float> dy, MatrixView<float> dx) const {
    if (!spec_.is_sliced()) {
        norm(weights, role, x, dy, dx);
        return;
    }
    const float share = static_cast<float>(spec_.hidden_size) / static_cast<float>(x.cols);
    gradients_.rms_norm(x, forward_.width_factors_.at(x.cols).span(), spec_.norm_epsilon * share,
                        dy, dx);
}

void BackwardPass::head(const LoadedWeights& head, const TokenSequences& batch,
                        MatrixView<const float> hidden, const LossGradient& loss,
                        MatrixView<float> d, const GradientObserver& observe) {
    reserve(batch.tokens());
    const MatrixView<float> normed = x_.matrix(hidden.rows, hidden.cols);
    backend_.copy(hidden, normed);
    forward_.final_norm(head, normed);
    const MatrixView<const float> x = forward_.head_input(head, batch, normed);
    if (spec_.head == HeadKind::classifier) {
        classifier(head, batch, x, loss, d, observe);
    } else if (head.has(Role::head_projection)) {
        const MatrixView<float> dx = narrow_.matrix(x.rows, x.cols);
        language_model(head, x, loss, dx, observe);
        linear(head, Role::head_projection, dx, false, d, observe);
    } else {
        language_model(head, x, loss, d, observe);
    }
    if (spec_.is_sliced() || head.has(Role::final_norm)) {
        stream_norm(head, Role::final_norm, hidden, d, d);
    }
}

void BackwardPass::language_model(const LoadedWeights& head, MatrixView<const float> x,
                                  const LossGradient& loss, MatrixView<float> dx,
                                  const GradientObserver& observe) {
    const Role stored = spec_.tied_head ? Role::token_embedding : Role::lm_head;
    for (std::size_t first = 0; first < x.rows; first += logit_rows) {
        const std::size_t count = std::min(logit_rows, x.rows - first);
        const MatrixView<float> logits = logits_.matrix(count, spec_.n_outputs());
        forward_.head(head, x.row_range(first, count), logits);
        loss(first, logits);
        if (observe) {
            observe(Role::lm_head, logits);
        }
        gradients_.linear(logits, head.table(stored), false, dx.row_range(first, count));
    }
}

void BackwardPass::classifier(const LoadedWeights& head, const TokenSequences& batch,
                              MatrixView<const float> x, const LossGradient& loss,
                              MatrixView<float> d, const GradientObserver& observe) {
    const std::size_t width = spec_.hidden_size;
    const kernels::Array<float> before = backend_.allocate<float>(x.rows * width);
    const kernels::Array<float> pooled = backend_.allocate<float>(x.rows * width);
    const kernels::Array<float> outputs = backend_.allocate<float>(x.rows * spec_.n_outputs());
    const MatrixView<float> sum = before.matrix(x.rows, width);
    const MatrixView<float> text = pooled.matrix(x.rows, width);
    const MatrixView<float> logits = outputs.matrix(x.rows, spec_.n_outputs());
    forward_.linear(head, x, {{Role::pooler, sum}});
    backend_.activate(spec_.pooler_activation, sum, text);
    forward_.linear(head, text, {{Role::classifier, logits}});
    loss(0, logits);
    linear(head, Role::classifier, logits, false, text, observe);
    gradients_.activate(spec_.pooler_activation, sum, text, text);
    linear(head, Role::pooler, text, false, sum, observe);
    // Only the first token of each sequence is read.
    std::size_t t = 0;
    for (std::size_t s = 0; s < batch.count(); ++s) {
        for (std::uint32_t p = 0; p < batch.lengths[s]; ++p, ++t) {
            std::fill_n(d.row(t), width, 0.0F);
            if (p == 0) {
                std::copy_n(sum.row(s), width, d.row(t));
            }
        }
    }
}

void BackwardPass::embed(const LoadedWeights& embedding, const TokenSequences& batch,
                         MatrixView<float> d, const GradientObserver& observe) {
    reserve(batch.tokens());
    if (embedding.has(Role::embedding_norm)) {
        const MatrixView<float> sum = x_.matrix(d.rows, d.cols);
        forward_.set_positions(batch, 0);
        forward_.embed_sum(embedding, batch, sum);
        norm(embedding, Role::embedding_norm, sum, d, d);
    }
    if (!embedding.has(Role::embedding_projection)) {
        observe(Role::token_embedding, d);
        return;
    }
    const MatrixView<float> narrow = narrow_.matrix(d.rows, spec_.embedding_size);
    linear(embedding, Role::embedding_projection, d, false, narrow, observe);
    observe(Role::token_embedding, narrow);
}

}  // namespace lathe
