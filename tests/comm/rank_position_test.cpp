#include "lib/comm/rank_position.hpp"

#include <cstring>

#include <gtest/gtest.h>
#include <unistd.h>

namespace lathe::comm {
namespace {

RankPosition position_of(const char* host, const std::vector<int>& processors) {
    RankPosition position;
    std::strcpy(position.host.data(), host);
    CPU_ZERO(&position.processors);
    for (const int processor : processors) {
        CPU_SET(static_cast<std::size_t>(processor), &position.processors);
    }
    return position;
}

TEST(RankPosition, RanksShareProcessorsOfOneHostOnly) {
    const auto places = shared_places({
        position_of("n1", {0, 1, 2, 3}),  // as without binding
        position_of("n1", {0, 1, 2, 3}),
        position_of("n1", {4, 5}),  // bound to its own
        position_of("n2", {0, 1}),
        position_of("n2", {1, 2}),
    });
    ASSERT_EQ(places.size(), 5U);
    EXPECT_EQ(places[0].host, "n1");
    EXPECT_EQ(places[0].processors, 4);
    EXPECT_EQ(places[0].sharing, 2);
    EXPECT_EQ(places[1].sharing, 2);
    EXPECT_EQ(places[2].processors, 2);
    EXPECT_EQ(places[2].sharing, 1);
    EXPECT_EQ(places[3].sharing, 2);
    EXPECT_EQ(places[4].host, "n2");
}

TEST(RankPosition, ARankWithoutAMaskIsAlone) {
    EXPECT_EQ(shared_places({position_of("n1", {})})[0].sharing, 1);
}

TEST(RankPosition, OfThisProcess) {
    const RankPosition own = own_position();
    std::array<char, 256> name{};
    ASSERT_EQ(::gethostname(name.data(), name.size()), 0);
    EXPECT_EQ(std::string(own.host.data()), std::string(name.data()).substr(0, 63));
    EXPECT_GT(CPU_COUNT(&own.processors), 0);
}

}  // namespace
}  // namespace lathe::comm
