#include "workers/checkpoint/verification.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/inner_path.hpp"
#include "lib/core/json.hpp"
#include "lib/core/utf8.hpp"
#include "workers/checkpoint/assembly.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"

namespace lathe {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* index_name = "index.json";

std::string hash_of_list(const json& files) {
    return to_hex(hash_text(files.dump()));
}

/// Whether every name is that of a file in the directory: no other file is read.
bool has_inner_names(const json& files) {
    return std::ranges::all_of(files.items(),
                               [](const auto& entry) { return is_inner_path(entry.key()); });
}

/// Files whose size or hash is not what index.json says; `missing` gets those that are not there.
/// Without a sound index.json, that is the one damage reported.
std::set<std::string> damaged_files(const fs::path& directory, Verification& found) {
    json index;
    try {
        index = try_parse_json(read_file(directory / index_name));
    } catch (const MissingInputError&) {
        found.missing.emplace_back(index_name);
        return {};
    }
    // The exact text counts, so that a flipped blank is found too.
    if (!index.is_object() || !index["files"].is_object() || !has_inner_names(index["files"]) ||
        index.dump(1) != read_file(directory / index_name) ||
        index["hash"] != hash_of_list(index["files"])) {
        return {index_name};
    }
    std::set<std::string> damaged;
    for (const auto& [name, entry] : index["files"].items()) {
        try {
            const MappedFile file(directory / name);
            if (file.bytes().size() != entry["size"] ||
                to_hex(hash_bytes(file.bytes())) != entry["hash"]) {
                damaged.insert(name);
            }
        } catch (const MissingInputError&) {
            found.missing.push_back(name);
        }
    }
    return damaged;
}

/// Reads the tensors of one shard; those that are bad or absent go into `found`.
void check_shard(const fs::path& directory, std::optional<std::size_t> block, const ModelSpec& spec,
                 Verification& found, std::vector<ShardTensor>& good) {
    const auto each_tensor = [&](auto&& visit) {
        for (const TensorSpec& tensor : spec.tensors) {
            if (tensor.block == block) {
                visit(tensor);
            }
        }
    };
    std::optional<ArtifactReader> shard;
    try {
        shard.emplace(directory / shard_file(block));
    } catch (const Error&) {
        each_tensor([&](const TensorSpec& tensor) { found.missing.push_back(tensor.name); });
        return;
    }
    each_tensor([&](const TensorSpec& tensor) {
        const std::string path = "/" + tensor.name;
        try {
            if (!shard->has(path)) {
                found.missing.push_back(tensor.name);
                return;
            }
            const EncodedTensor read = read_encoded(*shard, path);
            if (read.shape != tensor.shape) {
                throw DataError("another shape");
            }
            good.push_back({tensor.name, read.encoding, stored_content_hash(*shard, path)});
            ++found.tensors;
        } catch (const Error&) {
            found.corrupt.push_back(tensor.name);
        }
    });
}

}  // namespace

Verification verify_checkpoint(const fs::path& directory) {
    if (!fs::exists(directory / "checkpoint.h5")) {
        throw MissingInputError(directory.string() + " has no checkpoint.h5");
    }
    Verification found;
    const std::set<std::string> damaged = damaged_files(directory, found);
    std::vector<ShardTensor> good;
    std::optional<ModelSpec> spec;
    std::string expected_hash;
    try {
        const ArtifactReader master(directory / "checkpoint.h5");
        expected_hash = text_attribute(master.attributes("/"), "checkpoint_hash", "checkpoint.h5");
        spec = CompressedCheckpoint::describe(directory);
    } catch (const Error&) {
        // Without a readable master or description, the files are all that can be said.
        if (damaged.empty() && found.missing.empty()) {
            found.corrupt.emplace_back("checkpoint.h5");
        }
    }
    if (spec) {
        check_shard(directory, std::nullopt, *spec, found, good);
        for (std::size_t b = 0; b < spec->n_blocks; ++b) {
            check_shard(directory, b, *spec, found, good);
        }
    }
    for (const std::string& file : damaged) {
        // Damage inside tensors is named by tensor; the rest (metadata, padding) by file.
        const bool named = std::ranges::any_of(found.corrupt, [&](const std::string& tensor) {
            const auto t = std::ranges::find(spec->tensors, tensor, &TensorSpec::name);
            return t != spec->tensors.end() && shard_file(t->block) == file;
        });
        if (!named) {
            found.corrupt.push_back(file);
        }
    }
    if (found.ok()) {
        found.checkpoint_hash = checkpoint_hash(good);
        if (found.checkpoint_hash != expected_hash) {
            found.corrupt.emplace_back("checkpoint.h5");
            found.checkpoint_hash.clear();
        }
    }
    return found;
}

void write_index(const fs::path& directory) {
    json files = json::object();
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        const std::string name = fs::relative(entry.path(), directory).string();
        if (!entry.is_regular_file() || name == index_name) {
            continue;
        }
        if (!is_valid_utf8(name)) {
            throw DataError(directory.string() +
                            ": the name of a file is not UTF-8: " + repair_utf8(name));
        }
        const MappedFile file(entry.path());
        files[name] = {{"size", file.bytes().size()}, {"hash", to_hex(hash_bytes(file.bytes()))}};
    }
    const json index{{"files", files}, {"hash", hash_of_list(files)}};
    write_file(directory / index_name, index.dump(1));
}

}  // namespace lathe
