#include "methods/nm.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "lib/config/yaml_reader.hpp"
#include "lib/core/errors.hpp"
#include "methods/nm_solver.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

constexpr std::size_t largest_m = 64;

struct SolverName {
    std::string_view name;
    PruningSolver solver;
};

constexpr std::array<SolverName, 5> solver_names = {{
    {"admm", PruningSolver::admm},
    {"admm_fixed", PruningSolver::admm_fixed},
    {"sparsegpt", PruningSolver::sparsegpt},
    {"wanda", PruningSolver::wanda},
    {"magnitude", PruningSolver::magnitude},
}};

/// "N:M", both without leading zeros.
std::optional<std::string> read_pattern(const std::string& text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos) {
        return std::nullopt;
    }
    const auto m = read_whole_number(text.substr(colon + 1), 1, largest_m);
    const auto n = m ? read_whole_number(text.substr(0, colon), 1, std::stoull(*m)) : std::nullopt;
    return n ? std::optional(*n + ":" + *m) : std::nullopt;
}
std::optional<std::string> read_bits(const std::string& text) {
    return text == "none" ? std::optional(text) : read_whole_number(text, 1, 8);
}
std::optional<std::string> read_codes(const std::string& text) {
    static constexpr std::array<std::string_view, 2> words = {"integer", "binary"};
    return read_word(text, words);
}
std::optional<std::string> read_dtype(const std::string& text) {
    static constexpr std::array<std::string_view, 3> words = {"source", "float16", "bfloat16"};
    return read_word(text, words);
}
std::optional<std::string> read_group_size(const std::string& text) {
    return read_whole_number(text, 1, std::numeric_limits<std::int32_t>::max());
}
std::optional<std::string> read_solver(const std::string& text) {
    const bool known = std::any_of(solver_names.begin(), solver_names.end(),
                                   [&](const SolverName& s) { return s.name == text; });
    return known ? std::optional(text) : std::nullopt;
}

constexpr std::array<SettingKey, 7> keys = {{
    {"pattern", "2:4", read_pattern, "N:M with 1 <= N <= M <= 64, such as 2:4"},
    {"num_bits", "none", read_bits, "none or a whole number from 1 to 8"},
    {"codes", "integer", read_codes, "integer or binary"},
    {"dtype", "source", read_dtype, "source, float16 or bfloat16"},
    {"group_size", "64", read_group_size, "a positive whole number"},
    {"solver", "admm", read_solver, "admm, admm_fixed, sparsegpt, wanda or magnitude"},
    {"dampening_frac", "0.01", read_fraction, "a number above 0 and below 1"},
}};

PruningSolver solver_of(const Setting& setting) {
    const std::string& name = setting_value(setting, "solver");
    return std::find_if(solver_names.begin(), solver_names.end(),
                        [&](const SolverName& s) { return s.name == name; })
        ->solver;
}

NmTask task_of(const Setting& setting) {
    const std::string& pattern = setting_value(setting, "pattern");
    const std::size_t colon = pattern.find(':');
    NmTask task;
    task.places.pattern = {std::stoull(pattern.substr(0, colon)),
                           std::stoull(pattern.substr(colon + 1))};
    task.places.solver = solver_of(setting);
    task.places.damping = std::stod(setting_value(setting, "dampening_frac"));
    if (setting_value(setting, "num_bits") != "none") {
        task.num_bits = static_cast<unsigned>(std::stoul(setting_value(setting, "num_bits")));
        task.binary = setting_value(setting, "codes") == "binary";
        task.group_size = std::stoull(setting_value(setting, "group_size"));
    } else if (setting_value(setting, "dtype") != "source") {
        task.value_type = dtype_from_name(setting_value(setting, "dtype"));
    }
    return task;
}

/// @throws UsageError  for bits that codes of its kind do not have
void require_bits(const CandidateEntry& entry, const Setting& setting) {
    const NmTask task = task_of(setting);
    const NmLayout layout = task.layout(DType::f16);
    if (task.num_bits > 0 &&
        (task.num_bits < layout.fewest_bits() || task.num_bits > layout.most_bits())) {
        refuse_at(entry.place, "num_bits of method nm is " + std::to_string(task.num_bits) +
                                   "; expected " + std::to_string(layout.fewest_bits()) + " to " +
                                   std::to_string(layout.most_bits()) +
                                   " with codes: " + layout.code_name());
    }
}

/// Keys that a setting does not look at get their defaults, so that one result has one setting.
std::vector<Setting> expand(const CandidateEntry& entry) {
    return expand_settled(entry, keys, [&](Setting& setting) {
        const bool has_codes = setting_value(setting, "num_bits") != "none";
        setting.values[has_codes ? "dtype" : "group_size"] = has_codes ? "source" : "64";
        if (!has_codes) {
            setting.values["codes"] = "integer";
        }
        require_bits(entry, setting);
        const PruningSolver solver = solver_of(setting);
        if (solver == PruningSolver::magnitude || solver == PruningSolver::wanda) {
            setting.values["dampening_frac"] = "0.01";
        }
    });
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType source_dtype) {
    return nm_bytes(shape, task_of(setting).layout(source_dtype));
}

double flops(const Setting& setting, const Shape& shape) {
    const auto [rows, cols] = matrix_extents(shape);
    const auto d = static_cast<double>(cols);
    const double product = 2.0 * static_cast<double>(rows) * d * d;
    const double codes = setting_value(setting, "num_bits") == "none" ? 0.0 : 1.0;
    switch (solver_of(setting)) {
        case PruningSolver::magnitude:
        case PruningSolver::wanda:
            return product;
        case PruningSolver::sparsegpt:
            return d * d * d + (1.0 + codes) * product;
        case PruningSolver::admm:  // about 30 products, 10 inverses, a refit of 10 products
            return 20.0 * d * d * d + 42.0 * product + codes * (70.0 * product + 20.0 * d * d * d);
        case PruningSolver::admm_fixed:
            return 2.0 * d * d * d + 21.0 * product + codes * (70.0 * product + 20.0 * d * d * d);
    }
    return product;
}

std::string refuses(const Setting& setting, const UnitSpec& unit, const Shape& shape,
                    DType source_dtype) {
    const NmTask task = task_of(setting);
    if (unit.input == Signal::token_ids && task.places.solver != PruningSolver::magnitude) {
        return "solver " + setting_value(setting, "solver") +
               " needs the Gram matrix of a unit's input, and unit " + unit.name +
               " looks up token ids; use solver magnitude";
    }
    return nm_refuses(shape, task.layout(source_dtype));
}

std::vector<UnitSolution> solve(std::span<const Setting> settings,
                                std::span<const UnitTensor> tensors,
                                const UnitStatistics& statistics, const kernels::Backend& backend) {
    std::vector<NmTask> tasks;
    std::transform(settings.begin(), settings.end(), std::back_inserter(tasks), task_of);
    return solve_nm(tasks, tensors, statistics, backend);
}

}  // namespace

MethodRow nm_method() {
    return {"nm", expand, bytes, flops, refuses, solve};
}

}  // namespace lathe
