#include "orchestrator/job_estimate.hpp"

#include <gtest/gtest.h>

namespace lathe {
namespace {

StageProgress at(const std::string& stage, double eta, std::size_t reused = 0) {
    StageProgress progress;
    progress.stage = stage;
    progress.eta_seconds = eta;
    progress.reused = reused;
    return progress;
}

JobEstimate planned() {
    return JobEstimate(
        {{"calibrate", 10.0}, {"compress", 20.0}, {"search", 30.0}, {"evaluate", 5.0}});
}

TEST(JobEstimate, BeginsWithThePlan) {
    EXPECT_FALSE(JobEstimate().is_known());
    JobEstimate job = planned();
    EXPECT_FALSE(job.is_known());
    job.update(at("calibrate", 0.0), 100.0);
    EXPECT_TRUE(job.is_known());
    EXPECT_DOUBLE_EQ(job.seconds_left(), 65.0);
    EXPECT_DOUBLE_EQ(job.share_done(), 0.0);
    job.update(at("calibrate", 0.0), 104.0);
    EXPECT_DOUBLE_EQ(job.seconds_left(), 61.0);
}

TEST(JobEstimate, StagesThatAreOverCorrectThoseToCome) {
    JobEstimate job = planned();
    job.update(at("calibrate", 0.0), 0.0);
    job.update(at("compress", 0.0), 20.0);  // twice as long as planned
    EXPECT_DOUBLE_EQ(job.seconds_left(), 2.0 * (20.0 + 30.0 + 5.0));
    EXPECT_DOUBLE_EQ(job.share_done(), 20.0 / 130.0);
    job.update(at("compress", 90.0), 30.0);  // the stage itself knows better
    EXPECT_DOUBLE_EQ(job.seconds_left(), 90.0 + 2.0 * 35.0);
}

TEST(JobEstimate, AStageThatOutgrowsItsPlanCorrectsTooAndNothingIsNegative) {
    JobEstimate job = planned();
    job.update(at("calibrate", 1.0), 0.0);
    job.update(at("calibrate", 1.0), 40.0);
    EXPECT_DOUBLE_EQ(job.seconds_left(), 1.0 + 4.0 * 55.0);
    job.update(at("calibrate", 0.0), 39.0);  // a clock that goes back
    EXPECT_GE(job.seconds_left(), 0.0);
}

TEST(JobEstimate, KindsOfTasksBelongToTheStagesOfThePlan) {
    JobEstimate job = planned();
    job.update(at("compress", 0.0), 0.0);  // calibration was done before
    EXPECT_DOUBLE_EQ(job.seconds_left(), 55.0);
    job.update(at("variants", 0.0), 20.0);
    EXPECT_DOUBLE_EQ(job.seconds_left(), 35.0);
    job.update(at("evaluate_plan", 7.0), 25.0);  // the search goes on
    EXPECT_DOUBLE_EQ(job.seconds_left(), 25.0 + 5.0);
    job.update(at("assemble", 1.0), 30.0);  // has no estimate here
    job.update(at("evaluate", 2.0), 50.0);
    job.update(at("evaluate_plan", 1.5), 52.0);  // of the uniform plan, in the same stage
    EXPECT_LE(job.seconds_left(), 5.0);
}

TEST(JobEstimate, AStageThatAnEarlierStartBeganSaysNothingOfOthers) {
    JobEstimate job = planned();
    job.update(at("calibrate", 0.5, 6), 0.0);
    EXPECT_DOUBLE_EQ(job.seconds_left(), 0.5 + 55.0);
    job.update(at("compress", 0.0), 1.0);
    EXPECT_DOUBLE_EQ(job.seconds_left(), 55.0) << "a tenth of its time, for what was left of it";
}

}  // namespace
}  // namespace lathe
