// A disk that is full, or fails now and then, for one program: LD_PRELOAD=libfailing_io.so and
//   LATHE_FAULT=ERRNO:FIRST:COUNT:FOLDER
// Of the calls that write to files below FOLDER (write, pwrite, fsync, fdatasync, ftruncate,
// rename), numbered from 1 in each process, COUNT fail from the FIRST on, with that errno.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long n_calls;

static int is_below(const char* path, const char* folder) {
    return strncmp(path, folder, strlen(folder)) == 0;
}

/// Whether this call on `path` has to fail; then errno is set.
static int must_fail(const char* path) {
    const char* const fault = getenv("LATHE_FAULT");
    int number = 0;
    long first = 0;
    long count = 0;
    int read = 0;
    if (fault == NULL || sscanf(fault, "%d:%ld:%ld:%n", &number, &first, &count, &read) < 3 ||
        !is_below(path, fault + read)) {
        return 0;
    }
    const long call = atomic_fetch_add(&n_calls, 1) + 1;
    if (call < first || call >= first + count) {
        return 0;
    }
    errno = number;
    return 1;
}

static int must_fail_at(int descriptor) {
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) {
        return 0;
    }
    path[length] = '\0';
    return must_fail(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void* data, size_t size) {
    return must_fail_at(fd) ? -1 : REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
    return must_fail_at(fd) ? -1 : REAL(pwrite)(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
    return must_fail_at(fd) ? -1 : REAL(pwrite64)(fd, data, size, offset);
}
int fsync(int fd) {
    return must_fail_at(fd) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd) {
    return must_fail_at(fd) ? -1 : REAL(fdatasync)(fd);
}
int ftruncate(int fd, off_t length) {
    return must_fail_at(fd) ? -1 : REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
    return must_fail_at(fd) ? -1 : REAL(ftruncate64)(fd, length);
}
int rename(const char* from, const char* to) {
    return must_fail(to) ? -1 : REAL(rename)(from, to);
}
