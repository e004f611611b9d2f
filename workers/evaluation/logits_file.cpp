#include "workers/evaluation/logits_file.hpp"

#include <algorithm>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "workers/network/forward.hpp"

namespace lathe {

namespace {

/// Spreads rows of `width` values, one for each token, over [sequences, length, width]; what is not
/// covered stays 0.
void scatter(const std::vector<float>& rows, const TokenSequences& sequences, std::size_t length,
             std::size_t width, float* padded) {
    const float* from = rows.data();
    for (std::size_t s = 0; s < sequences.count(); ++s) {
        const std::size_t n = sequences.lengths[s] * width;
        std::copy_n(from, n, padded + s * length * width);
        from += n;
    }
}

}  // namespace

void write_logits(const ModelToRun& model, const kernels::Backend& backend,
                  const std::filesystem::path& ids_file, const std::filesystem::path& output,
                  bool hidden) {
    const ModelSpec& spec = model.spec();
    const Shape shape = ArtifactReader(ids_file).info("/input_ids").shape;
    const TokenSequences batch = read_token_rows(ids_file, spec.vocab_size);
    if (batch.tokens() == 0 || batch.max_length() > spec.max_positions) {
        throw DataError(ids_file.string() + ": input_ids is " + to_string(shape) +
                        ", expected [sequences, length] with length up to " +
                        std::to_string(spec.max_positions));
    }
    const std::size_t tokens = batch.tokens();
    const std::size_t width = spec.hidden_size;
    const std::size_t length = shape[1];
    const std::size_t padded = shape[0] * length;

    ForwardPass forward(spec, backend, batch.max_length());
    std::vector<float> states;
    if (hidden && spec.is_sliced()) {
        throw UsageError(
            "hidden states of a sliced model have no common width or basis; expected "
            "a model that is not sliced");
    }
    const auto keep = [&](MatrixView<const float> x) {
        if (!hidden) {
            return;
        }
        std::vector<float> host(tokens * width);
        backend.download(x, host.data());
        states.resize(states.size() + padded * width, 0.0F);
        scatter(host, batch, length, width, states.data() + states.size() - padded * width);
    };
    const kernels::Array<float> stream = backend.allocate<float>(tokens * width);
    MatrixView<float> x = stream.matrix(tokens, spec.stream_width(0));
    forward.embed(LoadedWeights::load(spec, model.weights(), backend, std::nullopt,
                                      ForwardPass::embedding_roles()),
                  batch, x);
    keep(x);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        x = forward.block(LoadedWeights::load(spec, model.weights(), backend, b), batch, x);
        if (b + 1 < spec.n_blocks) {
            keep(x);
        }
    }
    const LoadedWeights head =
        LoadedWeights::load(spec, model.weights(), backend, std::nullopt, forward.head_roles());
    forward.final_norm(head, x);
    keep(x);
    const MatrixView<const float> head_input = forward.head_input(head, batch, x);
    const kernels::Array<float> logits =
        backend.allocate<float>(head_input.rows * spec.n_outputs());
    forward.head(head, head_input, logits.matrix(head_input.rows, spec.n_outputs()));
    std::vector<float> host(logits.size());
    backend.download(logits.matrix(head_input.rows, spec.n_outputs()), host.data());
    Shape logits_shape{shape[0], spec.n_outputs()};
    if (spec.head == HeadKind::language_model) {
        std::vector<float> spread(padded * spec.n_outputs(), 0.0F);
        scatter(host, batch, length, spec.n_outputs(), spread.data());
        host = std::move(spread);
        logits_shape = {shape[0], length, spec.n_outputs()};
    }

    ArtifactWriter file(output);
    file.dataset("/logits", DType::f32, logits_shape,
                 reinterpret_cast<const std::byte*>(host.data()));
    if (hidden) {
        file.dataset("/hidden", DType::f32, {spec.n_blocks + 1, shape[0], length, width},
                     reinterpret_cast<const std::byte*>(states.data()),
                     {{"final_norm_applied", std::int64_t{1}}});
    }
    file.commit();
}

}  // namespace lathe
