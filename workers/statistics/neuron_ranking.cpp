#include "workers/statistics/neuron_ranking.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

#include "lib/core/json.hpp"
#include "lib/core/random.hpp"
#include "workers/statistics/neuron_removal.hpp"
#include "workers/statistics/signal_statistics.hpp"

namespace lathe {
namespace {

const std::vector<double>& scores_of(const NeuronStatistics& statistics,
                                     FfsplitConfig::Score score) {
    switch (score) {
        case FfsplitConfig::Score::mean:
            return statistics.mean;
        case FfsplitConfig::Score::frequency:
            return statistics.frequency;
        default:
            return statistics.second_moment;
    }
}

std::vector<double> random_scores(std::uint64_t seed, std::size_t count) {
    std::vector<double> scores(count);
    for (std::size_t i = 0; i < count; ++i) {
        scores[i] = random_unit(seed, i);
    }
    return scores;
}

/// removal_order() of a block, by the statistics in a file.
NeuronOrder removed_in_turn(const JobContext& context, std::size_t block,
                            const std::filesystem::path& file) {
    constexpr std::array roles{Role::down_proj};
    const LoadedWeights weights = LoadedWeights::load(
        context.spec(), SourceWeights(*context.source), context.backend(), block, roles);
    const MatrixView<const float> down = weights.table(Role::down_proj);
    const std::vector<float> host = context.backend().to_host(down);
    const SignalStatistics statistics = read_statistics(file, Signal::mlp_hidden);
    return removal_order({statistics.gram.data(), statistics.width, statistics.width},
                         {host.data(), down.rows, down.cols}, context.backend());
}

}  // namespace

std::vector<float> output_norms(const LoadedWeights& weights, const kernels::Backend& backend) {
    if (!weights.has(Role::down_proj)) {
        return {};
    }
    const MatrixView<const float> down = weights.table(Role::down_proj);
    const std::vector<float> host = backend.to_host(down);
    std::vector<double> squares(down.cols, 0.0);
    for (std::size_t i = 0; i < host.size(); ++i) {
        squares[i % down.cols] += double{host[i]} * host[i];
    }
    std::vector<float> norms(down.cols);
    std::ranges::transform(squares, norms.begin(),
                           [](double square) { return static_cast<float>(std::sqrt(square)); });
    return norms;
}

NeuronOrder rank_neurons(const NeuronStatistics& statistics, FfsplitConfig::Score score,
                         std::uint64_t seed) {
    const std::size_t count = statistics.second_moment.size();
    const std::vector<double> scores = score == FfsplitConfig::Score::random
                                           ? random_scores(seed, count)
                                           : scores_of(statistics, score);
    NeuronOrder order(count);
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](std::uint32_t neuron) { return scores[neuron]; });
    return order;
}

void write_neuron_values(ArtifactWriter& file, const std::string& group,
                         const NeuronStatistics& statistics) {
    const auto write = [&](const char* name, const std::vector<double>& values) {
        file.dataset(group + "/" + name, DType::f64, {values.size()},
                     reinterpret_cast<const std::byte*>(values.data()));
    };
    write("second_moment", statistics.second_moment);
    write("mean", statistics.mean);
    write("frequency", statistics.frequency);
}

NeuronStatistics read_neuron_values(const std::filesystem::path& file, const std::string& group) {
    const ArtifactReader reader(file);
    const auto read = [&](const std::string& name) {
        const std::string path = group + "/" + name;
        std::vector<double> values(element_count(reader.info(path).shape));
        reader.read_into(path, reinterpret_cast<std::byte*>(values.data()),
                         values.size() * sizeof(double));
        return values;
    };
    return {read("second_moment"), read("mean"), read("frequency")};
}

void run_neuron_ranking(const JobContext& context, const NeuronTask& task) {
    const std::string place = block_name(task.block);
    const std::filesystem::path measured = context.run.statistics(place, task.sweep);
    const NeuronStatistics statistics =
        read_neuron_values(measured, "/" + std::string(name(Signal::mlp_hidden)));
    const FfsplitConfig settings = context.job.ffsplit.value_or(FfsplitConfig{});
    const NeuronOrder order =
        settings.score == FfsplitConfig::Score::removal
            ? removed_in_turn(context, task.block, measured)
            : rank_neurons(statistics, settings.score, random_word(context.job.seed, task.block));
    ArtifactWriter file(context.run.neurons(place));
    file.group("/", {{"fingerprint", task.fingerprint}});
    file.dataset("/order", DType::u32, {order.size()},
                 reinterpret_cast<const std::byte*>(order.data()));
    write_neuron_values(file, "", statistics);
    file.commit();
}

std::string to_json(const NeuronTask& task) {
    return nlohmann::json{
        {"block", task.block}, {"sweep", task.sweep}, {"fingerprint", task.fingerprint}}
        .dump();
}

NeuronTask neuron_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"), json.at("sweep"), json.at("fingerprint")};
}

}  // namespace lathe
