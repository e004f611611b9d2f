#include "methods/low_rank.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "lib/config/yaml_reader.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/low_rank.hpp"
#include "methods/host_matrix.hpp"
#include "methods/integer_solver.hpp"
#include "methods/low_rank_factors.hpp"
#include "methods/output_error.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();

std::optional<std::string> read_rank(const std::string& text) {
    return read_whole_number(text, 0, most);
}
std::optional<std::string> read_bits(const std::string& text) {
    return text == "16" ? std::optional(text) : read_whole_number(text, 2, 8);
}
std::optional<std::string> read_group_size(const std::string& text) {
    return read_whole_number(text, 1, most);
}

constexpr std::array<SettingKey, 5> keys = {{
    {"error", "", read_fraction, "a number above 0 and below 1"},
    {"rank", "0", read_rank, "a whole number"},
    {"rank_fraction", "0.25", read_fraction, "a number above 0 and below 1"},
    {"num_bits", "16", read_bits, "16 or a whole number from 2 to 8"},
    {"group_size", "64", read_group_size, "a positive whole number"},
}};

/// Whether the rank is to follow from the error; its place if another key says the rank too.
bool is_by_error(const CandidateEntry& entry) {
    const auto find = [&](std::string_view name) {
        return std::ranges::find(entry.keys, name, &CandidateEntry::Key::name);
    };
    const auto error = find("error");
    for (const std::string other : {"rank", "rank_fraction"}) {
        if (error != entry.keys.end() && find(other) != entry.keys.end()) {
            refuse_at(error->place,
                      "error of low_rank decides the rank, and so does " + other + "; give one");
        }
    }
    return error != entry.keys.end();
}

/// Keys that a setting does not look at get their defaults, so that one result has one setting.
std::vector<Setting> expand(const CandidateEntry& entry) {
    const bool by_error = is_by_error(entry);
    std::vector<Setting> settings;
    for (Setting& setting : expand_keys(entry, keys)) {
        setting.values.erase(by_error ? "rank_fraction" : "error");
        if (by_error) {
            setting.values.erase("rank");  // until it is known
        } else if (setting_value(setting, "rank") != "0") {
            setting.values["rank_fraction"] = "0.25";
        }
        if (setting_value(setting, "num_bits") == "16") {
            setting.values["group_size"] = "64";
        }
        if (std::ranges::find(settings, setting) == settings.end()) {
            settings.push_back(std::move(setting));
        }
    }
    return settings;
}

std::size_t smaller_side(const Shape& shape) {
    const auto [rows, cols] = matrix_extents(shape);
    return std::min(rows, cols);
}

bool awaits_rank(const Setting& setting) {
    return !setting.values.contains("rank");
}

std::size_t rank_of(const Setting& setting, const Shape& shape) {
    if (setting.values.contains("error")) {
        // One for all tensors of a unit; the narrow ones may have no such rank.
        return awaits_rank(setting)
                   ? 1
                   : std::min<std::size_t>(std::stoull(setting_value(setting, "rank")),
                                           smaller_side(shape));
    }
    const std::size_t given = std::stoull(setting_value(setting, "rank"));
    const double share = std::stod(setting_value(setting, "rank_fraction"));
    const auto by_share =
        static_cast<std::size_t>(std::lround(share * static_cast<double>(smaller_side(shape))));
    return given > 0 ? given : std::max<std::size_t>(by_share, 1);
}

/// How a factor's elements are stored; none: as fp16.
std::optional<IntegerLayout> layout_of(const Setting& setting) {
    const auto num_bits = static_cast<unsigned>(std::stoul(setting_value(setting, "num_bits")));
    if (num_bits == 16) {
        return std::nullopt;
    }
    return IntegerLayout{num_bits, std::stoull(setting_value(setting, "group_size")), true};
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType /*source_dtype*/) {
    const std::size_t rank = rank_of(setting, shape);
    const auto layout = layout_of(setting);
    const auto of_factor = [&](const Shape& factor) {
        return layout ? integer_bytes(factor, *layout) : 2 * element_count(factor);
    };
    const auto [rows, cols] = matrix_extents(shape);
    return of_factor({rows, rank}) + of_factor({rank, cols});
}

double flops(const Setting& setting, const Shape& shape) {
    const auto [rows, cols] = matrix_extents(shape);
    const auto m = static_cast<double>(rows);
    const auto n = static_cast<double>(cols);
    const double side = std::min(m, n);
    const auto rank = static_cast<double>(rank_of(setting, shape));
    const double codes = layout_of(setting) ? n * n * n + 4.0 * rank * n * n : 0.0;
    return 2.0 * m * n * n + 2.0 * m * n * side + 20.0 * side * side * side + codes;
}

ContainerParts container(const Setting& setting) {
    // Two factors, each values or codes with scales.
    return {2, layout_of(setting) ? 3U : 1U};
}

