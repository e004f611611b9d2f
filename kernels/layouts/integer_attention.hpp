#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/contract/forward_kernels.hpp"
#include "kernels/layouts/attention_sequences.hpp"
#include "kernels/layouts/fixed_point.hpp"
#include "kernels/layouts/function_tables.hpp"

// The softmax of attention on blocks (Integers::attention()), for all implementations: from sums of
// products to scores, from scores to weights of keys, and the division at the end.

namespace lathe::kernels::fixed_point {

/// Keys that share a shift of their weights; counted from the first of a sequence.
inline constexpr std::size_t keys_per_block = 64;

/// What multiplies products of queries and keys: the scale and log2(e), and slopes of ALiBi.
class ScoreScale {
public:
    explicit ScoreScale(const AttentionShape& shape)
        : factor_(constant(double{shape.scale} * M_LOG2E, 15)) {
        for (const float slope : shape.alibi_slopes) {
            slopes_.push_back(static_cast<std::int64_t>(
                std::nearbyint(std::ldexp(double{slope} * M_LOG2E, exponent_bits))));
        }
    }

    /// The score of the key at `key` for a query of head h at `query`, of the product q . k at an
    /// exponent: in logarithms to the base 2, exponent_bits behind the binary point.
    [[nodiscard]] std::int64_t score(std::size_t h, std::int32_t product, int exponent,
                                     std::size_t key, std::size_t query) const {
        // |product * factor| < 2^39, so 21 bits to the left fit; a score of 2^44 is beyond use.
        const int up = std::min(exponent_bits - exponent - factor_.exponent, 21);
        const std::int64_t score = shifted(product * factor_.mantissa, up);
        if (slopes_.empty()) {
            return score;
        }
        return score +
               slopes_[h] * (static_cast<std::int64_t>(key) - static_cast<std::int64_t>(query));
    }

private:
    Number factor_;
    std::vector<std::int64_t> slopes_;
};

/// What a key counts: code * 2^up.
struct KeyWeight {
    std::int32_t code = 0;  ///< 0 .. 127
    int up = 0;
};

/// The softmax of one query over the keys [first, first + scores.size()).
struct SoftmaxRow {
    std::vector<std::int64_t> scores;
    std::vector<std::int8_t> shifts;  ///< of the values
    // Made by exponentiate():
    std::size_t first = 0;
    std::vector<std::uint8_t> codes;  ///< [keys]
    std::vector<std::uint8_t> ups;    ///< [blocks of keys that the range touches]
    std::int64_t sum = 0;             ///< of exponentials, power_bits behind the binary point
    int coarsest = 0;                 ///< the smallest shift

    void exponentiate(std::size_t first_key) {
        first = first_key;
        const std::size_t n = scores.size();
        std::int64_t largest = std::numeric_limits<std::int64_t>::min();
        coarsest = most_shift;
        for (std::size_t j = 0; j < n; ++j) {
            largest = std::max(largest, scores[j]);
            coarsest = std::min(coarsest, int{shifts[j]});
        }
        sum = 0;
        codes.resize(n);
        ups.clear();
        std::int64_t powers[keys_per_block];
        for_pieces(first, first + n, {keys_per_block}, [&](std::size_t begin, std::size_t end) {
            std::int64_t most = 0;
            for (std::size_t j = begin; j < end; ++j) {
                const std::int64_t power = negative_power(largest - scores[j - first]);
                sum += power;
                // The value's shift beyond the coarsest one becomes a part of its weight.
                powers[j - begin] = shift_right(power, shifts[j - first] - coarsest);
                most = std::max(most, powers[j - begin]);
            }
            int up = std::max(0, bit_length(static_cast<std::uint64_t>(most)) - 7);
            up += shift_right(most, up) > 127 ? 1 : 0;
            ups.push_back(static_cast<std::uint8_t>(up));
            for (std::size_t j = begin; j < end; ++j) {
                codes[j - first] = static_cast<std::uint8_t>(shift_right(powers[j - begin], up));
            }
        });
    }

    [[nodiscard]] KeyWeight weight(std::size_t key) const {
        return {codes[key - first], ups[key / keys_per_block - first / keys_per_block]};
    }

    /// Divides sums of weights times values by the sum of the exponentials; returns the exponent of
    /// what it writes.
    [[nodiscard]] int divide(std::span<const std::int64_t> mixed, std::int64_t* to) const {
        if (sum == 0) {  // no key
            std::fill_n(to, mixed.size(), 0);
            return 0;
        }
        const int bits = bit_length(static_cast<std::uint64_t>(sum));
        const int sum_down = std::max(0, bits - 31);
        const std::int64_t inverse = (std::int64_t{1} << 62) / (sum >> sum_down);
        // |mixed| < sum * 2^7 * (1 + rounding) < 2^(bits + 8)
        const int mixed_down = std::max(0, bits + 8 - 29);
        // inverse <= 2^(62 - (bits - 1)), mixed < 2^(bits + 8): too long unless one gives way.
        const int inverse_down = std::max(0, bit_length(static_cast<std::uint64_t>(inverse)) - 32);
        for (std::size_t c = 0; c < mixed.size(); ++c) {
            to[c] = shift_right(mixed[c], mixed_down) * (inverse >> inverse_down);
        }
        return coarsest + 62 - inverse_down + sum_down - mixed_down;
    }
};

}  // namespace lathe::kernels::fixed_point
