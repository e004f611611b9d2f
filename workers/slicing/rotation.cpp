#include "workers/slicing/rotation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/random.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/statistics/signal_statistics.hpp"

namespace lathe {
namespace {

std::vector<double> read_doubles(const ArtifactReader& file, const std::string& path,
                                 std::size_t count) {
    std::vector<double> values(count);
    file.read_into(path, reinterpret_cast<std::byte*>(values.data()), 8 * count);
    return values;
}

ArtifactReader open_rotation(const JobContext& context, const BoundaryPlace& place,
                             std::size_t sweep) {
    const bool global = context.job.slice->is_global();
    return ArtifactReader(context.run.rotation(global ? "global" : place.name, sweep));
}

std::string group_of(const JobContext& context, const BoundaryPlace& place) {
    return context.job.slice->is_global() ? "/0" : "/" + std::to_string(place.step);
}

std::vector<double> gram_of(const JobContext& context, std::size_t boundary, std::size_t sweep) {
    const BoundaryPlace place = boundary_place(context.fused->spec, boundary);
    const bool raw = context.job.slice->signal == SliceConfig::Signal::raw;
    return read_wide_gram(context.run.statistics(place.name, sweep),
                          raw ? place.stream : place.normed);
}

/// How much a boundary counts: what a cut there did to the output, over how much was cut off.
double weight_of(const JobContext& context, std::size_t boundary, const std::vector<double>& gram,
                 double effect) {
    const std::size_t d = context.fused->spec.hidden_size;
    const std::size_t width = probe_width(context.fused->spec);
    const Rotation rotation = read_rotation(context, boundary, 0);
    std::vector<double> products(width * d);
    context.backend().multiply({rotation.vectors.data(), width, d}, false, {gram.data(), d, d},
                               false, {products.data(), width, d});
    double energy = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
        energy += gram[i * d + i];
    }
    double cut = energy;
    for (std::size_t i = 0; i < width * d; ++i) {
        cut -= products[i] * rotation.vectors[i];
    }
    return cut > 0.0 ? effect / (cut / energy) : 0.0;
}

/// The sum over all boundaries. Normalised streams have the same trace everywhere, so that without
/// weights each boundary has the same say.
std::vector<double> sum_of_grams(const JobContext& context, const std::vector<double>& effects) {
    const std::size_t d = context.fused->spec.hidden_size;
    std::vector<double> sum(d * d, 0.0);
    for (std::size_t b = 0; b < n_boundaries(context.fused->spec); ++b) {
        const std::vector<double> gram = gram_of(context, b, 0);
        const double weight = effects.empty() ? 1.0 : weight_of(context, b, gram, effects.at(b));
        std::ranges::transform(sum, gram, sum.begin(),
                               [&](double x, double g) { return x + weight * g; });
    }
    return sum;
}

/// An orthogonal matrix [d, d], uniformly distributed: the eigenvectors of a symmetric matrix of
/// independent normal numbers.
std::vector<double> random_orientation(const kernels::Backend& backend, std::uint64_t seed,
                                       std::size_t d) {
    std::vector<double> matrix(d * d);
    for (std::size_t i = 0; i < matrix.size(); ++i) {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - random_unit(seed, 2 * i)));
        matrix[i] = radius * std::cos(2.0 * std::numbers::pi * random_unit(seed, 2 * i + 1));
    }
    std::vector<double> values(d);
    std::vector<double> vectors(d * d);
    const kernels::SymmetricEigenproblem problem{
        {matrix.data(), d, d}, values, {vectors.data(), d, d}};
    backend.symmetric_eigen(std::span(&problem, 1));
    return vectors;
}

}  // namespace

BoundaryPlace boundary_place(const ModelSpec& spec, std::size_t boundary) {
    const std::size_t block = boundary / spec.steps_per_block();
    const std::size_t step = boundary % spec.steps_per_block();
    if (block == spec.n_blocks) {
        return {"head", 0, Signal::stream_in, Signal::head_in};
    }
    return {block_name(block), step, step == 0 ? Signal::stream_in : Signal::stream_mid,
            step == 0 ? Signal::attention_in : Signal::mlp_in};
}

bool is_rotated(const SliceConfig& slice, const ModelSpec& spec, std::size_t boundary) {
    return slice.is_global() || slice.head || boundary + 1 < n_boundaries(spec);
}

