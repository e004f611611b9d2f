#include "workers/evaluation/logits_file.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "workers/network/forward.hpp"

namespace lathe {

namespace {

/// Token rows of an HDF5 file as one batch, and the array [sequences, length] that they came from.
struct TokenRows {
    Shape shape;
    TokenSequences batch;

    /// @throws DataError  if the model cannot read them
    TokenRows(const std::filesystem::path& file, const ModelSpec& spec)
        : shape(ArtifactReader(file).info("/input_ids").shape),
          batch(read_token_rows(file, spec.vocab_size)) {
        if (batch.tokens() == 0 || batch.max_length() > spec.max_positions) {
            throw DataError(file.string() + ": input_ids is " + to_string(shape) +
                            ", expected [sequences, length] with length up to " +
                            std::to_string(spec.max_positions));
        }
    }

    /// A row of `width` values for each token, spread over [sequences, length, width] and added at
    /// the end of `padded`; what no token covers is 0.
    void append_spread(const std::vector<float>& rows, std::vector<float>& padded) const {
        const std::size_t width = rows.size() / batch.tokens();
        const std::size_t before = padded.size();
        padded.resize(before + shape[0] * shape[1] * width, 0.0F);
        const float* from = rows.data();
        float* to = padded.data() + before;
        for (const std::uint32_t length : batch.lengths) {
            std::copy_n(from, length * width, to);
            from += length * width;
            to += shape[1] * width;
        }
    }
};

/// What is written.
struct Outputs {
    std::vector<float> logits;  ///< [sequences, length, V] or, of a classifier, [sequences, labels]
    std::vector<float> hidden;  ///< [n_blocks + 1, sequences, length, hidden_size]; or empty
};

Outputs run_model(const ModelToRun& model, const kernels::Backend& backend, const TokenRows& rows,
                  bool hidden) {
    const ModelSpec& spec = model.spec();
    const auto load = [&](std::optional<std::size_t> block, std::span<const Role> roles) {
        return LoadedWeights::load(spec, model.weights(), backend, block, roles);
    };
    Outputs outputs;
    const auto keep = [&](MatrixView<const float> x) {
        if (hidden) {
            rows.append_spread(backend.to_host(x), outputs.hidden);
        }
    };
    ForwardPass forward(spec, backend, rows.batch.max_length());
    const std::size_t tokens = rows.batch.tokens();
    const kernels::Array<float> stream = backend.allocate<float>(tokens * spec.hidden_size);
    MatrixView<float> x = stream.matrix(tokens, spec.stream_width(0));
    forward.embed(load(std::nullopt, ForwardPass::embedding_roles()), rows.batch, x);
    keep(x);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        x = forward.block(load(b, {}), rows.batch, x);
        if (b + 1 < spec.n_blocks) {
            keep(x);
        }
    }
    const LoadedWeights head = load(std::nullopt, forward.head_roles());
    forward.final_norm(head, x);
    keep(x);
    const MatrixView<const float> input = forward.head_input(head, rows.batch, x);
    const kernels::Array<float> memory = backend.allocate<float>(input.rows * spec.n_outputs());
    const MatrixView<float> logits = memory.matrix(input.rows, spec.n_outputs());
    forward.head(head, input, logits);
    if (spec.head == HeadKind::language_model) {
        rows.append_spread(backend.to_host(logits), outputs.logits);
    } else {
        outputs.logits = backend.to_host(logits);
    }
    return outputs;
}

}  // namespace

void write_logits(const ModelToRun& model, const kernels::Backend& backend,
                  const std::filesystem::path& ids_file, const std::filesystem::path& output,
                  bool hidden) {
    const ModelSpec& spec = model.spec();
    const TokenRows rows(ids_file, spec);
    if (hidden && spec.is_sliced()) {
        throw UsageError(
            "hidden states of a sliced model have no common width or basis; expected "
            "a model that is not sliced");
    }
    const Outputs outputs = run_model(model, backend, rows, hidden);
    const Shape& shape = rows.shape;
    const Shape logits_shape = spec.head == HeadKind::language_model
                                   ? Shape{shape[0], shape[1], spec.n_outputs()}
                                   : Shape{shape[0], spec.n_outputs()};
    ArtifactWriter file(output);
    file.dataset("/logits", DType::f32, logits_shape,
                 reinterpret_cast<const std::byte*>(outputs.logits.data()));
    if (hidden) {
        file.dataset("/hidden", DType::f32,
                     {spec.n_blocks + 1, shape[0], shape[1], spec.hidden_size},
                     reinterpret_cast<const std::byte*>(outputs.hidden.data()),
                     {{"final_norm_applied", std::int64_t{1}}});
    }
    file.commit();
}

}  // namespace lathe
