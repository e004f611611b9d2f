#pragma once

#include <cstdint>
#include <vector>

#include "lib/job/candidate.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {

/// Weights of a block.
[[nodiscard]] double block_weights(const ModelSpec& spec);

/// Elements of the Gram matrices of a block's linear inputs, each input once.
[[nodiscard]] double gram_elements(const ModelSpec& spec);

/// FLOP of one token in sequences of this length: through a block; through the head; through all
/// blocks and, if wanted, the head.
[[nodiscard]] double block_flops(const ModelSpec& spec, double length);
[[nodiscard]] double head_flops(const ModelSpec& spec);
[[nodiscard]] double forward_flops(const ModelSpec& spec, double length, bool with_head);

/// Bytes of a unit's candidates of these settings, but for the source's own, which is not stored.
[[nodiscard]] std::uint64_t candidate_bytes(const ModelOutline& model, std::size_t unit,
                                            const std::vector<Setting>& settings);

}  // namespace lathe
