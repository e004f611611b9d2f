#include "workers/statistics/signal_statistics.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include "lib/checkpoint/artifact.hpp"
#include "workers/chain/sample_share.hpp"
#include "workers/statistics/neuron_ranking.hpp"

namespace lathe {

using kernels::Backend;

/// The statistics of one signal.
class StatisticsCollector::Accumulator {
public:
    /// `gives_rotation`: summed for that, and stored in fp64. `output_norms`: of neurons, if these
    /// are what is summed; else empty.
    Accumulator(const Backend& backend, std::size_t width, bool gives_rotation,
                std::vector<float> output_norms)
        : width_(width),
          gives_rotation_(gives_rotation),
          output_norms_(std::move(output_norms)),
          counts_(output_norms_.size()),
          gram_(backend.allocate<double>(width * width)),
          sum_abs_(backend.allocate<double>(width)),
          minimum_(width, std::numeric_limits<float>::infinity()),
          maximum_(width, -std::numeric_limits<float>::infinity()) {}

    void add(const Backend& backend, MatrixView<const float> x) {
        const MatrixView<double> gram = gram_.matrix(width_, width_);
        if (gives_rotation_) {
            backend.accumulate_stream_gram(x, gram);
        } else {
            backend.accumulate_gram(x, gram);
        }
        backend.accumulate_column_statistics(x, {sum_abs_.span(), minimum_, maximum_});
        if (!output_norms_.empty()) {
            backend.count_largest(x, output_norms_, n_heavy(width_), counts_);
        }
        tokens_ += x.rows;
    }

    void write(const Backend& backend, ArtifactWriter& file, Signal signal) const {
        const std::string group = "/" + std::string(name(signal));
        const double scale = 1.0 / static_cast<double>(tokens_);
        const std::vector<double> sum_abs = backend.to_host(sum_abs_.matrix(1, width_));
        const std::vector<double> sums = backend.to_host(gram_.matrix(width_, width_));
        std::vector<float> mean_abs(width_);
        std::ranges::transform(sum_abs, mean_abs.begin(),
                               [&](double sum) { return static_cast<float>(sum * scale); });
        file.group(group, {{"tokens", static_cast<std::int64_t>(tokens_)}});
        const auto write = [&](const std::string& name, const Shape& shape,
                               const std::vector<float>& values) {
            file.dataset(group + "/" + name, DType::f32, shape,
                         reinterpret_cast<const std::byte*>(values.data()));
        };
        if (gives_rotation_) {
            const std::vector<double> gram = full_gram<double>(sums, scale);
            file.dataset(group + "/gram", DType::f64, {width_, width_},
                         reinterpret_cast<const std::byte*>(gram.data()));
        } else {
            write("gram", {width_, width_}, full_gram<float>(sums, scale));
        }
        write("mean_abs", {width_}, mean_abs);
        write("minimum", {width_}, minimum_);
        write("maximum", {width_}, maximum_);
        if (!output_norms_.empty()) {
            write_neurons(file, group, sums, sum_abs);
        }
    }

    [[nodiscard]] std::vector<double> mean_gram(const Backend& backend) const {
        std::vector<double> gram = backend.to_host(gram_.matrix(width_, width_));
        for (double& value : gram) {
            value /= static_cast<double>(tokens_);
        }
        return gram;
    }

    [[nodiscard]] std::size_t width() const { return width_; }

    /// Tokens, Gram matrix, sums of |x|, minimum, maximum; of neurons also their counts.
    void append_values(const Backend& backend, std::vector<double>& values) const {
        values.push_back(static_cast<double>(tokens_));
        for (const auto& sums : {backend.to_host(gram_.matrix(width_, width_)),
                                 backend.to_host(sum_abs_.matrix(1, width_))}) {
            values.insert(values.end(), sums.begin(), sums.end());
        }
        values.insert(values.end(), minimum_.begin(), minimum_.end());
        values.insert(values.end(), maximum_.begin(), maximum_.end());
        values.insert(values.end(), counts_.begin(), counts_.end());
    }
    [[nodiscard]] std::size_t n_values() const {
        return 1 + width_ * (width_ + 3) + counts_.size();
    }

    void add_values(const Backend& backend, std::span<const double> values) {
        tokens_ += static_cast<std::size_t>(values.front());
        values = values.subspan(1);
        for (const MatrixView<double> sums :
             {gram_.matrix(width_, width_), sum_abs_.matrix(1, width_)}) {
            add_values_to(sums, values.first(sums.rows * sums.cols), backend);
            values = values.subspan(sums.rows * sums.cols);
        }
        for (std::size_t i = 0; i < width_; ++i) {
            minimum_[i] = std::min(minimum_[i], static_cast<float>(values[i]));
            maximum_[i] = std::max(maximum_[i], static_cast<float>(values[width_ + i]));
        }
        values = values.subspan(2 * width_);
        std::ranges::transform(counts_, values, counts_.begin(), std::plus<>());
    }

private:
    /// Of what each neuron adds to the layer's output.
    void write_neurons(ArtifactWriter& file, const std::string& group,
                       const std::vector<double>& gram, const std::vector<double>& sum_abs) const {
        const auto tokens = static_cast<double>(tokens_);
        std::vector<double> second_moment(width_);
        std::vector<double> mean(width_);
        std::vector<double> frequency(width_);
        for (std::size_t i = 0; i < width_; ++i) {
            const double norm = output_norms_[i];
            second_moment[i] = norm * norm * gram[i * width_ + i] / tokens;
            mean[i] = norm * sum_abs[i] / tokens;
            frequency[i] = counts_[i] / tokens;
        }
        write_neuron_values(file, group, {second_moment, mean, frequency});
    }

