#include "lib/checkpoint/safetensors.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "lib/checkpoint/safetensors_header.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/inner_path.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr const char* single_file = "model.safetensors";
constexpr const char* index_file = "model.safetensors.index.json";
constexpr std::size_t sample_bytes = 64 * 1024;

/// Tensor name to shard name, as the index has it.
using WeightMap = std::map<std::string, std::string>;

/// A shard is named relative to the directory and lies in it. Links are followed: the download
/// cache of Hugging Face is made of them.
void check_shard_name(const std::string& shard, const std::string& tensor, const fs::path& index) {
    if (!is_inner_path(shard)) {
        throw DataError(index.string() + ": tensor '" + tensor + "' is said to be in '" + shard +
                        "', expected the name of a file in the same directory");
    }
}

WeightMap read_index(const fs::path& index) {
    const nlohmann::json root = parse_strict_json(read_file(index), 16, index.string());
    if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object()) {
        throw DataError(index.string() + " has no object 'weight_map'");
    }
    WeightMap shard_of;
    for (const auto& [tensor, shard] : root["weight_map"].items()) {
        if (!shard.is_string()) {
            throw DataError(index.string() + ": tensor '" + tensor + "' is said to be in " +
                            shard.dump() + ", expected the name of a file");
        }
        check_shard_name(shard, tensor, index);
        shard_of[tensor] = shard;
    }
    if (shard_of.empty()) {
        throw DataError(index.string() + ": 'weight_map' is empty");
    }
    return shard_of;
}

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

void check_directory(const fs::path& directory) {
    if (!is_there(directory)) {
        throw MissingInputError("no such directory: " + directory.string());
    }
    std::error_code ignored;
    if (!fs::is_directory(directory, ignored)) {
        throw DataError(directory.string() +
                        " is a file, expected a directory with a Hugging Face model");
    }
    if (is_there(directory / single_file) || is_there(directory / index_file)) {
        return;
    }
    std::string hint;
    if (is_there(directory / "pytorch_model.bin") ||
        is_there(directory / "pytorch_model.bin.index.json")) {
        hint = "; its weights are in PyTorch's own format, save the model as safetensors first";
    }
    throw MissingInputError("neither " + std::string(single_file) + " nor " + index_file + " in " +
                            directory.string() + hint);
}

/// Each shard once, in alphabetical order.
std::vector<std::string> shard_names(const WeightMap& shard_of) {
    std::set<std::string> names;
    for (const auto& [tensor, shard] : shard_of) {
        names.insert(shard);
    }
    return {names.begin(), names.end()};
}

MappedFile map_shard(const fs::path& directory, const std::string& shard, bool from_index) {
    if (from_index && !is_there(directory / shard)) {
        throw MissingInputError("no such file: " + (directory / shard).string() + ", which " +
                                index_file + " names");
    }
    return MappedFile(directory / shard);
}

/// A tensor that stands where the index does not say is refused: one of the two is out of date. One
/// that is in no file is only named: whether it is needed, the model says.
void check_against_index(const WeightMap& shard_of, const std::vector<std::string>& shards,
                         const std::map<std::string, StoredTensor>& tensors,
                         const fs::path& directory) {
    const std::string index = (directory / index_file).string();
    for (const auto& [tensor, shard] : shard_of) {
        const auto found = tensors.find(tensor);
        if (found == tensors.end()) {
            log_warning_once("stale_index_entry " + index + ": tensor '" + tensor +
                             "' is said to be in " + shard + ", but it is not there");
        } else if (shards[found->second.file_index] != shard) {
            throw DataError(index + ": tensor '" + tensor + "' is said to be in " + shard +
                            ", but it is in " + shards[found->second.file_index]);
        }
    }
}

}  // namespace

