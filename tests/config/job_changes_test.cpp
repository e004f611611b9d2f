#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/config/job_config.hpp"
#include "tests/config/job_samples.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> changes(const std::string& change) {
    return incompatible_changes(read(full_job), read(full_job, {change}));
}

TEST(IncompatibleChanges, NoneWithoutAChange) {
    EXPECT_THAT(changes("seed=18446744073709551615"), IsEmpty());
    // Written in another way, or at another place of the file, it is the same job.
    EXPECT_THAT(changes("budget=3.5bpw"), IsEmpty());
    EXPECT_THAT(changes("search.evaluation=[held.txt]"), IsEmpty());
    EXPECT_THAT(incompatible_changes(read(full_job), read("\n\n" + full_job)), IsEmpty());
}

TEST(IncompatibleChanges, SomeKeysMayChange) {
    for (const char* change : {"runtime.backend=cpu",
                               "runtime.threads=9",
                               "runtime.instruction_set=avx2",
                               "runtime.memory_limit=1GB",
                               "runtime.max_walltime=1",
                               "runtime.worker_timeout=1",
                               "evaluate.perplexity=[]",
                               "evaluate.max_seq_length=5",
                               "evaluate.tasks=[]",
                               "evaluate.limit=5",
                               "export=[]",
                               "refine=none",
                               "refine=sequential",
                               "search.scores=gradient",
                               "search.strategy=greedy",
                               "search.generations=3",
                               "search.offspring=3",
                               "search.tied_blocks=3",
                               "search.speedup=1.5",
                               "search.kernel_times=times.json",
                               "search.kernel_tokens=8"}) {
        EXPECT_THAT(changes(change), IsEmpty()) << change;
    }
}

TEST(IncompatibleChanges, WhereToCutMayChangeAfterDenseOrder) {
    const std::string job = required_keys + "slice: {sparsity: 0.25}";
    for (const char* change : {"slice.sparsity=0.5", "slice={parameter_reduction: 0.1}",
                               "slice.widths=energy", "slice.head=true"}) {
        EXPECT_THAT(incompatible_changes(read(job), read(job, {change})), IsEmpty()) << change;
    }
    EXPECT_THAT(incompatible_changes(read(job), read(job, {"slice.order=sequential"})),
                ElementsAre("slice.order: sequential, was dense"));
    EXPECT_THAT(incompatible_changes(read(required_keys), read(job)),
                ::testing::Contains("slice.rotation: per_boundary, was none"));
    EXPECT_THAT(incompatible_changes(read(job), read(required_keys)),
                ::testing::Contains("slice.rotation: none, was per_boundary"));
}

TEST(IncompatibleChanges, TheOrderOfNeuronsMayChange) {
    const std::string job = required_keys + "ffsplit: {}";
    EXPECT_THAT(incompatible_changes(read(job), read(job, {"ffsplit.score=mean"})), IsEmpty());
    EXPECT_THAT(incompatible_changes(read(job), read(required_keys)), IsEmpty());
    EXPECT_THAT(incompatible_changes(read(required_keys), read(job)), IsEmpty());
}

TEST(IncompatibleChanges, NameKeyAndBothValues) {
    const std::pair<const char*, const char*> cases[] = {
        {"model=x", "model: x, was \"models/a b\""},
        {"output=y", "output: y, was runs/x"},
        {"seed=1", "seed: 1, was 18446744073709551615"},
        {"calibration.data=z", "calibration.data: [z], was [a.txt, \"b, c.jsonl\"]"},
        {"calibration.nsamples=3", "calibration.num_calibration_samples: 3, was 64"},
        {"calibration.max_seq_length=3", "calibration.max_seq_length: 3, was 256"},
        {"calibration.precision=bf16", "calibration.precision: bf16, was fp32"},
        {"slice.touch_up=3", "slice.touch_up: 3, was 2"},
        {"slice.head=false", "slice.head: false, was true"},
        {"budget=4x", "budget: 4x, was 3.5bpw"},
        {"candidates=[{method: dense}]",
         "candidates: [{method: dense}], was [{method: nm, pattern: [\"2:4\", \"4:8\"], note: "
         "\"a \\\"quote\\\" \\\\ and: more\"}, {method: integer, num_bits: 3}, {method: split, "
         "heavy: {method: dense}, light: [{method: nm, n: [1, 2]}, {method: none}]}]"},
        {"allow_nan_rows=true", "allow_nan_rows: true, was false"},
        {"ignore=[]", "ignore: [], was [lm_head, \"re:.*[0-9]gate\"]"},
        {"search.evaluation=[]", "search.evaluation: [], was [held.txt]"},
        {"search.num_evaluation_samples=4", "search.num_evaluation_samples: 4, was 3"},
    };
    for (const auto& [change, message] : cases) {
        EXPECT_THAT(changes(change), ElementsAre(message)) << change;
    }
}

TEST(IncompatibleChanges, AllOfThemInTheOrderOfTheFile) {
    EXPECT_THAT(incompatible_changes(read(required_keys),
                                     read(required_keys, {"budget=3x", "seed=1", "export=[hf]"})),
                ElementsAre("seed: 1, was 0", "budget: 3x, was 4x"));
}

}  // namespace
}  // namespace lathe
