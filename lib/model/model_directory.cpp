#include "lib/model/model_directory.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

bool has(const fs::path& directory, std::string_view name) {
    std::error_code ignored;
    return fs::exists(directory / name, ignored);
}

/// Names in the directory that `wanted` accepts, in alphabetical order.
template <class Wanted>
std::vector<std::string> names_in(const fs::path& directory, const Wanted& wanted) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(directory, ignored)) {
        if (wanted(entry)) names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
}

/// A text of adapter_config.json; "" if it has none.
std::string text_of(const nlohmann::json& config, const char* key) {
    const bool is_there = config.is_object() && config.contains(key) && config[key].is_string();
    return is_there ? config[key].get<std::string>() : "";
}

/// PEFT's directories. Transformers loads the base model in place of what stands beside an adapter,
/// so one with a model in it is refused as well.
void refuse_adapter(const fs::path& directory) {
    const fs::path file = directory / "adapter_config.json";
    if (!has(directory, file.filename().string())) return;
    const nlohmann::json config = try_parse_json(read_file(file));
    const std::string kind = text_of(config, "peft_type");
    const std::string base = text_of(config, "base_model_name_or_path");
    throw DataError(directory.string() + " is the directory of an adapter (adapter_config.json" +
                    (kind.empty() ? "" : ", " + kind) +
                    (base.empty() ? "" : ", of the base model \"" + base + "\"") +
                    "), not of a model; expected the directory of the merged model (PEFT: "
                    "merge_and_unload, then save_pretrained)");
}

/// What a directory without config.json may be; "" if that is not known.
std::string kind_of(const fs::path& directory) {
    struct Sign {
        std::string_view file;
        std::string_view kind;
    };
    static constexpr std::array signs{
        Sign{"model_index.json", "a pipeline of diffusers; a model of it is in a folder below"},
        Sign{"params.json",
             "a model in its maker's own format; convert it to Hugging Face's first"},
        Sign{"latest_checkpointed_iteration.txt",
             "a checkpoint of Megatron; convert it to Hugging Face's format first"},
        Sign{"zero_to_fp32.py", "a checkpoint of DeepSpeed; convert it to safetensors first"},
    };
    if (has(directory, "manifest.json") && has(directory, "job.yaml"))
        return "a run directory of lathe; its checkpoint is in " +
               (directory / "checkpoint").string();
    for (const Sign& sign : signs)
        if (has(directory, sign.file)) return std::string(sign.kind);
    const auto in_gguf =
        names_in(directory, [](const auto& entry) { return entry.path().extension() == ".gguf"; });
    if (!in_gguf.empty()) return "a model in GGUF (" + in_gguf.front() + ")";
    const fs::path below = has(directory, "snapshots") ? directory / "snapshots" : directory;
    const auto models =
        names_in(below, [](const auto& entry) { return has(entry.path(), "config.json"); });
    if (!models.empty()) return "a folder of models, such as " + (below / models.front()).string();
    return "";
}

}  // namespace

void require_model_directory(const fs::path& directory) {
    std::error_code error;
    if (!fs::exists(directory, error))
        throw MissingInputError("no such model directory: " + directory.string());
    if (!fs::is_directory(directory, error))
        throw DataError(directory.string() +
                        " is a file, expected a directory with a Hugging Face model");
    refuse_adapter(directory);
    if (has(directory, "checkpoint.h5"))
        throw DataError(directory.string() +
                        " is a compressed checkpoint, expected a Hugging Face directory; lathe "
                        "export writes one from it");
    if (has(directory, "config.json")) return;
    const std::string kind = kind_of(directory);
    if (!kind.empty()) throw DataError(directory.string() + " is no model directory but " + kind);
    throw MissingInputError("no config.json in " + directory.string() +
                            ", expected a directory with a Hugging Face model");
}

}  // namespace lathe
