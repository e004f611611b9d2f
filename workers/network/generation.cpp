#include "workers/network/generation.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/core/errors.hpp"
#include "lib/core/random.hpp"

namespace lathe {
namespace {

std::vector<Role> outer_roles(const std::vector<Role>& head_roles) {
    std::vector<Role> roles = ForwardPass::embedding_roles();
    for (const Role role : head_roles) {
        if (std::ranges::find(roles, role) == roles.end()) {
            roles.push_back(role);
        }
    }
    return roles;
}

/// Tokens in falling order of probability, the lower id first among equal ones.
std::vector<std::uint32_t> by_probability(std::span<const float> logits) {
    std::vector<std::uint32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, std::greater<>(), [&](std::uint32_t id) { return logits[id]; });
    return order;
}

std::uint32_t draw_token(std::span<const float> logits, const GenerationOptions& options,
                         double unit) {
    const std::vector<std::uint32_t> order = by_probability(logits);
    const double largest = logits[order.front()];
    // sums[i]: of the weights of the i + 1 likeliest tokens, the softmax not yet divided.
    std::vector<double> sums;
    double sum = 0.0;
    for (const std::uint32_t id : order) {
        sum += std::exp((double{logits[id]} - largest) / options.temperature);
        sums.push_back(sum);
    }
    const auto last = std::ranges::lower_bound(sums, options.top_p * sum);
    const auto n_kept = static_cast<std::size_t>(std::min(last, sums.end() - 1) - sums.begin()) + 1;
    const auto kept = std::span(sums).first(n_kept);
    const auto drawn = std::ranges::upper_bound(kept, unit * kept.back());
    return order[static_cast<std::size_t>(std::min(drawn, kept.end() - 1) - kept.begin())];
}

}  // namespace

void check_generation_options(const GenerationOptions& options) {
    if (options.max_new_tokens == 0) {
        throw UsageError("max-new-tokens is 0, expected at least 1");
    }
    if (!(options.temperature >= 0.0) || !std::isfinite(options.temperature)) {
        throw UsageError("temperature is " + std::to_string(options.temperature) +
                         ", expected 0 (the likeliest token) or more");
    }
    if (!(options.top_p > 0.0 && options.top_p <= 1.0)) {
        throw UsageError("top-p is " + std::to_string(options.top_p) +
                         ", expected above 0 and at most 1");
    }
    if (options.tables != "fp32" && options.tables != "int8") {
        throw UsageError("tables is \"" + options.tables + "\", expected fp32 or int8");
    }
}

std::uint32_t choose_token(std::span<const float> logits, const GenerationOptions& options,
                           double unit) {
    if (options.temperature == 0.0) {
        return static_cast<std::uint32_t>(std::ranges::max_element(logits) - logits.begin());
    }
    return draw_token(logits, options, unit);
}

SequenceRunner::SequenceRunner(const ModelSpec& spec, const WeightSource& weights,
                               const kernels::Backend& backend, std::size_t max_tokens)
    : spec_(spec),
      backend_(backend),
      forward_(spec, backend, max_tokens),
      cache_(spec, backend, max_tokens),
      outer_(LoadedWeights::load(spec, weights, backend, std::nullopt,
                                 outer_roles(forward_.head_roles()))),
      hidden_(backend.allocate<float>(std::min(max_tokens, tokens_per_batch) * spec.hidden_size)),
      logits_(backend.allocate<float>(spec.vocab_size)),
      host_logits_(spec.vocab_size) {
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        blocks_.push_back(LoadedWeights::load(spec, weights, backend, b));
    }
}

std::span<const float> TextRunner::append(std::span<const std::uint32_t> tokens) {
    if (tokens.empty() || tokens.size() > max_tokens() - length()) {
        throw ShapeError(std::to_string(tokens.size()) + " more tokens for a sequence of " +
                         std::to_string(length()) + " with room for " +
                         std::to_string(max_tokens()));
    }
    while (tokens.size() > tokens_per_batch) {
        (void)append_part(tokens.first(tokens_per_batch), false);
        tokens = tokens.subspan(tokens_per_batch);
    }
    const std::span<const float> logits = append_part(tokens, true);
    if (!std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); })) {
        throw DataError("the model's output is NaN or infinite after " + std::to_string(length()) +
                        " tokens");
    }
    return logits;
}