bool reads_stream_end(const JobContext& context) {
    if (context.gathers_inputs()) {
        return true;
    }
    const ModelSpec& spec = context.fused->spec;
    return is_rotated(*context.job.slice, spec, n_boundaries(spec) - 1);
}

std::size_t last_sweep(const SliceConfig& slice) {
    return slice.touch_up;
}

std::size_t last_rotation(const SliceConfig& slice) {
    const bool is_weighed = slice.is_global() && slice.weighting == SliceConfig::Weighting::effect;
    return is_weighed ? 1 : last_sweep(slice);
}

std::size_t probe_width(const ModelSpec& spec) {
    return std::max<std::size_t>(1, spec.hidden_size * 3 / 4);
}

Rotation read_rotation(const JobContext& context, std::size_t boundary, std::size_t sweep) {
    const std::size_t d = context.fused->spec.hidden_size;
    const BoundaryPlace place = boundary_place(context.fused->spec, boundary);
    const ArtifactReader file = open_rotation(context, place, sweep);
    const std::string group = group_of(context, place);
    return {read_doubles(file, group + "/values", d),
            read_doubles(file, group + "/vectors", d * d)};
}

std::vector<double> read_eigenvalues(const JobContext& context, std::size_t boundary,
                                     std::size_t sweep) {
    const BoundaryPlace place = boundary_place(context.fused->spec, boundary);
    return read_doubles(open_rotation(context, place, sweep), group_of(context, place) + "/values",
                        context.fused->spec.hidden_size);
}

void run_rotation(const JobContext& context, const RotationTask& task) {
    std::vector<std::vector<double>> grams;
    if (task.place == "global") {
        grams.push_back(sum_of_grams(context, task.effects));
    }
    for (std::size_t b = 0; b < n_boundaries(context.fused->spec); ++b) {
        if (boundary_place(context.fused->spec, b).name == task.place) {
            grams.push_back(gram_of(context, b, task.sweep));
        }
    }
    write_rotations(context, task, find_rotations(context.backend(), grams));
}

std::vector<Rotation> find_rotations(const kernels::Backend& backend,
                                     const std::vector<std::vector<double>>& grams) {
    std::vector<Rotation> rotations;
    std::vector<kernels::SymmetricEigenproblem> problems;
    for (const std::vector<double>& gram : grams) {
        const auto d = static_cast<std::size_t>(std::sqrt(static_cast<double>(gram.size())));
        rotations.push_back({std::vector<double>(d), std::vector<double>(gram.size())});
        problems.push_back({{gram.data(), d, d},
                            rotations.back().values,
                            {rotations.back().vectors.data(), d, d}});
    }
    backend.symmetric_eigen(problems);
    return rotations;
}

void write_rotations(const JobContext& context, const RotationTask& task,
                     const std::vector<Rotation>& rotations) {
    const std::size_t d = context.fused->spec.hidden_size;
    ArtifactWriter file(context.run.rotation(task.place, task.sweep));
    file.group("/", {{"fingerprint", task.fingerprint}});
    for (std::size_t g = 0; g < rotations.size(); ++g) {
        const std::string group = "/" + std::to_string(g);
        const auto write = [&](const std::string& name, const Shape& shape,
                               const std::vector<double>& values) {
            file.dataset(group + name, DType::f64, shape,
                         reinterpret_cast<const std::byte*>(values.data()));
        };
        write("/values", {d}, rotations[g].values);
        write("/vectors", {d, d}, rotations[g].vectors);
    }
    file.commit();
}

std::vector<double> stream_basis(const JobContext& context, std::size_t boundary,
                                 std::size_t width) {
    const SliceConfig& slice = *context.job.slice;
    const ModelSpec& spec = context.fused->spec;
    const std::size_t d = spec.hidden_size;
    std::vector<double> basis(width * d, 0.0);
    if (!is_rotated(slice, spec, boundary)) {
        for (std::size_t i = 0; i < width; ++i) {
            basis[i * d + i] = 1.0;
        }
        return basis;
    }
    const Rotation rotation = read_rotation(context, boundary, last_rotation(slice));
    std::copy_n(rotation.vectors.begin(), width * d, basis.begin());
    if (slice.orientation == SliceConfig::Orientation::pca) {
        return basis;
    }
    const std::uint64_t stream = slice.is_global() ? 0 : boundary;
    const std::vector<double> turn =
        random_orientation(context.backend(), random_word(context.job.seed, stream), width);
    std::vector<double> turned(width * d);
    context.backend().multiply({turn.data(), width, width}, false, {basis.data(), width, d}, false,
                               {turned.data(), width, d});
    return turned;
}

