#include "workers/checkpoint/kept_neurons.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

using ::testing::ElementsAre;

TensorSpec tensor(Role role, Shape shape, bool is_bias = false) {
    TensorSpec spec;
    spec.role = role;
    spec.shape = std::move(shape);
    spec.is_bias = is_bias;
    return spec;
}

/// Two of three neurons.
const KeptNeurons kept{3, 2, ""};

TEST(KeptNeurons, AreRowsOfGateAndUp) {
    const TensorSpec up = tensor(Role::up_proj, {3, 2});
    EXPECT_EQ(kept.shape(up), (Shape{2, 2}));
    EXPECT_THAT(kept.take(up, {1, 2, 3, 4, 5, 6}), ElementsAre(1, 2, 3, 4));
    const TensorSpec bias = tensor(Role::up_proj, {3}, true);
    EXPECT_EQ(kept.shape(bias), (Shape{2}));
    EXPECT_THAT(kept.take(bias, {1, 2, 3}), ElementsAre(1, 2));
}

TEST(KeptNeurons, AreRowsOfBothPartsOfAFusedTensor) {
    const TensorSpec fused = tensor(Role::gate_up_proj, {6, 1});
    EXPECT_EQ(kept.shape(fused), (Shape{4, 1}));
    EXPECT_THAT(kept.take(fused, {1, 2, 3, 4, 5, 6}), ElementsAre(1, 2, 4, 5));
}

TEST(KeptNeurons, AreColumnsOfDown) {
    const TensorSpec down = tensor(Role::down_proj, {2, 3});
    EXPECT_EQ(kept.shape(down), (Shape{2, 2}));
    EXPECT_THAT(kept.take(down, {1, 2, 3, 4, 5, 6}), ElementsAre(1, 2, 4, 5));
}

TEST(KeptNeurons, LeaveOtherTensorsAlone) {
    for (const TensorSpec& other : {tensor(Role::down_proj, {3}, true),
                                    tensor(Role::o_proj, {3, 1}), tensor(Role::mlp_norm, {3})}) {
        EXPECT_EQ(kept.shape(other), other.shape);
        EXPECT_THAT(kept.take(other, {1, 2, 3}), ElementsAre(1, 2, 3));
    }
}

}  // namespace
}  // namespace lathe
