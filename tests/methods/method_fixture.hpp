#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"
#include "methods/method.hpp"
#include "tests/support/correlated_data.hpp"

namespace lathe {

/// A unit of linear layers that share an input, with its statistics.
struct LinearUnit {
    std::size_t d;
    std::vector<std::vector<float>> weights;
    std::vector<float> gram;

    /// That of some tokens' inputs, as calibration stores it.
    static std::vector<float> gram_of(const std::vector<float>& inputs, std::size_t d) {
        const std::vector<double> exact = test_data::gram_of(inputs, inputs.size() / d, d);
        return {exact.begin(), exact.end()};
    }

    /// Layers with the given numbers of outputs.
    LinearUnit(std::size_t d_, const std::vector<std::size_t>& outputs)
        : d(d_),
          gram(gram_of(
              test_data::correlated_inputs(test_data::Family::autoregressive, 3 * d, d, 51), d)) {
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            weights.push_back(test_data::layer_weights(outputs[i], d, 60 + i));
        }
    }

    [[nodiscard]] std::vector<UnitTensor> tensors(DType source_dtype = DType::f32) const {
        std::vector<UnitTensor> result;
        for (const auto& w : weights) {
            const std::size_t rows = w.size() / d;
            result.push_back({{w.data(), rows, d}, {rows, d}, source_dtype});
        }
        return result;
    }
    [[nodiscard]] UnitStatistics statistics() const { return {{gram.data(), d, d}, {}}; }

    /// tr(dW G dW^T) of what the solution decodes to, in fp64.
    [[nodiscard]] double direct_error(const UnitSolution& solution) const {
        double error = 0.0;
        for (std::size_t t = 0; t < weights.size(); ++t) {
            std::vector<float> values(weights[t].size());
            decode(solution.tensors[t], {values.data(), values.size() / d, d});
            for (std::size_t begin = 0; begin < values.size(); begin += d) {
                for (std::size_t i = 0; i < d; ++i) {
                    for (std::size_t j = 0; j < d; ++j) {
                        error += (double{weights[t][begin + i]} - double{values[begin + i]}) *
                                 gram[i * d + j] *
                                 (double{weights[t][begin + j]} - double{values[begin + j]});
                    }
                }
            }
        }
        return error;
    }
};

/// The cpu backend, or that which the environment variable LATHE_TEST_BACKEND names.
class SomeBackend {
public:
    explicit SomeBackend(std::size_t n_threads)
        : pool_(n_threads), backend_(kernels::make_backend(kind(), pool_)) {}
    [[nodiscard]] const kernels::Backend& get() const { return *backend_; }

private:
    static kernels::BackendKind kind() {
        const char* name = std::getenv("LATHE_TEST_BACKEND");
        return kernels::backend_from_name(name == nullptr ? "cpu" : name);
    }

    ThreadPool pool_;
    std::unique_ptr<kernels::Backend> backend_;
};

/// An entry of `candidates`: method and {key, values} pairs.
inline CandidateEntry entry(
    const std::string& method,
    const std::vector<std::pair<std::string, std::vector<std::string>>>& keys) {
    CandidateEntry result{method, {}, {"job.yaml:7:5"}};
    for (const auto& [name, values] : keys) {
        result.keys.push_back({name, values, {"job.yaml:8:9"}});
    }
    return result;
}

/// The only setting of an entry.
inline Setting setting(const std::string& method,
                       const std::vector<std::pair<std::string, std::vector<std::string>>>& keys) {
    return find_method(method, "").expand(entry(method, keys)).at(0);
}

}  // namespace lathe
