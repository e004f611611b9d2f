#include "lib/core/granted_memory.hpp"

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace lathe {
namespace {

namespace fs = std::filesystem;

/// A made-up root of the file system, and an environment without a batch system.
class GrantedMemoryTest : public ::testing::Test {
protected:
    GrantedMemoryTest() {
        for (const char* name : {"SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"}) {
            ::unsetenv(name);
        }
    }
    ~GrantedMemoryTest() override { fs::remove_all(root_); }

    void write(const fs::path& file, const std::string& text) const {
        fs::create_directories((root_ / file).parent_path());
        std::ofstream(root_ / file) << text;
    }
    [[nodiscard]] GrantedMemory granted() const { return granted_memory(root_); }

private:
    fs::path root_ = fs::temp_directory_path() / ("lathe_granted_" + std::to_string(::getpid()));
};

TEST_F(GrantedMemoryTest, NobodySays) {
    EXPECT_EQ(granted().bytes, 0U);
}

TEST_F(GrantedMemoryTest, TheMachineSays) {
    write("proc/meminfo", "MemTotal:       24000 kB\nMemFree: 1 kB\n");
    EXPECT_EQ(granted().bytes, 24000U * 1024);
    EXPECT_EQ(granted().source, "/proc/meminfo");
}

TEST_F(GrantedMemoryTest, AGroupAndThoseAboveIt) {
    write("proc/meminfo", "MemTotal: 24000 kB\n");
    write("proc/self/cgroup", "0::/system.slice/job/step\n");
    write("sys/fs/cgroup/system.slice/job/step/memory.max", "max\n");
    write("sys/fs/cgroup/system.slice/job/memory.max", "5000000\n");
    write("sys/fs/cgroup/system.slice/memory.max", "9000000\n");
    EXPECT_EQ(granted().bytes, 5000000U);
    EXPECT_EQ(granted().source, "/sys/fs/cgroup/system.slice/job/memory.max");
}

TEST_F(GrantedMemoryTest, InAContainerThePathBeginsAboveWhatIsMounted) {
    write("proc/self/cgroup", "0::/docker/0123/../../x\n");
    write("sys/fs/cgroup/memory.max", "7000000\n");
    EXPECT_EQ(granted().bytes, 7000000U);
}

TEST_F(GrantedMemoryTest, VersionOneOfGroups) {
    write("proc/self/cgroup", "12:pids:/a\n5:cpu,memory:/slurm/job\n");
    write("sys/fs/cgroup/memory/slurm/job/memory.limit_in_bytes", "3000000\n");
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // no limit
    EXPECT_EQ(granted().bytes, 3000000U);
}

TEST_F(GrantedMemoryTest, Slurm) {
    write("proc/meminfo", "MemTotal: 24000000 kB\n");
    ::setenv("SLURM_MEM_PER_CPU", "1000", 1);
    EXPECT_EQ(granted().source, "/proc/meminfo");  // of how many processors?
    ::setenv("SLURM_CPUS_ON_NODE", "4", 1);
    EXPECT_EQ(granted().bytes, 4000ULL << 20);
    ::setenv("SLURM_MEM_PER_NODE", "2000", 1);
    EXPECT_EQ(granted().bytes, 2000ULL << 20);
    EXPECT_EQ(granted().source, "SLURM_MEM_PER_NODE");
    ::setenv("SLURM_MEM_PER_NODE", "0", 1);  // all of the node
    EXPECT_EQ(granted().source, "SLURM_MEM_PER_CPU");
}

TEST_F(GrantedMemoryTest, WhatIsNotUnderstoodCountsForNothing) {
    write("proc/meminfo", "MemTotal: many kB\n");
    write("proc/self/cgroup", "nonsense\n0::\n::\n:\n");
    write("sys/fs/cgroup/memory.max", "-1\n");
    ::setenv("SLURM_MEM_PER_NODE", "12Q", 1);
    ::setenv("SLURM_MEM_PER_CPU", "99999999999999999999", 1);
    EXPECT_EQ(granted().bytes, 0U);
}

}  // namespace
}  // namespace lathe
