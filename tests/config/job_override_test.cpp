#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/config/job_config.hpp"
#include "lib/core/errors.hpp"
#include "tests/config/job_samples.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Overrides, WinOverTheFileAndTheLastWins) {
    const JobConfig job = read(full_job, {"seed=1", "search.num_evaluation_samples=9", "seed=2",
                                          "calibration.data=[x.txt, 'y=z.txt']", "output='a b'"});
    EXPECT_EQ(job.seed, 2U);
    EXPECT_EQ(job.search.num_evaluation_samples, 9U);
    EXPECT_THAT(job.search.evaluation, ElementsAre("held.txt"));  // the rest of the map stays
    EXPECT_THAT(job.calibration.data, ElementsAre("x.txt", "y=z.txt"));
    EXPECT_EQ(job.output, "a b");
}

TEST(Overrides, AloneAreAJob) {
    const JobConfig job = read_job("", "",
                                   {"model=m", "output=o", "calibration.nsamples=4", "budget=3x",
                                    "candidates=[{method: integer, num_bits: [2, 4]}]"});
    EXPECT_EQ(job.calibration.num_calibration_samples, 4U);
    EXPECT_EQ(job.budget, (Budget{Budget::Kind::ratio, 3.0}));
    ASSERT_EQ(job.candidates.size(), 1U);
    EXPECT_THAT(job.candidates[0].keys[0].values, ElementsAre("2", "4"));
    EXPECT_EQ(job.candidates[0].keys[0].place.text, "--set candidates");
}

TEST(Overrides, WinAlsoWhereTheFileSaysItAnotherWay) {
    const std::string short_form = required_keys + "calibration: {nsamples: 7}\nbudget: 4x\n";
    EXPECT_EQ(read(short_form, {"calibration.num_calibration_samples=8"})
                  .calibration.num_calibration_samples,
              8U);
    EXPECT_EQ(read(full_job, {"calibration.nsamples=8"}).calibration.num_calibration_samples, 8U);
    EXPECT_EQ(read(short_form, {"calibration={seqlen: 9}"}).calibration.max_seq_length, 9U);
    EXPECT_EQ(read(short_form, {"budget.bytes=5GB"}).budget, (Budget{Budget::Kind::bytes, 5e9}));
    EXPECT_EQ(read(full_job, {"budget.ratio=2"}).budget, (Budget{Budget::Kind::ratio, 2.0}));
}

TEST(Overrides, DoNotReachThroughAliases) {
    const std::string yaml = required_keys + "calibration: &c {max_seq_length: 64}\nevaluate: *c\n";
    const JobConfig job = read(yaml, {"evaluate.max_seq_length=32"});
    EXPECT_EQ(job.calibration.max_seq_length, 64U);
    EXPECT_EQ(job.evaluate.max_seq_length, 32U);
}

TEST(Overrides, Refusals) {
    const std::pair<const char*, const char*> cases[] = {
        {"seed", "--set \"seed\": no \"=\""},
        {"=5", "--set \"=5\": an empty key"},
        {"a..b=5", "--set \"a..b=5\": an empty key"},
        {"a.=5", "an empty key"},
        {"seed=[1", "--set seed:"},
        {"seed=x", "--set seed: seed is \"x\"; expected a whole number"},
        {"seed=", "--set seed: seed is nothing"},
        {"model=", "--set model: model is nothing"},
        {"seed=1\n---\n2", "a second document"},
        {"search.x=1", "--set search.x: unknown key \"x\" in search"},
        {"seed.x=1", "--set seed.x: seed is a map"},
        {"calibration={nsamples: 1, num_calibration_samples: 2}",
         "--set calibration: calibration.nsamples is a short form"},
        {"candidates.num_bits=4", "--set candidates.num_bits: candidates is a map"},
        {"budget.size=4", "--set budget.size: unknown key \"size\" in budget"},
    };
    for (const auto& [text, part] : cases) {
        SCOPED_TRACE(text);
        EXPECT_THAT([t = text] { (void)read(required_keys, {t}); },
                    ThrowsMessage<UsageError>(HasSubstr(part)));
    }
}

}  // namespace
}  // namespace lathe
