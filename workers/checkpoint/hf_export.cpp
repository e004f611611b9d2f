#include "workers/checkpoint/hf_export.hpp"

#include <array>
#include <cstdio>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "workers/model/side_files.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

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
    layout.kept = kept_neurons(checkpoint);
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
        TensorSpec written = spec;
        if (layout.kept) {
            values = layout.kept->take(spec, values);
            written.shape = layout.kept->shape(spec);
        }
        storage.emplace_back(values.size() * size_bytes(dtype));
        from_float(values, dtype, storage.back().data());
        if (spec.transposed) {
            storage.back() =
                turned(storage.back(), size_bytes(dtype), written.shape.at(0), written.shape.at(1));
        }
        tensors.push_back({spec.name, dtype, written.source_shape(), storage.back()});
    }
    write_safetensors(task.directory / layout.file_name(task.shard), tensors);
}

void write_export_frame(const CompressedCheckpoint& checkpoint, const ExportLayout& layout,
                        const fs::path& directory) {
    copy_side_files(checkpoint.directory(), directory);
    if (layout.kept) {
        write_file(directory / "config.json", layout.kept->config);
    }
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
            const Shape shape = layout.kept ? layout.kept->shape(spec) : spec.shape;
            total += element_count(shape) * size_bytes(layout.dtypes[t]);
        }
    }
    const nlohmann::json index{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    write_file(directory / "model.safetensors.index.json", index.dump(1));
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
