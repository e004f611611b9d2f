#include "workers/network/linear.hpp"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/parallel.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/low_rank.hpp"
#include "lib/encoding/split.hpp"
#include "lib/encoding/zeros.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/network/generation.hpp"

namespace lathe {
namespace {

const std::filesystem::path source_dir = LATHE_SOURCE_DIR;

std::vector<float> random_numbers(std::size_t n, std::size_t seed, float scale) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::normal_distribution<float> normal(0.0F, scale);
    std::vector<float> numbers(n);
    for (float& number : numbers) {
        number = normal(random);
    }
    return numbers;
}

EncodedTensor dense(std::size_t rows, std::size_t cols, std::size_t seed) {
    const auto values = random_numbers(rows * cols, seed, 1.0F / std::sqrt(float(cols)));
    return encode_dense(MatrixView<const float>(values.data(), rows, cols), {rows, cols},
                        DType::f32);
}

EncodedTensor codes(std::size_t rows, std::size_t cols, std::size_t seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<std::uint8_t> codes(rows * cols);
    for (std::uint8_t& code : codes) {
        code = static_cast<std::uint8_t>(random() % 16);
    }
    const std::size_t n_groups = (cols + 31) / 32;
    const std::vector<float> scales(rows * n_groups, 0.03125F);
    return encode_integer({rows, cols}, {4, 32, true}, {codes.data(), rows, cols},
                          {scales.data(), rows, n_groups}, {});
}

EncodedTensor low_rank(std::size_t rows, std::size_t cols, std::size_t seed) {
    const std::size_t rank = std::min<std::size_t>({5, rows, cols});
    return encode_low_rank(codes(rows, rank, seed), dense(rank, cols, seed + 1));
}

/// Ways to make a matrix of pieces.
enum class Made { low_rank, rows, columns, zeros };

/// Pieces in turn: codes, zeros, two factors, values.
EncodedTensor piece(std::size_t number, std::size_t rows, std::size_t cols) {
    switch (number % 4) {
        case 0:
            return codes(rows, cols, number);
        case 1:
            return encode_zeros({rows, cols});
        case 2:
            return low_rank(rows, cols, number);
        default:
            return dense(rows, cols, number);
    }
}

/// `parts`: row counts that the pieces must not cross.
EncodedTensor made(Made kind, const std::vector<std::size_t>& parts, std::size_t cols) {
    std::size_t rows = 0;
    for (const std::size_t part : parts) {
        rows += part;
    }
    if (kind == Made::low_rank) {
        return low_rank(rows, cols, rows + cols);
    }
    if (kind == Made::zeros) {
        return encode_split(SplitAxis::columns, {encode_zeros({rows, cols})});
    }
    std::vector<EncodedTensor> pieces;
    if (kind == Made::columns) {
        for (std::size_t p = 0; p < 4; ++p) {
            pieces.push_back(piece(p + 1, rows, p < 3 ? cols / 4 : cols - 3 * (cols / 4)));
        }
        return encode_split(SplitAxis::columns, std::move(pieces));
    }
    for (const std::size_t part : parts) {
        for (std::size_t p = 0; p < 3; ++p) {
            const std::size_t own = p < 2 ? part / 3 : part - 2 * (part / 3);
            pieces.push_back(piece(pieces.size(), own, cols));
        }
    }
    return encode_split(SplitAxis::rows, std::move(pieces));
}

/// A model whose linear layers are made of pieces; products from those or from their values.
class InPieces final : public WeightSource {
public:
    InPieces(const ModelSpec& spec, const WeightSource& model, Made kind, bool as_stored)
        : spec_(spec), model_(model), kind_(kind), as_stored_(as_stored) {}

    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override {
        if (const auto tensor = encoded(index)) {
            decode(*tensor, values);  // memory of the cpu backend is host memory
        } else {
            model_.load(index, backend, values);
        }
    }
    [[nodiscard]] std::optional<EncodedTensor> stored(std::size_t index) const override {
        return as_stored_ ? encoded(index) : std::nullopt;
    }

private:
    [[nodiscard]] std::optional<EncodedTensor> encoded(std::size_t index) const {
        const TensorSpec& tensor = spec_.tensors.at(index);
        if (!tensor.block || tensor.is_bias || tensor.shape.size() != 2) {
            return std::nullopt;
        }
        std::vector<std::size_t> parts;
        for (const FusedRows::Part& part : tensor.fused.parts) {
            parts.push_back(part.rows);
        }
        if (parts.empty() || tensor.fused.n_groups > 1) {
            parts = {tensor.shape[0]};
        }
        return made(kind_, parts, tensor.shape[1]);
    }

    const ModelSpec& spec_;
    const WeightSource& model_;
    Made kind_;
    bool as_stored_;
};

class WeightsInPieces : public ::testing::TestWithParam<std::tuple<const char*, Made>> {
protected:
    ThreadPool pool{2};
    std::unique_ptr<kernels::Backend> backend =
        kernels::make_backend(kernels::BackendKind::cpu, pool);
    ModelToRun model{source_dir / "tests/data/parity" / std::get<0>(GetParam())};
    Made kind = std::get<1>(GetParam());
};

TEST_P(WeightsInPieces, GiveWhatTheirValuesGive) {
    const std::vector<std::uint32_t> prompt{3, 17, 60, 9, 44, 81, 5, 29, 70, 12, 33};
    SequenceRunner stored(model.spec(), InPieces(model.spec(), model.weights(), kind, true),
                          *backend, 13);
    SequenceRunner valued(model.spec(), InPieces(model.spec(), model.weights(), kind, false),
                          *backend, 13);
    const auto compare = [&](std::span<const std::uint32_t> ids) {
        const auto found = stored.append(ids);
        const auto expected = valued.append(ids);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            ASSERT_NEAR(found[i], expected[i], 2e-4F * (1.0F + std::abs(expected[i])));
        }
    };
    compare(prompt);
    compare(std::span(prompt).first(1));
    compare(std::span(prompt).first(1));
}

TEST_P(WeightsInPieces, AreNotHeldAsValues) {
    const LoadedWeights block = LoadedWeights::load(
        model.spec(), InPieces(model.spec(), model.weights(), kind, true), *backend, 0);
    for (const Role role : {Role::o_proj, Role::up_proj, Role::gate_proj, Role::down_proj}) {
        const bool is_fused = model.spec().has(Role::gate_up_proj, 0);
        // Factors of a fused tensor are not shared out: it is decoded.
        if (block.has(role) && !(is_fused && role != Role::o_proj && kind != Made::rows)) {
            EXPECT_TRUE(block.weight(role).pieces != nullptr || role == Role::down_proj)
                << name(role);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    Models, WeightsInPieces,
    ::testing::Combine(::testing::Values("bloom", "gpt2", "llama", "opt", "phi3"),
                       ::testing::Values(Made::low_rank, Made::rows, Made::columns, Made::zeros)),
    [](const auto& test) {
        return std::string(std::get<0>(test.param)) +
               std::to_string(static_cast<int>(std::get<1>(test.param)));
    });

TEST(PiecesThatAreNotFinite, AreRefused) {
    ThreadPool pool(1);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const float infinite = INFINITY;
    const EncodedTensor bad =
        encode_split(SplitAxis::rows, {encode_dense({&infinite, 1, 1}, {1, 1}, DType::f32)});
    EXPECT_THAT([&] { (void)load_stored(bad, LookupTables::fp32, *backend); },
                ::testing::ThrowsMessage<DataError>(::testing::HasSubstr("infinite")));
}

}  // namespace
}  // namespace lathe
