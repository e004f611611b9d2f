#include "workers/exports/serving_config.hpp"

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace fs = std::filesystem;

DType stated_dtype(const nlohmann::json& config, const ExportedModel& model) {
    for (const char* key : {"dtype", "torch_dtype"}) {
        const auto found = config.find(key);
        if (found == config.end() || !found->is_string()) {
            continue;
        }
        for (const DType known : {DType::f32, DType::f16, DType::bf16}) {
            if (*found == name(known)) {
                return known;
            }
        }
    }
    return dtype_from_name(text_attribute(model.checkpoint().attributes(), "source_dtype",
                                          model.checkpoint().directory().string()));
}

void state_dtype(nlohmann::json& config, const ExportedModel& model) {
    const std::string dtype(name(stated_dtype(config, model)));
    config["dtype"] = dtype;
    config["torch_dtype"] = dtype;
}

void name_common_tokenizer_class(const fs::path& directory) {
    const fs::path file = directory / "tokenizer_config.json";
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
        return;
    }
    nlohmann::json config = parse_json(read_file(file), file.string());
    if (config.is_object() && config.value("tokenizer_class", "") == "TokenizersBackend") {
        config["tokenizer_class"] = "PreTrainedTokenizerFast";
        write_file(file, config.dump(2) + "\n");
    }
}

}  // namespace lathe
