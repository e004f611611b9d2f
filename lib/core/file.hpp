#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace lathe {

/// A whole file mapped read-only. Pages come from disk as they are touched.
class MappedFile {
public:
    /// @throws MissingInputError  if it does not exist
    /// @throws IoError            if it cannot be opened or mapped
    explicit MappedFile(const std::filesystem::path& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// Tells the system that `range` (inside bytes()) is not needed again soon, so that a stream
    /// through a large file does not count as resident memory. What lies within 2 MiB of it may be
    /// read anew, too.
    void release(std::span<const std::byte> range) const noexcept;

private:
    std::filesystem::path path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Creates an empty file under a temporary name beside `path`; commit() flushes it to disk and
/// renames it. Without commit() the temporary file is removed: `path` is complete or absent, never
/// half. Of several that write one `path`, in one process or on many hosts, the last commit() wins.
class AtomicFile {
public:
    /// @throws IoError  if it cannot be created
    explicit AtomicFile(std::filesystem::path path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    /// Where to write: same directory, a name that no other object has, in any process.
    [[nodiscard]] const std::filesystem::path& temporary() const noexcept { return temporary_; }
    /// fsync, rename, fsync of the directory. The writer must have closed the file.
    /// @throws IoError
    void commit();

private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
    bool committed_ = false;
};

/// Writes `content` to `path` in the manner of AtomicFile.
/// @throws IoError  with the reason of the system (disk full, read-only)
void write_file(const std::filesystem::path& path, std::string_view content);

/// @throws MissingInputError, IoError
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// Appends one line and flushes it to disk.
class AppendFile {
public:
    /// Creates the file if needed. A last line without its newline (a torn write) is cut off.
    /// @throws IoError
    explicit AppendFile(const std::filesystem::path& path);
    ~AppendFile();
    AppendFile(const AppendFile&) = delete;
    AppendFile& operator=(const AppendFile&) = delete;
    /// `line` has no newline.
    void append(std::string_view line);

private:
    std::filesystem::path path_;
    int descriptor_ = -1;
};

/// Creates `path` and its parents. @throws IoError
void make_directories(const std::filesystem::path& path);

/// Removes files that AtomicFile left behind in a killed process, below `directory`.
void remove_temporary_files(const std::filesystem::path& directory);

}  // namespace lathe
