#include "workers/candidates/compression.hpp"

#include <algorithm>

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "lib/job/run_directory.hpp"
#include "lib/model/name_patterns.hpp"
#include "methods/method.hpp"
#include "methods/output_error.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/model/weight_source.hpp"
#include "workers/slicing/rotation.hpp"

namespace lathe {
namespace {

/// The weights of a unit and the statistics of its input, in memory.
struct UnitData {
    std::vector<std::vector<float>> weights;
    std::vector<UnitTensor> tensors;
    std::vector<float> gram;
    std::vector<float> row_weights;
    UnitStatistics statistics;
};

/// The Gram matrix of what a unit reads. Calibration measured it in the given model's basis and
/// with its neurons as they are stored. For a unit that reads a sliced stream it is turned into the
/// stream's basis and cut; for one that reads neurons these are put in order.
std::vector<float> read_input_gram(const JobContext& context, const UnitSpec& unit) {
    // A tied embedding stands before the blocks and is fed after them.
    const std::string place = place_name(unit.block, context.spec().n_blocks);
    const std::size_t sweep = context.job.slice ? last_sweep(*context.job.slice) : 0;
    const std::filesystem::path file = context.run.statistics(place, sweep);
    const TensorSpec& first = context.spec().tensors[unit.tensors.front()];
    if (unit.input == Signal::mlp_hidden && context.orders_neurons()) {
        return in_neuron_order(read_statistics(file, unit.input).gram,
                               context.source->neuron_orders.at(unit.block.value()));
    }
    const auto boundary = stream_sides(context.spec(), first).columns;
    if (!context.is_sliced() || !boundary) {
        return read_statistics(file, unit.input).gram;
    }
    const std::vector<double> turned =
        rotate_gram(context, *boundary, read_wide_gram(file, unit.input), first.shape.back());
    return {turned.begin(), turned.end()};
}

UnitData load_unit(const JobContext& context, const UnitSpec& unit) {
    const ModelSpec& spec = context.spec();
    const SourceWeights source(*context.source);
    UnitData data;
    for (std::size_t index : unit.tensors) {
        const auto [rows, cols] = matrix_extents(spec.tensors[index].shape);
        data.weights.emplace_back(rows * cols);
        const MatrixView<float> weight(data.weights.back().data(), rows, cols);
        source.load(index, context.backend(), weight);
        (void)require_finite(spec, spec.tensors[index], context.backend(), weight);
        data.tensors.push_back({weight, spec.tensors[index].shape, context.source->dtype(index)});
    }
    if (spec.tensors[unit.tensors.front()].role == Role::token_embedding) {
        data.row_weights =
            token_frequencies(read_samples(context.run.samples()).calibration, spec.vocab_size);
    }
    if (unit.input == Signal::token_ids) {
        data.statistics.row_weights = data.row_weights;
    } else {
        data.gram = read_input_gram(context, unit);
        const std::size_t width = data.tensors.front().weight.cols;
        data.statistics.gram = {data.gram.data(), width, width};
    }
    return data;
}

/// The squared norm of the unit's output: the error of a candidate that is all zeros.
double output_energy(const UnitData& data, const kernels::Backend& backend) {
    double energy = 0.0;
    for (const UnitTensor& tensor : data.tensors) {
        const MatrixView<const float> w = tensor.weight;
        std::vector<double> rows(w.rows);
        if (data.gram.empty()) {
            for (std::size_t r = 0; r < w.rows; ++r) {
                for (std::size_t j = 0; j < w.cols; ++j) {
                    rows[r] += double{data.row_weights[r]} * w(r, j) * w(r, j);
                }
            }
        } else {
            backend.row_errors(w, data.statistics.gram, rows);
        }
        for (double row : rows) {
            energy += row;
        }
    }
    return energy;
}

/// Mean squares of what looking up `values` in place of `weight` changes, column by column.
std::vector<double> lookup_errors(MatrixView<const float> weight, MatrixView<const float> values,
                                  std::span<const float> row_weights) {
    std::vector<double> columns(weight.cols, 0.0);
    for (std::size_t r = 0; r < weight.rows; ++r) {
        for (std::size_t j = 0; j < weight.cols; ++j) {
            const double change = double{values(r, j)} - double{weight(r, j)};
            columns[j] += double{row_weights[r]} * change * change;
        }
    }
    return columns;
}

/// As read_output_errors() has them.
std::vector<double> output_errors(const UnitData& data, const OutputError& of_layer,
                                  const UnitSolution& solution) {
    std::vector<double> errors;
    const auto append = [&](const std::vector<double>& own) {
        errors.insert(errors.end(), own.begin(), own.end());
    };
    for (std::size_t t = 0; t < data.tensors.size(); ++t) {
        const MatrixView<const float> weight = data.tensors[t].weight;
        std::vector<float> decoded(weight.rows * weight.cols);
        const MatrixView<float> values(decoded.data(), weight.rows, weight.cols);
        decode(solution.tensors[t], values);
        if (!data.gram.empty()) {
            append(of_layer.of_rows(weight, values));
        }
        if (!data.row_weights.empty()) {
            append(lookup_errors(weight, values, data.row_weights));
        }
    }
    return errors;
}

/// What is stored of a candidate beside its tensors.
struct CandidateErrors {
    double relative = 0.0;
    std::vector<double> outputs;
};

void write_candidate(ArtifactWriter& file, std::size_t number, const Setting& setting,
                     const UnitSolution& solution, const CandidateErrors& errors) {
    std::uint64_t bytes = 0;
    for (const EncodedTensor& tensor : solution.tensors) {
        bytes += stored_bytes(tensor);
    }
    const std::string group = "/" + std::to_string(number);
    file.group(group, {{"setting", to_string(solution.settled.value_or(setting))},
                       {"bytes", static_cast<std::int64_t>(bytes)},
                       {"error", solution.error},
                       {"relative_error", errors.relative}});
    if (setting == source_setting()) {
        return;
    }
    file.dataset(group + "/output_errors", DType::f64, {errors.outputs.size()},
                 reinterpret_cast<const std::byte*>(errors.outputs.data()));
    for (std::size_t t = 0; t < solution.tensors.size(); ++t) {
        write_encoded(file, group + "/" + std::to_string(t), solution.tensors[t]);
    }
}

}  // namespace

void run_compression(const JobContext& context, const CompressionTask& task) {
    const UnitSpec& unit = context.spec().units.at(task.unit);
    ArtifactWriter file(context.run.candidates(unit.name));
    file.group("/", {{"fingerprint", task.fingerprint}});
    if (task.settings == std::vector{source_setting()}) {
        // A unit that stays as it is: nothing to solve, and perhaps no statistics.
        const std::uint64_t bytes = predicted_bytes(*context.source, task.unit, source_setting());
        file.group("/0", {{"setting", to_string(source_setting())},
                          {"bytes", static_cast<std::int64_t>(bytes)},
                          {"error", 0.0},
                          {"relative_error", 0.0}});
        file.commit();
        return;
    }
    const UnitData data = load_unit(context, unit);
    const double energy = output_energy(data, context.backend());
    const OutputError of_layer(data.statistics, context.backend());
    std::size_t number = 0;
    for (const MethodRow& method : method_table()) {
        std::vector<Setting> mine;
        std::ranges::copy_if(task.settings, std::back_inserter(mine),
                             [&](const Setting& s) { return s.method == method.name; });
        if (mine.empty()) {
            continue;
        }
        const auto solutions = method.solve(mine, data.tensors, data.statistics, context.backend());
        for (std::size_t s = 0; s < mine.size(); ++s) {
            CandidateErrors errors{energy > 0.0 ? solutions[s].error / energy : 0.0, {}};
            if (mine[s] != source_setting()) {
                errors.outputs = output_errors(data, of_layer, solutions[s]);
            }
            write_candidate(file, number++, mine[s], solutions[s], errors);
        }
    }
    file.commit();
}

void require_candidates_of_use(const JobContext& context, const ModelOutline& model) {
    (void)kept_setting(context);
    require_known_targets(context.job.candidates, model.spec);
    require_some_use(context.job.candidates, model.spec, model.dtypes);
}

std::vector<std::string> candidates_of_no_use(const JobContext& context) {
    return settings_of_no_use(context.job.candidates, context.spec(), context.source->dtypes,
                              context.source->held_energy);
}

std::vector<Setting> usable_settings(const JobContext& context, std::size_t unit) {
    return usable_settings(context, *context.source, unit);
}

std::vector<Setting> usable_settings(const JobContext& context, const ModelOutline& model,
                                     std::size_t unit_index) {
    const ModelSpec& spec = model.spec;
    const UnitSpec& unit = spec.units.at(unit_index);
    if (NamePatterns(context.job.reading.ignore, "ignore").has(spec, unit)) {
        return {source_setting()};
    }
    std::vector<Setting> usable;
    std::string last_reason;
    for (const Setting& setting :
         expand_for_unit(context.job.candidates, spec, unit, model.held_energy)) {
        const std::string reason = refusal(setting, spec, unit, model.dtypes);
        if (reason.empty()) {
            usable.push_back(setting);
        } else {
            last_reason = to_string(setting) + ": " + reason;
        }
    }
    if (usable.empty() && model.held_energy.empty()) {
        throw UsageError("candidates: none of those whose targets name " + unit.name +
                         " suits it; " + last_reason);
    }
    return usable.empty() ? std::vector{source_setting()} : usable;
}

std::vector<EncodedTensor> unit_outlines(const ModelSpec& spec, const UnitSpec& unit,
                                         const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "candidates");
    std::vector<EncodedTensor> outlines;
    if (method.outline == nullptr) {
        return outlines;
    }
    for (const std::size_t t : unit.tensors) {
        outlines.push_back(method.outline(setting, spec.tensors[t].shape));
    }
    return outlines;
}

