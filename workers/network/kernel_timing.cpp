#include "workers/network/kernel_timing.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "lib/core/random.hpp"
#include "workers/network/linear.hpp"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

/// More copies than this leave no cache warm on any machine.
constexpr std::size_t most_bytes = std::size_t{128} << 20;
constexpr double least_seconds = 0.02;  ///< of all rounds
constexpr std::size_t least_rounds = 5;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::size_t copies_that_fit(std::size_t copies, std::size_t bytes) {
    return std::clamp<std::size_t>(most_bytes / std::max<std::size_t>(bytes, 1), 1, copies);
}

/// The least mean time of a round of `run(copy)` over all copies; `settle` waits for the backend.
template <class Run, class Settle>
double least_time(std::size_t copies, const Run& run, const Settle& settle) {
    double least = std::numeric_limits<double>::infinity();
    double total = 0.0;
    // The first round warms up.
    for (std::size_t round = 0; round <= least_rounds || total < least_seconds; ++round) {
        const Clock::time_point start = Clock::now();
        for (std::size_t copy = 0; copy < copies; ++copy) {
            run(copy);
        }
        settle();
        if (round > 0) {
            const double seconds = seconds_since(start);
            total += seconds;
            least = std::min(least, seconds / static_cast<double>(copies));
        }
    }
    return least;
}

}  // namespace

double time_product(const EncodedTensor& weight, std::size_t tokens, std::size_t copies,
                    const kernels::Backend& backend) {
    const auto extents = matrix_extents(weight.shape);
    const std::size_t rows = extents.first;
    const std::size_t cols = extents.second;
    std::vector<float> numbers(tokens * cols);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] = static_cast<float>(random_unit(0, i) - 0.5);
    }
    const auto x_memory = backend.allocate<float>(tokens * cols);
    const auto y_memory = backend.allocate<float>(tokens * rows);
    const MatrixView<float> x = x_memory.matrix(tokens, cols);
    const MatrixView<float> y = y_memory.matrix(tokens, rows);
    backend.copy<float>({numbers.data(), tokens, cols}, x);
    const auto settle = [&] { (void)backend.to_host(MatrixView<float>{y.data, 1, 1, y.stride}); };

    std::vector<LoadedWeight> weights;
    weights.push_back(load_stored(weight, LookupTables::fp32, backend));
    while (weights.size() < copies_that_fit(copies, weights.front().size_bytes())) {
        weights.push_back(load_stored(weight, LookupTables::fp32, backend));
    }
    return least_time(
        weights.size(),
        [&](std::size_t copy) {
            const LinearLayer layer{weights[copy].view(), {}, y};
            multiply_all(backend, false, x, {&layer, 1});
        },
        settle);
}

}  // namespace lathe
