#include "lib/core/file_lock.hpp"

#include <cerrno>
#include <cstring>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/host_name.hpp"
#include "lib/core/io_error.hpp"
#include "lib/core/log.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Of the whole file, whatever its length. Locks of open file descriptions, not of processes: two
/// objects in one process exclude each other, and closing another descriptor frees nothing.
struct flock whole_file() {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

/// Whether the error says that this file system, or this system, has no locks.
bool says_no_locks(int error_number) {
    return error_number == ENOSYS || error_number == ENOTSUP || error_number == EOPNOTSUPP ||
           error_number == ENOLCK || error_number == EINVAL;
}

std::string read_or_empty(const fs::path& path) {
    try {
        return read_file(path);
    } catch (const Error&) {
        return {};
    }
}

/// When a process started, in ticks since the system did; empty if there is no such process.
std::string start_time(const std::string& process) {
    const std::string text = read_or_empty("/proc/" + process + "/stat");
    // The program's name, the second field, may hold blanks and brackets.
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) {
        return {};
    }
    std::istringstream fields(text.substr(name_end + 1));
    std::string field;
    for (int number = 3; number <= 22; ++number) {
        fields >> field;
    }
    return field;
}

/// Who holds a stand-in. `place` is all that makes process numbers comparable: the boot and the
/// namespace that counts them.
struct Holder {
    std::string host, process, place, start;

    static Holder self() {
        std::string boot = read_or_empty("/proc/sys/kernel/random/boot_id");
        boot.resize(std::min(boot.size(), boot.find('\n')));
        std::error_code ignored;
        const std::string process = std::to_string(::getpid());
        return {host_name(), process,
                boot + "/" + fs::read_symlink("/proc/self/ns/pid", ignored).string(),
                start_time(process)};
    }
    static Holder parse(const std::string& text) {
        Holder holder;
        std::istringstream(text) >> holder.host >> holder.process >> holder.place >> holder.start;
        return holder;
    }
    [[nodiscard]] std::string text() const {
        return host + " " + process + " " + place + " " + start + "\n";
    }
    /// Known for certain; false where nothing can be known.
    [[nodiscard]] bool is_gone() const {
        const Holder self = Holder::self();
        return host == self.host && place == self.place && !start.empty() &&
               start_time(process) != start;
    }
};

/// Takes the stand-in of a process that is gone out of the way. What was moved may be that of
/// somebody who was faster: then it is put back.
void remove_stale(const fs::path& file, const std::string& seen) {
    const AtomicFile unique(file);  // for its name
    if (::rename(file.c_str(), unique.temporary().c_str()) == 0 &&
        read_or_empty(unique.temporary()) != seen) {
        static_cast<void>(::link(unique.temporary().c_str(), file.c_str()));
    }
}

/// Whether the stand-in is there and its process may live.
bool is_taken(const fs::path& file, std::string* content = nullptr) {
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
        return false;
    }
    const std::string text = read_or_empty(file);
    if (content != nullptr) {
        *content = text;
    }
    return !Holder::parse(text).is_gone();
}

/// Creates the stand-in, which nobody else can do at the same time. False: it is there.
bool create_stand_in(const fs::path& file) {
    const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno == EEXIST) {
        return false;
    }
    if (descriptor < 0) {
        throw_io("cannot create", file, errno);
    }
    const std::string text = Holder::self().text();
    const bool written =
        ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
        ::fsync(descriptor) == 0;
    const int error_number = errno;
    ::close(descriptor);
    if (!written) {
        ::unlink(file.c_str());
        throw_io("cannot write", file, error_number);
    }
    return true;
}

}  // namespace

fs::path FileLock::stand_in(const fs::path& path) {
    fs::path file = path;
    return file += ".held";
}

std::optional<FileLock> FileLock::try_lock(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        throw_io("cannot open", path, errno);
    }
    FileLock lock(descriptor, {});  // closes it, come what may
    struct flock wanted = whole_file();
    if (::fcntl(descriptor, F_OFD_SETLK, &wanted) == 0) {
        return lock;
    }
    if (errno == EAGAIN || errno == EACCES) {
        return std::nullopt;
    }
    if (!says_no_locks(errno)) {
        throw_io("cannot lock", path, errno);
    }
    const std::string reason = std::strerror(errno);
    const fs::path file = stand_in(path);
    std::string found;
    if (!is_taken(file, &found) && !found.empty()) {
        remove_stale(file, found);
    }
    if (!create_stand_in(file)) {
        return std::nullopt;
    }
    lock.file_ = file;
    log_warning("no_locks_here file=" + path.string() + " reason=\"" + reason +
                "\" instead=" + file.string());
    return lock;
}

bool FileLock::is_held(const fs::path& path) {
    if (is_taken(stand_in(path))) {
        return true;
    }
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return false;
    }
    if (descriptor < 0) {
        throw_io("cannot open", path, errno);
    }
    const FileLock closes(descriptor, {});
    struct flock asked = whole_file();
    if (::fcntl(descriptor, F_OFD_GETLK, &asked) == 0) {
        return asked.l_type != F_UNLCK;
    }
    if (!says_no_locks(errno)) {
        throw_io("cannot ask for the lock of", path, errno);
    }
    return false;
}

std::string FileLock::holder(const fs::path& path) {
    const fs::path file = stand_in(path);
    if (!is_taken(file)) {
        return {};
    }
    const Holder holder = Holder::parse(read_or_empty(file));
    return "process " + (holder.process.empty() ? "unknown" : holder.process) + " on " +
           (holder.host.empty() ? "an unknown host" : holder.host) + " (by " + file.string() +
           "; remove it if that process has ended)";
}

FileLock::~FileLock() {
    if (!file_.empty() && read_or_empty(file_) == Holder::self().text()) {
        ::unlink(file_.c_str());
    }
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

FileLock::FileLock(FileLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      file_(std::exchange(other.file_, fs::path())) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(file_, other.file_);
    return *this;
}

}  // namespace lathe
