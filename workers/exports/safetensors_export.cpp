#include "workers/exports/safetensors_export.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "workers/model/side_files.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr const char* tokenizer_config_file = "tokenizer_config.json";
constexpr const char* index_file = "model.safetensors.index.json";

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
    std::uint64_t dense = 0;
    for (std::size_t t = 0; t < plan_.size(); ++t) {
        const TensorExport& tensor = plan_[t];
        const std::uint64_t bytes = tensor.bytes();
        if (shards_.empty() || filled + bytes > max_shard_bytes) {
            shards_.emplace_back();
            filled = 0;
        }
        shards_.back().push_back(t);
        filled += bytes;
        dense += element_count(model_->shape(t)) * size_bytes(model_->dtype(t));
        ++summary_.n_tensors;
        summary_.n_packed += tensor.packed ? 1 : 0;
        summary_.tensor_bytes += bytes;
        if (!tensor.dense_reason.empty()) {
            summary_.dense.push_back({model_->spec().tensors[t].name, tensor.dense_reason, bytes,
                                      stored_bytes(model_->header(t))});
        }
    }
    may_have_index_ = dense > max_shard_bytes;
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

std::string SafetensorsExport::config_text() const {
    nlohmann::json config =
        parse_json(model_->config(), (model_->directory() / "config.json").string());
    const nlohmann::json before = config;
    drop_quantisation(config);
    complete(config);
    // The text stays as it is where nothing in it changes.
    return config == before ? model_->config() : config.dump(2) + "\n";
}

std::string SafetensorsExport::index_text() const {
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
    return index.dump(1);
}

void SafetensorsExport::write_frame(const fs::path& directory) const {
    copy_side_files(model_->directory(), directory);
    write_file(directory / "config.json", config_text());
    std::error_code ignored;
    if (const fs::path tokenizer = directory / tokenizer_config_file;
        fs::exists(tokenizer, ignored)) {
        write_file(tokenizer, tokenizer_config(read_file(tokenizer)));
    }
    if (shards_.size() > 1) {
        write_file(directory / index_file, index_text());
    }
}

std::uint64_t SafetensorsExport::total_bytes() const {
    std::uint64_t bytes = config_text().size();
    for (const fs::path& name : side_files(model_->directory())) {
        const fs::path file = model_->directory() / name;
        if (name == tokenizer_config_file) {
            bytes += tokenizer_config(read_file(file)).size();
        } else if (name != "config.json") {
            bytes += fs::file_size(file);
        }
    }
    for (const std::vector<std::size_t>& shard : shards_) {
        std::vector<TensorToWrite> tensors;
        for (const std::size_t t : shard) {
            for (const ExportPart& part : plan_[t].parts) {
                tensors.push_back({part.name, part.dtype, part.shape, {}});
            }
        }
        bytes += safetensors_bytes(tensors);
    }
    return bytes + (shards_.size() > 1 ? index_text().size() : 0);
}

std::uint64_t SafetensorsExport::entry_bytes(const std::vector<ExportPart>& parts,
                                             std::uint64_t offset_digits) const {
    constexpr std::string_view entry = R"("":{"dtype":"","shape":[,],"data_offsets":[,]},)";
    constexpr std::string_view line = R"(  "": "model-00001-of-00002.safetensors",)";
    std::uint64_t bytes = 0;
    for (const ExportPart& part : parts) {
        bytes += entry.size() + part.name.size() + 2 * offset_digits + name(part.dtype).size();
        for (const std::size_t extent : part.shape) {
            bytes += std::to_string(extent).size();
        }
        bytes += may_have_index_ ? line.size() + part.name.size() + 1 : 0;
    }
    return bytes;
}

std::uint64_t SafetensorsExport::tensor_bytes(std::size_t t) const {
    const TensorExport& tensor = plan_.at(t);
    if (!tensor.packed) {
        return tensor.bytes();
    }
    constexpr std::uint64_t most_digits = 12;
    // In place of the dense tensor's entry, which the frame has.
    const TensorExport dense = dense_export(*model_, t);
    return tensor.bytes() + entry_bytes(tensor.parts, most_digits) + config_entry_bytes(t) -
           entry_bytes(dense.parts, 1);
}

std::uint64_t SafetensorsExport::settings_bytes() const {
    constexpr std::uint64_t padding = 8;  // of a shard's header
    // The first key that complete() adds has config.json written anew, a key a line.
    const std::uint64_t anew = parse_json(model_->config()).dump(2).size() + 1;
    return config_frame_bytes() + padding * shards_.size() + anew -
           std::min<std::uint64_t>(anew, model_->config().size());
}

}  // namespace lathe
