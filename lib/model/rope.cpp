#include "lib/model/rope.hpp"

#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

constexpr NumberRange theta_range{.low = 1.0, .high = 1e12};
constexpr NumberRange factor_range{.low = 1e-3, .high = 1e6};

/// The object with the rope keys; none: an unscaled embedding described at the top, if at all.
std::optional<ConfigReader> rope_object(const ConfigReader& config) {
    auto scaling = config.object("rope_scaling");
    return scaling && scaling->size() > 0 ? scaling : config.object("rope_parameters");
}

std::string rope_kind(const std::optional<ConfigReader>& rope, const RopeKeys& keys) {
    constexpr auto plain = "default";
    if (!rope) return plain;
    for (const std::string& name : rope->nested())
        rope->unsupported(name, "one set of parameters for all blocks");
    const char* key = rope->has("rope_type") ? "rope_type" : "type";
    std::string kind = rope->optional_string(key).value_or(plain);
    if (kind == plain || (keys.scales && (kind == "linear" || kind == "llama3"))) return kind;
    rope->unsupported(key, keys.scales ? "one of the supported kinds: default, linear, llama3"
                                       : "the supported kind: default");
    return plain;
}

double rope_theta(const ConfigReader& config, const std::optional<ConfigReader>& rope,
                  const RopeKeys& keys) {
    const auto inner = rope ? rope->optional_number("rope_theta", theta_range) : std::nullopt;
    return inner ? *inner : config.number(keys.theta, theta_range);
}

/// Long wavelengths are stretched by `factor`, short ones kept, those between interpolated.
struct Llama3Scaling {
    double factor;
    double low_freq_factor;
    double high_freq_factor;
    double original_positions;

    [[nodiscard]] float operator()(float frequency) const {
        // A number divided by a tensor is, in torch, the tensor's reciprocal times the number.
        const float wavelength =
            (1.0F / frequency) * static_cast<float>(2.0 * std::numbers::pi_v<double>);
        const auto stretch = static_cast<float>(factor);
        if (wavelength > static_cast<float>(original_positions / low_freq_factor))
            return frequency / stretch;
        if (wavelength < static_cast<float>(original_positions / high_freq_factor))
            return frequency;
        const float turns = (1.0F / wavelength) * static_cast<float>(original_positions);
        const float smooth = (turns - static_cast<float>(low_freq_factor)) /
                             static_cast<float>(high_freq_factor - low_freq_factor);
        const float stretched = (1.0F - smooth) * frequency / stretch;
        const float kept = smooth * frequency;
        return stretched + kept;
    }
};

Llama3Scaling read_llama3_scaling(const ConfigReader& config, const ConfigReader& rope,
                                  std::size_t max_positions) {
    constexpr IntegerRange positions{.low = 1};
    constexpr auto key = "original_max_position_embeddings";
    Llama3Scaling scaling{};
    scaling.factor = rope.number("factor", factor_range);
    scaling.low_freq_factor = rope.number("low_freq_factor", factor_range);
    scaling.high_freq_factor = rope.number("high_freq_factor", factor_range);
    if (scaling.high_freq_factor <= scaling.low_freq_factor)
        rope.refuse("high_freq_factor", "more than low_freq_factor");
    // transformers lets the outer key win; without either it takes max_position_embeddings.
    const auto outer = config.optional_integer(key, positions);
    const auto inner = rope.optional_integer(key, positions);
    scaling.original_positions = static_cast<double>(outer.value_or(inner.value_or(max_positions)));
    return scaling;
}

}  // namespace

std::vector<float> unscaled_frequencies(double theta, std::size_t rotary_dim) {
    std::vector<float> frequencies(rotary_dim / 2);
    const auto base = static_cast<float>(theta);
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
        // Rounded once, from double: no vector library's last-bit errors.
        const auto power =
            static_cast<float>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
        frequencies[i] = 1.0F / power;
    }
    return frequencies;
}

RopeSpec read_rope(const ConfigReader& config, std::size_t rotary_dim, std::size_t max_positions,
                   const RopeKeys& keys) {
    const auto rope = rope_object(config);
    const std::string kind = rope_kind(rope, keys);
    const double theta = rope_theta(config, rope, keys);
    std::vector<float> frequencies = unscaled_frequencies(theta, rotary_dim);

    if (kind == "linear") {
        const auto factor = static_cast<float>(rope->number("factor", factor_range));
        for (float& frequency : frequencies) frequency /= factor;
    } else if (kind == "llama3") {
        const Llama3Scaling scaling = read_llama3_scaling(config, *rope, max_positions);
        for (float& frequency : frequencies) frequency = scaling(frequency);
    }
    return {.inv_freq = {frequencies.begin(), frequencies.end()},
            .attention_factor = 1.0,
            .kind = kind,
            .theta = theta};
}

double read_rotated_share(const ConfigReader& config, const RopeKeys& keys) {
    constexpr NumberRange share{.low = 0.0, .high = 1.0};
    const auto rope = rope_object(config);
    const auto inner = rope ? rope->optional_number("partial_rotary_factor", share) : std::nullopt;
    return inner ? *inner : config.optional_number(keys.share, share).value_or(1.0);
}

void check_stored_frequencies(const RopeSpec& rope, std::span<const float> stored,
                              const std::string& tensor, const std::string& where) {
    const std::vector<float> unscaled = unscaled_frequencies(rope.theta, 2 * rope.inv_freq.size());
    const std::string begin = where + ": tensor \"" + tensor + "\"";
    if (stored.size() != unscaled.size())
        throw DataError(begin + " has " + std::to_string(stored.size()) +
                        " rotary frequencies; config.json asks for " +
                        std::to_string(unscaled.size()));
    // What bfloat16 leaves, and float16 of the smallest.
    const auto is_near = [](double a, double b) { return std::abs(a - b) <= 0.02 * b + 1e-7; };
    for (std::size_t i = 0; i < stored.size(); ++i) {
        const double value = stored[i];
        if (is_near(value, unscaled[i]) || is_near(value, rope.inv_freq[i])) continue;
        throw DataError(begin + ": rotary frequency " + std::to_string(i) + " is " +
                        std::to_string(value) + "; config.json gives " +
                        std::to_string(rope.inv_freq[i]) +
                        " (rope_theta and what scales it); under \"ignore\" the tensor is passed "
                        "over, as newer programs do");
    }
}

}  // namespace lathe
