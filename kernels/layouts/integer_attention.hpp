#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
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

    /// Scores of keys for a query of head h at `query`, in logarithms to the base 2, exponent_bits
    /// behind the binary point: of the products q . k, whose exponents are the shifts of both.
    void write(std::size_t h, std::size_t query, int query_shift, KeyRange keys,
               const std::int32_t* products, const std::int32_t* key_shifts,
               std::int64_t* scores) const {
        const int most_up = exponent_bits - factor_.exponent - query_shift;
        const std::int64_t slope = slopes_.empty() ? 0 : slopes_[h];
        const auto factor = static_cast<std::int32_t>(factor_.mantissa);
        for (std::size_t j = keys.begin; j < keys.end; ++j) {
            // |product * factor| < 2^39, so 21 bits to the left fit; a score of 2^44 is beyond use.
            const std::int64_t up = std::min(most_up - key_shifts[j], 21);
            const std::int64_t product = std::int64_t{products[j]} * factor;
            const std::int64_t left = product << std::max<std::int64_t>(up, 0);
            const std::int64_t right = round_right(product, std::clamp<std::int64_t>(-up, 1, 62));
            scores[j - keys.begin] =
                (up >= 0 ? left : right) +
                slope * (static_cast<std::int64_t>(j) - static_cast<std::int64_t>(query));
        }
    }

private:
    Number factor_;
    std::vector<std::int64_t> slopes_;
};

/// The softmax of one query over the keys that it sees: what each counts, as code * 2^up, where
/// keys_per_block keys have one `up`; the shift of a key's value is a part of that.
template <class Loops = PlainLoops>
class SoftmaxRow {
public:
    explicit SoftmaxRow(std::size_t most_keys)
        : scores(most_keys),
          codes(most_keys),
          powers_(most_keys),
          wholes_(most_keys),
          ups_(most_keys / keys_per_block + 2) {}

    std::vector<std::int64_t> scores;  ///< [keys that are seen], by ScoreScale
    std::vector<std::int8_t> codes;    ///< likewise: 0 .. 127

    /// Makes codes of the scores. value_shifts [keys of the sequence]
    void exponentiate(KeyRange keys, const std::int32_t* value_shifts) {
        keys_ = keys;
        sum_ = 0;
        most_up_ = 0;
        const std::size_t n = keys.end - keys.begin;
        std::int64_t largest = n == 0 ? 0 : scores[0];
        int coarsest = most_shift;
        for (std::size_t j = 0; j < n; ++j) {
            largest = std::max(largest, scores[j]);
        }
        for (std::size_t j = 0; j < n; ++j) {
            coarsest = std::min(coarsest, value_shifts[keys.begin + j]);
        }
        coarsest_ = coarsest;
        const std::int64_t* from = scores.data();
        std::int32_t* powers = powers_.data();
        for (std::size_t j = 0; j < n; ++j) {
            powers[j] = static_cast<std::int32_t>(
                std::min<std::int64_t>(largest - from[j], largest_exponent));
        }
        negative_powers<Loops>(powers, wholes_.data(), n);
        for_pieces(keys.begin, keys.end, {keys_per_block}, [&](std::size_t begin, std::size_t end) {
            const int up = write_codes(begin, end, value_shifts);
            ups_[begin / keys_per_block - keys.begin / keys_per_block] = up;
            most_up_ = std::max(most_up_, up);
        });
    }

    /// How sums of products of codes and values are aligned: aligned(sum of a block of keys,
    /// bits(), down(key)). bits() is at most 10, down(key) that of the block in which the key lies.
    [[nodiscard]] int bits() const {
        return sum_bits(std::max(keys_.end - keys_.begin, keys_per_block));
    }
    [[nodiscard]] int down(std::size_t key) const {
        return most_up_ - ups_[key / keys_per_block - keys_.begin / keys_per_block];
    }

    /// Divides such sums by the sum of the exponentials; returns the exponent of what it writes.
    int divide(const std::int32_t* mixed, std::size_t n, std::int64_t* to) const {
        if (sum_ == 0) {  // no key
            std::fill_n(to, n, 0);
            return 0;
        }
        const int sum_down = std::max(0, bit_length(static_cast<std::uint64_t>(sum_)) - 31);
        const std::int64_t inverse = (std::int64_t{1} << 62) / (sum_ >> sum_down);
        // 30 bits, so that products with sums of 32 fit.
        const int inverse_down = std::max(0, bit_length(static_cast<std::uint64_t>(inverse)) - 30);
        const std::int64_t factor = inverse >> inverse_down;
        for (std::size_t c = 0; c < n; ++c) {
            to[c] = mixed[c] * factor;
        }
        return coarsest_ + 62 - inverse_down + sum_down + bits() - most_up_;
    }

private:
    /// Of one block; returns its `up`.
    int write_codes(std::size_t begin, std::size_t end, const std::int32_t* value_shifts) {
        std::int32_t* powers = powers_.data() + (begin - keys_.begin);
        std::int8_t* to = codes.data() + (begin - keys_.begin);
        const std::size_t n = end - begin;
        const std::int32_t* shifts = value_shifts + begin;
        const int coarsest = coarsest_;
        std::int32_t most = 0;
        std::int32_t sum = 0;  // of at most keys_per_block numbers up to 2^power_bits
        for (std::size_t j = 0; j < n; ++j) {
            sum += powers[j];
            const int down = std::min(shifts[j] - coarsest, 30);
            powers[j] = down == 0 ? powers[j] : round_right(powers[j], std::max(down, 1));
            most = std::max(most, powers[j]);
        }
        sum_ += sum;
        int up = std::max(0, bit_length(static_cast<std::uint64_t>(most)) - 7);
        up += shift_right(most, up) > 127 ? 1 : 0;
        for (std::size_t j = 0; j < n; ++j) {
            to[j] = static_cast<std::int8_t>(up == 0 ? powers[j] : round_right(powers[j], up));
        }
        return up;
    }

    std::vector<std::int32_t> powers_;  ///< exponentials, power_bits behind the binary point
    std::vector<std::int32_t> wholes_;
    std::vector<int> ups_;  ///< [blocks of keys that are touched]
    KeyRange keys_{};
    std::int64_t sum_ = 0;  ///< of the exponentials
    int most_up_ = 0;
    int coarsest_ = 0;  ///< the smallest shift of a value
};

}  // namespace lathe::kernels::fixed_point
