#include "workers/hf_export.hpp"

#include <array>
#include <cstdio>

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

constexpr std::array side_files{
    "config.json",
    slicing_file,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "added_tokens.json",
    "chat_template.jinja",
};

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
    layout.dtype = dtype_from_name(
        text_attribute(checkpoint.attributes(), "source_dtype", checkpoint.directory().string()));
    const ModelSpec& spec = checkpoint.spec();
    std::uint64_t filled = 0;
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        const std::uint64_t bytes = element_count(spec.tensors[t].shape) * size_bytes(layout.dtype);
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
        const auto [rows, cols] = matrix_extents(spec.shape);
        std::vector<float> values(rows * cols);
        decode(checkpoint.read(t), {values.data(), rows, cols});
        storage.emplace_back(values.size() * size_bytes(layout.dtype));
        from_float(values, layout.dtype, storage.back().data());
        if (spec.transposed) {
            storage.back() = turned(storage.back(), size_bytes(layout.dtype), rows, cols);
        }
        tensors.push_back({spec.name, layout.dtype, spec.source_shape(), storage.back()});
    }
    write_safetensors(task.directory / layout.file_name(task.shard), tensors);
}

void write_export_frame(const CompressedCheckpoint& checkpoint, const ExportLayout& layout,
                        const fs::path& directory) {
    copy_side_files(checkpoint.directory(), directory);
    if (layout.shards.size() == 1) {
        return;
    }
    nlohmann::json weight_map = nlohmann::json::object();
    std::uint64_t total = 0;
    for (std::size_t s = 0; s < layout.shards.size(); ++s) {
        for (std::size_t t : layout.shards[s]) {
            const TensorSpec& spec = checkpoint.spec().tensors[t];
            weight_map[spec.name] = layout.file_name(s);
            total += element_count(spec.shape) * size_bytes(layout.dtype);
        }
    }
    const nlohmann::json index{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    write_file(directory / "model.safetensors.index.json", index.dump(1));
}

std::uint64_t copy_side_files(const fs::path& from, const fs::path& to) {
    std::uint64_t bytes = 0;
    for (const char* name : side_files) {
        std::error_code ignored;
        if (!fs::is_regular_file(from / name, ignored)) {
            continue;
        }
        const std::string content = read_file(from / name);
        write_file(to / name, content);
        bytes += content.size();
    }
    return bytes;
}

std::uint64_t side_file_bytes(const fs::path& from) {
    std::uint64_t bytes = 0;
    for (const char* name : side_files) {
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
