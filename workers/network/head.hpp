#pragma once

#include <memory>

#include "workers/network/forward.hpp"
#include "workers/network/integer_pass.hpp"

namespace lathe {

/// Rows of logits held at a time: bounds memory at large vocabularies.
inline constexpr std::size_t logit_rows = 256;

/// The head of a model, loaded: what it makes of final states (evaluation.hpp), tile after tile.
class Head {
public:
    /// `integer`: parts that run on whole numbers, as in final_states().
    /// @pre  `spec` and `backend` outlive the object
    Head(const ModelSpec& spec, const WeightSource& weights, const kernels::Backend& backend,
         const IntegerParts& integer = {});

    /// Logits [count, n_outputs] of rows first ... first + count - 1 of states [rows, head_width].
    /// Valid until the next call. @pre count <= logit_rows
    [[nodiscard]] MatrixView<const float> logits(const kernels::Array<float>& states,
                                                 std::size_t first, std::size_t count);

private:
    const ModelSpec& spec_;
    ForwardPass forward_;
    LoadedWeights loaded_;                   ///< of a head in fp32
    std::unique_ptr<IntegerPass> integers_;  ///< null: in fp32
    MixedWeights mixed_;
    kernels::Array<float> logits_;
};

}  // namespace lathe
