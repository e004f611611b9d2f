#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/model/weight_source.hpp"
#include "workers/network/forward.hpp"
#include "workers/network/generation_options.hpp"

namespace lathe {

/// The token for `logits`: with temperature 0 the largest, the first of equal ones; else the one at
/// `unit` in [0, 1) of the kept probability, the tokens in falling order, among equal ones
/// the lower id first. @pre  the options are valid, logits are finite and not empty
[[nodiscard]] std::uint32_t choose_token(std::span<const float> logits,
                                         const GenerationOptions& options, double unit);

/// A language model with all its weights in memory, and the keys and values of one sequence.
class SequenceRunner {
public:
    /// @pre `spec` and `backend` outlive the object. @throws DataError
    SequenceRunner(const ModelSpec& spec, const WeightSource& weights,
                   const kernels::Backend& backend, std::size_t max_tokens);

    /// Appends tokens to the sequence; logits [vocab_size] of what follows the last one, valid
    /// until the next call. @pre tokens are not empty, and max_tokens is not exceeded
    /// @throws DataError  if a logit is not finite
    [[nodiscard]] std::span<const float> append(std::span<const std::uint32_t> tokens);

    [[nodiscard]] std::size_t length() const { return cache_.length(); }
    [[nodiscard]] std::size_t max_tokens() const { return cache_.capacity(); }

private:
    /// The stream after all blocks, a row for each token.
    MatrixView<float> run_blocks(std::span<const std::uint32_t> tokens);

    const ModelSpec& spec_;
    const kernels::Backend& backend_;
    ForwardPass forward_;
    KeyValueCache cache_;
    LoadedWeights outer_;  ///< embedding and head: a tied weight is there once
    std::vector<LoadedWeights> blocks_;
    kernels::Array<float> hidden_;
    kernels::Array<float> logits_;
    std::vector<float> host_logits_;
};

enum class StopReason {
    end_of_text,  ///< the model said so: one of ModelSpec::eos_ids
    new_tokens,   ///< max_new_tokens
    positions,    ///< the model's longest sequence
};

struct Generated {
    std::vector<std::uint32_t> ids;  ///< new ones; without that of the end of the text
    StopReason stop = StopReason::new_tokens;
};

/// Continues `prompt` in a fresh runner. Number `seed`, `i` of the random numbers chooses new
/// token i, so that a text depends on model, prompt and options alone. `on_token` gets each new
/// token as it is chosen.
/// @pre the prompt is not empty and not longer than runner.max_tokens()
[[nodiscard]] Generated generate(SequenceRunner& runner, const ModelSpec& spec,
                                 std::span<const std::uint32_t> prompt,
                                 const GenerationOptions& options,
                                 const std::function<void(std::uint32_t)>& on_token);

}  // namespace lathe
