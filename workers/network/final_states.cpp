#include "workers/network/final_states.hpp"

#include "workers/network/residual_stream.hpp"

namespace lathe {

FinalStates final_states(const ModelSpec& spec, const WeightSource& weights,
                         const kernels::Backend& backend, const TokenSequences& samples) {
    ForwardPass forward(spec, backend, samples.max_length());
    const std::vector<SequenceRange> batches = samples.ranges(tokens_per_batch);
    ResidualStream stream(forward, samples, batches);
    stream.embed(weights);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        stream.take_block(LoadedWeights::load(spec, weights, backend, b));
    }
    const std::vector<Role> roles{Role::final_norm, Role::head_projection};
    const LoadedWeights head = LoadedWeights::load(spec, weights, backend, std::nullopt, roles);
    FinalStates states =
        backend.allocate<float>(ForwardPass::head_rows(spec, samples) * spec.head_width());
    std::size_t n_done = 0;
    for (const SequenceRange& batch : batches) {
        forward.final_norm(head, stream.part(batch));
        const MatrixView<const float> x =
            forward.head_input(head, samples.part(batch), stream.part(batch));
        backend.copy(x, states.matrix(n_done + x.rows, x.cols).row_range(n_done, x.rows));
        n_done += x.rows;
    }
    return states;
}

}  // namespace lathe
