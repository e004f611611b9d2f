#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace lathe {

/// A file that several processes write at the same time, each its own bytes. It is created if it is
/// not there; bytes that nobody wrote are 0.
class FileAt {
public:
    /// @throws IoError
    explicit FileAt(std::filesystem::path path);
    ~FileAt();
    FileAt(const FileAt&) = delete;
    FileAt& operator=(const FileAt&) = delete;

    /// @throws IoError  with the reason of the system (disk full)
    void write(std::uint64_t offset, std::span<const std::byte> bytes) const;
    /// Cuts the file or fills it up to this size. @throws IoError
    void resize(std::uint64_t bytes) const;
    /// Returns when all that was written is on disk. @throws IoError
    void flush() const;

private:
    std::filesystem::path path_;
    int descriptor_ = -1;
};

}  // namespace lathe