Setting kept_setting(const JobContext& context) {
    return kept_setting(context.job.kept_tensors);
}

EncodedTensor kept_tensor(const JobContext& context, std::size_t tensor) {
    const Setting setting = kept_setting(context);
    if (setting == source_setting()) {
        return source_tensor(*context.source, tensor);
    }
    const Shape& shape = context.spec().tensors.at(tensor).shape;
    const auto [rows, cols] = matrix_extents(shape);
    std::vector<float> values(rows * cols);
    const MatrixView<float> view(values.data(), rows, cols);
    SourceWeights(*context.source).load(tensor, context.backend(), view);
    (void)require_finite(context.spec(), context.spec().tensors[tensor], context.backend(), view);
    return solve_kept(setting, {view, shape, context.source->dtype(tensor)}, context.backend());
}

std::uint64_t kept_bytes(const ModelOutline& source, std::size_t tensor, const Setting& setting) {
    return find_method(setting.method, "")
        .bytes(setting, source.spec.tensors.at(tensor).shape, source.dtype(tensor));
}

std::uint64_t predicted_bytes(const ModelOutline& source, std::size_t unit,
                              const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "candidates");
    std::uint64_t bytes = 0;
    for (std::size_t t : source.spec.units.at(unit).tensors) {
        bytes += method.bytes(setting, source.spec.tensors[t].shape, source.dtype(t));
    }
    return bytes;
}

double predicted_flops(const ModelOutline& source, std::size_t unit, const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "candidates");
    double flops = 0.0;
    for (std::size_t t : source.spec.units.at(unit).tensors) {
        flops += method.flops(setting, source.spec.tensors[t].shape);
    }
    return flops;
}

std::string to_json(const CompressionTask& task) {
    nlohmann::json settings = nlohmann::json::array();
    for (const Setting& setting : task.settings) {
        settings.push_back(to_string(setting));
    }
    return nlohmann::json{
        {"unit", task.unit}, {"settings", settings}, {"fingerprint", task.fingerprint}}
        .dump();
}

CompressionTask compression_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    CompressionTask task{json.at("unit"), {}, json.at("fingerprint")};
    for (const auto& setting : json.at("settings")) {
        task.settings.push_back(setting_from_string(setting.get<std::string>()));
    }
    return task;
}

}  // namespace lathe
