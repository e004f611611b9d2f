#include "lib/model/family.hpp"

#include <algorithm>
#include <array>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/model/config_reader.hpp"
#include "lib/model/families.hpp"

namespace lathe {
namespace {

using nlohmann::json;

/// ModelSpec::quantisation
std::string quantisation_of(const ConfigReader& config) {
    for (const char* key : {"quantization_config", "compression_config"}) {
        const auto quantisation = config.object(key);
        if (!quantisation) continue;
        const std::string method =
            quantisation->optional_string("quant_method").value_or("unknown");
        return std::string(key) + ", quant_method \"" + method + "\"";
    }
    return "";
}

const FamilyRow& family_of(const ConfigReader& config) {
    std::string known;
    for (const FamilyRow& row : family_table())
        known += (known.empty() ? "" : ", ") + std::string(row.model_type);
    const auto type = config.optional_string("model_type");
    const FamilyRow* row = type ? find_family(*type) : nullptr;
    if (!row) config.refuse("model_type", "one of the supported families: " + known);
    return *row;
}

/// "BertForMaskedLM" is a BERT whose head does something else than we run.
void refuse_other_heads(const ConfigReader& config, const ModelSpec& spec) {
    const std::string wanted =
        spec.head == HeadKind::classifier ? "SequenceClassification" : "CausalLM";
    for (const std::string& architecture : config.strings("architectures")) {
        const auto place = architecture.find("For");
        if (place != std::string::npos && architecture.substr(place + 3) != wanted)
            config.unsupported("the architecture " + architecture +
                               " is not supported; expected one that ends in For" + wanted);
    }
}

}  // namespace

std::span<const FamilyRow> family_table() {
    static const std::array rows{
        llama_family(), mistral_family(), qwen2_family(),      qwen3_family(),    phi3_family(),
        opt_family(),   phi_family(),     gpt2_family(),       gpt_neox_family(), bloom_family(),
        bert_family(),  roberta_family(), distilbert_family(),
    };
    return rows;
}

const FamilyRow* find_family(std::string_view model_type) {
    const auto rows = family_table();
    const auto row = std::ranges::find(rows, model_type, &FamilyRow::model_type);
    return row == rows.end() ? nullptr : &*row;
}

namespace {

ModelSpec read_spec(const std::string& config_json, const std::string& where,
                    std::vector<std::string>* unsupported) {
    const json parsed = parse_json(config_json, where);
    ConfigReader general(parsed, where);
    general.list_unsupported(unsupported);
    const FamilyRow& family = family_of(general);
    ConfigReader config = general;
    config.assume_defaults(family.model_type);
    ModelSpec spec = family.read(config);
    spec.family = family.model_type;
    spec.quantisation = quantisation_of(general);
    refuse_other_heads(general, spec);
    return spec;
}

}  // namespace

ModelSpec read_model_spec(const std::string& config_json, const std::string& where) {
    return read_spec(config_json, where, nullptr);
}

ModelSpec read_model_spec(const std::string& config_json, const std::string& where,
                          std::vector<std::string>& unsupported) {
    return read_spec(config_json, where, &unsupported);
}

}  // namespace lathe
