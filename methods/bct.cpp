#include "methods/bct.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/encoding/block_shift.hpp"
#include "methods/integer_solver.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

std::optional<std::string> read_bits(const std::string& text) {
    return read_whole_number(text, 2, 8);
}
std::optional<std::string> read_block_size(const std::string& text) {
    return read_whole_number(text, 16, 1024);
}
std::optional<std::string> read_scale(const std::string& text) {
    static constexpr std::array<std::string_view, 3> words = {"shift8", "shift6", "float16"};
    return read_word(text, words);
}
std::optional<std::string> read_solver(const std::string& text) {
    static constexpr std::array<std::string_view, 3> words = {"admm", "gptq", "rtn"};
    return read_word(text, words);
}

constexpr std::array<SettingKey, 6> keys = {{
    {"num_bits", "4", read_bits, "a whole number from 2 to 8"},
    {"block_size", "64", read_block_size, "a whole number from 16 to 1024"},
    {"scale", "shift8", read_scale, "shift8, shift6 or float16"},
    {"choose_scale", "true", read_flag, "true or false"},
    {"solver", "admm", read_solver, "admm, gptq or rtn"},
    {"dampening_frac", "0.01", read_fraction, "a number above 0 and below 1"},
}};

BlockShiftLayout layout_of(const Setting& setting) {
    const std::string& scale = setting_value(setting, "scale");
    return {static_cast<unsigned>(std::stoul(setting_value(setting, "num_bits"))),
            static_cast<std::size_t>(std::stoull(setting_value(setting, "block_size"))),
            scale == "shift8"   ? 8U
            : scale == "shift6" ? 6U
                                : 16U};
}

IntegerTask task_of(const Setting& setting) {
    const BlockShiftLayout layout = layout_of(setting);
    IntegerTask task{.layout = {layout.num_bits, layout.block_size, true},
                     .feedback = std::nullopt,
                     .refine = setting_value(setting, "solver") == "admm",
                     .blocks = layout,
                     .whole_range = setting_value(setting, "choose_scale") == "false"};
    if (uses_feedback(setting)) {
        task.feedback = ErrorFeedback{std::stod(setting_value(setting, "dampening_frac")), false};
    }
    return task;
}

/// Keys that a solver does not look at get their defaults, so that one result has one setting.
std::vector<Setting> expand(const CandidateEntry& entry) {
    return expand_settled(entry, keys, [&](Setting& setting) {
        setting.values[uses_feedback(setting) ? "choose_scale" : "dampening_frac"] =
            uses_feedback(setting) ? "true" : "0.01";
    });
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType /*source_dtype*/) {
    return block_shift_bytes(shape, layout_of(setting));
}

double flops(const Setting& setting, const Shape& shape) {
    return integer_flops(task_of(setting), shape);
}

ContainerParts container(const Setting& /*setting*/) {
    return {0, 1};  // shifts or scales
}

std::optional<EncodedTensor> outline(const Setting& setting, const Shape& shape) {
    return block_shift_outline(shape, layout_of(setting));
}

}  // namespace

MethodRow bct_method() {
    MethodRow row{"bct", expand, bytes, flops, refuses_feedback, solve_settings<task_of>};
    row.container = container;
    row.outline = outline;
    return row;
}

}  // namespace lathe
