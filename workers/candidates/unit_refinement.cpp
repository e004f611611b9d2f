#include "workers/candidates/unit_refinement.hpp"

#include "methods/method.hpp"
#include "methods/output_error.hpp"

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

}  // namespace

void refine_unit(const JobContext& context, std::size_t number, const Setting& setting,
                 const InputShift& shift, PartlyRefined& weights) {
    const ModelSpec& spec = context.spec();
    const UnitSpec& unit = spec.units.at(number);
    const kernels::Backend& backend = context.backend();
    const SourceWeights source(*context.source);
    const std::vector<float> gram = shift.gram();
    UnitStatistics statistics;
    statistics.gram = {gram.data(), shift.width(), shift.width()};
    std::vector<kernels::Array<float>> memory;
    std::vector<MatrixView<float>> values;  // of the source, then of the target
    for (const std::size_t t : unit.tensors) {
        const auto [rows, cols] = matrix_extents(spec.tensors[t].shape);
        memory.push_back(backend.allocate<float>(rows * cols));
        values.push_back(memory.back().matrix(rows, cols));
        source.load(t, backend, values.back());
    }
    if (const auto penalty = shift.choose_penalty(values)) {
        shift.correct(values, *penalty);
    }
    std::vector<UnitTensor> targets;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t t = unit.tensors[i];
        targets.push_back({values[i], spec.tensors[t].shape, context.source->dtype(t)});
    }
    std::vector<UnitSolution> solutions =
        find_method(setting.method, "the plan")
            .solve(std::span(&setting, 1), targets, statistics, backend);
    const double energy = energy_of(targets, statistics, backend);
    const double error = solutions.front().error;
    weights.take(number, std::move(solutions.front().tensors),
                 {error, energy > 0.0 ? error / energy : 0.0});
}

}  // namespace lathe
