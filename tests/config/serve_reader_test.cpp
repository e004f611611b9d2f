#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/config/default_candidates.hpp"
#include "lib/core/errors.hpp"
#include "lib/job/export_formats.hpp"
#include "lib/job/serve_targets.hpp"
#include "tests/config/job_samples.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The message that a job with these lines is refused with.
std::string refusal_of(const std::string& lines) {
    try {
        (void)read(required_keys + lines);
    } catch (const UsageError& error) {
        return error.what();
    }
    return "none";
}

TEST(Serve, AWordStandsForTheSection) {
    const JobConfig job = read(required_keys + "serve: vllm\n");
    ASSERT_TRUE(job.serve);
    EXPECT_EQ(job.serve->reader, "vllm");
    EXPECT_EQ(job.serve->tensor_parallel, 1U);
    EXPECT_FALSE(job.serve->low_bits);
    EXPECT_EQ(job.serve->place.text, "job.yaml:3:8");
    EXPECT_FALSE(read(required_keys + "serve: none\n").serve);
    const JobConfig both = read(required_keys + "serve: vllm\n",
                                {"serve.tensor_parallel=2", "serve.low_bits=humming"});
    EXPECT_EQ(both.serve->reader, "vllm");
    EXPECT_EQ(both.serve->tensor_parallel, 2U);
    EXPECT_TRUE(both.serve->low_bits);
    EXPECT_EQ(read(required_keys + "serve: vllm\n", {"serve=gguf"}).serve->reader, "gguf");
}

TEST(Serve, ImpliesTheExport) {
    EXPECT_THAT(read(required_keys + "serve: gguf\n").exports, ElementsAre("gguf"));
    EXPECT_THAT(read(required_keys + "serve: transformers\nexport: [hf]\n").exports,
                ElementsAre("hf", "compressed-tensors"));
    EXPECT_THAT(read(required_keys + "serve: mlx\nexport: [mlx]\n").exports, ElementsAre("mlx"));
}

TEST(Serve, TheStoredJobIsTheSameJob) {
    const JobConfig job =
        read(required_keys + "serve: {reader: vllm, tensor_parallel: 4, low_bits: humming}\n");
    const std::string yaml = to_yaml(job);
    EXPECT_THAT(yaml, HasSubstr("serve:\n  reader: vllm\n  tensor_parallel: 4\n"
                                "  low_bits: humming\nbudget: 4x\n"));
    EXPECT_EQ(to_yaml(read(yaml)), yaml);
    EXPECT_THAT(incompatible_changes(read(required_keys), job),
                ::testing::Contains("serve.reader: vllm, was none"));
}

TEST(Serve, ASliceHasOneRotationAndAWidthForItsKernels) {
    const std::string slice = "slice: {sparsity: 0.2, rotation: global";
    EXPECT_EQ(read(required_keys + "serve: vllm\n" + slice + "}\n").slice->round_interval, 128U);
    EXPECT_EQ(read(required_keys + "serve: gguf\n" + slice + "}\n").slice->round_interval, 32U);
    // llama.cpp is told the size of a head, transformers divides.
    EXPECT_FALSE(read(required_keys + "serve: gguf\n" + slice + "}\n").slice->heads_divide_width);
    EXPECT_TRUE(read(required_keys + "serve: gguf\nexport: [hf]\n" + slice + "}\n")
                    .slice->heads_divide_width);
    EXPECT_TRUE(read(required_keys + "serve: mlx\n" + slice + "}\n").slice->heads_divide_width);
    EXPECT_EQ(read(required_keys + "serve: vllm\n" + slice + ", round_interval: 256}\n")
                  .slice->round_interval,
              256U);
    EXPECT_THAT(refusal_of("serve: vllm\n" + slice + ", round_interval: 64}\n"),
                AllOf(HasSubstr("job.yaml:4:"), HasSubstr("multiples of 128")));
    EXPECT_THAT(refusal_of("serve: vllm\n" + slice + ", tables: shared}\n"),
                HasSubstr("expected slice.tables: own"));
    EXPECT_THAT(refusal_of("serve: mlx\nslice: {sparsity: 0.2}\n"),
                AllOf(HasSubstr("job.yaml:4:"), HasSubstr("slice.rotation: global")));
}

TEST(Serve, RefusesWhatTheProgramHasNot) {
    EXPECT_THAT(refusal_of("serve: sglang\n"),
                AllOf(HasSubstr("job.yaml:3:"), HasSubstr("vllm, transformers, gguf, mlx")));
    EXPECT_THAT(refusal_of("serve: {tensor_parallel: 2}\n"), HasSubstr("no key \"reader\""));
    EXPECT_THAT(refusal_of("serve: {reader: gguf, tensor_parallel: 2}\n"),
                HasSubstr("does not split layers"));
    EXPECT_THAT(refusal_of("serve: {reader: mlx, low_bits: humming}\n"), HasSubstr("is for vllm"));
    EXPECT_THAT(refusal_of("serve: {reader: vllm, low_bits: marlin}\n"),
                HasSubstr("none or humming"));
    EXPECT_THAT(refusal_of("serve: {reader: vllm, groups: 3}\n"), HasSubstr("unknown key"));
    EXPECT_THAT(refusal_of("serve: vllm\nkept_tensors: {method: bct, solver: rtn}\n"),
                AllOf(HasSubstr("job.yaml:4:"), HasSubstr("kept_tensors")));
}

TEST(Serve, ProgramsHaveFormatsThatThereAre) {
    for (const ServeTarget& target : serve_targets()) {
        EXPECT_NE(std::ranges::find(export_format_names, target.format), export_format_names.end())
            << target.name;
        EXPECT_FALSE(target.candidates.empty()) << target.name;
    }
    EXPECT_EQ(find_serve_target("hf"), nullptr);
}

TEST(Serve, CandidatesAreThoseOfTheProgram) {
    const auto listed = [](const ServeConfig& serve) {
        JobConfig job;
        job.candidates = served_candidates(serve);
        state_scale_bits(serve, job.candidates);
        const std::string yaml = to_yaml(job);
        const std::size_t begin = yaml.find("candidates:\n") + 12;
        return yaml.substr(begin, yaml.find("ignore:") - begin);
    };
    EXPECT_EQ("\n" + listed({"vllm", 1, false, {}}), R"(
  - {method: dense}
  - {method: integer, num_bits: 4, group_size: [64, 128], solver: admm, scale_bits: 8}
  - {method: integer, num_bits: 8, group_size: [64, 128], solver: gptq, scale_bits: 8}
)");
    EXPECT_THAT(listed({"vllm", 1, true, {}}), HasSubstr("num_bits: [2, 3, 5, 6]"));
    EXPECT_THAT(listed({"mlx", 1, false, {}}), ::testing::Not(HasSubstr("scale_bits")));
    std::vector<CandidateEntry> own{{"integer", {{"scale_bits", {"11"}, {}}}, {}}, {"bcq", {}, {}}};
    state_scale_bits({"vllm", 1, false, {}}, own);
    EXPECT_EQ(own[0].keys.size(), 1U);
    EXPECT_TRUE(own[1].keys.empty());
}

}  // namespace
}  // namespace lathe
