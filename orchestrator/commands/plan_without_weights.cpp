#include <algorithm>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/model/model_facts.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/estimate/job_outline.hpp"

namespace lathe {

namespace {

nlohmann::json units_of(const ModelSpec& spec, DType dtype) {
    nlohmann::json units = nlohmann::json::array();
    for (const UnitSpec& unit : spec.units) {
        std::uint64_t weights = 0;
        for (const std::size_t t : unit.tensors) {
            weights += element_count(spec.tensors[t].shape);
        }
        units.push_back(
            {{"name", unit.name}, {"weights", weights}, {"bytes", weights * size_bytes(dtype)}});
    }
    return units;
}

std::string windows_text(const ModelSpec& spec) {
    std::size_t sliding = 0;
    std::size_t largest = 0;
    for (const std::size_t window : spec.windows) {
        sliding += window > 0 ? 1 : 0;
        largest = std::max(largest, window);
    }
    return sliding == 0 ? "every block sees all tokens"
                        : fmt::format("{} of {} blocks see {} tokens, the others all", sliding,
                                      spec.n_blocks, largest);
}

std::string rope_text(const ModelSpec& spec) {
    return spec.rope.inv_freq.empty()
               ? (spec.alibi_slopes.empty() ? "learned positions" : "linear position bias (ALiBi)")
               : fmt::format(
                     "rotary positions on {} of {} elements of a head, base {}, {}",
                     2 * spec.rope.inv_freq.size(), spec.head_dim, spec.rope.theta,
                     spec.rope.kind == "default" ? "not scaled" : spec.rope.kind + " scaling");
}

std::string text_of(const ModelSpec& spec, const nlohmann::json& plan) {
    std::string text = fmt::format(
        "{}: {} parameters in {} units and what stays dense, {} bytes as {}\n"
        "no weights were read: this is what {} says\n"
        "  {} blocks of width {}, MLP {}, {} heads of {}, {} for keys and values, vocabulary {}\n"
        "  {}; {}; {} positions\n"
        "  norms {}, epsilon {}; activation {}; head {}\n",
        spec.family, plan["parameters"].get<std::uint64_t>(), spec.units.size(),
        plan["source_bytes"].get<std::uint64_t>(), plan["dtype"].get<std::string>(),
        plan["config"].get<std::string>(), spec.n_blocks, spec.hidden_size, spec.intermediate_size,
        spec.n_heads, spec.head_dim, spec.n_kv_heads, spec.vocab_size, rope_text(spec),
        windows_text(spec), spec.max_positions, spec.norm == NormKind::rms ? "RMS" : "LayerNorm",
        plan["switches"]["norm_epsilon"].get<double>(), name(spec.activation),
        spec.head == HeadKind::classifier ? fmt::format("a classifier of {}", spec.n_outputs())
        : spec.tied_head                  ? "tied to the embedding"
                                          : "of its own");
    for (const auto& note : plan["notes"]) {
        text += "note: " + note.get<std::string>() + "\n";
    }
    for (const auto& line : plan["refused"]) {
        text += "run would refuse: " + line.get<std::string>() + "\n";
    }
    return text;
}

}  // namespace

CommandOutput plan_without_weights(const std::filesystem::path& config) {
    const ConfigOutline outline = read_config_outline(config);
    const ModelSpec& spec = outline.spec;
    const DType dtype = outline.dtype;
    const nlohmann::json plan{
        {"weights_read", false},          {"config", config.string()},
        {"family", spec.family},          {"parameters", spec.parameters()},
        {"dtype", name(dtype)},           {"source_bytes", spec.parameters() * size_bytes(dtype)},
        {"units", units_of(spec, dtype)}, {"switches", parse_json(model_facts(spec))},
        {"notes", outline.notes},         {"refused", outline.refused}};
    CommandOutput output{plan.dump(), text_of(spec, plan), 0};
    if (!outline.refused.empty()) {
        output.exit_code = static_cast<int>(ExitCode::bad_data);
    }
    return output;
}

}  // namespace lathe
