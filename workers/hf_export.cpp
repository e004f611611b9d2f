#include "workers/hf_export.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <string_view>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "lib/model/stream.hpp"
#include "workers/weight_source.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

bool ends_in_one_of(const std::string& name, std::span<const std::string_view> ends) {
    return std::ranges::any_of(ends, [&](std::string_view end) { return name.ends_with(end); });
}

/// What a directory needs to be loaded, beside weights: configurations, tokenizers, templates,
/// programs; and the licence, which goes with every copy.
bool is_side_file(const std::string& name) {
    static constexpr std::array<std::string_view, 7> kinds{".json",     ".jinja", ".txt", ".model",
                                                           ".tiktoken", ".vocab", ".py"};
    static constexpr std::array<std::string_view, 4> licences{"LICENSE", "LICENCE", "NOTICE",
                                                              "USE_POLICY"};
    // What belongs to other files of weights, to training, or to our own directories.
    static constexpr std::array<std::string_view, 9> others{
        "index.json",           "trainer_state.json", "adapter_config.json",
        "quantize_config.json", "quant_config.json",  "recipe.json",
        "manifest.json",        "report.json",        "status.json"};
    if (name.starts_with('.') || ends_in_one_of(name, others) || name.ends_with("_results.json")) {
        return false;
    }
    return ends_in_one_of(name, kinds) ||
           std::ranges::any_of(licences,
                               [&](std::string_view begin) { return name.starts_with(begin); });
}

/// Programs and templates in folders below, which "auto_map" and generation may name.
bool is_nested_side_file(const std::string& name) {
    static constexpr std::array<std::string_view, 2> kinds{".py", ".jinja"};
    return !name.starts_with('.') && ends_in_one_of(name, kinds);
}

void add_side_files(const fs::path& root, const fs::path& folder, int depth,
                    std::vector<fs::path>& found) {
    constexpr int deepest = 3;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(root / folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (entry.is_directory(ignored)) {
            // A folder with a config.json is another model, such as one saved in training.
            const bool is_model = fs::exists(entry.path() / "config.json", ignored);
            if (depth < deepest && !name.starts_with('.') && !is_model) {
                add_side_files(root, folder / name, depth + 1, found);
            }
        } else if (entry.is_regular_file(ignored) &&
                   (depth == 0 ? is_side_file(name) : is_nested_side_file(name))) {
            found.push_back(folder / name);
        }
    }
}

/// Transformers would quantise the weights anew by such a section.
void drop_quantisation(const fs::path& config) {
    nlohmann::json json = parse_json(read_file(config), config.string());
    if (json.is_object() &&
        json.erase("quantization_config") + json.erase("compression_config") > 0) {
        write_file(config, json.dump(2) + "\n");
    }
}

}  // namespace

std::string ExportLayout::file_name(std::size_t shard) const {
    if (shards.size() == 1) {
        return "model.safetensors";
    }
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "model-%05zu-of-%05zu.safetensors", shard + 1,
                  shards.size());
    return text.data();
}

ExportLayout export_layout(const CompressedCheckpoint& checkpoint, std::uint64_t max_shard_bytes) {
    ExportLayout layout;
    const ModelSpec& spec = checkpoint.spec();
    std::uint64_t filled = 0;
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        layout.dtypes.push_back(checkpoint.source_dtype(t));
        const std::uint64_t bytes =
            element_count(spec.tensors[t].shape) * size_bytes(layout.dtypes[t]);
        if (layout.shards.empty() || filled + bytes > max_shard_bytes) {
            layout.shards.emplace_back();
            filled = 0;
        }
        layout.shards.back().push_back(t);
        filled += bytes;
    }
    return layout;
}

void run_export(const ExportTask& task) {
    const CompressedCheckpoint checkpoint(task.checkpoint);
    const ExportLayout layout = export_layout(checkpoint, task.max_shard_bytes);
    std::vector<std::vector<std::byte>> storage;
    std::vector<TensorToWrite> tensors;
    for (std::size_t t : layout.shards.at(task.shard)) {
        const TensorSpec& spec = checkpoint.spec().tensors[t];
        const DType dtype = layout.dtypes[t];
        const auto [rows, cols] = matrix_extents(spec.shape);
        std::vector<float> values(rows * cols);
        decode(checkpoint.read(t), {values.data(), rows, cols});
        storage.emplace_back(values.size() * size_bytes(dtype));
        from_float(values, dtype, storage.back().data());
        if (spec.transposed) {
            storage.back() = turned(storage.back(), size_bytes(dtype), rows, cols);
        }
        tensors.push_back({spec.name, dtype, spec.source_shape(), storage.back()});
    }
    write_safetensors(task.directory / layout.file_name(task.shard), tensors);
}

void write_export_frame(const CompressedCheckpoint& checkpoint, const ExportLayout& layout,
                        const fs::path& directory) {
    copy_side_files(checkpoint.directory(), directory);
    drop_quantisation(directory / "config.json");
    if (layout.shards.size() == 1) {
        return;
    }
    nlohmann::json weight_map = nlohmann::json::object();
    std::uint64_t total = 0;
    for (std::size_t s = 0; s < layout.shards.size(); ++s) {
        for (std::size_t t : layout.shards[s]) {
            const TensorSpec& spec = checkpoint.spec().tensors[t];
            weight_map[spec.name] = layout.file_name(s);
            total += element_count(spec.shape) * size_bytes(layout.dtypes[t]);
        }
    }
    const nlohmann::json index{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    write_file(directory / "model.safetensors.index.json", index.dump(1));
}

std::vector<fs::path> side_files(const fs::path& directory) {
    std::vector<fs::path> found;
    add_side_files(directory, "", 0, found);
    std::ranges::sort(found);
    return found;
}

std::uint64_t copy_side_files(const fs::path& from, const fs::path& to) {
    std::uint64_t bytes = 0;
    for (const fs::path& name : side_files(from)) {
        const std::string content = read_file(from / name);
        make_directories((to / name).parent_path());
        write_file(to / name, content);
        bytes += content.size();
    }
    return bytes;
}

std::uint64_t side_file_bytes(const fs::path& from) {
    std::uint64_t bytes = 0;
    for (const fs::path& name : side_files(from)) {
        std::error_code error;
        const std::uint64_t size = fs::file_size(from / name, error);
        if (!error) {
            bytes += size;
        }
    }
    return bytes;
}

std::string to_json(const ExportTask& task) {
    return nlohmann::json{{"checkpoint", task.checkpoint.string()},
                          {"directory", task.directory.string()},
                          {"max_shard_bytes", task.max_shard_bytes},
                          {"shard", task.shard}}
        .dump();
}

ExportTask export_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("checkpoint").get<std::string>(), json.at("directory").get<std::string>(),
            json.at("max_shard_bytes"), json.at("shard")};
}

}  // namespace lathe
