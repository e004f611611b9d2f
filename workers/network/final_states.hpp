#pragma once

#include "kernels/contract/backend.hpp"
#include "workers/model/weight_source.hpp"
#include "workers/network/integer_parts.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// Head inputs of all samples. [head rows, head_width]
using FinalStates = kernels::Array<float>;

/// Runs the blocks, streaming them one after another through memory; `integer`: parts that run on
/// whole numbers.
[[nodiscard]] FinalStates final_states(const ModelSpec& spec, const WeightSource& weights,
                                       const kernels::Backend& backend,
                                       const TokenSequences& samples,
                                       const IntegerParts& integer = {});

}  // namespace lathe
