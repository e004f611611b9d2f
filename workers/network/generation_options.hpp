#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lathe {

/// How the next token is chosen.
struct GenerationOptions {
    std::size_t max_new_tokens = 128;
    /// 0: always the likeliest token. Else one is drawn from softmax(logits / temperature).
    double temperature = 0.0;
    /// Drawn only from the fewest likeliest tokens that have this probability together.
    double top_p = 1.0;
    std::uint64_t seed = 0;
    /// How products with packed weights read the input: "fp32", or "int8", which is faster and
    /// rounds.
    std::string tables = "fp32";
};

/// @throws UsageError  temperature below 0 or not finite, top_p not in (0, 1], no new token asked,
///   tables of another name
void check_generation_options(const GenerationOptions& options);

}  // namespace lathe
