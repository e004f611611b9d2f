#include "workers/statistics/signal_statistics.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/upper_triangle.hpp"
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
          gram_(backend.allocate<float>(gives_rotation ? 0 : triangle_size(width))),
          stream_gram_(backend.allocate<double>(gives_rotation ? width * width : 0)),
          sum_abs_(backend.allocate<double>(width)),
          minimum_(width, std::numeric_limits<float>::infinity()),
          maximum_(width, -std::numeric_limits<float>::infinity()) {}

    void add(const Backend& backend, MatrixView<const float> x, std::span<const float> factors) {
        const UpperTriangle<float> gram(gram_.data(), width_);
        if (gives_rotation_) {
            backend.accumulate_stream_gram(x, stream_gram_.matrix(width_, width_));
        } else if (factors.empty()) {
            backend.accumulate_gram(x, gram);
        } else {
            const kernels::Array<float> memory = backend.allocate<float>(x.rows * x.cols);
            const MatrixView<float> scaled = memory.matrix(x.rows, x.cols);
            backend.scale_rows(x, factors, scaled);
            backend.accumulate_gram(scaled, gram);
        }
        backend.accumulate_column_statistics(x, {sum_abs_.span(), minimum_, maximum_});
        if (!output_norms_.empty()) {
            backend.count_largest(x, output_norms_, n_heavy(width_), counts_);
        }
        tokens_ += static_cast<double>(x.rows);
    }

    void write(const Backend& backend, ArtifactWriter& file, Signal signal) const {
        const std::string group = "/" + std::string(name(signal));
        const double scale = 1.0 / tokens_;
        const std::vector<double> sum_abs = backend.to_host(sum_abs_.matrix(1, width_));
        std::vector<float> mean_abs(width_);
        std::ranges::transform(sum_abs, mean_abs.begin(),
                               [&](double sum) { return static_cast<float>(sum * scale); });
        file.group(group, {{"tokens", static_cast<std::int64_t>(tokens_)}});
        const auto write = [&](const std::string& name, const Shape& shape,
                               const std::vector<float>& values) {
            file.dataset(group + "/" + name, DType::f32, shape,
                         reinterpret_cast<const std::byte*>(values.data()));
        };
        std::vector<double> powers;  // summed
        if (gives_rotation_) {
            powers = write_gram(file, group, DType::f64, packed_stream_gram(backend), scale);
        } else {
            powers = write_gram(file, group, DType::f32,
                                backend.to_host(gram_.matrix(1, gram_.size())), scale);
        }
        write("mean_abs", {width_}, mean_abs);
        write("minimum", {width_}, minimum_);
        write("maximum", {width_}, maximum_);
        if (!output_norms_.empty()) {
            write_neurons(file, group, powers, sum_abs);
        }
    }

    [[nodiscard]] std::vector<double> mean_gram(const Backend& backend) const {
        std::vector<double> gram = backend.to_host(stream_gram_.matrix(width_, width_));
        for (double& value : gram) {
            value /= tokens_;
        }
        return gram;
    }

    [[nodiscard]] std::size_t width() const { return width_; }

    /// Its arrays, in a fixed order.
    void list(const Backend& backend, std::vector<SumArray>& arrays) {
        using Kind = SumArray::Kind;
        arrays.push_back({std::span(&tokens_, 1)});
        arrays.push_back({gram_.span(), Kind::sum, &backend});
        arrays.push_back({stream_gram_.span(), Kind::sum, &backend});
        arrays.push_back({sum_abs_.span(), Kind::sum, &backend});
        arrays.push_back({std::span(minimum_), Kind::minimum});
        arrays.push_back({std::span(maximum_), Kind::maximum});
        arrays.push_back({std::span(counts_)});
    }

private:
    /// Of what each neuron adds to the layer's output.
    void write_neurons(ArtifactWriter& file, const std::string& group,
                       const std::vector<double>& powers,
                       const std::vector<double>& sum_abs) const {
        std::vector<double> second_moment(width_);
        std::vector<double> mean(width_);
        std::vector<double> frequency(width_);
        for (std::size_t i = 0; i < width_; ++i) {
            const double norm = output_norms_[i];
            second_moment[i] = norm * norm * powers[i] / tokens_;
            mean[i] = norm * sum_abs[i] / tokens_;
            frequency[i] = counts_[i] / tokens_;
        }
        write_neuron_values(file, group, {second_moment, mean, frequency});
    }

    [[nodiscard]] std::vector<double> packed_stream_gram(const Backend& backend) const {
        const std::vector<double> whole = backend.to_host(stream_gram_.matrix(width_, width_));
        std::vector<double> packed;
        packed.reserve(triangle_size(width_));
        for (std::size_t i = 0; i < width_; ++i) {
            const auto row = whole.begin() + static_cast<std::ptrdiff_t>(i * width_);
            packed.insert(packed.end(), row + static_cast<std::ptrdiff_t>(i),
                          row + static_cast<std::ptrdiff_t>(width_));
        }
        return packed;
    }

    /// Writes sums, a packed triangle, times `scale`. Returns the diagonal of the sums.
    template <class T>
    std::vector<double> write_gram(ArtifactWriter& file, const std::string& group, DType dtype,
                                   std::vector<T> sums, double scale) const {
        const UpperTriangle<const T> gram(sums.data(), width_);
        std::vector<double> diagonal(width_);
        for (std::size_t i = 0; i < width_; ++i) {
            diagonal[i] = static_cast<double>(*gram.diagonal(i));
        }
        for (T& value : sums) {
            value = static_cast<T>(static_cast<double>(value) * scale);
        }
        file.dataset(group + "/gram", dtype, {sums.size()},
                     reinterpret_cast<const std::byte*>(sums.data()));
        return diagonal;
    }

    std::size_t width_;
    bool gives_rotation_;
    std::vector<float> output_norms_;
    std::vector<double> counts_;  ///< tokens at which a neuron is among the n_heavy()
    double tokens_ = 0.0;
    kernels::Array<float> gram_;          ///< packed; empty if it gives a rotation
    kernels::Array<double> stream_gram_;  ///< [width, width], upper triangle; empty if not
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