    template <class T>
    [[nodiscard]] std::vector<T> full_gram(const std::vector<double>& sums, double scale) const {
        std::vector<T> gram(width_ * width_);
        // A few columns at a time: what is mirrored lies a row apart and shall stay in the cache.
        constexpr std::size_t step = 32;
        for (std::size_t first = 0; first < width_; first += step) {
            const std::size_t last = std::min(width_, first + step);
            for (std::size_t i = 0; i < last; ++i) {
                for (std::size_t j = std::max(i, first); j < last; ++j) {
                    const auto value = static_cast<T>(sums[i * width_ + j] * scale);
                    gram[i * width_ + j] = value;
                    gram[j * width_ + i] = value;
                }
            }
        }
        return gram;
    }

    std::size_t width_;
    bool gives_rotation_;
    std::vector<float> output_norms_;
    std::vector<double> counts_;  ///< tokens at which a neuron is among the n_heavy()
    std::size_t tokens_ = 0;
    kernels::Array<double> gram_;
    kernels::Array<double> sum_abs_;
    std::vector<float> minimum_;
    std::vector<float> maximum_;
};

StatisticsCollector::StatisticsCollector(const Backend& backend,
                                         const std::optional<SliceConfig>& slice, bool inputs,
                                         std::vector<float> output_norms)
    : backend_(backend), slice_(slice), inputs_(inputs), output_norms_(std::move(output_norms)) {}

bool StatisticsCollector::gives_rotation(Signal signal) const {
    if (signal == Signal::stream_in || signal == Signal::stream_mid) {
        return true;
    }
    const bool is_normed =
        signal == Signal::attention_in || signal == Signal::mlp_in || signal == Signal::head_in;
    return is_normed && slice_ && slice_->signal == SliceConfig::Signal::normalised;
}

void StatisticsCollector::add(Signal signal, MatrixView<const float> x) {
    if (!inputs_ && !gives_rotation(signal)) {
        return;
    }
    accumulator(signal, x.cols).add(backend_, x);
}

StatisticsCollector::Accumulator& StatisticsCollector::accumulator(Signal signal,
                                                                   std::size_t width) {
    std::shared_ptr<Accumulator>& known = accumulators_[signal];
    if (!known) {
        known = std::make_shared<Accumulator>(
            backend_, width, gives_rotation(signal),
            signal == Signal::mlp_hidden ? output_norms_ : std::vector<float>());
    }
    return *known;
}

/// How many signals there are; of each which one, its width, and the accumulator's values.
std::vector<double> StatisticsCollector::values() const {
    std::vector<double> values{static_cast<double>(accumulators_.size())};
    for (const auto& [signal, accumulator] : accumulators_) {
        values.push_back(static_cast<double>(signal));
        values.push_back(static_cast<double>(accumulator->width()));
        accumulator->append_values(backend_, values);
    }
    return values;
}

void StatisticsCollector::add_values(std::span<const double> values) {
    auto n = static_cast<std::size_t>(values.front());
    for (values = values.subspan(1); n > 0; --n) {
        const auto signal = static_cast<Signal>(static_cast<int>(values[0]));
        const auto width = static_cast<std::size_t>(values[1]);
        Accumulator& mine = accumulator(signal, width);
        const std::size_t count = mine.n_values();
        mine.add_values(backend_, values.subspan(2, count));
        values = values.subspan(2 + count);
    }
}

void StatisticsCollector::write(const std::filesystem::path& file,
                                const std::string& fingerprint) const {
    ArtifactWriter writer(file);
    writer.group("/", {{"fingerprint", fingerprint}});
    for (const auto& [signal, accumulator] : accumulators_) {
        accumulator->write(backend_, writer, signal);
    }
    writer.commit();
}

std::vector<double> StatisticsCollector::gram(Signal signal) const {
    return accumulators_.at(signal)->mean_gram(backend_);
}

SignalStatistics read_statistics(const std::filesystem::path& file, Signal signal) {
    const ArtifactReader reader(file);
    const std::string group = "/" + std::string(name(signal));
    SignalStatistics statistics;
    statistics.tokens = static_cast<std::size_t>(
        integer_attribute(reader.attributes(group), "tokens", file.string() + ": " + group));
    const DatasetInfo info = reader.info(group + "/gram");
    statistics.width = info.shape.at(0);
    statistics.gram.resize(statistics.width * statistics.width);
    const std::vector<std::byte> bytes = reader.read(group + "/gram");
    if (info.dtype == DType::f64) {
        std::memcpy(statistics.gram.data(), bytes.data(), bytes.size());
    } else {
        const auto* values = reinterpret_cast<const float*>(bytes.data());
        std::copy_n(values, statistics.gram.size(), statistics.gram.begin());
    }
    return statistics;
}

}  // namespace lathe
