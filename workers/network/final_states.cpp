#include "workers/network/final_states.hpp"

#include "lib/core/task_progress.hpp"
#include "workers/network/integer_pass.hpp"
#include "workers/network/residual_stream.hpp"

namespace lathe {
namespace {

/// The same by an integer pass. Blocks of whole numbers come back from their values unchanged.
FinalStates integer_final_states(const ModelSpec& spec, const WeightSource& weights,
                                 const kernels::Backend& backend, const TokenSequences& samples,
                                 const IntegerParts& integer) {
    IntegerPass pass(spec, backend, integer, samples.max_length());
    const std::vector<SequenceRange> batches = samples.ranges(tokens_per_batch);
    std::vector<Flow> streams;
    const MixedWeights embedding = pass.load(weights, std::nullopt, ForwardPass::embedding_roles());
    for (const SequenceRange& batch : batches) {
        streams.push_back(pass.embed(embedding, samples.part(batch)));
    }
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        const MixedWeights block = pass.load(weights, b);
        for (std::size_t i = 0; i < batches.size(); ++i) {
            pass.block(block, samples.part(batches[i]), streams[i]);
        }
        tell_progress(b + 1, spec.n_blocks);
    }
    const std::vector<Role> roles{Role::final_norm, Role::head_projection};
    const MixedWeights head = pass.load(weights, std::nullopt, roles);
    FinalStates states =
        backend.allocate<float>(ForwardPass::head_rows(spec, samples) * spec.head_width());
    std::size_t n_done = 0;
    for (std::size_t i = 0; i < batches.size(); ++i) {
        Flow x = pass.head_input(head, samples.part(batches[i]), std::move(streams[i]));
        backend.copy(MatrixView<const float>(x.values()),
                     states.matrix(n_done + x.rows(), x.cols()).row_range(n_done, x.rows()));
        n_done += x.rows();
    }
    return states;
}

}  // namespace

FinalStates final_states(const ModelSpec& spec, const WeightSource& weights,
                         const kernels::Backend& backend, const TokenSequences& samples,
                         const IntegerParts& integer) {
    if (integer.any()) {
        return integer_final_states(spec, weights, backend, samples, integer);
    }
    ForwardPass forward(spec, backend, samples.max_length());
    const std::vector<SequenceRange> batches = samples.ranges(tokens_per_batch);
    ResidualStream stream(forward, samples, batches);
    stream.embed(weights);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        stream.take_block(LoadedWeights::load(spec, weights, backend, b));
        tell_progress(b + 1, spec.n_blocks);
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
