#include "lib/config/default_candidates.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

/// As they stand in the job file that a run keeps.
std::string listed(double bits_per_weight) {
    JobConfig job;
    job.candidates = default_candidates(bits_per_weight);
    const std::string yaml = to_yaml(job);
    const std::size_t begin = yaml.find("candidates:\n") + 12;
    return yaml.substr(begin, yaml.find("ignore:") - begin);
}

const std::string integer = R"(
  - {method: dense}
  - {method: integer, num_bits: [2, 3, 4], group_size: 64, solver: admm, symmetric: false, scale_dtype: float8, actorder: true}
  - {method: integer, num_bits: 8, group_size: 64, solver: gptq}
  - {method: integer, num_bits: [2, 3, 4, 8], group_size: 64, solver: rtn, symmetric: false, scale_dtype: float8}
)";

TEST(DefaultCandidates, HaveGridsAlone) {
    EXPECT_EQ("\n" + listed(8.0), integer);
    EXPECT_EQ("\n" + listed(3.9999996), integer);  // a quarter of 16 bits, in whole bytes
}

TEST(DefaultCandidates, HaveBinaryCodesBelowFourBits) {
    EXPECT_EQ("\n" + listed(3.5),
              integer +
                  "  - {method: bcq, num_bits: [2, 3], group_size: 128, solver: admm}\n"
                  "  - {method: bcq, num_bits: [2, 3], group_size: 128, solver: "
                  "alternating}\n");
    EXPECT_THAT(listed(2.6),
                ::testing::HasSubstr("num_bits: [1, 2, 3], group_size: 128, solver: admm"));
}

}  // namespace
}  // namespace lathe
