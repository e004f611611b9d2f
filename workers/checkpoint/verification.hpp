#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lathe {

/// What `lathe verify` found.
struct Verification {
    std::size_t tensors = 0;           ///< read back and equal to what was written
    std::vector<std::string> corrupt;  ///< tensors, or files where the damage is outside a tensor
    std::vector<std::string> missing;  ///< tensors or files
    std::string checkpoint_hash;       ///< of the tensors as read; empty if any is bad
    [[nodiscard]] bool ok() const { return corrupt.empty() && missing.empty(); }
};

/// Reads everything in a checkpoint directory back: each file against the size and hash in
/// index.json, each tensor against its own hashes and its encoding's rules, the set of tensors
/// against the model, all of it against the master's checkpoint_hash. Any flipped byte in any file
/// that index.json lists, or in index.json itself, is found. Never throws for damage.
/// @throws MissingInputError  if the directory has no checkpoint.h5
[[nodiscard]] Verification verify_checkpoint(const std::filesystem::path& directory);

/// Writes index.json: every other file of the directory with its size and hash, and the hash of
/// this list.
void write_index(const std::filesystem::path& directory);

}  // namespace lathe
