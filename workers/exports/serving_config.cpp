#include "workers/exports/serving_config.hpp"

#include "lib/core/json.hpp"

namespace lathe {
DType stated_dtype(const nlohmann::json& config, const ExportedModel& model) {
    for (const char* key : {"dtype", "torch_dtype"}) {
        const auto found = config.find(key);
        if (found == config.end() || !found->is_string()) {
            continue;
        }
        for (const DType known : {DType::f32, DType::f16, DType::bf16}) {
            if (found->get_ref<const std::string&>() == name(known)) {
                return known;
            }
        }
    }
    return model.main_dtype();
}

void state_dtype(nlohmann::json& config, const ExportedModel& model) {
    const std::string dtype(name(stated_dtype(config, model)));
    config["dtype"] = dtype;
    config["torch_dtype"] = dtype;
}

std::string with_common_tokenizer_class(const std::string& text) {
    nlohmann::json config = parse_json(text, "tokenizer_config.json");
    if (!config.is_object() || config.value("tokenizer_class", "") != "TokenizersBackend") {
        return text;
    }
    config["tokenizer_class"] = "PreTrainedTokenizerFast";
    return config.dump(2) + "\n";
}

}  // namespace lathe
