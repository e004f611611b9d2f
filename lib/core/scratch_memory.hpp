#pragma once

#include <cstddef>
#include <filesystem>

namespace lathe {

/// Memory in a file without a name, for data that is large beside what is at work at a time. The
/// system writes pages out when it needs room, and the file is gone with the object or the process.
class ScratchMemory {
public:
    /// Zeros, in a file in `directory`, which is there. Its room on disk is taken at once.
    /// @throws IoError  no room, or the directory cannot be written
    ScratchMemory(const std::filesystem::path& directory, std::size_t size_bytes);

    ~ScratchMemory();
    ScratchMemory(ScratchMemory&& other) noexcept;
    ScratchMemory& operator=(ScratchMemory&& other) noexcept;

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    /// Tells the system that these bytes are not needed soon. They stay as they are.
    void release(std::size_t first, std::size_t size_bytes) const noexcept;

private:
    std::byte* data_ = nullptr;
    std::size_t size_bytes_ = 0;
};

}  // namespace lathe
