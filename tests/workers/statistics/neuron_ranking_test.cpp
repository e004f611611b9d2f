// Which neurons are heavy: by hand, and on small models against a direct computation.
#include "workers/statistics/neuron_ranking.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"
#include "tests/workers/job/job_fixture.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/network/forward.hpp"
#include "workers/statistics/signal_statistics.hpp"

namespace lathe {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::Pointwise;

using Score = FfsplitConfig::Score;

class TemporaryFile {
public:
    TemporaryFile()
        : path_(std::filesystem::temp_directory_path() /
                ("lathe_neurons_" + std::to_string(::getpid()) + ".h5")) {}
    ~TemporaryFile() { std::filesystem::remove(path_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

NeuronStatistics stored(const StatisticsCollector& collector) {
    const TemporaryFile file;
    collector.write(file.path(), "");
    return read_neuron_values(file.path(), "/mlp_hidden");
}

/// Three tokens, three neurons whose columns of down have lengths 1, 2, 4: contributions [2, 2, 4],
/// [0, 6, 0], [1, 0, 0]; one is heavy at each token.
class ThreeNeurons : public ::testing::Test {
protected:
    std::vector<float> x = {-2, 1, 1, 0, 3, 0, 1, 0, 0};
    ThreadPool pool{1};
    std::unique_ptr<kernels::Backend> backend =
        kernels::make_backend(kernels::BackendKind::reference, pool);

    [[nodiscard]] StatisticsCollector collector() const {
        return {*backend, std::nullopt, true, {1, 2, 4}};
    }
    [[nodiscard]] MatrixView<const float> tokens(std::size_t first, std::size_t count) const {
        return {x.data() + 3 * first, count, 3};
    }
};

TEST_F(ThreeNeurons, AreMeasuredByWhatTheyAddToTheOutput) {
    StatisticsCollector all = collector();
    all.add(Signal::mlp_hidden, tokens(0, 3));
    const NeuronStatistics found = stored(all);
    EXPECT_THAT(found.second_moment, ElementsAre(5.0 / 3, 40.0 / 3, 16.0 / 3));
    EXPECT_THAT(found.mean, ElementsAre(1.0, 8.0 / 3, 4.0 / 3));
    EXPECT_THAT(found.frequency, ElementsAre(1.0 / 3, 1.0 / 3, 1.0 / 3));
}

TEST_F(ThreeNeurons, SumsOfPartsAreThoseOfTheWhole) {
    StatisticsCollector all = collector();
    all.add(Signal::mlp_hidden, tokens(0, 3));
    StatisticsCollector sum = collector();
    for (const auto& [first, count] : {std::pair(0, 1), std::pair(1, 2)}) {
        StatisticsCollector part = collector();
        part.add(Signal::mlp_hidden, tokens(first, count));
        part.add(Signal::mlp_in, tokens(first, count));  // no neurons there
        add_sums(sum, part);
    }
    EXPECT_EQ(stored(sum).second_moment, stored(all).second_moment);
    EXPECT_EQ(stored(sum).mean, stored(all).mean);
    EXPECT_EQ(stored(sum).frequency, stored(all).frequency);
}

TEST(RankNeurons, ByFallingScoreAndThenByIndex) {
    const NeuronStatistics statistics{{1, 3, 3, 2}, {4, 1, 2, 3}, {0.5, 0.5, 0, 1}};
    EXPECT_THAT(rank_neurons(statistics, Score::second_moment, 0), ElementsAre(1, 2, 3, 0));
    EXPECT_THAT(rank_neurons(statistics, Score::mean, 0), ElementsAre(0, 3, 2, 1));
    EXPECT_THAT(rank_neurons(statistics, Score::frequency, 0), ElementsAre(3, 0, 1, 2));
}

TEST(RankNeurons, AtRandomFromTheSeed) {
    const std::vector<double> equal(100, 1.0);
    const NeuronStatistics statistics{equal, equal, equal};
    const NeuronOrder order = rank_neurons(statistics, Score::random, 1);
    EXPECT_EQ(rank_neurons(statistics, Score::random, 1), order);
    EXPECT_NE(rank_neurons(statistics, Score::random, 2), order);
    NeuronOrder sorted = order;
    std::ranges::sort(sorted);
    EXPECT_EQ(sorted, rank_neurons(statistics, Score::mean, 1));
}

TEST(HeavyNeurons, AreATwentiethRoundedUp) {
    EXPECT_EQ(n_heavy(1), 1U);
    EXPECT_EQ(n_heavy(20), 1U);
    EXPECT_EQ(n_heavy(21), 2U);
    EXPECT_EQ(n_heavy(11008), 551U);
}

class OrderedJob : public ::testing::TestWithParam<const char*> {
protected:
    OrderedJob() : job(GetParam(), CalibrationConfig::Precision::fp32, FfsplitConfig{}) {
        job.prepare();
    }
    /// The activations of the neurons of block 0 on all calibration tokens.
    [[nodiscard]] std::vector<float> activations(const JobContext& context) const {
        const ModelSpec& spec = context.spec();
        const TokenSequences& samples = job.samples().calibration;
        ForwardPass forward(spec, context.backend(), samples.max_length());
        const SourceWeights source(*context.source);
        std::vector<float> hidden(samples.ids.size() * spec.hidden_size);
        const MatrixView<float> x(hidden.data(), samples.ids.size(), spec.hidden_size);
        forward.embed(LoadedWeights::load(spec, source, context.backend(), std::nullopt,
                                          ForwardPass::embedding_roles()),
                      samples, x);
        std::vector<float> found;
        forward.block(LoadedWeights::load(spec, source, context.backend(), 0), samples, x,
                      [&](Signal signal, auto input) {
                          if (signal == Signal::mlp_hidden) {
                              found = context.backend().to_host(input);
                          }
                      });
        return found;
    }
    SmallJob job;
};

TEST_P(OrderedJob, HasTheHeaviestFirst) {
    const std::vector<float> x = activations(job.compressed());
    const std::size_t n = job.context().spec().intermediate_size;
    const std::size_t tokens = x.size() / n;
    const LoadedWeights weights =
        LoadedWeights::load(job.compressed().spec(), SourceWeights(*job.compressed().source),
                            job.compressed().backend(), 0);
    const std::vector<float> norms = output_norms(weights, job.compressed().backend());
    std::vector<double> energy(n, 0.0);
    std::vector<double> heavy(n, 0.0);
    for (std::size_t t = 0; t < tokens; ++t) {
        std::vector<std::pair<double, std::size_t>> sizes;
        for (std::size_t i = 0; i < n; ++i) {
            const double size = std::abs(double{x[t * n + i]}) * norms[i];
            energy[i] += size * size / static_cast<double>(tokens);
            sizes.emplace_back(size, i);
        }
        std::ranges::sort(sizes, std::greater<>());
        for (std::size_t k = 0; k < n_heavy(n); ++k) {
            heavy[sizes[k].second] += 1.0 / static_cast<double>(tokens);
        }
    }
    for (std::size_t i = 1; i < n; ++i) {
        EXPECT_LE(energy[i], energy[i - 1] * (1.0 + 1e-5)) << i;
    }
    // The same numbers as stored, which are in the given model's order.
    const std::filesystem::path file = job.context().run.neurons("block_0000");
    const NeuronStatistics found = read_neuron_values(file, "");
    const NeuronOrder& order = job.compressed().source->neuron_orders.at(0);
    for (std::size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(found.second_moment[order[i]], energy[i], 1e-5 * energy[0]) << i;
        EXPECT_NEAR(found.frequency[order[i]], heavy[i], 1.5 / static_cast<double>(tokens)) << i;
    }
}

TEST_P(OrderedJob, CandidatesOfDownAreMadeWithTheGramMatrixInThatOrder) {
    const JobContext& context = job.compressed();
    const std::vector<float> x = activations(context);
    const std::size_t n = context.spec().intermediate_size;
    const auto unit = static_cast<std::size_t>(
        std::ranges::find(context.spec().units, "block_0000.down", &UnitSpec::name) -
        context.spec().units.begin());
    const std::size_t tensor = context.spec().units.at(unit).tensors.at(0);
    const std::size_t rows = context.spec().tensors[tensor].shape[0];
    std::vector<float> weight(rows * n);
    SourceWeights(*context.source).load(tensor, context.backend(), {weight.data(), rows, n});
    std::vector<float> rounded(rows * n);
    decode(read_candidate_tensor(context, unit, 0, job.rounded()), {rounded.data(), rows, n});
    double error = 0.0;
    for (std::size_t t = 0; t < x.size() / n; ++t) {
        for (std::size_t r = 0; r < rows; ++r) {
            double output = 0.0;
            for (std::size_t j = 0; j < n; ++j) {
                output += (double{rounded[r * n + j]} - weight[r * n + j]) * x[t * n + j];
            }
            error += output * output;
        }
    }
    error /= static_cast<double>(x.size() / n);
    for (const Candidate& candidate :
         read_candidates(context.run.candidates("block_0000.down"), unit)) {
        if (candidate.setting == job.rounded()) {
            EXPECT_NEAR(candidate.error, error, 1e-3 * error);
        }
    }
}

TEST(HeldEnergyOfAJob, IsOfItsScoreAndOfARandomOrderTheSecondMoments) {
    for (const Score score : {Score::second_moment, Score::mean, Score::random}) {
        SmallJob job("llama", CalibrationConfig::Precision::fp32, FfsplitConfig{score});
        job.prepare();
        const NeuronStatistics found =
            read_neuron_values(job.context().run.neurons("block_0001"), "");
        const std::vector<double>& values = score == Score::mean ? found.mean : found.second_moment;
        const SourceModel& model = *job.compressed().source;
        const double first = values[model.neuron_orders.at(1).at(0)];
        const double sum = std::accumulate(values.begin(), values.end(), 0.0);
        EXPECT_NEAR(model.held_energy.at(1).front(), first / sum, 1e-12);
        EXPECT_EQ(model.held_energy.at(1).back(), 1.0);
        EXPECT_TRUE(job.context().source->held_energy.empty());
    }
}

INSTANTIATE_TEST_SUITE_P(Models, OrderedJob, ::testing::Values("llama", "phi3", "gpt2", "bert"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace lathe