std::string refuses(const Setting& setting, const UnitSpec& unit, const Shape& shape,
                    DType /*source_dtype*/) {
    if (unit.input == Signal::token_ids) {
        return "low_rank needs the Gram matrix of a unit's input, and unit " + unit.name +
               " looks up token ids";
    }
    if (shape.size() != 2) {
        return "a tensor of shape " + to_string(shape) + " is no matrix";
    }
    const std::size_t rank = rank_of(setting, shape);
    if (rank > smaller_side(shape)) {
        return "rank " + std::to_string(rank) + " is above the smaller side of " +
               to_string(shape) + " in unit " + unit.name;
    }
    return "";
}

std::vector<float> narrowed(MatrixView<const double> values) {
    std::vector<float> narrow(values.rows * values.cols);
    std::transform(values.data, values.data + narrow.size(), narrow.begin(),
                   [](double x) { return static_cast<float>(x); });
    return narrow;
}

/// A matrix with integer codes, solved with error feedback.
EncodedTensor in_codes(const std::vector<float>& values, const Shape& shape,
                       const IntegerLayout& layout, MatrixView<const float> gram,
                       const kernels::Backend& backend) {
    const IntegerTask task{layout, ErrorFeedback{}, false};
    const UnitTensor tensor{{values.data(), shape[0], shape[1]}, shape, DType::f32};
    return std::move(
        solve_integer({&task, 1}, {&tensor, 1}, {gram, {}}, backend).front().tensors.front());
}

EncodedTensor solve_tensor(const Setting& setting, const UnitTensor& tensor,
                           const Components& components, MatrixView<const float> gram,
                           const kernels::Backend& backend) {
    const std::size_t rank = rank_of(setting, tensor.shape);
    const Shape right_shape{rank, tensor.weight.cols};
    const Shape left_shape{tensor.weight.rows, rank};
    const std::vector<float> right = narrowed(components.right_rows(rank));
    const auto layout = layout_of(setting);
    EncodedTensor stored_right =
        layout ? in_codes(right, right_shape, *layout, gram, backend)
               : encode_dense(MatrixView<const float>(right.data(), rank, tensor.weight.cols),
                              right_shape, DType::f16);
    const HostMatrix<float> kept = decoded(stored_right);
    std::vector<float> narrow_gram;
    const std::vector<float> left =
        fit_left(tensor.weight, gram, kept.view(), narrow_gram, backend);
    EncodedTensor stored_left =
        layout ? in_codes(left, left_shape, *layout, {narrow_gram.data(), rank, rank}, backend)
               : encode_dense(MatrixView<const float>(left.data(), tensor.weight.rows, rank),
                              left_shape, DType::f16);
    return encode_low_rank(std::move(stored_left), std::move(stored_right));
}

/// The setting with the smallest rank at which all components beyond it hold at most `error` of the
/// energy of a unit's outputs. `energies`: of each tensor's components, falling.
Setting settled(const Setting& setting, std::span<const std::vector<double>> energies) {
    double energy = 0.0;
    std::size_t rank = 1;
    for (const std::vector<double>& own : energies) {
        energy = std::accumulate(own.begin(), own.end(), energy);
        rank = std::max(rank, own.size());
    }
    const double allowed = std::stod(setting_value(setting, "error")) * energy;
    double left_out = 0.0;
    for (; rank > 1; --rank) {
        for (const std::vector<double>& own : energies) {
            left_out += rank <= own.size() ? std::max(own[rank - 1], 0.0) : 0.0;
        }
        if (left_out > allowed) {
            break;
        }
    }
    Setting known = setting;
    known.values["rank"] = std::to_string(rank);
    return known;
}

std::vector<UnitSolution> solve(std::span<const Setting> settings,
                                std::span<const UnitTensor> tensors,
                                const UnitStatistics& statistics, const kernels::Backend& backend) {
    std::vector<UnitSolution> solutions(settings.size());
    const OutputError output_error(statistics, backend);
    std::vector<Components> components;
    std::vector<std::vector<double>> energies;
    for (const UnitTensor& tensor : tensors) {
        components.push_back(output_components(tensor.weight, statistics.gram, backend));
        energies.push_back(components.back().energy);
    }
    for (std::size_t s = 0; s < settings.size(); ++s) {
        if (awaits_rank(settings[s])) {
            solutions[s].settled = settled(settings[s], energies);
        }
        for (std::size_t t = 0; t < tensors.size(); ++t) {
            EncodedTensor solved =
                solve_tensor(solutions[s].settled.value_or(settings[s]), tensors[t], components[t],
                             statistics.gram, backend);
            solutions[s].error += output_error.of_tensor(tensors[t].weight, decoded(solved).view());
            solutions[s].tensors.push_back(std::move(solved));
        }
    }
    return solutions;
}

}  // namespace

MethodRow low_rank_method() {
    MethodRow row{"low_rank", expand, bytes, flops, refuses, solve};
    row.container = container;
    row.is_open = awaits_rank;
    return row;
}

}  // namespace lathe