std::unique_ptr<TextRunner> make_runner(const ModelSpec& spec, const WeightSource& weights,
                                        const kernels::Backend& backend, std::size_t max_tokens,
                                        const IntegerParts& integer) {
    if (integer.any()) {
        return std::make_unique<IntegerRunner>(spec, weights, backend, max_tokens, integer);
    }
    return std::make_unique<SequenceRunner>(spec, weights, backend, max_tokens);
}

namespace {

/// Only its length matters to the head.
TokenSequences one_token() {
    TokenSequences one;
    one.append(std::vector<std::uint32_t>{0});
    return one;
}

}  // namespace

std::span<const float> SequenceRunner::append_part(std::span<const std::uint32_t> tokens,
                                                   bool is_last) {
    const MatrixView<float> hidden = run_blocks(tokens);
    if (!is_last) {
        return {};
    }
    const MatrixView<float> last = hidden.row_range(hidden.rows - 1, 1);
    const MatrixView<float> logits = logits_.matrix(1, spec_.vocab_size);
    forward_.final_norm(outer_, last);
    forward_.head(outer_, forward_.head_input(outer_, one_token(), last), logits);
    backend_.download(logits, host_logits_.data());
    return host_logits_;
}

IntegerRunner::IntegerRunner(const ModelSpec& spec, const WeightSource& weights,
                             const kernels::Backend& backend, std::size_t max_tokens,
                             const IntegerParts& integer)
    : pass_(spec, backend, integer, max_tokens),
      max_tokens_(max_tokens),
      outer_(pass_.load(weights, std::nullopt, outer_roles(pass_.head_roles()))),
      logits_(spec.vocab_size) {
    const kernels::BlockedMatrix none(0, spec.n_kv_heads * spec.head_dim, spec.head_dim, 8);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        blocks_.push_back(pass_.load(weights, b));
        cache_.blocks.push_back({none, none});
    }
}

std::span<const float> IntegerRunner::append_part(std::span<const std::uint32_t> tokens,
                                                  bool is_last) {
    TokenSequences batch;
    batch.append(tokens);
    Flow hidden = pass_.embed(outer_, batch, cache_.length);
    for (const MixedWeights& block : blocks_) {
        pass_.block(block, batch, hidden, &cache_);
    }
    cache_.length += tokens.size();
    if (is_last) {
        Flow last = hidden.row(hidden.rows() - 1);
        pass_.head(outer_, pass_.head_input(outer_, one_token(), std::move(last)),
                   {logits_.data(), 1, logits_.size()});
    }
    return logits_;
}

MatrixView<float> SequenceRunner::run_blocks(std::span<const std::uint32_t> tokens) {
    TokenSequences batch;
    batch.append(tokens);
    MatrixView<float> hidden = hidden_.matrix(tokens.size(), spec_.stream_width(0));
    forward_.embed(outer_, batch, hidden, cache_.length());
    for (const LoadedWeights& block : blocks_) {
        hidden = forward_.block(block, batch, hidden, {}, &cache_);
    }
    cache_.advance(tokens.size());
    return hidden;
}

Generated generate(TextRunner& runner, const ModelSpec& spec, std::span<const std::uint32_t> prompt,
                   const GenerationOptions& options,
                   const std::function<void(std::uint32_t)>& on_token) {
    Generated result;
    std::span<const float> logits = runner.append(prompt);
    while (true) {
        const double unit = random_unit(options.seed, result.ids.size());
        const std::uint32_t id = choose_token(logits, options, unit);
        if (std::ranges::find(spec.eos_ids, id) != spec.eos_ids.end()) {
            result.stop = StopReason::end_of_text;
            return result;
        }
        result.ids.push_back(id);
        on_token(id);
        if (result.ids.size() == options.max_new_tokens) {
            return result;
        }
        if (runner.length() == runner.max_tokens()) {
            result.stop = StopReason::positions;
            return result;
        }
        logits = runner.append(std::span(&id, 1));
    }
}

}  // namespace lathe
