#include "workers/network/residual_stream.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"

namespace lathe {

ResidualStream::ResidualStream(ForwardPass& forward, const TokenSequences& samples,
                               std::span<const SequenceRange> batches,
                               const std::filesystem::path& folder)
    : forward_(forward), samples_(samples), batches_(batches) {
    const std::size_t size = samples.tokens() * forward.spec().hidden_size;
    if (folder.empty() || !forward.backend().works_on_host()) {
        memory_ = forward.backend().allocate<float>(size);
        data_ = memory_.data();
    } else {
        scratch_.emplace(folder, size * sizeof(float));
        data_ = reinterpret_cast<float*>(scratch_->data());
    }
}

/// Lets go of the batch before.
void ResidualStream::work_on(const SequenceRange& batch) const {
    if (scratch_ && at_work_.first_token != batch.first_token) {
        const std::size_t row_bytes = forward_.spec().hidden_size * sizeof(float);
        scratch_->release(at_work_.first_token * row_bytes, at_work_.tokens * row_bytes);
    }
    at_work_ = batch;
}

MatrixView<float> ResidualStream::part(const SequenceRange& batch) const {
    const ModelSpec& spec = forward_.spec();
    work_on(batch);
    return {data_ + batch.first_token * spec.hidden_size, batch.tokens, spec.stream_width(step_)};
}

bool ResidualStream::all_finite() const {
    return std::ranges::all_of(batches_, [&](const SequenceRange& batch) {
        return forward_.backend().all_finite(part(batch));
    });
}

void ResidualStream::embed(const WeightSource& weights) {
    const LoadedWeights embedding = LoadedWeights::load(
        forward_.spec(), weights, forward_.backend(), {}, ForwardPass::embedding_roles());
    step_ = 0;
    for (const SequenceRange& batch : batches_) {
        forward_.embed(embedding, samples_.part(batch), part(batch));
    }
}

void ResidualStream::copy(const ResidualStream& other) {
    step_ = other.step_;
    for (const SequenceRange& batch : batches_) {
        forward_.backend().copy<float>(other.part(batch), part(batch));
    }
}

std::vector<float> ResidualStream::download(const SequenceRange& batch) const {
    return forward_.backend().to_host(part(batch));
}

void ResidualStream::upload(std::span<const std::byte> values, const SequenceRange& batch,
                            const std::string& where) const {
    const MatrixView<float> to = part(batch);
    if (values.size() != to.rows * to.cols * sizeof(float)) {
        throw DataError(where + ": a batch has " + std::to_string(values.size()) +
                        " bytes, expected " + to.shape_text() + " of float32");
    }
    forward_.backend().upload(values.data(), DType::f32, to);
}

void ResidualStream::take_step(const LoadedWeights& weights) {
    for (const SequenceRange& batch : batches_) {
        take_step(weights, batch, {});
    }
    pass_step();
}

void ResidualStream::take_block(const LoadedWeights& weights) {
    for (std::size_t step = 0; step < forward_.spec().steps_per_block(); ++step) {
        take_step(weights);
    }
}

MatrixView<float> ResidualStream::take_step(const LoadedWeights& weights,
                                            const SequenceRange& batch,
                                            const SignalObserver& observe) {
    return forward_.step(step_of_block(), weights, samples_.part(batch), part(batch), observe);
}

MatrixView<float> ResidualStream::try_step(const LoadedWeights& weights, const SequenceRange& batch,
                                           const kernels::Array<float>& memory,
                                           const SignalObserver& observe) const {
    const MatrixView<float> from = part(batch);
    const MatrixView<float> trial = memory.matrix(from.rows, from.cols);
    forward_.backend().copy<float>(from, trial);
    if (observe) {
        observe(step_of_block() == 0 ? Signal::stream_in : Signal::stream_mid, trial);
    }
    return forward_.step(step_of_block(), weights, samples_.part(batch), trial, observe);
}

}  // namespace lathe
