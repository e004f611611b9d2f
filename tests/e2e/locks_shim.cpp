// Preloaded by locks_test.py: a file system without locks, or one that takes its time over them.
//   LATHE_TEST_LOCKS=none        locks are not supported
//   LATHE_TEST_LOCKS=gate:PATH   taking one waits until PATH is there, after making PATH.waiting
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr std::size_t n_gate = 5;  // "gate:"

void wait_at(const std::string& gate) {
    const int mark = ::open((gate + ".waiting").c_str(), O_WRONLY | O_CREAT, 0666);
    ::close(mark);
    while (::access(gate.c_str(), F_OK) != 0) {
        ::usleep(10000);
    }
}

/// -1 with errno, or 0 to go on.
int before_lock(bool takes) {
    const char* mode = std::getenv("LATHE_TEST_LOCKS");
    if (mode != nullptr && std::strcmp(mode, "none") == 0) {
        errno = ENOSYS;
        return -1;
    }
    if (mode != nullptr && takes && std::strncmp(mode, "gate:", n_gate) == 0) {
        wait_at(mode + n_gate);
    }
    return 0;
}

int control(int descriptor, int command, void* argument) {
    const bool takes = command == F_OFD_SETLK || command == F_SETLK;
    const bool asks = command == F_OFD_GETLK || command == F_GETLK;
    if ((takes || asks) && before_lock(takes) != 0) {
        return -1;
    }
    return static_cast<int>(::syscall(SYS_fcntl, descriptor, command, argument));
}

}  // namespace

extern "C" int fcntl(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    return control(descriptor, command, argument);
}

extern "C" int fcntl64(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    return control(descriptor, command, argument);
}

extern "C" int flock(int descriptor, int operation) noexcept {
    if (before_lock(true) != 0) {
        return -1;
    }
    return static_cast<int>(::syscall(SYS_flock, descriptor, operation));
}
