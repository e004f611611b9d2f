#include "orchestrator/container_size.hpp"

#include <gtest/gtest.h>

#include "lib/core/file.hpp"
#include "methods/dense.hpp"
#include "orchestrator/stages.hpp"
#include "tests/workers/job/job_fixture.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/plan_weights.hpp"
#include "workers/checkpoint/assembly.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"

namespace lathe {
namespace {

// The bound must hold for shards as written, and not be so wide that it wastes the budget: for
// these models of a few kilobytes a tensor, at most a factor of two above what HDF5 really adds.
class ContainerSizeTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ContainerSizeTest, BoundsWhatHdf5Adds) {
    SmallJob job(GetParam());
    job.prepare();
    const JobContext& context = job.context();
    const ModelSpec& spec = context.spec();
    for (const Setting& setting : {source_setting(), job.rounded()}) {
        const std::vector<Setting> choice = job.plan_of(setting);
        const auto directory = context.run.root() / "checkpoint";
        make_directories(directory / "blocks");
        run_assembly(context, {std::nullopt, choice, "", directory, "0123456789abcdef"});
        for (std::size_t b = 0; b < spec.n_blocks; ++b) {
            run_assembly(context, {b, choice, "", directory, "0123456789abcdef"});
        }
        std::uint64_t payload = 0;
        for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
            payload += stored_bytes(PlanWeights(context, choice).read(t));
        }
        const std::uint64_t added = directory_bytes(directory) - payload;
        const std::uint64_t bound = predicted_output_bytes(*context.source, choice) - payload;
        EXPECT_LE(added, bound) << to_string(setting);
        EXPECT_GE(2 * added + 20000, bound) << to_string(setting);  // 20 kB: master, index, copies
    }
}

INSTANTIATE_TEST_SUITE_P(Models, ContainerSizeTest,
                         ::testing::Values("llama", "llama3", "llama_linear"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace lathe
