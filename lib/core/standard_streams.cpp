#include "lib/core/standard_streams.hpp"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace lathe {
namespace {

/// How long a full pipe that was set not to block may take to be read; then the text is dropped.
constexpr int patience_milliseconds = 1000;

void open_null_device_as(int descriptor, int flags) noexcept {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) {
        return;
    }
    const int null_device = ::open("/dev/null", flags);
    if (null_device >= 0 && null_device != descriptor) {
        ::dup2(null_device, descriptor);
        ::close(null_device);
    }
}

}  // namespace

void prepare_standard_streams() noexcept {
    open_null_device_as(STDIN_FILENO, O_RDONLY);
    open_null_device_as(STDOUT_FILENO, O_RDONLY);  // writing fails, as it would have
    open_null_device_as(STDERR_FILENO, O_WRONLY);
    for (const int number : {SIGPIPE, SIGHUP}) {
        ::signal(number, SIG_IGN);
    }
}

bool print_error(std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
        if (written > 0) {
            text.remove_prefix(static_cast<std::size_t>(written));
            continue;
        }
        if (written < 0 && errno == EINTR) {
            continue;
        }
        struct pollfd waiting {
            STDERR_FILENO, POLLOUT, 0
        };
        if (written < 0 && errno == EAGAIN && ::poll(&waiting, 1, patience_milliseconds) > 0) {
            continue;
        }
        return false;
    }
    return true;
}

}  // namespace lathe
