#include "lib/comm/rank_position.hpp"

#include <cstring>
#include <fstream>

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
    position.cores = static_cast<int>(processors.size());
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
    EXPECT_GE(own.cores, 1);
    EXPECT_LE(own.cores, CPU_COUNT(&own.processors));
    EXPECT_GE(own.memory_nodes, 1);
}

TEST(RankPosition, ListsOfProcessors) {
    const cpu_set_t some = processors_in("0-2,7,9-9");
    EXPECT_EQ(CPU_COUNT(&some), 5);
    for (const std::size_t processor : {0U, 1U, 2U, 7U, 9U}) {
        EXPECT_TRUE(CPU_ISSET(processor, &some));
    }
    for (const char* text : {"", "x", "3-", "-", "5000"}) {
        const cpu_set_t none = processors_in(text);
        EXPECT_EQ(CPU_COUNT(&none), 0) << text;
    }
}

TEST(RankPosition, HyperthreadsOfACoreCountOnceAndMemoryNodesAreSeen) {
    // Two sockets of two cores with two threads each: 0 and 4 are one core, and so on.
    namespace fs = std::filesystem;
    const fs::path system = fs::path(::testing::TempDir()) / "lathe_system";
    for (int p = 0; p < 8; ++p) {
        const fs::path folder = system / "cpu" / ("cpu" + std::to_string(p)) / "topology";
        fs::create_directories(folder);
        std::ofstream(folder / "thread_siblings_list") << p % 4 << ',' << p % 4 + 4 << '\n';
    }
    for (const auto& [node, list] :
         {std::pair("node0", "0-1,4-5"), std::pair("node1", "2-3,6-7")}) {
        fs::create_directories(system / "node" / node);
        std::ofstream(system / "node" / node / "cpulist") << list << '\n';
    }
    std::ofstream(system / "node/possible") << "0-1\n";
    EXPECT_EQ(count_cores(processors_in("0-7"), system), 4);
    EXPECT_EQ(count_cores(processors_in("0,4"), system), 1);
    EXPECT_EQ(count_cores(processors_in("0,5"), system), 2);
    EXPECT_EQ(count_memory_nodes(processors_in("0-7"), system), 2);
    EXPECT_EQ(count_memory_nodes(processors_in("0,5"), system), 1);
    EXPECT_EQ(count_cores(processors_in("0-7"), system / "nothing"), 8);
    EXPECT_EQ(count_memory_nodes(processors_in("0-7"), system / "nothing"), 1);
    fs::remove_all(system);
}

}  // namespace
}  // namespace lathe::comm
