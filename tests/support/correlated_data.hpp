#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

/// Synthetic layers whose inputs are correlated and have outlier channels, as those of transformers
/// do. On uncorrelated inputs error feedback has nothing to gain, so tests of it need these.
/// The numbers are the same on every machine (own generator, no library distributions).
namespace lathe::test_data {

enum class Family {
    autoregressive,  ///< covariance 0.9^|i-j|, columns randomly permuted
    low_rank,        ///< d/8 factors with power k^-0.5, plus 0.3 of white noise
};

/// Standard normal numbers from a 64-bit seed.
class NormalSource {
public:
    explicit NormalSource(std::uint64_t seed) : state_(seed) {}
    [[nodiscard]] double uniform();  ///< in (0, 1)
    [[nodiscard]] double normal();

private:
    [[nodiscard]] std::uint64_t next();
    std::uint64_t state_;
};

/// Inputs [n_tokens, d], row-major. Every channel is multiplied by exp(0.5 N(0,1)), and 1 % of the
/// channels (at least one) by another 10.
[[nodiscard]] std::vector<float> correlated_inputs(Family family, std::size_t n_tokens,
                                                   std::size_t d, std::uint64_t seed);

/// Weights [rows, d]: N(0,1) / sqrt(d), times exp(0.3 N(0,1)) for each row.
[[nodiscard]] std::vector<float> layer_weights(std::size_t rows, std::size_t d, std::uint64_t seed);

/// x^T x / n_tokens in fp64, [d, d], both triangles.
[[nodiscard]] std::vector<double> gram_of(const std::vector<float>& inputs, std::size_t n_tokens,
                                          std::size_t d);

/// tr((w - v) gram (w - v)^T) / tr(w gram w^T) in fp64, for w and v [rows, d].
[[nodiscard]] double relative_error(const std::vector<float>& w, const std::vector<float>& v,
                                    const std::vector<double>& gram, std::size_t d);

}  // namespace lathe::test_data
