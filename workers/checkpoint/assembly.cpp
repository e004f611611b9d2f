#include "workers/checkpoint/assembly.hpp"

#include <algorithm>

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/model/stream.hpp"
#include "workers/candidates/plan_weights.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"

namespace lathe {
namespace fs = std::filesystem;

void run_assembly(const JobContext& context, const AssemblyTask& task) {
    const ModelSpec& spec = context.spec();
    const PlanWeights weights(context, task.choice, task.refined);
    // The family's own names, also where the source lacks their usual prefix.
    const ModelSpec canonical =
        read_model_directory(context.source->directory, context.source->config_text());
    const DType main = main_dtype(*context.source);
    ArtifactWriter file(task.directory / shard_file(task.block));
    file.group("/", {{"fingerprint", task.fingerprint}});
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        if (spec.tensors[t].block != task.block) {
            continue;
        }
        const std::string path = "/" + canonical.tensors[t].name;
        const EncodedTensor tensor = weights.read(t);
        write_encoded(file, path, tensor);
        const DType dtype = context.source->dtype(t);
        // A dense tensor of no unit is stored in its own type.
        if (dtype != main && (is_in_unit(spec, t) || tensor.encoding != "dense")) {
            file.group(path, {{source_dtype_attribute, std::string(name(dtype))}});
        }
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
    nlohmann::json json{{"choice", choice_to_json(task.choice)},
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
    task.choice = choice_from_json(json.at("choice").get<std::string>());
    task.refined = json.at("refined");
    task.directory = json.at("directory").get<std::string>();
    task.fingerprint = json.at("fingerprint");
    return task;
}

}  // namespace lathe