std::vector<double> rotate_gram(const JobContext& context, std::size_t boundary,
                                const std::vector<double>& gram, std::size_t width) {
    const std::size_t d = context.fused->spec.hidden_size;
    const std::vector<double> rows = stream_basis(context, boundary, width);
    const MatrixView<const double> basis(rows.data(), width, d);
    std::vector<double> half(width * d);
    std::vector<double> whole(width * width);
    const kernels::Backend& backend = context.backend();
    backend.multiply(basis, false, {gram.data(), d, d}, false, {half.data(), width, d});
    backend.multiply({half.data(), width, d}, false, basis, true, {whole.data(), width, width});
    return whole;
}

CutBasis::CutBasis(const kernels::Backend& backend, const Rotation& rotation, std::size_t width)
    : hidden_size_(rotation.values.size()),
      keeps_(2 * width <= hidden_size_),
      count_(keeps_ ? width : hidden_size_ - width),
      rows_(backend.allocate<float>(count_ * hidden_size_)),
      columns_(backend.allocate<float>(count_ * hidden_size_)) {
    const double* vectors = rotation.vectors.data() + (keeps_ ? 0 : width * hidden_size_);
    std::vector<double> columns(count_ * hidden_size_);
    for (std::size_t i = 0; i < count_; ++i) {
        for (std::size_t j = 0; j < hidden_size_; ++j) {
            const double value = vectors[i * hidden_size_ + j];
            columns[j * count_ + i] = keeps_ ? value : -value;
        }
    }
    backend.upload(reinterpret_cast<const std::byte*>(vectors), DType::f64,
                   rows_.matrix(count_, hidden_size_));
    backend.upload(reinterpret_cast<const std::byte*>(columns.data()), DType::f64,
                   columns_.matrix(hidden_size_, count_));
}

void CutBasis::cut(const kernels::Backend& backend, MatrixView<float> x,
                   kernels::Array<float>& memory) const {
    if (count_ == 0) {
        return;
    }
    const std::size_t needed = x.rows * (count_ + hidden_size_);
    if (memory.size() < needed) {
        memory = backend.allocate<float>(needed);
    }
    const MatrixView<float> part = memory.matrix(x.rows, count_);
    backend.linear(x, rows_.matrix(count_, hidden_size_), {}, part);
    if (keeps_) {
        backend.linear(part, columns_.matrix(hidden_size_, count_), {}, x);
        return;
    }
    const MatrixView<float> change(memory.data() + x.rows * count_, x.rows, hidden_size_);
    backend.linear(part, columns_.matrix(hidden_size_, count_), {}, change);
    backend.add(change, x);
}

StreamCutter::StreamCutter(const JobContext& context, std::size_t sweep,
                           std::vector<std::size_t> widths)
    : context_(context), sweep_(sweep), widths_(std::move(widths)) {}

void StreamCutter::cut(std::size_t boundary, MatrixView<float> hidden) {
    if (sweep_ == 0 || !is_rotated(*context_.job.slice, context_.fused->spec, boundary)) {
        return;
    }
    auto known = bases_.find(boundary);
    if (known == bases_.end()) {
        const Rotation rotation = read_rotation(context_, boundary, sweep_ - 1);
        CutBasis basis(context_.backend(), rotation, widths_.at(boundary));
        known = bases_.emplace(boundary, std::move(basis)).first;
    }
    known->second.cut(context_.backend(), hidden, memory_);
}

std::string to_json(const RotationTask& task) {
    return nlohmann::json{{"place", task.place},
                          {"sweep", task.sweep},
                          {"fingerprint", task.fingerprint},
                          {"effects", task.effects}}
        .dump();
}

RotationTask rotation_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("place"), json.at("sweep"), json.at("fingerprint"),
            json.at("effects").get<std::vector<double>>()};
}

}  // namespace lathe
