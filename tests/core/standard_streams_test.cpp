#include "lib/core/standard_streams.hpp"

#include <csignal>
#include <functional>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/log.hpp"

namespace lathe {
namespace {

/// Runs `body` in a child process, whose streams are its own to spoil. Returns its exit code, or
/// minus the signal that ended it.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(body());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void replace(int descriptor, const char* file) {
    const int other = ::open(file, O_WRONLY);
    ::dup2(other, descriptor);
    ::close(other);
}

TEST(StandardStreams, ClosedOnesDoNotGoToTheNextFile) {
    EXPECT_EQ(in_child([] {
                  for (const int descriptor : {0, 1, 2}) {
                      ::close(descriptor);
                  }
                  prepare_standard_streams();
                  const int next = ::open("/dev/null", O_WRONLY);
                  const bool errors_vanish = print_error("lost\n");
                  const bool output_fails = ::write(1, "x", 1) < 0;
                  return next > 2 && errors_vanish && output_fails ? 0 : 1;
              }),
              0);
}

TEST(StandardStreams, OpenOnesStay) {
    EXPECT_EQ(in_child([] {
                  int ends[2];
                  if (::pipe(ends) != 0) {
                      return 1;
                  }
                  ::dup2(ends[1], 2);
                  prepare_standard_streams();
                  char found[4] = {};
                  return print_error("abc") && ::read(ends[0], found, 3) == 3 &&
                                 std::string_view(found) == "abc"
                             ? 0
                             : 1;
              }),
              0);
}

TEST(StandardStreams, WhatCannotBeWrittenIsSaidAndNothingElse) {
    EXPECT_EQ(in_child([] {
                  replace(2, "/dev/full");
                  prepare_standard_streams();
                  start_logging(LogLevel::verbose, 0);
                  log_warning("on a full device");
                  return print_error("lost\n") ? 1 : 0;
              }),
              0);
}

TEST(StandardStreams, AReaderOrTerminalThatIsGoneEndsNothing) {
    EXPECT_EQ(in_child([] {
                  int ends[2];
                  if (::pipe(ends) != 0) {
                      return 1;
                  }
                  ::dup2(ends[1], 2);
                  ::close(ends[0]);
                  prepare_standard_streams();
                  start_logging(LogLevel::verbose, 0);
                  ::raise(SIGHUP);
                  log_warning("to nobody");
                  return print_error("lost\n") ? 1 : 0;
              }),
              0);
}

}  // namespace
}  // namespace lathe
