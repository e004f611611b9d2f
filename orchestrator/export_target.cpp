#include "orchestrator/export_target.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "workers/model/side_files.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// There while an export is being written.
constexpr const char* unfinished_mark = "export_unfinished.lathe-tmp";

bool has(const fs::path& directory, const char* name) {
    std::error_code ignored;
    return fs::exists(directory / name, ignored);
}

std::vector<std::string> names_in(const fs::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) {
        names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
}

std::string first_of(const std::vector<std::string>& names) {
    constexpr std::size_t most_shown = 3;
    std::string text;
    for (std::size_t i = 0; i < std::min(most_shown, names.size()); ++i) {
        text += (i == 0 ? "" : ", ") + names[i];
    }
    return text + (names.size() > most_shown ? ", ..." : "");
}

bool is_below(const fs::path& path, const fs::path& directory) {
    std::error_code ignored;
    for (fs::path at = path; !at.empty() && at != at.parent_path(); at = at.parent_path()) {
        if (fs::equivalent(at, directory, ignored)) {
            return true;
        }
    }
    return false;
}

/// Whether the weights there are those that the checkpoint was made from.
bool holds_source(const CompressedCheckpoint& checkpoint, const fs::path& target) {
    const auto known = checkpoint.attributes().find("source_fingerprint");
    try {
        return known != checkpoint.attributes().end() &&
               known->second == AttributeValue(to_hex(SafetensorsCheckpoint(target).fingerprint()));
    } catch (const Error&) {
        return false;  // no model there, or none that can be read
    }
}

void refuse_precious(const CompressedCheckpoint& checkpoint, const fs::path& target) {
    const std::string where = "--output " + target.string();
    if (is_below(checkpoint.directory(), target) || is_below(target, checkpoint.directory()) ||
        has(target, "checkpoint.h5")) {
        throw UsageError(where +
                         " is in or above a compressed checkpoint; expected another directory");
    }
    if (has(target, "manifest.json") && has(target, "job.yaml")) {
        throw UsageError(where + " is a run directory; expected another directory");
    }
    if (holds_source(checkpoint, target)) {
        throw UsageError(where +
                         " holds the model that the checkpoint was made from, which is never "
                         "overwritten; expected another directory");
    }
}

/// Of any model, whatever program wrote it.
bool is_weights_file(const std::string& name) {
    static constexpr std::array<std::string_view, 8> ends{
        ".safetensors", ".index.json", ".bin",  ".pt",
        ".pth",         ".msgpack",    ".gguf", "adapter_config.json"};
    return name == "tf_model.h5" ||
           std::ranges::any_of(ends, [&](std::string_view end) { return name.ends_with(end); });
}

}  // namespace

void clear_model(const fs::path& directory) {
    make_directories(directory);
    std::vector<fs::path> files = side_files(directory);
    for (const std::string& name : names_in(directory)) {
        if (is_weights_file(name)) {
            files.emplace_back(name);
        }
    }
    for (const fs::path& file : files) {
        std::error_code error;
        fs::remove(directory / file, error);
        if (error) {
            throw IoError("cannot remove " + (directory / file).string() + ": " + error.message());
        }
    }
}

void prepare_export_target(const CompressedCheckpoint& checkpoint, const fs::path& target,
                           bool overwrite) {
    refuse_precious(checkpoint, target);
    std::error_code error;
    if (fs::exists(target, error)) {
        if (!fs::is_directory(target, error)) {
            throw UsageError("--output " + target.string() + " is a file; expected a directory");
        }
        const std::vector<std::string> names = names_in(target);
        if (!names.empty() && !overwrite && !has(target, unfinished_mark)) {
            throw UsageError("--output " + target.string() + " is not empty (it has " +
                             first_of(names) +
                             "); expected a new or empty directory, or --overwrite to remove the "
                             "model in it first");
        }
    }
    clear_model(target);
    write_file(target / unfinished_mark, "");
}

void finish_export_target(const fs::path& target) {
    std::error_code error;
    fs::remove(target / unfinished_mark, error);
    if (error) {
        throw IoError("cannot remove " + (target / unfinished_mark).string() + ": " +
                      error.message());
    }
}

}  // namespace lathe
