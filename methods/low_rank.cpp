#include "methods/low_rank.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

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

constexpr std::array<SettingKey, 4> keys = {{
    {"rank", "0", read_rank, "a whole number"},
    {"rank_fraction", "0.25", read_fraction, "a number above 0 and below 1"},
    {"num_bits", "16", read_bits, "16 or a whole number from 2 to 8"},
    {"group_size", "64", read_group_size, "a positive whole number"},
}};

/// Keys that a setting does not look at get their defaults, so that one result has one setting.
std::vector<Setting> expand(const CandidateEntry& entry) {
    std::vector<Setting> settings;
    for (Setting& setting : expand_keys(entry, keys)) {
        if (setting_value(setting, "rank") != "0") {
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

std::size_t rank_of(const Setting& setting, const Shape& shape) {
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
                       const IntegerLayout& layout, MatrixView<const double> gram,
                       const kernels::Backend& backend) {
    const IntegerTask task{layout, ErrorFeedback{}, false};
    const UnitTensor tensor{{values.data(), shape[0], shape[1]}, shape, DType::f32};
    return std::move(
        solve_integer({&task, 1}, {&tensor, 1}, {gram, {}}, backend).front().tensors.front());
}

EncodedTensor solve_tensor(const Setting& setting, const UnitTensor& tensor,
                           const Components& components, MatrixView<const double> gram,
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
    std::vector<double> narrow_gram;
    const std::vector<float> left =
        fit_left(tensor.weight, gram, kept.view(), narrow_gram, backend);
    EncodedTensor stored_left =
        layout ? in_codes(left, left_shape, *layout, {narrow_gram.data(), rank, rank}, backend)
               : encode_dense(MatrixView<const float>(left.data(), tensor.weight.rows, rank),
                              left_shape, DType::f16);
    return encode_low_rank(std::move(stored_left), std::move(stored_right));
}

std::vector<UnitSolution> solve(std::span<const Setting> settings,
                                std::span<const UnitTensor> tensors,
                                const UnitStatistics& statistics, const kernels::Backend& backend) {
    std::vector<UnitSolution> solutions(settings.size());
    const OutputError output_error(statistics, backend);
    for (const UnitTensor& tensor : tensors) {
        const Components components = output_components(tensor.weight, statistics.gram, backend);
        for (std::size_t s = 0; s < settings.size(); ++s) {
            EncodedTensor solved =
                solve_tensor(settings[s], tensor, components, statistics.gram, backend);
            solutions[s].error += output_error.of_tensor(tensor.weight, decoded(solved).view());
            solutions[s].tensors.push_back(std::move(solved));
        }
    }
    return solutions;
}

}  // namespace

MethodRow low_rank_method() {
    MethodRow row{"low_rank", expand, bytes, flops, refuses, solve};
    row.container = container;
    return row;
}

}  // namespace lathe
