#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/model/weight_source.hpp"
#include "workers/network/forward.hpp"
#include "workers/network/generation_options.hpp"
#include "workers/network/integer_pass.hpp"

namespace lathe {

/// The token for `logits`: with temperature 0 the largest, the first of equal ones; else the one at
/// `unit` in [0, 1) of the kept probability, the tokens in falling order, among equal ones
/// the lower id first. @pre  the options are valid, logits are finite and not empty
[[nodiscard]] std::uint32_t choose_token(std::span<const float> logits,
                                         const GenerationOptions& options, double unit);

/// A language model with all its weights in memory, and the keys and values of one sequence.
class TextRunner {
public:
    virtual ~TextRunner() = default;
    /// Appends tokens to the sequence; logits [vocab_size] of what follows the last one, valid
    /// until the next call. @pre tokens are not empty, and max_tokens is not exceeded
    /// @throws DataError  if a logit is not finite
    [[nodiscard]] std::span<const float> append(std::span<const std::uint32_t> tokens);

    [[nodiscard]] virtual std::size_t length() const = 0;
    [[nodiscard]] virtual std::size_t max_tokens() const = 0;

private:
    /// The same for at most tokens_per_batch tokens; logits matter of the last call alone.
    [[nodiscard]] virtual std::span<const float> append_part(std::span<const std::uint32_t> tokens,
                                                             bool is_last) = 0;
};

/// With parts on blocks of whole numbers, if `integer` has any.
/// @pre `spec` and `backend` outlive the object. @throws DataError
[[nodiscard]] std::unique_ptr<TextRunner> make_runner(const ModelSpec& spec,
                                                      const WeightSource& weights,
                                                      const kernels::Backend& backend,
                                                      std::size_t max_tokens,
                                                      const IntegerParts& integer = {});

/// In fp32.
class SequenceRunner final : public TextRunner {
public:
    /// As make_runner().
    SequenceRunner(const ModelSpec& spec, const WeightSource& weights,
                   const kernels::Backend& backend, std::size_t max_tokens);

    [[nodiscard]] std::size_t length() const override { return cache_.length(); }
    [[nodiscard]] std::size_t max_tokens() const override { return cache_.capacity(); }

private:
    [[nodiscard]] std::span<const float> append_part(std::span<const std::uint32_t> tokens,
                                                     bool is_last) override;
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

/// With keys and values in blocks of 8 bits.
class IntegerRunner final : public TextRunner {
public:
    /// As make_runner().
    IntegerRunner(const ModelSpec& spec, const WeightSource& weights,
                  const kernels::Backend& backend, std::size_t max_tokens,
                  const IntegerParts& integer);

    [[nodiscard]] std::size_t length() const override { return cache_.length; }
    [[nodiscard]] std::size_t max_tokens() const override { return max_tokens_; }

private:
    [[nodiscard]] std::span<const float> append_part(std::span<const std::uint32_t> tokens,
                                                     bool is_last) override;

    IntegerPass pass_;
    std::size_t max_tokens_;
    IntegerCache cache_;
    MixedWeights outer_;  ///< embedding and head
    std::vector<MixedWeights> blocks_;
    std::vector<float> logits_;
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
[[nodiscard]] Generated generate(TextRunner& runner, const ModelSpec& spec,
                                 std::span<const std::uint32_t> prompt,
                                 const GenerationOptions& options,
                                 const std::function<void(std::uint32_t)>& on_token);

}  // namespace lathe
