#include "methods/integer.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/encoding/integer.hpp"
#include "methods/integer_solver.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

std::optional<std::string> read_bits(const std::string& text) {
    return read_whole_number(text, 2, 8);
}
std::optional<std::string> read_group_size(const std::string& text) {
    return read_whole_number(text, 1, std::numeric_limits<std::int32_t>::max());
}
std::optional<std::string> read_solver(const std::string& text) {
    static constexpr std::array<std::string_view, 3> words = {"admm", "gptq", "rtn"};
    return read_word(text, words);
}
std::optional<std::string> read_block_size(const std::string& text) {
    return read_whole_number(text, 128, 128);
}

constexpr const char* default_scale_dtype = "float16";

std::optional<std::string> read_scale_bits(const std::string& text) {
    return read_whole_number(text, 4, 11);
}

std::optional<std::string> read_scale_dtype(const std::string& text) {
    static constexpr std::array<std::string_view, 2> words = {default_scale_dtype, "float8"};
    return read_word(text, words);
}

/// That of fp16: settings do not name it, as they did not before there was a choice.
constexpr const char* all_scale_bits = "11";

constexpr std::array<SettingKey, 9> keys = {{
    {"num_bits", "4", read_bits, "a whole number from 2 to 8"},
    {"group_size", "64", read_group_size, "a positive whole number"},
    {"symmetric", "true", read_flag, "true or false"},
    {"solver", "admm", read_solver, "admm, gptq or rtn"},
    {"actorder", "false", read_flag, "true or false"},
    {"dampening_frac", "0.01", read_fraction, "a number above 0 and below 1"},
    {"block_size", "128", read_block_size, "128 (the block size does not change the result)"},
    {"scale_bits", all_scale_bits, read_scale_bits, "a whole number from 4 to 11"},
    {"scale_dtype", default_scale_dtype, read_scale_dtype, "float16 or float8"},
}};

IntegerLayout layout_of(const Setting& setting) {
    return {static_cast<unsigned>(std::stoul(setting_value(setting, "num_bits"))),
            static_cast<std::size_t>(std::stoull(setting_value(setting, "group_size"))),
            setting_value(setting, "symmetric") == "true", setting.values.contains("scale_dtype")};
}

IntegerTask task_of(const Setting& setting) {
    IntegerTask task{.layout = layout_of(setting),
                     .feedback = std::nullopt,
                     .refine = setting_value(setting, "solver") == "admm"};
    if (uses_feedback(setting)) {
        task.feedback = ErrorFeedback{std::stod(setting_value(setting, "dampening_frac")),
                                      setting_value(setting, "actorder") == "true"};
    }
    if (const auto bits = setting.values.find("scale_bits"); bits != setting.values.end()) {
        task.scale_bits = static_cast<unsigned>(std::stoul(bits->second));
    }
    return task;
}

/// Keys that rtn does not look at get their defaults, so that one result has one setting.
std::vector<Setting> expand(const CandidateEntry& entry) {
    return expand_settled(entry, keys, [&](Setting& setting) {
        if (!uses_feedback(setting)) {
            setting.values["actorder"] = "false";
            setting.values["dampening_frac"] = "0.01";
        }
        if (setting.values.at("scale_bits") == all_scale_bits) {
            setting.values.erase("scale_bits");
        }
        if (setting.values.at("scale_dtype") == default_scale_dtype) {
            setting.values.erase("scale_dtype");
        } else {
            // They have five bits and no choice.
            setting.values.erase("scale_bits");
        }
    });
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType /*source_dtype*/) {
    return integer_bytes(shape, layout_of(setting));
}

double flops(const Setting& setting, const Shape& shape) {
    return integer_flops(task_of(setting), shape);
}

GramFactors shared_by_rows(const Setting& setting) {
    const IntegerTask task = task_of(setting);
    return {task.feedback, task.refine};
}

std::optional<EncodedTensor> outline(const Setting& setting, const Shape& shape) {
    return integer_outline(shape, layout_of(setting));
}

}  // namespace

MethodRow integer_method() {
    MethodRow row{"integer", expand, bytes, flops, refuses_feedback, solve_settings<task_of>};
    row.outline = outline;
    row.shared_by_rows = shared_by_rows;
    return row;
}

}  // namespace lathe