void StatisticsCollector::add(Signal signal, MatrixView<const float> x,
                              std::span<const float> factors) {
    if (!inputs_ && !gives_rotation(signal)) {
        return;
    }
    accumulator(signal, x.cols).add(backend_, x, factors);
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

/// How many signals there are; of each which one, and its width.
std::vector<double> StatisticsCollector::shape() const {
    std::vector<double> shape{static_cast<double>(accumulators_.size())};
    for (const auto& [signal, accumulator] : accumulators_) {
        shape.push_back(static_cast<double>(signal));
        shape.push_back(static_cast<double>(accumulator->width()));
    }
    return shape;
}

std::vector<SumArray> StatisticsCollector::arrays(std::span<const double> shape) {
    std::vector<SumArray> arrays;
    for (std::size_t i = 1; i + 1 < shape.size(); i += 2) {
        accumulator(static_cast<Signal>(static_cast<int>(shape[i])),
                    static_cast<std::size_t>(shape[i + 1]))
            .list(backend_, arrays);
    }
    return arrays;
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

namespace {

/// A matrix of n rows whose upper triangle stands packed at the end of `whole`: both triangles.
template <class T>
void unpack(std::vector<T>& whole, std::size_t n) {
    spread_upper(std::span(whole), n);
    // A few columns at a time: what is mirrored lies a row apart and shall stay in the cache.
    constexpr std::size_t step = 32;
    for (std::size_t first = 0; first < n; first += step) {
        for (std::size_t j = first; j < n; ++j) {
            for (std::size_t i = first; i < std::min(first + step, j); ++i) {
                whole[j * n + i] = whole[i * n + j];
            }
        }
    }
}

template <class T>
std::vector<T> read_whole(const ArtifactReader& reader, const std::string& path, std::size_t n) {
    const DatasetInfo info = reader.info(path);
    const std::size_t size = triangle_size(n);
    if (info.shape != Shape{size}) {
        throw DataError(reader.path().string() + ": " + path +
                        " is not the triangle of a matrix of " + std::to_string(n) +
                        " rows; remove the file");
    }
    std::vector<T> whole(n * n);
    const std::span<T> end = std::span(whole).last(size);
    if (info.dtype == (sizeof(T) == 8 ? DType::f64 : DType::f32)) {
        reader.read_into(path, reinterpret_cast<std::byte*>(end.data()), end.size_bytes());
    } else if (info.dtype == DType::f64) {
        std::vector<double> wide(size);
        reader.read_into(path, reinterpret_cast<std::byte*>(wide.data()), 8 * size);
        std::ranges::transform(wide, end.begin(), [](double x) { return static_cast<T>(x); });
    } else {
        std::ranges::copy(reader.read_floats(path), end.begin());
    }
    unpack(whole, n);
    return whole;
}

std::size_t width_of(const ArtifactReader& reader, const std::string& group) {
    return reader.info(group + "/mean_abs").shape.at(0);
}

}  // namespace

SignalStatistics read_statistics(const std::filesystem::path& file, Signal signal) {
    const ArtifactReader reader(file);
    const std::string group = "/" + std::string(name(signal));
    SignalStatistics statistics;
    statistics.tokens = static_cast<std::size_t>(
        integer_attribute(reader.attributes(group), "tokens", file.string() + ": " + group));
    statistics.width = width_of(reader, group);
    statistics.gram = read_whole<float>(reader, group + "/gram", statistics.width);
    return statistics;
}

std::vector<double> read_wide_gram(const std::filesystem::path& file, Signal signal) {
    const ArtifactReader reader(file);
    const std::string group = "/" + std::string(name(signal));
    return read_whole<double>(reader, group + "/gram", width_of(reader, group));
}

}  // namespace lathe
