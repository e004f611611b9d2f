#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/half.hpp"
#include "lib/core/parallel.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/integer.hpp"
#include "workers/evaluation.hpp"
#include "workers/generation.hpp"

namespace lathe {
namespace {

const std::filesystem::path source_dir = LATHE_SOURCE_DIR;
constexpr std::size_t group_size = 24;  // does not divide the models' widths

/// A model's weights, every matrix rounded to codes; products from the codes or from their values.
class Rounded final : public WeightSource {
public:
    Rounded(const ModelToRun& model, bool uniform, bool from_codes)
        : model_(model), uniform_(uniform), from_codes_(from_codes), pool_(1) {
        backend_ = kernels::make_backend(kernels::BackendKind::reference, pool_);
    }

    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override {
        const TensorSpec& tensor = model_.spec().tensors.at(index);
        if (tensor.is_bias || tensor.shape.size() != 2) {
            return model_.weights().load(index, backend, values);
        }
        decode(encoded(index), values);  // memory of the cpu backend is host memory
    }
    [[nodiscard]] std::optional<EncodedTensor> stored(std::size_t index) const override {
        return from_codes_ ? std::optional(encoded(index)) : std::nullopt;
    }

private:
    [[nodiscard]] EncodedTensor encoded(std::size_t index) const {
        const Shape& shape = model_.spec().tensors.at(index).shape;
        const auto [rows, cols] = matrix_extents(shape);
        std::vector<float> w(rows * cols);
        model_.weights().load(index, *backend_, {w.data(), rows, cols});
        const std::size_t n_groups = kernels::group_count(cols, group_size);
        const std::vector<float> ones(cols, 1.0F);
        std::vector<std::uint8_t> codes(rows * cols);
        std::vector<float> offsets(rows * n_groups);
        if (uniform_) {
            const kernels::IntegerGridSettings grid{4, group_size, false};
            std::vector<float> scales(rows * n_groups);
            const MatrixView<float> scale_view(scales.data(), rows, n_groups);
            const MatrixView<float> zero_view(offsets.data(), rows, n_groups);
            backend_->fit_integer_grid({w.data(), rows, cols}, ones, grid, scale_view, zero_view);
            backend_->round_to_grid({w.data(), rows, cols}, grid, scale_view, zero_view,
                                    {codes.data(), rows, cols}, {w.data(), rows, cols});
            return encode_integer(shape, {4, group_size, false}, {codes.data(), rows, cols},
                                  scale_view, zero_view);
        }
        std::vector<float> scales(rows * n_groups * 3);
        backend_->fit_binary_codes({w.data(), rows, cols}, ones, {3, group_size, true, 2}, {},
                                   {{scales.data(), rows, n_groups * 3},
                                    {offsets.data(), rows, n_groups},
                                    {codes.data(), rows, cols}});
        return encode_bcq(shape, {3, group_size, false, true}, {codes.data(), rows, cols},
                          {scales.data(), rows, n_groups * 3}, {offsets.data(), rows, n_groups});
    }

    const ModelToRun& model_;
    bool uniform_;
    bool from_codes_;
    ThreadPool pool_;
    std::unique_ptr<kernels::Backend> backend_;
};

/// Models with fused weights in both arrangements, weights stored transposed, tied heads, learned
/// positions.
class CodedWeights : public ::testing::TestWithParam<const char*> {
protected:
    ThreadPool pool{2};
    std::unique_ptr<kernels::Backend> backend =
        kernels::make_backend(kernels::BackendKind::cpu, pool);
    ModelToRun model{source_dir / "tests/data/parity" / GetParam()};
    std::vector<std::uint32_t> prompt{3, 17, 60, 9, 44, 81, 5, 29, 70, 12, 33};
};

TEST_P(CodedWeights, ManyTokensGiveExactlyWhatTheValuesGive) {
    // Eleven tokens: weights are decoded in bands.
    for (const bool uniform : {false, true}) {
        SequenceRunner coded(model.spec(), Rounded(model, uniform, true), *backend, 11);
        SequenceRunner valued(model.spec(), Rounded(model, uniform, false), *backend, 11);
        // The head reads one row, from tables; everything before it is the same.
        const auto found = coded.append(prompt);
        const auto expected = valued.append(prompt);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            EXPECT_NEAR(found[i], expected[i], 1e-5F * (1.0F + std::abs(expected[i])));
        }
    }
}

TEST_P(CodedWeights, SingleTokensGiveWhatTheValuesGive) {
    for (const bool uniform : {false, true}) {
        SequenceRunner coded(model.spec(), Rounded(model, uniform, true), *backend, 11);
        SequenceRunner valued(model.spec(), Rounded(model, uniform, false), *backend, 11);
        for (const std::uint32_t id : prompt) {
            const auto found = coded.append(std::span(&id, 1));
            const auto expected = valued.append(std::span(&id, 1));
            for (std::size_t i = 0; i < expected.size(); ++i) {
                ASSERT_NEAR(found[i], expected[i], 1e-4F * (1.0F + std::abs(expected[i])));
            }
        }
    }
}

TEST_P(CodedWeights, NoLinearWeightIsHeldAsValues) {
    const LoadedWeights block =
        LoadedWeights::load(model.spec(), Rounded(model, false, true), *backend, 0);
    for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj, Role::o_proj, Role::up_proj,
                            Role::gate_proj, Role::down_proj}) {
        if (block.has(role)) {
            EXPECT_NE(block.weight(role).packed, nullptr) << name(role);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, CodedWeights,
                         ::testing::Values("bloom", "gpt2", "llama", "opt", "phi3"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace lathe
