#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace lathe {

/// An exclusive advisory lock, held as long as the object lives; the system frees it when the
/// process ends, however it ends.
///
/// Where the file system has no locks (Lustre mounted without them, some NFS), an exclusive file
/// stands in, PATH.held, with the host and number of its process; a warning says so. It outlives a
/// process that is killed: on the same host, booted as it was, the next try_lock() sees that the
/// process is gone and takes over; a file of another host has to be removed by hand.
class FileLock {
public:
    /// Empty if somebody else holds the lock. Creates the file if needed.
    /// @throws IoError
    [[nodiscard]] static std::optional<FileLock> try_lock(const std::filesystem::path& path);
    /// Whether somebody holds it, this process included. Takes nothing and writes nothing, so it is
    /// in nobody's way and works where nothing can be written. No such file: false.
    /// @throws IoError  if there is one that cannot be read
    [[nodiscard]] static bool is_held(const std::filesystem::path& path);
    /// Of a lock that is a file: "process 4711 on node7 (by PATH.held; remove it if ...)", for a
    /// message. Else empty.
    [[nodiscard]] static std::string holder(const std::filesystem::path& path);
    /// The file that stands in where there are no locks.
    [[nodiscard]] static std::filesystem::path stand_in(const std::filesystem::path& path);

    ~FileLock();
    FileLock(FileLock&& other) noexcept;
    FileLock& operator=(FileLock&& other) noexcept;

private:
    FileLock(int descriptor, std::filesystem::path file)
        : descriptor_(descriptor), file_(std::move(file)) {}

    int descriptor_ = -1;
    std::filesystem::path file_;  ///< the stand-in, if it is one
};

}  // namespace lathe
