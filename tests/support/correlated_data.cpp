#include "tests/support/correlated_data.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace lathe::test_data {
namespace {

std::vector<std::size_t> random_permutation(std::size_t n, NormalSource& random) {
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = n; i > 1; --i) {
        const auto j = static_cast<std::size_t>(random.uniform() * static_cast<double>(i));
        std::swap(order[i - 1], order[std::min(j, i - 1)]);
    }
    return order;
}

/// A token of the autoregressive family: each channel is 0.9 of the one before plus noise.
void autoregressive_token(std::vector<double>& token, const std::vector<std::size_t>& order,
                          NormalSource& random) {
    double value = random.normal();
    for (const std::size_t channel : order) {
        token[channel] = value;
        value = 0.9 * value + std::sqrt(1.0 - 0.81) * random.normal();
    }
}

/// Loadings [n_factors, d] of the low-rank family; together the factors give a channel power 1.
std::vector<double> factor_loadings(std::size_t n_factors, std::size_t d, NormalSource& random) {
    double total = 0.0;
    for (std::size_t k = 1; k <= n_factors; ++k) {
        total += std::pow(k, -0.5);
    }
    std::vector<double> loadings(n_factors * d);
    for (std::size_t k = 0; k < n_factors; ++k) {
        const double scale = std::sqrt(std::pow(static_cast<double>(k + 1), -0.5) / total);
        for (std::size_t j = 0; j < d; ++j) {
            loadings[k * d + j] = scale * random.normal();
        }
    }
    return loadings;
}

void low_rank_token(std::vector<double>& token, const std::vector<double>& loadings,
                    NormalSource& random) {
    const std::size_t d = token.size();
    for (double& value : token) {
        value = 0.3 * random.normal();
    }
    for (std::size_t k = 0; k < loadings.size() / d; ++k) {
        const double factor = random.normal();
        for (std::size_t j = 0; j < d; ++j) {
            token[j] += factor * loadings[k * d + j];
        }
    }
}

std::vector<double> channel_scales(std::size_t d, NormalSource& random) {
    std::vector<double> scales(d);
    for (double& scale : scales) {
        scale = std::exp(0.5 * random.normal());
    }
    const std::vector<std::size_t> order = random_permutation(d, random);
    for (std::size_t i = 0; i < std::max<std::size_t>(1, d / 100); ++i) {
        scales[order[i]] *= 10.0;
    }
    return scales;
}

/// sum over rows of v gram v^T
double quadratic_form(const std::vector<double>& v, const std::vector<double>& gram,
                      std::size_t d) {
    double sum = 0.0;
    for (std::size_t r = 0; r < v.size() / d; ++r) {
        for (std::size_t i = 0; i < d; ++i) {
            const double left = v[r * d + i];
            for (std::size_t j = 0; j < d; ++j) {
                sum += left * gram[i * d + j] * v[r * d + j];
            }
        }
    }
    return sum;
}

}  // namespace

std::uint64_t NormalSource::next() {  // splitmix64 (Steele, Lea, Flood 2014)
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

double NormalSource::uniform() {
    return (static_cast<double>(next() >> 12) + 0.5) * 0x1p-52;
}

double NormalSource::normal() {  // Box and Muller, one of the pair
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::vector<float> correlated_inputs(Family family, std::size_t n_tokens, std::size_t d,
                                     std::uint64_t seed) {
    NormalSource random(seed);
    const std::vector<std::size_t> order = random_permutation(d, random);
    const std::vector<double> loadings =
        factor_loadings(std::max<std::size_t>(1, d / 8), d, random);
    const std::vector<double> scales = channel_scales(d, random);
    std::vector<float> inputs(n_tokens * d);
    std::vector<double> token(d);
    for (std::size_t t = 0; t < n_tokens; ++t) {
        if (family == Family::autoregressive) {
            autoregressive_token(token, order, random);
        } else {
            low_rank_token(token, loadings, random);
        }
        for (std::size_t j = 0; j < d; ++j) {
            inputs[t * d + j] = static_cast<float>(token[j] * scales[j]);
        }
    }
    return inputs;
}

std::vector<float> layer_weights(std::size_t rows, std::size_t d, std::uint64_t seed) {
    NormalSource random(seed);
    std::vector<float> weights(rows * d);
    for (std::size_t r = 0; r < rows; ++r) {
        const double scale = std::exp(0.3 * random.normal()) / std::sqrt(static_cast<double>(d));
        for (std::size_t j = 0; j < d; ++j) {
            weights[r * d + j] = static_cast<float>(scale * random.normal());
        }
    }
    return weights;
}

std::vector<double> gram_of(const std::vector<float>& inputs, std::size_t n_tokens, std::size_t d) {
    std::vector<double> gram(d * d, 0.0);
    for (std::size_t t = 0; t < n_tokens; ++t) {
        const float* x = &inputs[t * d];
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t j = i; j < d; ++j) {
                gram[i * d + j] += static_cast<double>(x[i]) * static_cast<double>(x[j]);
            }
        }
    }
    for (std::size_t i = 0; i < d; ++i) {
        for (std::size_t j = i; j < d; ++j) {
            gram[i * d + j] /= static_cast<double>(n_tokens);
            gram[j * d + i] = gram[i * d + j];
        }
    }
    return gram;
}

double relative_error(const std::vector<float>& w, const std::vector<float>& v,
                      const std::vector<double>& gram, std::size_t d) {
    std::vector<double> difference(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) {
        difference[i] = static_cast<double>(w[i]) - static_cast<double>(v[i]);
    }
    return quadratic_form(difference, gram, d) /
           quadratic_form(std::vector<double>(w.begin(), w.end()), gram, d);
}

}  // namespace lathe::test_data
