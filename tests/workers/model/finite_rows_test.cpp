#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/parallel.hpp"
#include "workers/model/source_model.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Ones, but for one value that is not finite.
class BrokenWeights final : public WeightSource {
public:
    BrokenWeights(std::size_t tensor, std::size_t row, float value)
        : tensor_(tensor), row_(row), value_(value) {}
    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override {
        std::vector<float> host(values.rows * values.cols, 1.0F);
        if (index == tensor_) {
            host.at(row_ * values.cols + values.cols - 1) = value_;
        }
        backend.upload(reinterpret_cast<const std::byte*>(host.data()), DType::f32, values);
    }

private:
    std::size_t tensor_;
    std::size_t row_;
    float value_;
};

class FiniteRows : public ::testing::Test {
protected:
    ThreadPool pool{1};
    std::unique_ptr<kernels::Backend> backend =
        kernels::make_backend(kernels::BackendKind::reference, pool);

    static ModelSpec model(const char* name, bool allow) {
        const fs::path directory = fs::path(LATHE_SOURCE_DIR) / "tests/data/parity" / name;
        return SourceModel::open(directory, {{}, allow})->spec;
    }
    [[nodiscard]] LoadedWeights load(const ModelSpec& spec, Role role,
                                     std::optional<std::size_t> block, std::size_t row,
                                     float value = std::numeric_limits<float>::quiet_NaN()) const {
        const BrokenWeights weights(spec.find(role, block).value(), row, value);
        const std::vector<Role> roles{role};
        return LoadedWeights::load(spec, weights, *backend, block, roles);
    }
};

TEST_F(FiniteRows, RowsThatNothingReadsCountAsZeros) {
    for (const auto& [name, role] :
         {std::pair("gpt2", Role::position_embedding), std::pair("llama", Role::token_embedding),
          std::pair("bert", Role::segment_embedding)}) {
        const LoadedWeights loaded =
            load(model(name, true), role, std::nullopt, 1, std::numeric_limits<float>::infinity());
        const std::vector<std::uint32_t> others{0, 0, 2};
        loaded.require_finite_rows(role, others);
        const std::vector<std::uint32_t> read{0, 1};
        EXPECT_THAT([&] { loaded.require_finite_rows(role, read); },
                    ThrowsMessage<DataError>(HasSubstr("a text reads row 1 of tensor")));
        const auto table = loaded.table(role);
        EXPECT_EQ(table(1, 0), 0.0F);
        EXPECT_EQ(table(1, table.cols - 1), 0.0F);
        EXPECT_EQ(table(0, 0), 1.0F);
    }
}

TEST_F(FiniteRows, UnlessAllowedTheyAreRefusedWithTheKey) {
    const ModelSpec spec = model("llama", false);
    EXPECT_THAT([&] { (void)load(spec, Role::token_embedding, std::nullopt, 3); },
                ThrowsMessage<DataError>(AllOf(
                    HasSubstr("model.embed_tokens.weight has NaN or infinite weights in row 3"),
                    HasSubstr("allow_nan_rows: true"))));
}

TEST_F(FiniteRows, WhatEveryTextReadsIsRefusedInAnyCase) {
    const ModelSpec llama = model("llama", true);
    EXPECT_THAT([&] { (void)load(llama, Role::down_proj, 1, 2); },
                ThrowsMessage<DataError>(HasSubstr("layers.1.mlp.down_proj.weight")));
    EXPECT_THAT([&] { (void)load(llama, Role::final_norm, std::nullopt, 0); },
                ThrowsMessage<DataError>(HasSubstr("model.norm.weight")));
    const ModelSpec tied = model("gpt2", true);
    ASSERT_TRUE(tied.tied_head);
    EXPECT_THAT([&] { (void)load(tied, Role::token_embedding, std::nullopt, 7); },
                ThrowsMessage<DataError>(AllOf(HasSubstr("in row 7"), HasSubstr("the head"))));
}

}  // namespace
}  // namespace lathe
