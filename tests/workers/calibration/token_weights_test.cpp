#include "workers/calibration/token_weights.hpp"

#include <filesystem>
#include <numeric>

#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"
#include "workers/calibration/gradient_walk.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

const fs::path models = fs::path(LATHE_SOURCE_DIR) / "tests/data/parity";

std::vector<std::string> all_models() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(models)) {
        if (entry.is_directory()) {
            names.push_back(entry.path().filename());
        }
    }
    std::ranges::sort(names);
    return names;
}

double sum_of(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

class TokenSquaresOf : public ::testing::TestWithParam<std::string> {};

// The squares of the derivatives by a unit's outputs, added up over tokens here and over outputs
// there. That the latter agree with torch is what Backward.SquaresAgreeWithTorch says.
TEST_P(TokenSquaresOf, HoldWhatTheOutputsHold) {
    const auto source = SourceModel::open(models / GetParam(), {});
    const ModelSpec& spec = source->spec;
    const SourceWeights weights(*source);
    ThreadPool pool(2);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const auto gradients = kernels::make_gradients(kernels::BackendKind::cpu, pool);
    const TokenSequences samples =
        read_token_rows(models / GetParam() / "reference.h5", spec.vocab_size);
    const LossGradient loss = drawn_labels(*gradients, 7, 0);
    const OutputSquares of_outputs =
        output_squares(spec, weights, *backend, *gradients, samples, loss);
    const TokenSquares of_tokens =
        token_squares(spec, weights, *backend, *gradients, samples, loss);

    std::map<std::pair<std::optional<std::size_t>, Signal>, std::pair<double, double>> expected;
    for (const UnitSpec& unit : spec.units) {
        if (unit.input == Signal::token_ids) {
            continue;
        }
        auto& [squares, n_outputs] = expected[{unit.block, unit.input}];
        for (const std::size_t t : unit.tensors) {
            // Of a tied embedding those of the head come first.
            const auto rows = static_cast<double>(spec.tensors[t].shape.at(0));
            squares += sum_of(std::span(of_outputs[t]).first(spec.tensors[t].shape.at(0)));
            n_outputs += rows;
        }
    }
    ASSERT_FALSE(expected.empty());
    for (const auto& [place, sums] : expected) {
        const std::vector<float>& found = of_tokens.at(place.first).at(place.second);
        const double total = std::accumulate(found.begin(), found.end(), 0.0);
        EXPECT_NEAR(total * sums.second / sums.first, 1.0, 1e-5)
            << GetParam() << ", " << name(place.second);
        EXPECT_GT(sums.first, 0.0);
        if (place.first) {
            EXPECT_EQ(found.size(), samples.tokens());
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, TokenSquaresOf, ::testing::ValuesIn(all_models()),
                         [](const auto& test) {
                             std::string name = test.param;
                             std::ranges::replace_if(
                                 name, [](char c) { return std::isalnum(c) == 0; }, '_');
                             return name;
                         });

}  // namespace
}  // namespace lathe
