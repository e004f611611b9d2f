#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/comm/communicator.hpp"
#include "lib/core/errors.hpp"

namespace lathe::comm {
namespace {

using ::testing::HasSubstr;

/// Without MPI: this program may itself run below a launcher, so its variables are taken away.
class SessionTest : public ::testing::Test {
protected:
    void SetUp() override {
        for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK",
                                 "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
            ::unsetenv(name);
        }
    }
    int argc = 0;
    char** argv = nullptr;
};

TEST_F(SessionTest, WithoutALauncherThereIsOneRankAndNoMpi) {
    Session session(&argc, &argv);
    EXPECT_EQ(session.world().size(), 1);
    session.world().send(0, Tag::task, {});
    EXPECT_TRUE(session.world().try_receive(0, Tag::task).has_value());
    session.abandon();
    session.abort(1);  // returns: there is no job to end
}

TEST_F(SessionTest, OneTaskUnderSrunNeedsNoPmix) {
    ::setenv("SLURM_STEP_NUM_TASKS", "1", 1);
    EXPECT_EQ(Session(&argc, &argv).world().size(), 1);
}

TEST_F(SessionTest, SeveralTasksUnderSrunWithoutPmixAreRefused) {
    ::setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    try {
        const Session session(&argc, &argv);
        FAIL();
    } catch (const UsageError& error) {
        EXPECT_THAT(error.what(), HasSubstr("srun started 4 tasks without PMIx"));
        EXPECT_THAT(error.what(), HasSubstr("--mpi=pmix"));
    }
    ::unsetenv("SLURM_STEP_NUM_TASKS");
}

}  // namespace
}  // namespace lathe::comm
