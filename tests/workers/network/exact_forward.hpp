#pragma once

#include <functional>
#include <vector>

#include "lib/model/model_spec.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// The forward pass once more, in fp64 and as plainly as it can be written, to show what is lost to
/// fp32 and what to the arithmetic of a method. For language models without fused tensors, with
/// learned or rotary positions, sliced or not.
///   values(index)  a tensor of `spec`, row-major in the order of its shape
/// Logits of all positions. [tokens * vocab_size]
std::vector<double> exact_logits(const ModelSpec& spec,
                                 const std::function<std::vector<double>(std::size_t)>& values,
                                 const TokenSequences& samples);

}  // namespace lathe
