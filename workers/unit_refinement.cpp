#include "workers/unit_refinement.hpp"

#include <algorithm>
#include <optional>

#include "lib/encoding/dense.hpp"
#include "methods/method.hpp"
#include "methods/output_error.hpp"
#include "workers/compression.hpp"

namespace lathe {

namespace {

/// The error of weights that are all zeros.
double energy_of(const std::vector<UnitTensor>& targets, const UnitStatistics& statistics,
                 const kernels::Backend& backend) {
    const OutputError error(statistics, backend);
    double energy = 0.0;
    for (const UnitTensor& target : targets) {
        const auto [rows, cols] = std::pair(target.weight.rows, target.weight.cols);
        const auto zeros = backend.allocate<float>(rows * cols);
        energy += error.of_tensor(target.weight, zeros.matrix(rows, cols));
    }
    return energy;
}

/// The bias that belongs to a weight, if the model has one.
std::optional<std::size_t> bias_of(const ModelSpec& spec, std::size_t weight) {
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        const TensorSpec& tensor = spec.tensors[t];
        if (tensor.is_bias && tensor.role == spec.tensors[weight].role &&
            tensor.block == spec.tensors[weight].block) {
            return t;
        }
    }
    return std::nullopt;
}

/// The tensors of a unit in backend memory.
struct UnitWeights {
    std::vector<kernels::Array<float>> memory;
    std::vector<MatrixView<float>> values;

    UnitWeights(const JobContext& context, const UnitSpec& unit) {
        const SourceWeights source(context.spec(), context.source->weights);
        for (const std::size_t t : unit.tensors) {
            const auto [rows, cols] = matrix_extents(context.spec().tensors[t].shape);
            memory.push_back(context.backend().allocate<float>(rows * cols));
            values.push_back(memory.back().matrix(rows, cols));
            source.load(t, context.backend(), values.back());
        }
    }
};

/// The source's bias with what `shift` wants changed where `solved` replaces `weight`.
EncodedTensor refitted_bias(const JobContext& context, std::size_t bias, const InputShift& shift,
                            MatrixView<const float> weight, const EncodedTensor& solved) {
    const kernels::Backend& backend = context.backend();
    std::vector<float> decoded(weight.rows * weight.cols);
    decode(solved, {decoded.data(), weight.rows, weight.cols});
    const kernels::Array<float> memory = backend.allocate<float>(decoded.size());
    const MatrixView<float> values = memory.matrix(weight.rows, weight.cols);
    backend.upload(reinterpret_cast<const std::byte*>(decoded.data()), DType::f32, values);
    const std::vector<double> change = shift.bias_change(weight, values);
    const EncodedTensor before = source_tensor(*context.source, bias);
    std::vector<float> result(change.size());
    decode(before, {result.data(), 1, result.size()});
    for (std::size_t r = 0; r < result.size(); ++r) {
        result[r] = static_cast<float>(double{result[r]} + change[r]);
    }
    return encode_dense({result.data(), 1, result.size()}, before.shape,
                        context.source->dtype(bias));
}

}  // namespace

void refine_unit(const JobContext& context, std::size_t number, const Setting& setting,
                 const InputShift& shift, PartlyRefined& weights) {
    const ModelSpec& spec = context.spec();
    const UnitSpec& unit = spec.units.at(number);
    const bool has_bias = std::ranges::all_of(
        unit.tensors, [&](std::size_t t) { return bias_of(spec, t).has_value(); });
    const auto bias = has_bias ? InputShift::Bias::refitted : InputShift::Bias::fixed;
    const UnitWeights target(context, unit);
    if (const auto penalty = shift.choose_penalty(target.values, bias)) {
        shift.correct(target.values, bias, *penalty);
    }
    std::vector<UnitTensor> tensors;
    for (std::size_t i = 0; i < unit.tensors.size(); ++i) {
        const std::size_t t = unit.tensors[i];
        tensors.push_back({target.values[i], spec.tensors[t].shape, context.source->dtype(t)});
    }
    const std::vector<double> gram = shift.gram(bias);
    UnitStatistics statistics;
    statistics.gram = {gram.data(), shift.width(), shift.width()};
    std::vector<UnitSolution> solutions =
        find_method(setting.method, "the plan")
            .solve(std::span(&setting, 1), tensors, statistics, context.backend());
    UnitSolution& solution = solutions.front();
    if (has_bias) {
        const UnitWeights source(context, unit);
        for (std::size_t i = 0; i < unit.tensors.size(); ++i) {
            const std::size_t b = *bias_of(spec, unit.tensors[i]);
            weights.take(b,
                         refitted_bias(context, b, shift, source.values[i], solution.tensors[i]));
        }
    }
    const double energy = energy_of(tensors, statistics, context.backend());
    weights.take(number, std::move(solution.tensors),
                 {solution.error, energy > 0.0 ? solution.error / energy : 0.0});
}

}  // namespace lathe
