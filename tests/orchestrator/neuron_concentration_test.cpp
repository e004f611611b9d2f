#include "orchestrator/neuron_concentration.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/json.hpp"

namespace lathe {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(EnergyShares, AreThoseOfTheHeaviest) {
    // Of 20 neurons 1 % are one, 5 % one, 10 % two, 25 % five.
    std::vector<double> energies(20, 1.0);
    energies[3] = 60.0;
    energies[17] = 22.0;
    EXPECT_THAT(energy_shares(energies),
                ElementsAre(DoubleEq(0.6), DoubleEq(0.6), DoubleEq(0.82), DoubleEq(0.85)));
    EXPECT_THAT(energy_shares(std::vector<double>{1, 3, 4}),
                ElementsAre(DoubleEq(0.5), DoubleEq(0.5), DoubleEq(0.5), DoubleEq(0.5)));
}

TEST(EnergyShares, OfALayerThatAddsNothingAreNothing) {
    EXPECT_THAT(energy_shares(std::vector<double>(40, 0.0)), ElementsAre(0, 0, 0, 0));
    EXPECT_THAT(energy_shares({}), ElementsAre(0, 0, 0, 0));
}

TEST(NeuronConcentration, ALayerWithoutHeavyHittersIsNotWorthSplitting) {
    const NeuronConcentration flat{4, 64, {0.02, 0.08, 0.24, 0.4}, {5, 9}};
    const NeuronConcentration steep{7, 64, {0.1, 0.2, 0.25, 0.6}, {1}};
    EXPECT_FALSE(flat.is_worth_splitting());
    EXPECT_TRUE(steep.is_worth_splitting());
    EXPECT_THAT(to_text({flat}), ::testing::AllOf(HasSubstr("block_0004"), HasSubstr("24.00 %"),
                                                  HasSubstr("not worth splitting")));
    EXPECT_THAT(to_text({steep}), Not(HasSubstr("not worth splitting")));
    EXPECT_EQ(to_text({}), "");
    const nlohmann::json json = to_json(std::vector{flat});
    EXPECT_EQ(json.at(0).at("energy").at("top_10"), 0.24);
    EXPECT_EQ(json.at(0).at("heaviest"), (std::vector{5, 9}));
    EXPECT_EQ(json.at(0).at("worth_splitting"), false);
}

}  // namespace
}  // namespace lathe
