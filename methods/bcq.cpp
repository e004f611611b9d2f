#include "methods/bcq.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "methods/bcq_solver.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

std::optional<std::string> read_bits(const std::string& text) {
    return read_whole_number(text, 1, 4);
}
std::optional<std::string> read_group_size(const std::string& text) {
    return read_whole_number(text, 1, std::numeric_limits<std::int32_t>::max());
}
std::optional<std::string> read_solver(const std::string& text) {
    static constexpr std::array<std::string_view, 5> words = {"greedy", "refined", "alternating",
                                                              "gptq", "admm"};
    return read_word(text, words);
}

constexpr std::array<SettingKey, 5> keys = {{
    {"num_bits", "3", read_bits, "a whole number from 1 to 4"},
    {"group_size", "128", read_group_size, "a positive whole number"},
    {"offset", "false", read_flag, "true or false"},
    {"solver", "admm", read_solver, "greedy, refined, alternating, gptq or admm"},
    {"dampening_frac", "0.01", read_fraction, "a number above 0 and below 1"},
}};

bool uses_feedback(const Setting& setting) {
    const std::string& solver = setting_value(setting, "solver");
    return solver == "gptq" || solver == "admm";
}

BcqLayout layout_of(const Setting& setting) {
    return {
        .num_bits = static_cast<unsigned>(std::stoul(setting_value(setting, "num_bits"))),
        .group_size = static_cast<std::size_t>(std::stoull(setting_value(setting, "group_size"))),
        .uniform = false,
        .offset = setting_value(setting, "offset") == "true"};
}

BcqTask task_of(const Setting& setting) {
    const std::string& solver = setting_value(setting, "solver");
    BcqTask task;
    task.layout = layout_of(setting);
    task.refine = solver == "admm";
    if (uses_feedback(setting)) {
        task.damping = std::stod(setting_value(setting, "dampening_frac"));
    }
    if (solver == "greedy" || solver == "refined") {
        task.n_rounds = solver == "greedy" ? 0 : 1;
    }
    return task;
}

/// Solvers that do not look at the damping get its default, so that one result has one setting.
std::vector<Setting> expand(const CandidateEntry& entry) {
    return expand_settled(entry, keys, [&](Setting& setting) {
        if (!uses_feedback(setting)) {
            setting.values["dampening_frac"] = "0.01";
        }
    });
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType /*source_dtype*/) {
    return bcq_bytes(shape, layout_of(setting));
}

double flops(const Setting& setting, const Shape& shape) {
    const auto [rows, cols] = matrix_extents(shape);
    const auto d = static_cast<double>(cols);
    const double product = 2.0 * static_cast<double>(rows) * d * d;
    // Thirty rounds of nearest levels and sums.
    const double fit = 60.0 * 16.0 * static_cast<double>(rows) * d;
    if (!uses_feedback(setting)) {
        return fit + 0.5 * product;
    }
    const double feedback = d * d * d + 2.0 * product + 2.0 * fit;
    // About 60 products with an inverse, 10 inverses, errors and four passes of descent.
    return setting_value(setting, "solver") == "gptq"
               ? feedback
               : feedback + 74.0 * product + 20.0 * d * d * d;
}

std::string refuses(const Setting& setting, const UnitSpec& unit, const Shape& /*shape*/,
                    DType /*source_dtype*/) {
    if (unit.input == Signal::token_ids && uses_feedback(setting)) {
        return "solver " + setting_value(setting, "solver") +
               " needs the Gram matrix of a unit's input, and unit " + unit.name +
               " looks up token ids; use solver alternating";
    }
    return "";
}

std::vector<UnitSolution> solve(std::span<const Setting> settings,
                                std::span<const UnitTensor> tensors,
                                const UnitStatistics& statistics, const kernels::Backend& backend) {
    std::vector<BcqTask> tasks;
    std::transform(settings.begin(), settings.end(), std::back_inserter(tasks), task_of);
    return solve_bcq(tasks, tensors, statistics, backend);
}

GramFactors shared_by_rows(const Setting& setting) {
    const BcqTask task = task_of(setting);
    if (!task.damping) {
        return {};
    }
    return {ErrorFeedback{*task.damping}, task.refine};
}

std::optional<EncodedTensor> outline(const Setting& setting, const Shape& shape) {
    return bcq_outline(shape, layout_of(setting));
}

}  // namespace

MethodRow bcq_method() {
    MethodRow row{"bcq", expand, bytes, flops, refuses, solve};
    row.outline = outline;
    row.shared_by_rows = shared_by_rows;
    return row;
}

}  // namespace lathe