/// Of two tensors of one name the one in the file that the index gives: the other was left behind
/// when the model was saved anew.
StoredTensor SafetensorsCheckpoint::choose(
    const std::string& name, StoredTensor first, StoredTensor second,
    const std::map<std::string, std::string>& shard_of) const {
    const auto file_of = [&](const StoredTensor& tensor) {
        return files_[tensor.file_index].path();
    };
    const auto wanted = shard_of.find(name);
    const auto is_wanted = [&](const StoredTensor& tensor) {
        return wanted != shard_of.end() && file_of(tensor) == directory_ / wanted->second;
    };
    if (!is_wanted(first) && !is_wanted(second)) {
        throw DataError("tensor '" + name + "' is in two files: " + file_of(first).string() +
                        " and " + file_of(second).string() + ", and " + index_file +
                        " names neither for it");
    }
    if (!is_wanted(first)) {
        std::swap(first, second);
    }
    log_warning_once("tensor_in_two_files '" + name + "': that in " + file_of(first).string() +
                     " is taken, as " + index_file + " says, not that in " +
                     file_of(second).string());
    return first;
}

SafetensorsCheckpoint::SafetensorsCheckpoint(const fs::path& directory) : directory_(directory) {
    check_directory(directory);
    // A single file goes before an index, as in transformers.
    const bool single = is_there(directory / single_file);
    if (single && is_there(directory / index_file)) {
        log_warning_once("two_models directory=" + directory.string() + ": " + single_file +
                         " is read, as transformers does, not the files of " + index_file);
    }
    const WeightMap shard_of = single ? WeightMap{} : read_index(directory / index_file);
    const std::vector<std::string> shards =
        single ? std::vector<std::string>{single_file} : shard_names(shard_of);
    for (const std::string& shard : shards) {
        const MappedFile& file = files_.emplace_back(map_shard(directory, shard, !single));
        SafetensorsHeader header = read_safetensors_header(file.bytes(), file.path());
        for (HeaderEntry& entry : header.entries) {
            StoredTensor tensor{.dtype = entry.dtype,
                                .shape = std::move(entry.shape),
                                .bytes = file.bytes().subspan(header.data_begin + entry.begin,
                                                              entry.end - entry.begin),
                                .file_index = files_.size() - 1};
            const auto [place, fresh] = tensors_.try_emplace(entry.name, tensor);
            if (!fresh) {
                place->second = choose(entry.name, place->second, std::move(tensor), shard_of);
            }
        }
    }
    check_against_index(shard_of, shards, tensors_, directory);
}

const StoredTensor& SafetensorsCheckpoint::at(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
        throw DataError("no tensor '" + name + "' in " + directory_.string());
    }
    return found->second;
}

void SafetensorsCheckpoint::release(const StoredTensor& tensor) const {
    files_.at(tensor.file_index).release(tensor.bytes);
}

std::uint64_t SafetensorsCheckpoint::tensor_bytes() const {
    std::uint64_t total = 0;
    for (const auto& [name, tensor] : tensors_) {
        total += tensor.bytes.size();
    }
    return total;
}

std::vector<std::filesystem::path> SafetensorsCheckpoint::files() const {
    std::vector<std::filesystem::path> paths;
    for (const MappedFile& file : files_) {
        paths.push_back(file.path());
    }
    return paths;
}

std::uint64_t SafetensorsCheckpoint::fingerprint() const {
    Hasher hasher;
    for (const MappedFile& file : files_) {
        // Without the directory: a model that was moved is still the same model.
        hasher.add_field(file.path().lexically_relative(directory_).string());
        hasher.add_field(std::uint64_t{file.bytes().size()});
    }
    for (const auto& [name, tensor] : tensors_) {
        hasher.add_field(name);
        hasher.add_field(lathe::name(tensor.dtype));
        hasher.add_field(std::uint64_t{tensor.shape.size()});
        for (const std::size_t extent : tensor.shape) {
            hasher.add_field(std::uint64_t{extent});
        }
        hasher.add_field(std::uint64_t{tensor.file_index});
        hasher.add_field(static_cast<std::uint64_t>(tensor.bytes.data() -
                                                    files_[tensor.file_index].bytes().data()));
    }
    for (const MappedFile& file : files_) {
        const std::span<const std::byte> bytes = file.bytes();
        const std::size_t n = std::min(sample_bytes, bytes.size());
        const std::array<std::size_t, 3> begins{0, (bytes.size() - n) / 2, bytes.size() - n};
        for (const std::size_t begin : begins) {
            hasher.add(bytes.subspan(begin, n));
            file.release(bytes.subspan(begin, n));
        }
    }
    return hasher.digest();
}

}  // namespace lathe
