#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/core/parallel.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/nm.hpp"
#include "lib/model/stream.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/model/coded_matrix.hpp"
#include "workers/network/generation.hpp"

namespace lathe {
namespace {

const std::filesystem::path source_dir = LATHE_SOURCE_DIR;
constexpr std::size_t group_size = 24;  // does not divide the models' widths

/// Every way of storing weights that products are computed from.
enum class Stored { integer, binary, sparse_values, sparse_codes, sparse_binary };
constexpr Stored all_stored[] = {Stored::integer, Stored::binary, Stored::sparse_values,
                                 Stored::sparse_codes, Stored::sparse_binary};

/// A model's weights, every matrix encoded; products from what is stored or from its values.
class Rounded final : public WeightSource {
public:
    Rounded(const ModelSpec& spec, const WeightSource& model, Stored kind, bool from_codes)
        : spec_(spec), model_(model), kind_(kind), from_codes_(from_codes), pool_(1) {
        backend_ = kernels::make_backend(kernels::BackendKind::reference, pool_);
    }

    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override {
        const TensorSpec& tensor = spec_.tensors.at(index);
        if (tensor.is_bias || tensor.shape.size() != 2) {
            return model_.load(index, backend, values);
        }
        decode(encoded(index), values);  // memory of the cpu backend is host memory
    }
    [[nodiscard]] std::optional<EncodedTensor> stored(std::size_t index) const override {
        return from_codes_ ? std::optional(encoded(index)) : std::nullopt;
    }

private:
    [[nodiscard]] EncodedTensor encoded(std::size_t index) const {
        const Shape& shape = spec_.tensors.at(index).shape;
        const auto [rows, cols] = matrix_extents(shape);
        std::vector<float> w(rows * cols);
        model_.load(index, *backend_, {w.data(), rows, cols});
        const std::size_t n_groups = kernels::group_count(cols, group_size);
        const std::vector<float> ones(cols, 1.0F);
        std::vector<std::uint8_t> codes(rows * cols);
        std::vector<float> offsets(rows * n_groups);
        if (kind_ != Stored::integer && kind_ != Stored::binary) {
            return sparse(shape, {w.data(), rows, cols}, ones);
        }
        if (kind_ == Stored::integer) {
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

    /// 2:4, the larger two of four, as fp16 or as codes of 4 bits, or binary ones of 2.
    [[nodiscard]] EncodedTensor sparse(const Shape& shape, MatrixView<float> w,
                                       const std::vector<float>& ones) const {
        const NmLayout layout{.n = 2,
                              .m = 4,
                              .num_bits = kind_ == Stored::sparse_codes    ? 4U
                                          : kind_ == Stored::sparse_binary ? 2U
                                                                           : 0U,
                              .group_size = kind_ == Stored::sparse_values ? 0 : group_size,
                              .binary = kind_ == Stored::sparse_binary};
        std::vector<std::uint8_t> keep(w.rows * w.cols);
        const MatrixView<std::uint8_t> keep_view(keep.data(), w.rows, w.cols);
        backend_->choose_pattern(w, ones, {2, 4}, keep_view);
        if (kind_ == Stored::sparse_values) {
            for (std::size_t i = 0; i < keep.size(); ++i) {
                w.data[i] = keep[i] != 0 ? half_to_float(float_to_half(w.data[i])) : 0.0F;
            }
            return encode_nm_values(shape, layout, keep_view, w);
        }
        const kernels::IntegerGridSettings grid{4, group_size, true};
        const std::size_t n_groups = kernels::group_count(w.cols, group_size);
        std::vector<float> scales(w.rows * n_groups * layout.scales_per_group());
        std::vector<float> zeros(w.rows * n_groups);
        std::vector<std::uint8_t> codes(keep.size());
        const MatrixView<float> scale_view(scales.data(), w.rows,
                                           n_groups * layout.scales_per_group());
        const MatrixView<float> zero_view(zeros.data(), w.rows, n_groups);
        const MatrixView<std::uint8_t> code_view(codes.data(), w.rows, w.cols);
        if (layout.binary) {
            backend_->fit_binary_codes(w, ones, {2, group_size, false}, keep_view,
                                       {scale_view, zero_view, code_view});
            return encode_nm_codes(shape, layout, keep_view, code_view, scale_view);
        }
        backend_->fit_integer_grid(w, ones, grid, scale_view, zero_view);
        backend_->round_to_grid(w, grid, scale_view, zero_view, code_view, w);
        return encode_nm_codes(shape, layout, keep_view, code_view, scale_view);
    }

    const ModelSpec& spec_;
    const WeightSource& model_;
    Stored kind_;
    bool from_codes_;
    ThreadPool pool_;
    std::unique_ptr<kernels::Backend> backend_;
};

/// Random weights for any model; biases are 0, norms 1.
class RandomWeights final : public WeightSource {
public:
    explicit RandomWeights(const ModelSpec& spec) : spec_(spec) {}
    void load(std::size_t index, const kernels::Backend&, MatrixView<float> values) const override {
        const TensorSpec& tensor = spec_.tensors.at(index);
        std::mt19937 random(static_cast<unsigned>(index));
        std::normal_distribution<float> normal(0.0F,
                                               1.0F / std::sqrt(static_cast<float>(values.cols)));
        for (std::size_t i = 0; i < values.rows * values.cols; ++i) {
            values.data[i] = tensor.shape.size() == 2 ? normal(random)
                             : tensor.is_bias         ? 0.0F
                                                      : 1.0F;
        }
    }

private:
    const ModelSpec& spec_;
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
    for (const Stored kind : all_stored) {
        SequenceRunner coded(model.spec(), Rounded(model.spec(), model.weights(), kind, true),
                             *backend, 11);
        SequenceRunner valued(model.spec(), Rounded(model.spec(), model.weights(), kind, false),
                              *backend, 11);
        // The head reads one row, from tables; everything before it is the same.
        const auto found = coded.append(prompt);
        const auto expected = valued.append(prompt);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            EXPECT_NEAR(found[i], expected[i], 1e-5F * (1.0F + std::abs(expected[i])));
        }
    }
}

TEST_P(CodedWeights, SingleTokensGiveWhatTheValuesGive) {
    for (const Stored kind : all_stored) {
        SequenceRunner coded(model.spec(), Rounded(model.spec(), model.weights(), kind, true),
                             *backend, 11);
        SequenceRunner valued(model.spec(), Rounded(model.spec(), model.weights(), kind, false),
                              *backend, 11);
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
    for (const Stored kind : all_stored) {
        const LoadedWeights block = LoadedWeights::load(
            model.spec(), Rounded(model.spec(), model.weights(), kind, true), *backend, 0);
        for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj, Role::o_proj,
                                Role::up_proj, Role::gate_proj, Role::down_proj}) {
            if (block.has(role)) {
                EXPECT_NE(block.weight(role).packed, nullptr) << name(role);
            }
        }
    }
}

/// A model cut to other widths at each boundary, with shortcuts.
TEST(CodedSlicedModel, RunsOnWhatIsStored) {
    ThreadPool pool(2);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const ModelToRun source(source_dir / "tests/data/parity/llama");
    StreamShape shape = StreamShape::uncut(source.spec());
    shape.has_shortcuts = true;
    for (std::size_t b = 0; b + 1 < shape.widths.size(); ++b) {
        shape.widths[b] -= 4 * (1 + b % 3);
    }
    const ModelSpec spec = sliced_spec(source.spec(), shape, "test");
    const RandomWeights weights(spec);
    const std::vector<std::uint32_t> prompt{3, 17, 60, 9, 44};
    for (const Stored kind : all_stored) {
        const LoadedWeights block =
            LoadedWeights::load(spec, Rounded(spec, weights, kind, true), *backend, 0);
        for (const Role role : {Role::q_proj, Role::o_proj, Role::down_proj,
                                Role::attention_shortcut, Role::mlp_shortcut}) {
            EXPECT_NE(block.weight(role).packed, nullptr) << name(role);
        }
        SequenceRunner coded(spec, Rounded(spec, weights, kind, true), *backend, 5);
        SequenceRunner valued(spec, Rounded(spec, weights, kind, false), *backend, 5);
        for (const std::uint32_t id : prompt) {
            const auto found = coded.append(std::span(&id, 1));
            const auto expected = valued.append(std::span(&id, 1));
            for (std::size_t i = 0; i < expected.size(); ++i) {
                ASSERT_NEAR(found[i], expected[i], 1e-4F * (1.0F + std::abs(expected[i])));
            }
        }
    }
}

TEST(SparseBinaryWeights, TakeTheMemoryOfTheirCodes) {
    ThreadPool pool(1);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    // Rows that fill tiles and groups that fill octets: nothing is added to what is stored.
    const Shape shape{128, 512};
    const NmLayout layout{.n = 2, .m = 4, .num_bits = 3, .group_size = 128, .binary = true};
    std::vector<std::uint8_t> keep(128 * 512);
    std::vector<std::uint8_t> codes(keep.size());
    for (std::size_t i = 0; i < keep.size(); ++i) {
        keep[i] = i % 4 < 2 ? 1 : 0;
        codes[i] = static_cast<std::uint8_t>(i % 8);
    }
    std::vector<float> scales(128 * 4 * 3, 0.5F);
    const EncodedTensor tensor = encode_nm_codes(
        shape, layout, {keep.data(), 128, 512}, {codes.data(), 128, 512}, {scales.data(), 128, 12});
    const auto packed = pack(tensor, LookupTables::fp32, *backend);
    EXPECT_EQ(packed->size_bytes(), nm_bytes(shape, layout));
}

TEST(CodedWeightsThatAreNotFinite, AreRefused) {
    ThreadPool pool(1);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const ModelToRun model(source_dir / "tests/data/parity/llama");
    /// One value of the first 2:4 tensor is infinite.
    class Broken final : public WeightSource {
    public:
        explicit Broken(const WeightSource& whole) : whole_(whole) {}
        void load(std::size_t index, const kernels::Backend& backend,
                  MatrixView<float> values) const override {
            whole_.load(index, backend, values);
        }
        [[nodiscard]] std::optional<EncodedTensor> stored(std::size_t index) const override {
            auto tensor = whole_.stored(index);
            for (TensorPart& part : tensor->parts) {
                if (part.name == "values") {
                    part.bytes[0] = std::byte{0x00};
                    part.bytes[1] = std::byte{0x7C};  // infinity in fp16
                }
            }
            return tensor;
        }

    private:
        const WeightSource& whole_;
    };
    const Rounded whole(model.spec(), model.weights(), Stored::sparse_values, true);
    try {
        (void)LoadedWeights::load(model.spec(), Broken(whole), *backend, 0);
        FAIL() << "nothing was refused";
    } catch (const DataError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("row 0 has NaN or infinite weights"));
        EXPECT_THAT(error.what(), ::testing::StartsWith("tensor model.layers.0."));
    }
}

INSTANTIATE_TEST_SUITE_P(Models, CodedWeights,
                         ::testing::Values("bloom", "gpt2", "llama", "opt", "phi3"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace lathe
