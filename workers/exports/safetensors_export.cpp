#include "workers/exports/safetensors_export.hpp"

#include <array>
#include <cstdio>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "workers/model/side_files.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

std::uint64_t part_bytes(const ExportPart& part) {
    return element_count(part.shape) * size_bytes(part.dtype);
}

/// Transformers would quantise the weights anew by such a section.
void drop_quantisation(nlohmann::json& config) {
    config.erase("quantization_config");
    config.erase("compression_config");
}

}  // namespace

std::uint64_t TensorExport::bytes() const {
    std::uint64_t bytes = 0;
    for (const ExportPart& part : parts) {
        bytes += part_bytes(part);
    }
    return bytes;
}

TensorExport dense_export(const ExportedModel& model, std::size_t tensor,
                          const std::string& reason) {
    const std::string& name = model.spec().tensors.at(tensor).name;
    return {{{name, model.dtype(tensor), model.source_shape(tensor)}}, false, reason};
}

SafetensorsExport::SafetensorsExport(std::shared_ptr<const ExportedModel> model,
                                     std::vector<TensorExport> plan, std::uint64_t max_shard_bytes)
    : model_(std::move(model)), plan_(std::move(plan)) {
    std::uint64_t filled = 0;
    for (std::size_t t = 0; t < plan_.size(); ++t) {
        const TensorExport& tensor = plan_[t];
        const std::uint64_t bytes = tensor.bytes();
        if (shards_.empty() || filled + bytes > max_shard_bytes) {
            shards_.emplace_back();
            filled = 0;
        }
        shards_.back().push_back(t);
        filled += bytes;
        ++summary_.n_tensors;
        summary_.n_packed += tensor.packed ? 1 : 0;
        summary_.tensor_bytes += bytes;
        if (!tensor.dense_reason.empty()) {
            summary_.dense.push_back({model_->spec().tensors[t].name, tensor.dense_reason, bytes,
                                      stored_bytes(model_->header(t))});
        }
    }
}

std::string SafetensorsExport::piece_file(std::size_t piece) const {
    if (shards_.size() == 1) {
        return "model.safetensors";
    }
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "model-%05zu-of-%05zu.safetensors", piece + 1,
                  shards_.size());
    return text.data();
}

void SafetensorsExport::write_piece(std::size_t piece, const fs::path& directory) const {
    std::vector<std::vector<std::byte>> storage;
    std::vector<const ExportPart*> parts;
    for (const std::size_t t : shards_.at(piece)) {
        const TensorExport& tensor = plan_[t];
        for (const ExportPart& part : tensor.parts) {
            parts.push_back(&part);
        }
        if (!tensor.packed) {
            storage.push_back(dense_elements(*model_, t, tensor.parts.at(0).dtype));
            continue;
        }
        for (std::vector<std::byte>& bytes : pack(t)) {
            storage.push_back(std::move(bytes));
        }
    }
    if (storage.size() != parts.size()) {
        throw InternalError("a shard of " + std::to_string(parts.size()) + " tensors got " +
                            std::to_string(storage.size()));
    }
    std::vector<TensorToWrite> tensors;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        tensors.push_back({parts[i]->name, parts[i]->dtype, parts[i]->shape, storage[i]});
    }
    write_safetensors(directory / piece_file(piece), tensors);
}

void SafetensorsExport::write_frame(const fs::path& directory) const {
    copy_side_files(model_->checkpoint().directory(), directory);
    nlohmann::json config =
        parse_json(model_->config(), (model_->checkpoint().directory() / "config.json").string());
    const nlohmann::json before = config;
    drop_quantisation(config);
    complete(config);
    // The text stays as it is where nothing in it changes.
    write_file(directory / "config.json",
               config == before ? model_->config() : config.dump(2) + "\n");
    complete_files(directory);
    if (shards_.size() == 1) {
        return;
    }
    nlohmann::json weight_map = nlohmann::json::object();
    for (std::size_t s = 0; s < shards_.size(); ++s) {
        for (const std::size_t t : shards_[s]) {
            for (const ExportPart& part : plan_[t].parts) {
                weight_map[part.name] = piece_file(s);
            }
        }
    }
    const nlohmann::json index{{"metadata", {{"total_size", summary_.tensor_bytes}}},
                               {"weight_map", weight_map}};
    write_file(directory / "model.safetensors.index.json", index.dump(1));
}

}  // namespace lathe
