#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/checkpoint/artifact.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {

/// The directory of a compressed checkpoint, as docs/file_format.md describes it:
///   checkpoint.h5      master: attributes, and a link to each shard
///   blocks/NNNN.h5     one shard a block; blocks/outer.h5 holds what stands outside the blocks
///   index.json         size and hash of every other file
///   config.json, tokenizer files: copies of the source's
class CompressedCheckpoint {
public:
    /// Opens the master and reads the model's description; shards are opened when needed.
    /// `allow_nan_rows`: ModelSpec's.
    /// @throws MissingInputError, DataError
    explicit CompressedCheckpoint(std::filesystem::path directory, bool allow_nan_rows = false);

    /// Whether the directory holds a compressed checkpoint.
    [[nodiscard]] static bool is_one(const std::filesystem::path& directory);

    /// The model a directory's config.json (and slicing.json) describes, with the family's own
    /// tensor names: the names used in the shards.
    [[nodiscard]] static ModelSpec describe(const std::filesystem::path& directory);

    [[nodiscard]] const ModelSpec& spec() const { return spec_; }
    [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
    /// Root attributes of the master, see docs/file_format.md.
    [[nodiscard]] const Attributes& attributes() const { return attributes_; }
    /// @throws DataError  naming the tensor: absent, corrupt
    [[nodiscard]] EncodedTensor read(std::size_t tensor, bool check_hash = true) const;
    /// The element type the tensor had in the source.
    [[nodiscard]] DType source_dtype(std::size_t tensor) const;
    /// The same as read() without the bytes of its parts, which are not read.
    [[nodiscard]] EncodedTensor read_header(std::size_t tensor) const;

private:
    std::filesystem::path directory_;
    Attributes attributes_;
    ModelSpec spec_;
};

/// "blocks/0003.h5"; "blocks/outer.h5" without a block.
[[nodiscard]] std::string shard_file(std::optional<std::size_t> block);

/// Weights of a compressed checkpoint; products are computed from their codes.
class CheckpointWeights final : public EncodedWeights {
public:
    explicit CheckpointWeights(const CompressedCheckpoint& checkpoint,
                               LookupTables tables = LookupTables::fp32)
        : checkpoint_(checkpoint), tables_(tables) {}
    [[nodiscard]] EncodedTensor read(std::size_t index) const override {
        return checkpoint_.read(index);
    }
    [[nodiscard]] std::optional<EncodedTensor> stored(std::size_t index) const override {
        return read(index);
    }
    [[nodiscard]] LookupTables tables() const override { return tables_; }

private:
    const CompressedCheckpoint& checkpoint_;
    LookupTables tables_;
};

}  // namespace lathe
