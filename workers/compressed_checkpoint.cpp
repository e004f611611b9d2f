#include "workers/compressed_checkpoint.hpp"

#include <algorithm>

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/model/stream.hpp"
#include "workers/compression.hpp"
#include "workers/refined_weights.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// The unit that tensor `index` belongs to and its place there; none for norms and biases.
std::optional<std::pair<std::size_t, std::size_t>> unit_of(const ModelSpec& spec,
                                                           std::size_t index) {
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const auto& tensors = spec.units[u].tensors;
        const auto found = std::ranges::find(tensors, index);
        if (found != tensors.end()) {
            return std::pair(u, static_cast<std::size_t>(found - tensors.begin()));
        }
    }
    return std::nullopt;
}

}  // namespace

std::string shard_file(std::optional<std::size_t> block) {
    return "blocks/" + (block ? block_name(*block).substr(6) : std::string("outer")) + ".h5";
}

bool CompressedCheckpoint::is_one(const fs::path& directory) {
    std::error_code ignored;
    return fs::exists(directory / "checkpoint.h5", ignored);
}

CompressedCheckpoint::CompressedCheckpoint(fs::path directory)
    : directory_(std::move(directory)),
      attributes_(ArtifactReader(directory_ / "checkpoint.h5").attributes("/")) {
    const std::int64_t version =
        integer_attribute(attributes_, "format_version", (directory_ / "checkpoint.h5").string());
    if (version != 1) {
        throw DataError((directory_ / "checkpoint.h5").string() + ": format version " +
                        std::to_string(version) + ", this program reads version 1");
    }
    spec_ = describe(directory_);
}

ModelSpec CompressedCheckpoint::describe(const fs::path& directory) {
    return read_model_directory(directory);
}

EncodedTensor CompressedCheckpoint::read(std::size_t tensor, bool check_hash) const {
    const TensorSpec& spec = spec_.tensors.at(tensor);
    const ArtifactReader shard(directory_ / shard_file(spec.block));
    return read_encoded(shard, "/" + spec.name, check_hash);
}

EncodedTensor CompressedCheckpoint::read_header(std::size_t tensor) const {
    const TensorSpec& spec = spec_.tensors.at(tensor);
    return read_encoded_header(ArtifactReader(directory_ / shard_file(spec.block)),
                               "/" + spec.name);
}

PlanWeights::PlanWeights(const JobContext& context, std::vector<Setting> choice,
                         std::string refined)
    : context_(context), choice_(std::move(choice)), refined_(std::move(refined)) {}

EncodedTensor PlanWeights::read(std::size_t index) const {
    if (!refined_.empty()) {
        const TensorSpec& tensor = context_.spec().tensors.at(index);
        const ArtifactReader file(
            context_.run.refined(refined_, refined_place(context_.spec(), tensor.block)));
        if (std::ranges::count(file.children("/tensors"), tensor.name) > 0) {
            return read_encoded(file, "/tensors/" + tensor.name);
        }
    }
    const auto unit = unit_of(context_.spec(), index);
    if (!unit) {
        return source_tensor(*context_.source, index);
    }
    return read_candidate_tensor(context_, unit->first, unit->second, choice_.at(unit->first));
}

void run_assembly(const JobContext& context, const AssemblyTask& task) {
    const ModelSpec& spec = context.spec();
    const PlanWeights weights(context, task.choice, task.refined);
    // The family's own names, also where the source lacks their usual prefix.
    const ModelSpec canonical =
        read_model_directory(context.source->directory, context.source->config_text());
    ArtifactWriter file(task.directory / shard_file(task.block));
    file.group("/", {{"fingerprint", task.fingerprint}});
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        if (spec.tensors[t].block != task.block) {
            continue;
        }
        write_encoded(file, "/" + canonical.tensors[t].name, weights.read(t));
    }
    file.commit();
}

std::vector<ShardTensor> list_shard(const fs::path& file) {
    const ArtifactReader shard(file);
    std::vector<ShardTensor> tensors;
    for (const std::string& name : shard.children("/")) {
        const Attributes a = shard.attributes("/" + name);
        const std::string where = file.string() + ": " + name;
        tensors.push_back(
            {name, text_attribute(a, "encoding", where), text_attribute(a, "content_hash", where)});
    }
    return tensors;
}

std::string checkpoint_hash(std::vector<ShardTensor> tensors) {
    std::ranges::sort(tensors);
    Hasher hasher;
    for (const ShardTensor& tensor : tensors) {
        hasher.add_field(tensor.name);
        hasher.add_field(tensor.encoding);
        hasher.add_field(tensor.content_hash);
    }
    return to_hex(hasher.digest());
}

std::string to_json(const AssemblyTask& task) {
    nlohmann::json choice = nlohmann::json::array();
    for (const Setting& setting : task.choice) {
        choice.push_back(to_string(setting));
    }
    nlohmann::json json{{"choice", choice},
                        {"refined", task.refined},
                        {"directory", task.directory.string()},
                        {"fingerprint", task.fingerprint}};
    if (task.block) {
        json["block"] = *task.block;
    }
    return json.dump();
}

AssemblyTask assembly_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    AssemblyTask task;
    if (json.contains("block")) {
        task.block = json["block"].get<std::size_t>();
    }
    for (const auto& setting : json.at("choice")) {
        task.choice.push_back(setting_from_string(setting.get<std::string>()));
    }
    task.refined = json.at("refined");
    task.directory = json.at("directory").get<std::string>();
    task.fingerprint = json.at("fingerprint");
    return task;
}

}  // namespace lathe
