#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lib/core/dtype.hpp"

namespace lathe {

/// Attribute of a group or dataset. Booleans are stored as integers.
using AttributeValue = std::variant<std::int64_t, double, std::string>;
using Attributes = std::map<std::string, AttributeValue>;

/// Writes one HDF5 file: serial library, no timestamps, contiguous unfiltered datasets, so that
/// equal content makes equal bytes. The file appears under its name, complete, in commit().
///
/// bf16 is stored as uint16; a dataset's attribute "dtype" ("bfloat16", "float16", "uint8", ...)
/// says what its elements are. f16 is HDF5's own 16-bit IEEE type. Each dataset carries "hash", the
/// XXH3-64 of its bytes, as 16 hex digits. Whatever is given under these two names is replaced.
///
/// Overhead: about 170 bytes a file, 120 to 180 a group, 200 to 290 a dataset and 45 for each
/// further attribute. Reading and writing may happen on any thread; files take turns.
class ArtifactWriter {
public:
    /// @throws IoError
    explicit ArtifactWriter(const std::filesystem::path& path);
    ~ArtifactWriter();
    ArtifactWriter(const ArtifactWriter&) = delete;
    ArtifactWriter& operator=(const ArtifactWriter&) = delete;

    /// Creates the group `path` ("/a/b") and its parents, if absent, and sets its attributes; "/"
    /// is the root. @throws IoError
    void group(const std::string& path, const Attributes& attributes);
    /// Writes a dataset of `shape`; parents are created. `data` holds packed elements of `dtype`.
    /// @throws IoError
    void dataset(const std::string& path, DType dtype, const Shape& shape, const std::byte* data,
                 const Attributes& attributes = {});
    /// A link to the root group of another file, relative to this file's directory.
    void external_link(const std::string& path, const std::string& file);
    /// Closes, flushes, renames. Without it nothing remains. @throws IoError
    void commit();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// A dataset as found in a file.
struct DatasetInfo {
    DType dtype = DType::u8;
    Shape shape;
    Attributes attributes;
};

/// Reads one HDF5 file. External links are followed, relative to the directory of the file they
/// stand in, whatever the working directory, and only to files in that directory or below; soft
/// links only within the file. Other links, and datasets whose bytes lie in other files (external
/// storage, virtual layout), are refused before anything is read through them. Every function
/// throws MissingInputError if a linked file is not there, and DataError, naming file and object,
/// for everything else.
class ArtifactReader {
public:
    /// @throws MissingInputError  if there is no such file
    /// @throws DataError          if it is not an HDF5 file, or truncated
    explicit ArtifactReader(const std::filesystem::path& path);
    ~ArtifactReader();
    ArtifactReader(ArtifactReader&&) noexcept;
    ArtifactReader& operator=(ArtifactReader&&) noexcept;

    [[nodiscard]] bool has(const std::string& path) const;
    /// Names directly below a group, in alphabetical order.
    [[nodiscard]] std::vector<std::string> children(const std::string& path) const;
    [[nodiscard]] bool is_dataset(const std::string& path) const;
    /// Attributes of other kinds (arrays, references, texts of variable length), which only foreign
    /// files have, are left out.
    [[nodiscard]] Attributes attributes(const std::string& path) const;
    [[nodiscard]] DatasetInfo info(const std::string& path) const;
    /// All bytes of a dataset, as stored. With `check_hash` the attribute "hash" is compared.
    /// @throws DataError  naming file and dataset: absent, unreadable, or another hash
    [[nodiscard]] std::vector<std::byte> read(const std::string& path,
                                              bool check_hash = true) const;
    /// Like read(), into memory of the caller of exactly the right size.
    void read_into(const std::string& path, std::byte* data, std::size_t size_bytes,
                   bool check_hash = true) const;
    /// Reads a dataset of any numeric HDF5 type converted to the wanted one (for files of other
    /// programs: int64 ids, float32 references). The hash is checked where the dataset has the
    /// attributes of ours. A value that is no 64-bit integer is refused, not rounded.
    [[nodiscard]] std::vector<std::int64_t> read_integers(const std::string& path) const;
    [[nodiscard]] std::vector<float> read_floats(const std::string& path) const;

    [[nodiscard]] const std::filesystem::path& path() const;

private:
    void check_hash_if_ours(const std::string& path) const;

    struct State;
    std::unique_ptr<State> state_;
};

/// @throws DataError  naming `where` and the key, if absent or of another type
[[nodiscard]] std::int64_t integer_attribute(const Attributes& attributes, const std::string& key,
                                             const std::string& where);
[[nodiscard]] double real_attribute(const Attributes& attributes, const std::string& key,
                                    const std::string& where);
[[nodiscard]] std::string text_attribute(const Attributes& attributes, const std::string& key,
                                         const std::string& where);

/// Whether an artifact is there, readable, and carries the fingerprint. A warning tells of a
/// damaged one.
[[nodiscard]] bool has_fingerprint(const std::filesystem::path& artifact,
                                   const std::string& fingerprint);

}  // namespace lathe
