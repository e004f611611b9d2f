#include "lib/core/file.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/descriptor.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/host_name.hpp"
#include "lib/core/io_error.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view temporary_suffix = ".lathe-tmp";

int open_for_reading(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        throw MissingInputError("no such file: " + path.string());
    }
    if (descriptor < 0) {
        throw_io("cannot open", path, errno);
    }
    return descriptor;
}

void write_all(int descriptor, std::string_view content, const fs::path& path) {
    while (!content.empty()) {
        const ssize_t written = ::write(descriptor, content.data(), content.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            throw_io("cannot write", path, errno);
        }
        content.remove_prefix(static_cast<std::size_t>(written));
    }
}

void sync_path(const fs::path& path, int flags) {
    const Descriptor file(::open(path.c_str(), flags | O_CLOEXEC));
    if (file.get() < 0) {
        throw_io("cannot open", path, errno);
    }
    if (::fsync(file.get()) != 0) {
        throw_io("cannot flush", path, errno);
    }
}

fs::path parent_of(const fs::path& path) {
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// What of this machine's name can stand in a file's, at most 32 bytes of it.
std::string host_part() {
    constexpr std::size_t longest = 32;
    std::string part = host_name();
    part.resize(std::min(part.size(), longest));
    for (char& c : part) {
        c = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' ? c : '_';
    }
    return part;
}

/// ".node7.4711.0123456789abcdef.lathe-tmp". Processes in containers, or on nodes that booted
/// alike, may have the same host and number: what tells them apart is the random part, from the
/// system and new for each file.
std::string temporary_ending() {
    std::random_device system;
    const std::uint64_t word = std::uint64_t{system()} << 32 | system();
    return "." + host_part() + "." + std::to_string(::getpid()) + "." + to_hex(word) +
           std::string(temporary_suffix);
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) : path_(path) {
    const Descriptor file(open_for_reading(path));
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) {
        throw_io("cannot stat", path, errno);
    }
    if (!S_ISREG(status.st_mode)) {
        throw DataError(path.string() + " is not a regular file");
    }
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) {
        return;
    }
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) {
        throw_io("cannot map", path, errno);
    }
    data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) {
        ::munmap(const_cast<std::byte*>(data_), size_);
    }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

void MappedFile::release(std::span<const std::byte> range) const noexcept {
    // Reading a byte may have mapped all that the page cache holds as one piece, up to this much.
    constexpr std::uintptr_t piece = std::uintptr_t{2} << 20;
    const auto begin = reinterpret_cast<std::uintptr_t>(data_);
    const auto first = reinterpret_cast<std::uintptr_t>(range.data());
    const auto last = first + range.size();
    if (data_ != nullptr && !range.empty()) {
        const std::uintptr_t from = std::max(begin, first / piece * piece) - begin;
        const std::uintptr_t to = std::min(size_, (last + piece - 1) / piece * piece - begin);
        ::madvise(const_cast<std::byte*>(data_) + from, to - from, MADV_DONTNEED);
    }
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
    // Exclusively: a file that is there already is another's, however its name came about.
    constexpr int attempts = 8;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        temporary_ = path_;
        temporary_ += temporary_ending();
        const Descriptor file(
            ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        if (file.get() >= 0) {
            return;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    throw_io("cannot create", path_, errno);
}

AtomicFile::~AtomicFile() {
    if (!committed_) {
        std::error_code ignored;
        fs::remove(temporary_, ignored);
    }
}

void AtomicFile::commit() {
    sync_path(temporary_, O_RDONLY);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
        throw_io("cannot rename to", path_, errno);
    }
    committed_ = true;
    sync_path(parent_of(path_), O_RDONLY | O_DIRECTORY);
}

void write_file(const fs::path& path, std::string_view content) {
    AtomicFile file(path);
    {
        const Descriptor out(::open(file.temporary().c_str(), O_WRONLY | O_CLOEXEC));
        if (out.get() < 0) {
            throw_io("cannot create", path, errno);
        }
        write_all(out.get(), content, path);
    }
    file.commit();
}

std::string read_file(const fs::path& path) {
    const Descriptor file(open_for_reading(path));
    std::string content;
    std::string chunk(1 << 16, '\0');
    while (true) {
        const ssize_t n = ::read(file.get(), chunk.data(), chunk.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            throw_io("cannot read", path, errno);
        }
        if (n == 0) {
            return content;
        }
        content.append(chunk.data(), static_cast<std::size_t>(n));
    }
}

AppendFile::AppendFile(const fs::path& path) : path_(path) {
    std::error_code ignored;
    if (fs::exists(path, ignored)) {
        const std::string content = read_file(path);
        const std::size_t newline = content.rfind('\n');
        const std::size_t whole = newline == std::string::npos ? 0 : newline + 1;
        if (whole != content.size() && ::truncate(path.c_str(), static_cast<off_t>(whole)) != 0) {
            throw_io("cannot truncate", path, errno);
        }
    }
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
        throw_io("cannot open", path, errno);
    }
}

AppendFile::~AppendFile() {
    ::close(descriptor_);
}

void AppendFile::append(std::string_view line) {
    write_all(descriptor_, std::string(line) + "\n", path_);
    if (::fdatasync(descriptor_) != 0) {
        throw_io("cannot flush", path_, errno);
    }
}

void make_directories(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) {
        throw IoError("cannot create directory " + path.string() + ": " + error.message());
    }
}

void remove_temporary_files(const fs::path& directory) {
    std::error_code error;
    for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().native().ends_with(temporary_suffix)) {
            std::error_code ignored;
            fs::remove(it->path(), ignored);
        }
    }
}

}  // namespace lathe
