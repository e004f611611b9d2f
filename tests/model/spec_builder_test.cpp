#include "lib/model/spec_builder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SpecBuilder, NormsAndLinearsWithBiases) {
    ModelSpec spec;
    SpecBuilder builder(spec);
    builder.enter_block(12);
    builder.add_norm(Role::attention_norm, "h.12.ln", 4, true);
    builder.add_linear(Role::q_proj, "h.12.q", 6, 4, true);
    builder.add_unit("q", {Role::q_proj}, Signal::attention_in);

    ASSERT_EQ(spec.tensors.size(), 4U);
    EXPECT_EQ(spec.tensors[1].name, "h.12.ln.bias");
    EXPECT_EQ(spec.tensors[1].role, Role::attention_norm);
    EXPECT_TRUE(spec.tensors[1].is_bias);
    EXPECT_EQ(spec.tensors[1].block, 12U);
    EXPECT_EQ(spec.tensors[2].shape, (Shape{6, 4}));
    EXPECT_EQ(spec.tensors[3].shape, (Shape{6}));
    EXPECT_EQ(spec.units.at(0).name, "block_0012.q");
    EXPECT_THAT(spec.units.at(0).tensors, ElementsAre(2U));
    EXPECT_EQ(spec.parameters(), 4U + 4U + 24U + 6U);
}

TEST(SpecBuilder, AUnitOfAnAbsentRoleIsABug) {
    ModelSpec spec;
    SpecBuilder builder(spec);
    builder.enter_block(0);
    builder.add_linear(Role::q_proj, "q", 2, 2);
    builder.enter_block(1);
    EXPECT_THAT(test::message_of<InternalError>(
                    [&] { builder.add_unit("q", {Role::q_proj}, Signal::attention_in); }),
                HasSubstr("unit block_0001.q asks for q_proj"));
}

TEST(ModelSpec, NamesOfRolesAndSignals) {
    EXPECT_EQ(name(Role::token_embedding), "token_embedding");
    EXPECT_EQ(name(Role::down_proj), "down_proj");
    EXPECT_EQ(name(Role::lm_head), "lm_head");
    EXPECT_EQ(name(Signal::attention_in), "attention_in");
    EXPECT_EQ(name(Signal::token_ids), "token_ids");
}

}  // namespace
}  // namespace lathe
