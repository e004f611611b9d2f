#include "workers/candidates/compression.hpp"

#include <algorithm>
#include <numeric>

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/task_progress.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "lib/job/run_directory.hpp"
#include "methods/method.hpp"
#include "methods/output_error.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/unit_data.hpp"

namespace lathe {
namespace {

/// A candidate of a unit's rows.
struct PieceCandidate {
    Setting setting;  ///< settled
    std::vector<EncodedTensor> tensors;
    std::vector<double> row_errors;
    std::vector<double> lookup_blocks;  ///< as lookup_errors() has them; empty: no table
};

/// Measures a solution: its errors are those of what is stored.
PieceCandidate measured(const UnitData& data, const OutputError& of_layer, const Setting& setting,
                        UnitSolution&& solution) {
    PieceCandidate candidate{
        solution.settled.value_or(setting), std::move(solution.tensors), {}, {}};
    if (setting == source_setting()) {
        return candidate;
    }
    for (std::size_t t = 0; t < data.tensors.size(); ++t) {
        const MatrixView<const float> weight = data.tensors[t].weight;
        std::vector<float> decoded(weight.rows * weight.cols);
        const MatrixView<float> values(decoded.data(), weight.rows, weight.cols);
        decode(candidate.tensors[t], values);
        const std::vector<double> rows = of_layer.of_rows(weight, values);
        candidate.row_errors.insert(candidate.row_errors.end(), rows.begin(), rows.end());
        if (!data.row_weights.empty()) {
            candidate.lookup_blocks = lookup_errors(weight, values, data.row_weights);
        }
    }
    return candidate;
}

/// Calls take(candidate) for each setting of a task, for the rows.
template <class Take>
void solve_rows(const JobContext& context, const CompressionTask& task, const UnitData& data,
                const Take& take) {
    const OutputError of_layer(data.statistics, context.backend());
    std::size_t number = 0;
    for (const MethodRow& method : method_table()) {
        std::vector<Setting> mine;
        std::ranges::copy_if(task.settings, std::back_inserter(mine),
                             [&](const Setting& s) { return s.method == method.name; });
        if (mine.empty()) {
            continue;
        }
        const ProgressPart part(number, number + mine.size(), task.settings.size());
        number += mine.size();
        auto solutions = method.solve(mine, data.tensors, data.statistics, context.backend());
        for (std::size_t s = 0; s < mine.size(); ++s) {
            take(measured(data, of_layer, mine[s], std::move(solutions[s])));
        }
    }
}

double sum(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

void write_doubles(ArtifactWriter& file, const std::string& path,
                   const std::vector<double>& values) {
    file.dataset(path, DType::f64, {values.size()},
                 reinterpret_cast<const std::byte*>(values.data()));
}

std::vector<double> read_doubles(const ArtifactReader& file, const std::string& path) {
    std::vector<double> values(element_count(file.info(path).shape));
    file.read_into(path, reinterpret_cast<std::byte*>(values.data()),
                   values.size() * sizeof(double));
    return values;
}

/// A candidate of the whole unit. `energy`: of the unit's output.
void write_candidate(ArtifactWriter& file, std::size_t number, const UnitSpec& unit,
                     const PieceCandidate& candidate, double energy) {
    std::uint64_t bytes = 0;
    for (const EncodedTensor& tensor : candidate.tensors) {
        bytes += stored_bytes(tensor);
    }
    const double error = sum(candidate.row_errors);
    const std::string group = "/" + std::to_string(number);
    file.group(group, {{"setting", to_string(candidate.setting)},
                       {"bytes", static_cast<std::int64_t>(bytes)},
                       {"error", error},
                       {"relative_error", energy > 0.0 ? error / energy : 0.0}});
    if (candidate.setting == source_setting()) {
        return;
    }
    std::vector<double> outputs;
    if (unit.input != Signal::token_ids) {
        outputs = candidate.row_errors;
    }
    if (!candidate.lookup_blocks.empty()) {
        const std::vector<double> columns = sum_of_blocks(
            candidate.lookup_blocks, matrix_extents(candidate.tensors.front().shape).second);
        outputs.insert(outputs.end(), columns.begin(), columns.end());
    }
    write_doubles(file, group + "/output_errors", outputs);
    for (std::size_t t = 0; t < candidate.tensors.size(); ++t) {
        write_encoded(file, group + "/" + std::to_string(t), candidate.tensors[t]);
    }
}

void compress_piece(const JobContext& context, const CompressionTask& task) {
    const UnitSpec& unit = context.spec().units.at(task.unit);
    ArtifactWriter file(context.run.candidate_piece(unit.name, task.rows.first));
    file.group("/", {{"fingerprint", task.fingerprint}});
    UnitData data = load_unit(context, unit, task.rows);
    if (!task.factors.empty()) {
        data.statistics.stored_factor = [&](const ErrorFeedback& feedback) {
            const auto factor = std::ranges::find(task.factors, feedback, &UnitFactor::feedback);
            if (factor == task.factors.end()) {
                throw InternalError("no factor " + to_string(feedback) + " of unit " + unit.name);
            }
            return read_unit_factor(context, unit, *factor);
        };
    }
    write_doubles(file, "/row_energies", row_energies(data, context.backend()));
    std::size_t number = 0;
    solve_rows(context, task, data, [&](const PieceCandidate& candidate) {
        const std::string group = "/" + std::to_string(number++);
        file.group(group, {{"setting", to_string(candidate.setting)}});
        if (candidate.setting == source_setting()) {
            return;
        }
        write_doubles(file, group + "/row_errors", candidate.row_errors);
        if (!candidate.lookup_blocks.empty()) {
            write_doubles(file, group + "/lookup_errors", candidate.lookup_blocks);
        }
        for (std::size_t t = 0; t < candidate.tensors.size(); ++t) {
            write_encoded(file, group + "/" + std::to_string(data.parts[t].place),
                          candidate.tensors[t]);
        }
    });
    file.commit();
}

/// Candidate `number` of all pieces as one.
PieceCandidate join_candidate(const JobContext& context, const CompressionTask& task,
                              std::span<const ArtifactReader> pieces, std::size_t number) {
    const ModelSpec& spec = context.spec();
    const UnitSpec& unit = spec.units.at(task.unit);
    const std::string group = "/" + std::to_string(number);
    PieceCandidate whole;
    std::vector<std::vector<EncodedTensor>> tensors(unit.tensors.size());
    const auto append = [](std::vector<double>& all, const std::vector<double>& more) {
        all.insert(all.end(), more.begin(), more.end());
    };
    for (std::size_t p = 0; p < pieces.size(); ++p) {
        const ArtifactReader& file = pieces[p];
        whole.setting = setting_from_string(
            text_attribute(file.attributes(group), "setting", file.path().string()));
        if (whole.setting == source_setting()) {
            continue;
        }
        append(whole.row_errors, read_doubles(file, group + "/row_errors"));
        if (file.has(group + "/lookup_errors")) {
            append(whole.lookup_blocks, read_doubles(file, group + "/lookup_errors"));
        }
        for (const TensorRows& part : tensors_of(spec, unit, task.pieces[p])) {
            tensors[part.place].push_back(
                read_encoded(file, group + "/" + std::to_string(part.place)));
        }
    }
    for (std::vector<EncodedTensor>& own : tensors) {
        if (!own.empty()) {
            whole.tensors.push_back(join_rows(std::move(own)));
        }
    }
    return whole;
}

void write_source_candidate(const JobContext& context, ArtifactWriter& file, std::size_t number,
                            std::size_t unit) {
    const std::uint64_t bytes = predicted_bytes(*context.source, unit, source_setting());
    file.group("/" + std::to_string(number), {{"setting", to_string(source_setting())},
                                              {"bytes", static_cast<std::int64_t>(bytes)},
                                              {"error", 0.0},
                                              {"relative_error", 0.0}});
}

void join_pieces(const JobContext& context, const CompressionTask& task) {
    const UnitSpec& unit = context.spec().units.at(task.unit);
    for (const UnitFactor& factor : task.factors) {
        std::error_code ignored;
        std::filesystem::remove(context.run.unit_factor(unit.name, to_string(factor.feedback)),
                                ignored);
    }
    ArtifactWriter file(context.run.candidates(unit.name));
    file.group("/", {{"fingerprint", task.fingerprint}});
    std::vector<ArtifactReader> pieces;
    std::vector<double> energies;
    for (const UnitRows& piece : task.pieces) {
        pieces.emplace_back(context.run.candidate_piece(unit.name, piece.first));
        const std::vector<double> own = read_doubles(pieces.back(), "/row_energies");
        energies.insert(energies.end(), own.begin(), own.end());
    }
    for (std::size_t number = 0; number < task.settings.size(); ++number) {
        const PieceCandidate candidate = join_candidate(context, task, pieces, number);
        if (candidate.setting == source_setting()) {
            write_source_candidate(context, file, number, task.unit);
        } else {
            write_candidate(file, number, unit, candidate, sum(energies));
        }
    }
    file.commit();
}

}  // namespace

void run_compression(const JobContext& context, const CompressionTask& task) {
    if (!task.pieces.empty()) {
        join_pieces(context, task);
        return;
    }
    if (task.rows.count > 0) {
        compress_piece(context, task);
        return;
    }
    const UnitSpec& unit = context.spec().units.at(task.unit);
    ArtifactWriter file(context.run.candidates(unit.name));
    file.group("/", {{"fingerprint", task.fingerprint}});
    if (task.settings == std::vector{source_setting()}) {
        // A unit that stays as it is: nothing to solve, and perhaps no statistics.
        write_source_candidate(context, file, 0, task.unit);
        file.commit();
        return;
    }
    const UnitData data = load_unit(context, unit, {0, row_count(context.spec(), unit)});
    const double energy = sum(row_energies(data, context.backend()));
    std::size_t number = 0;
    solve_rows(context, task, data, [&](const PieceCandidate& candidate) {
        if (candidate.setting == source_setting()) {
            write_source_candidate(context, file, number++, task.unit);
        } else {
            write_candidate(file, number++, unit, candidate, energy);
        }
    });
    file.commit();
}

std::string to_json(const CompressionTask& task) {
    nlohmann::json settings = nlohmann::json::array();
    for (const Setting& setting : task.settings) {
        settings.push_back(to_string(setting));
    }
    nlohmann::json pieces = nlohmann::json::array();
    for (const UnitRows& piece : task.pieces) {
        pieces.push_back({piece.first, piece.count});
    }
    nlohmann::json factors = nlohmann::json::array();
    for (const UnitFactor& factor : task.factors) {
        factors.push_back({to_string(factor.feedback), factor.fingerprint});
    }
    return nlohmann::json{{"unit", task.unit},
                          {"settings", settings},
                          {"fingerprint", task.fingerprint},
                          {"rows", {task.rows.first, task.rows.count}},
                          {"pieces", pieces},
                          {"factors", factors}}
        .dump();
}

CompressionTask compression_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    const auto rows_of = [](const auto& pair) { return UnitRows{pair.at(0), pair.at(1)}; };
    CompressionTask task{json.at("unit"), {}, json.at("fingerprint"), rows_of(json.at("rows")), {}};
    for (const auto& setting : json.at("settings")) {
        task.settings.push_back(setting_from_string(setting.get<std::string>()));
    }
    for (const auto& piece : json.at("pieces")) {
        task.pieces.push_back(rows_of(piece));
    }
    for (const auto& factor : json.at("factors")) {
        task.factors.push_back({error_feedback_from_string(factor.at(0)), factor.at(1)});
    }
    return task;
}

}  // namespace lathe
