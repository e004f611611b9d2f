#include "orchestrator/ranks_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

using ::testing::HasSubstr;

TEST(RanksText, OneProcess) {
    EXPECT_EQ(ranks_text({{"login", 8, 1, 1}}, "cpu", 0),
              "1 rank on 1 host (login: 0), cpu, 8 threads each");
}

TEST(RanksText, HostsWithTheirRanks) {
    // Ranks 0 and 1 share the 16 processors of their host; rank 3 has 4 of its own.
    const std::vector<comm::RankPlace> places{
        {"n1", 16, 2, 1}, {"n1", 16, 2, 1}, {"n2", 8, 1, 1}, {"n1", 4, 1, 1}};
    EXPECT_EQ(ranks_text(places, "cpu", 0),
              "4 ranks on 2 hosts (n1: 0-1,3, n2: 2), cpu, 4 to 8 threads each");
    EXPECT_EQ(
        ranks_text(places, "cuda", 1),
        "4 ranks on 2 hosts (n1: 0-1,3, n2: 2), cuda, device by place on the host, 1 thread each");
}

TEST(RanksText, ManyHostsAreNotAllNamed) {
    std::vector<comm::RankPlace> places;
    for (int i = 0; i < 40; ++i) {
        places.push_back({"n" + std::to_string(i), 1, 1, 1});
    }
    EXPECT_THAT(ranks_text(places, "cpu", 0), HasSubstr("n15: 15, ...)"));
}

TEST(RanksText, MoreThreadsThanProcessorsAreSeen) {
    EXPECT_EQ(slow_ranks_text({{"n1", 8, 2, 1}, {"n1", 8, 2, 1}}, 0), "");
    EXPECT_EQ(slow_ranks_text({{"n1", 8, 2, 1}, {"n1", 8, 2, 1}}, 4), "");
    EXPECT_THAT(slow_ranks_text({{"n1", 8, 2, 1}, {"n1", 8, 2, 1}}, 5),
                HasSubstr("2 ranks of 5 threads share 8 processors"));
    // srun or mpirun bound two ranks to one processor.
    EXPECT_THAT(slow_ranks_text({{"n1", 1, 2, 1}, {"n1", 1, 2, 1}}, 0),
                HasSubstr("2 ranks of 1 thread share 1 processor"));
}

TEST(RanksText, SeveralRanksOverSeveralMemoryNodesAreSeen) {
    EXPECT_THAT(slow_ranks_text({{"n1", 8, 2, 2}, {"n1", 8, 2, 2}}, 0),
                HasSubstr("2 ranks may run on any of 2 memory nodes"));
    // One alone needs all of them.
    EXPECT_EQ(slow_ranks_text({{"n1", 8, 1, 2}}, 0), "");
}

}  // namespace
}  // namespace lathe
