#include "lib/core/scratch_memory.hpp"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/core/descriptor.hpp"
#include "lib/core/io_error.hpp"

namespace lathe {
namespace {

/// An open file that has no name.
int open_nameless(const std::filesystem::path& directory) {
    std::string name = (directory / "scratch.XXXXXX").string();
    const int descriptor = mkostemp(name.data(), O_CLOEXEC);
    if (descriptor < 0) {
        throw_io("cannot make a file in", directory, errno);
    }
    unlink(name.c_str());
    return descriptor;
}

}  // namespace

ScratchMemory::ScratchMemory(const std::filesystem::path& directory, std::size_t size_bytes) {
    if (size_bytes == 0) {
        return;
    }
    const Descriptor file(open_nameless(directory));
    // Without room a write to the memory would end the process (SIGBUS).
    if (const int code = posix_fallocate(file.get(), 0, static_cast<off_t>(size_bytes));
        code != 0) {
        throw_io("no room for " + std::to_string(size_bytes) + " bytes in", directory, code);
    }
    void* const data = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (data == MAP_FAILED) {
        throw_io("cannot map a file in", directory, errno);
    }
    data_ = static_cast<std::byte*>(data);
    size_bytes_ = size_bytes;
}

ScratchMemory::~ScratchMemory() {
    if (data_ != nullptr) {
        munmap(data_, size_bytes_);
    }
}

ScratchMemory::ScratchMemory(ScratchMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

ScratchMemory& ScratchMemory::operator=(ScratchMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
}

void ScratchMemory::release(std::size_t first, std::size_t size_bytes) const noexcept {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t begin = (first + page - 1) / page * page;
    const std::size_t end = (first + size_bytes) / page * page;
    if (begin < end) {  // of a shared mapping nothing is lost
        madvise(data_ + begin, end - begin, MADV_DONTNEED);
    }
}

}  // namespace lathe
