#include "lib/model/model_facts.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

#include "lib/core/json.hpp"

namespace lathe {
namespace {

std::string_view name(BlockForm form) {
    switch (form) {
        case BlockForm::pre_norm:
            return "pre_norm";
        case BlockForm::post_norm:
            return "post_norm";
        case BlockForm::parallel:
            return "parallel";
    }
    return "";
}

/// The shortest decimal that is this float32 again: 1e-05, not 9.999999747378752e-06.
double as_written(float value) {
    std::array<char, 32> text{};
    for (int digits = 1; digits <= 9; ++digits) {
        std::snprintf(text.data(), text.size(), "%.*g", digits, static_cast<double>(value));
        if (std::strtof(text.data(), nullptr) == value) break;
    }
    return std::strtod(text.data(), nullptr);
}

/// Where there are biases, by the parts of a model: {"q_proj": true, ...} of those it has.
nlohmann::json biases_of(const ModelSpec& spec) {
    nlohmann::json biases = nlohmann::json::object();
    for (const TensorSpec& tensor : spec.tensors) {
        const bool outside_first = tensor.block.value_or(0) != 0;
        if (outside_first || tensor.is_bias || tensor.role == Role::token_embedding) continue;
        biases[std::string(lathe::name(tensor.role))] =
            spec.find(tensor.role, tensor.block, true).has_value();
    }
    return biases;
}

}  // namespace

std::string model_facts(const ModelSpec& spec) {
    nlohmann::json facts{
        {"family", spec.family},
        {"parameters", spec.parameters()},
        {"hidden_size", spec.hidden_size},
        {"intermediate_size", spec.intermediate_size},
        {"blocks", spec.n_blocks},
        {"heads", spec.n_heads},
        {"kv_heads", spec.n_kv_heads},
        {"head_dim", spec.head_dim},
        {"vocab_size", spec.vocab_size},
        {"embedding_size", spec.embedding_size},
        {"max_positions", spec.max_positions},
        {"block_form", name(spec.form)},
        {"norm", spec.norm == NormKind::rms ? "rms" : "layer"},
        {"norm_epsilon", as_written(spec.norm_epsilon)},
        {"activation", lathe::name(spec.activation)},
        {"causal", spec.causal},
        {"tied_head", spec.tied_head},
        {"head", spec.head == HeadKind::classifier ? "classifier" : "language_model"},
        {"outputs", spec.n_outputs()},
        {"rope", nullptr},
        {"alibi", !spec.alibi_slopes.empty()},
        {"windows", spec.windows},
        {"biases", biases_of(spec)},
        {"eos_ids", spec.eos_ids},
    };
    if (!spec.rope.inv_freq.empty())
        facts["rope"] = {{"kind", spec.rope.kind},
                         {"theta", spec.rope.theta},
                         {"dims", 2 * spec.rope.inv_freq.size()}};
    return facts.dump();
}

}  // namespace lathe
