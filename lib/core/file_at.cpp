#include "lib/core/file_at.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "lib/core/io_error.hpp"

namespace lathe {

FileAt::FileAt(std::filesystem::path path) : path_(std::move(path)) {
    constexpr int mode = 0666;
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    if (descriptor_ < 0) {
        throw_io("cannot open", path_, errno);
    }
}

FileAt::~FileAt() {
    ::close(descriptor_);
}

void FileAt::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
        const ssize_t written =
            ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            throw_io("cannot write", path_, errno);
        }
        offset += static_cast<std::uint64_t>(written);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
}

void FileAt::resize(std::uint64_t bytes) const {
    if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) {
        throw_io("cannot set the size of", path_, errno);
    }
}

void FileAt::flush() const {
    if (::fsync(descriptor_) != 0) {
        throw_io("cannot flush", path_, errno);
    }
}

}  // namespace lathe
