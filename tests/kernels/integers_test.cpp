#include "kernels/contract/integers.hpp"

#include <cmath>
#include <random>

#include "kernels/backends.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/layouts/fixed_point.hpp"
#include "kernels/layouts/function_tables.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/parallel.hpp"
#include "tests/kernels/kernel_fixture.hpp"
#include "tests/kernels/tested_variants.hpp"

// Operators on blocks of whole numbers: `reference` against fp64 on the values that the blocks
// stand for, `cpu` against `reference`, bit for bit, with every instruction set.

namespace lathe::kernels {
namespace {

using fixed_point::Number;

/// Normal numbers, in blocks; every seventh block is 1000 times as large, every fifth is zeros.
BlockedMatrix some_blocks(std::size_t rows, std::size_t cols, std::size_t block_size,
                          unsigned num_bits, unsigned seed, float spread = 1.0F) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, spread);
    std::vector<float> values(rows * cols);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t block = i / cols * 31 + i % cols / block_size;
        values[i] = normal(random) * (block % 7 == 3 ? 1000.0F : block % 5 == 4 ? 0.0F : 1.0F);
    }
    BlockedMatrix blocks(rows, cols, block_size, num_bits);
    to_blocks({values.data(), rows, cols}, blocks);
    return blocks;
}

/// Without blocks that differ from others.
BlockedMatrix even_blocks(std::size_t rows, std::size_t cols, std::size_t block_size,
                          unsigned num_bits, unsigned seed, float spread = 1.0F) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, spread);
    std::vector<float> values(rows * cols);
    std::ranges::generate(values, [&] { return normal(random); });
    BlockedMatrix blocks(rows, cols, block_size, num_bits);
    to_blocks({values.data(), rows, cols}, blocks);
    return blocks;
}

double value(const BlockedMatrix& x, std::size_t r, std::size_t j) {
    return std::ldexp(static_cast<double>(x.number(r, j)), -x.shift(r, j));
}

/// Half a step of the block that an element lies in.
double half_step(const BlockedMatrix& x, std::size_t r, std::size_t j) {
    return std::ldexp(0.5, -x.shift(r, j));
}

void expect_equal(const BlockedMatrix& a, const BlockedMatrix& b) {
    EXPECT_TRUE(a.narrow == b.narrow);
    EXPECT_TRUE(a.wide == b.wide);
    EXPECT_TRUE(a.shifts == b.shifts);
}

/// y is what `exact` says, but for half a step and `slack` of that, and absolute(r, j).
template <class Exact, class Absolute>
void expect_rounded(const BlockedMatrix& y, double slack, const Exact& exact,
                    const Absolute& absolute) {
    for (std::size_t r = 0; r < y.rows; ++r) {
        for (std::size_t j = 0; j < y.cols; ++j) {
            ASSERT_NEAR(value(y, r, j), exact(r, j),
                        (1.0 + slack) * half_step(y, r, j) + absolute(r, j))
                << r << ", " << j;
        }
    }
}

template <class Exact>
void expect_rounded(const BlockedMatrix& y, double slack, const Exact& exact,
                    double absolute = 0.0) {
    expect_rounded(y, slack, exact, [absolute](std::size_t, std::size_t) { return absolute; });
}

/// What alignment may drop of the product of token t and row o: below one of the last of the bits
/// that sums have, for each pair of blocks.
double dropped(const BlockedMatrix& x, const BlockedMatrix& w, std::size_t t, std::size_t o) {
    const std::size_t group = o / fixed_point::rows_per_alignment * fixed_point::rows_per_alignment;
    int coarsest = 2 * most_shift;
    int pieces = 0;
    for (std::size_t j = 0; j < x.cols; ++j) {
        pieces += j % x.block_size == 0 || j % w.block_size == 0 ? 1 : 0;
        for (std::size_t r = group; r < std::min(group + fixed_point::rows_per_alignment, w.rows);
             ++r) {
            coarsest = std::min(coarsest, x.shift(t, j) + w.shift(r, j) - w.coarsest(r));
        }
    }
    const int exponent = coarsest + w.coarsest(o) + fixed_point::sum_bits(x.cols);
    return std::ldexp(pieces, -exponent);
}

class IntegersOn : public ::testing::TestWithParam<const VectorKernels*> {
protected:
    void SetUp() override {
        bool runs = false;
        for (const VectorKernels* table : runnable_vector_kernels()) {
            runs = runs || table == GetParam();
        }
        if (!runs) GTEST_SKIP() << "an emulated variant cannot be asked for";
        use_vector_kernels(GetParam()->name);
    }
    void TearDown() override { use_vector_kernels("auto"); }

    ThreadPool one_{1};
    ThreadPool three_{3};
    std::unique_ptr<Backend> backends_[3] = {make_backend(BackendKind::reference, one_),
                                             make_backend(BackendKind::cpu, one_),
                                             make_backend(BackendKind::cpu, three_)};
    std::unique_ptr<const Integers> reference_ = backends_[0]->integers();
    std::unique_ptr<const Integers> cpu_ = backends_[1]->integers();
    std::unique_ptr<const Integers> threads_ = backends_[2]->integers();

    /// run(integers, y) on all three; y of the first.
    template <class Run>
    BlockedMatrix agreed(const BlockedMatrix& like, const Run& run) {
        BlockedMatrix expected = like;
        BlockedMatrix found = like;
        BlockedMatrix again = like;
        run(*reference_, expected);
        run(*cpu_, found);
        run(*threads_, again);
        expect_equal(found, expected);
        expect_equal(again, expected);
        return expected;
    }
};
INSTANTIATE_TEST_SUITE_P(Variants, IntegersOn, ::testing::ValuesIn(tested_variants()),
                         [](const auto& variant) { return std::string(variant.param->name); });

TEST_P(IntegersOn, MultiplyAndAddABias) {
    struct Case {
        std::size_t tokens, in, out, x_block, w_block, y_block;
        unsigned y_bits;
    };
    for (const Case& c : {Case{1, 1, 1, 64, 64, 64, 8}, Case{5, 192, 96, 64, 64, 48, 8},
                          Case{50, 130, 70, 64, 16, 64, 16}, Case{3, 300, 33, 48, 256, 16, 8},
                          Case{2, 45, 20, 9, 7, 24, 8}, Case{13, 256, 512, 256, 1024, 64, 8}}) {
        SCOPED_TRACE(c.in);
        const BlockedMatrix x = some_blocks(c.tokens, c.in, c.x_block, 8, 1);
        const BlockedMatrix w = some_blocks(c.out, c.in, c.w_block, 4, 2, 0.05F);
        const BlockedMatrix bias = even_blocks(1, c.out, 32, 8, 3);
        for (const BlockedMatrix* b : {&bias, static_cast<const BlockedMatrix*>(nullptr)}) {
            const BlockedMatrix y = agreed(
                {c.tokens, c.out, c.y_block, c.y_bits},
                [&](const Integers& on, BlockedMatrix& to) { on.linear(x, *on.pack(w), b, to); });
            const auto exact = [&](std::size_t t, std::size_t o) {
                double sum = b == nullptr ? 0.0 : value(*b, 0, o);
                for (std::size_t j = 0; j < c.in; ++j) {
                    sum += value(x, t, j) * value(w, o, j);
                }
                return sum;
            };
            expect_rounded(y, 1e-3, exact,
                           [&](std::size_t t, std::size_t o) { return dropped(x, w, t, o); });
            Matrix<float> logits(c.tokens, c.out);
            Matrix<float> expected(c.tokens, c.out);
            threads_->logits(x, *threads_->pack(w), b, logits.view());
            reference_->logits(x, *reference_->pack(w), b, expected.view());
            EXPECT_EQ(logits.values, expected.values);
            EXPECT_NEAR(logits.values[0], exact(0, 0),
                        dropped(x, w, 0, 0) + 1e-6 * std::abs(exact(0, 0)));
        }
    }
}

/// All numbers at their largest: the sum is exact, so no accumulator went round.
TEST_P(IntegersOn, AccumulatorsHoldTheWidestProducts) {
    for (const std::size_t in : {49152UL, widest_integer_product}) {
        for (const std::size_t block : {64UL, in}) {
            for (const int sign : {1, -1}) {
                BlockedMatrix x(1, in, block, 8);
                BlockedMatrix w(1, in, block, 8);
                std::ranges::fill(x.narrow, static_cast<std::int8_t>(127));
                std::ranges::fill(w.narrow, static_cast<std::int8_t>(sign * 127));
                std::ranges::fill(x.shifts, static_cast<std::int8_t>(7));
                std::ranges::fill(w.shifts, static_cast<std::int8_t>(7));
                BlockedMatrix bias(1, 1, 64, 8);
                bias.narrow[0] = static_cast<std::int8_t>(sign * 127);
                bias.shifts[0] = static_cast<std::int8_t>(-10);
                const BlockedMatrix y =
                    agreed({1, 1, 64, 16}, [&](const Integers& on, BlockedMatrix& to) {
                        on.linear(x, *on.pack(w), &bias, to);
                    });
                const double exact =
                    sign * (static_cast<double>(in) * 127 * 127 / 16384.0 + 127.0 * 1024.0);
                EXPECT_NEAR(value(y, 0, 0), exact, half_step(y, 0, 0));
            }
        }
    }
}

TEST_P(IntegersOn, EmbedAndAdd) {
    const BlockedMatrix tokens = some_blocks(10, 100, 64, 4, 1);
    const BlockedMatrix positions = even_blocks(4, 100, 16, 8, 2, 0.1F);
    const std::vector<std::uint32_t> ids{9, 0, 4};
    const std::vector<std::uint32_t> places{0, 1, 3};
    const std::vector<TableRows> terms{{&tokens, ids}, {&positions, places}};
    const BlockedMatrix y = agreed(
        {3, 100, 32, 16}, [&](const Integers& on, BlockedMatrix& to) { on.embed(terms, to); });
    expect_rounded(y, 0.0, [&](std::size_t t, std::size_t j) {
        return value(tokens, ids[t], j) + value(positions, places[t], j);
    });
    const BlockedMatrix more = some_blocks(3, 100, 64, 8, 5);
    const BlockedMatrix z = agreed(
        {3, 100, 64, 8}, [&](const Integers& on, BlockedMatrix& to) { on.add(y, more, to); });
    expect_rounded(
        z, 0.0, [&](std::size_t t, std::size_t j) { return value(y, t, j) + value(more, t, j); });
}

TEST_P(IntegersOn, Norm) {
    const BlockedMatrix weight = even_blocks(1, 200, 64, 8, 7);
    const BlockedMatrix bias = even_blocks(1, 200, 128, 8, 8);
    for (const unsigned bits : {8U, 16U}) {
        for (const bool subtract_mean : {true, false}) {
            for (const float spread : {1e-6F, 1.0F, 1e4F}) {
                const BlockedMatrix x = even_blocks(6, 200, 64, bits, 9, spread);
                const IntegerNorm settings{subtract_mean, 1e-5F, &weight,
                                           subtract_mean ? &bias : nullptr};
                const BlockedMatrix y = agreed(
                    {6, 200, 64, 8},
                    [&](const Integers& on, BlockedMatrix& to) { on.norm(x, settings, to); });
                // The mean is rounded at the coarsest block's numbers of four bits more.
                expect_rounded(y, bits == 8 ? 0.1 : 0.05, [&](std::size_t t, std::size_t j) {
                    double mean = 0.0;
                    for (std::size_t i = 0; i < 200; ++i) mean += value(x, t, i) / 200.0;
                    mean = subtract_mean ? mean : 0.0;
                    double square = 0.0;
                    for (std::size_t i = 0; i < 200; ++i) {
                        square += std::pow(value(x, t, i) - mean, 2) / 200.0;
                    }
                    return (value(x, t, j) - mean) / std::sqrt(square + 1e-5) *
                               value(weight, 0, j) +
                           (subtract_mean ? value(bias, 0, j) : 0.0);
                });
            }
        }
    }
}

/// Beside a block a thousand times as large the others keep what 12 bits and 4 more leave of them.
TEST_P(IntegersOn, NormKeepsSmallBlocksBesideLargeOnes) {
    const BlockedMatrix x = some_blocks(8, 448, 64, 16, 4);
    const BlockedMatrix y = agreed({8, 448, 64, 8}, [&](const Integers& on, BlockedMatrix& to) {
        on.norm(x, {false, 1e-5F, nullptr, nullptr}, to);
    });
    expect_rounded(y, 0.05, [&](std::size_t t, std::size_t j) {
        double square = 0.0;
        for (std::size_t i = 0; i < 448; ++i) square += std::pow(value(x, t, i), 2) / 448.0;
        return value(x, t, j) / std::sqrt(square + 1e-5);
    });
}

double activation(Activation kind, double x) {
    switch (kind) {
        case Activation::silu:
            return x / (1.0 + std::exp(-x));
        case Activation::gelu:
            return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
        case Activation::gelu_tanh:
            return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
        case Activation::relu:
            return std::max(x, 0.0);
        case Activation::tanh:
            break;
    }
    return std::tanh(x);
}

TEST_P(IntegersOn, Activate) {
    for (const Activation kind : {Activation::silu, Activation::gelu, Activation::gelu_tanh,
                                  Activation::relu, Activation::tanh}) {
        for (const float spread : {1e-5F, 1.0F, 30.0F}) {
            SCOPED_TRACE(std::string(name(kind)) + " of " + std::to_string(spread));
            const BlockedMatrix x = even_blocks(3, 130, 64, 16, 3, spread);
            const BlockedMatrix y =
                agreed({3, 130, 64, 8},
                       [&](const Integers& on, BlockedMatrix& to) { on.activate(kind, x, to); });
            // Tables have 20 bits behind the binary point, what they are asked for has 14. For
            // tanh that is an error of the result, else one of a factor.
            const double table_step =
                kind == Activation::tanh ? 0x1p-14 : 0x1p-19 * 5.0 * double{spread};
            expect_rounded(
                y, 0.05,
                [&](std::size_t t, std::size_t j) { return activation(kind, value(x, t, j)); },
                table_step);
            if (kind == Activation::tanh) continue;
            const BlockedMatrix up = even_blocks(3, 130, 32, 8, 5);
            const BlockedMatrix z =
                agreed({3, 130, 64, 8}, [&](const Integers& on, BlockedMatrix& to) {
                    on.activate_multiply(kind, x, up, to);
                });
            expect_rounded(
                z, 0.05,
                [&](std::size_t t, std::size_t j) {
                    return activation(kind, value(x, t, j)) * value(up, t, j);
                },
                5.0 * table_step);
        }
    }
}

TEST_P(IntegersOn, Rotate) {
    constexpr std::size_t d = 24;
    const BlockedMatrix x = even_blocks(5, 3 * d, d, 16, 2);
    Matrix<std::int16_t> cos(7, 8);
    Matrix<std::int16_t> sin(7, 8);
    for (std::size_t i = 0; i < cos.values.size(); ++i) {
        cos.values[i] = static_cast<std::int16_t>(std::lround(16384.0 * std::cos(0.1 * i)));
        sin.values[i] = static_cast<std::int16_t>(std::lround(16384.0 * std::sin(0.1 * i)));
    }
    const std::vector<std::uint32_t> positions{0, 1, 6, 2, 3};
    const BlockedMatrix y = agreed({5, 3 * d, d, 8}, [&](const Integers& on, BlockedMatrix& to) {
        on.rope(x, cos.view(), sin.view(), positions, to);
    });
    expect_rounded(y, 0.02, [&](std::size_t t, std::size_t j) {
        const std::size_t i = j % d;
        if (i >= 16) return value(x, t, j);
        const double angle = 0.1 * static_cast<double>(positions[t] * 8 + i % 8);
        return i < 8 ? value(x, t, j) * std::cos(angle) - value(x, t, j + 8) * std::sin(angle)
                     : value(x, t, j) * std::cos(angle) + value(x, t, j - 8) * std::sin(angle);
    });
}

struct AttentionCase {
    std::vector<std::uint32_t> lengths;
    std::size_t n_heads, n_kv_heads, d;
    bool causal;
    std::size_t window;
    bool alibi;
};

TEST_P(IntegersOn, Attend) {
    for (const AttentionCase& c : {AttentionCase{{5, 1, 130}, 2, 2, 24, false, 0, false},
                                   AttentionCase{{200}, 4, 2, 64, true, 0, false},
                                   AttentionCase{{150, 3}, 2, 1, 30, true, 70, false},
                                   AttentionCase{{70}, 2, 2, 16, true, 0, true}}) {
        std::size_t tokens = 0;
        for (const std::uint32_t n : c.lengths) tokens += n;
        const BlockedMatrix q = even_blocks(tokens, c.n_heads * c.d, c.d, 8, 1);
        const BlockedMatrix k = even_blocks(tokens, c.n_kv_heads * c.d, c.d, 8, 2);
        const BlockedMatrix v = even_blocks(tokens, c.n_kv_heads * c.d, c.d, 8, 3);
        const std::vector<float> slopes{0.5F, 0.0625F};
        AttentionShape shape{.n_sequences = c.lengths.size(),
                             .n_heads = c.n_heads,
                             .n_kv_heads = c.n_kv_heads,
                             .head_dim = c.d,
                             .scale = 1.0F / std::sqrt(static_cast<float>(c.d)),
                             .causal = c.causal,
                             .window = c.window,
                             .lengths = c.lengths,
                             .alibi_slopes = {}};
        if (c.alibi) shape.alibi_slopes = slopes;
        const BlockedMatrix y = agreed(
            {tokens, c.n_heads * c.d, c.d, 8},
            [&](const Integers& on, BlockedMatrix& to) { on.attention(q, k, v, shape, to); });
        // Against fp32 attention on the same values.
        const auto floats = [](const BlockedMatrix& x) {
            Matrix<float> m(x.rows, x.cols);
            from_blocks(x, m.view());
            return m;
        };
        const Matrix<float> fq = floats(q);
        const Matrix<float> fk = floats(k);
        const Matrix<float> fv = floats(v);
        Matrix<float> expected(tokens, c.n_heads * c.d);
        ThreadPool pool(1);
        make_backend(BackendKind::reference, pool)
            ->attention(fq.view(), fk.view(), fv.view(), shape, expected.view());
        // Weights of 7 bits in blocks of keys. The values are random and all but cancel, so their
        // errors show as nowhere else.
        EXPECT_LT(largest_row_difference(floats(y), expected), 0.05);
    }
}

TEST_P(IntegersOn, MultiplyBlocksOfZeros) {
    const BlockedMatrix zeros(2, 64, 64, 8);
    BlockedMatrix x = zeros;
    std::ranges::fill(x.shifts, static_cast<std::int8_t>(most_shift));
    const BlockedMatrix w = even_blocks(3, 64, 64, 8, 1);
    const BlockedMatrix y = agreed({2, 3, 16, 8}, [&](const Integers& on, BlockedMatrix& to) {
        on.linear(x, *on.pack(w), nullptr, to);
    });
    for (const std::int8_t q : y.narrow) EXPECT_EQ(q, 0);
    for (const std::int8_t s : y.shifts) EXPECT_EQ(s, most_shift);
}

// ---- the inner loop, also where the processor lacks its instructions ---------------------------

class BlockProducts : public ::testing::TestWithParam<const VectorKernels*> {};
INSTANTIATE_TEST_SUITE_P(Variants, BlockProducts, ::testing::ValuesIn(tested_variants()),
                         [](const auto& variant) { return std::string(variant.param->name); });

TEST_P(BlockProducts, AreWhatTheContractSays) {
    std::mt19937 random(5);
    const auto byte = [&](int most) { return static_cast<int>(random() % (2 * most + 1)) - most; };
    // Pieces of some groups, and of whole tiles.
    const std::vector<std::uint32_t> some{4, 5, 24};
    const std::vector<std::uint32_t> whole{16, 32, 64};
    for (const std::size_t n_tokens : {1UL, 3UL, 12UL, 14UL, 37UL}) {
        for (const auto& [ends, extreme] :
             {std::pair{some, false}, {some, true}, {whole, false}, {whole, true}}) {
            const std::size_t groups = ends.back();
            constexpr std::size_t rows = integer_panel_rows;
            std::vector<std::uint8_t> numbers(groups * 4 * rows);
            std::vector<std::int8_t> x(n_tokens * groups * 4);
            for (auto& q : numbers)
                q = static_cast<std::uint8_t>(128 + (extreme ? 127 : byte(127)));
            for (auto& q : x) q = static_cast<std::int8_t>(extreme ? -127 : byte(127));
            // All are aligned to the coarsest, with the bits that the columns leave.
            const int bits = fixed_point::sum_bits(groups * 4);
            const std::vector<std::uint32_t> blocks{1, 0, 2};
            std::vector<std::int8_t> row_shifts(3 * rows);
            std::vector<std::int32_t> downs(3 * n_tokens);
            for (auto& shift : row_shifts) shift = static_cast<std::int8_t>(random() % 20);
            for (auto& down : downs) down = static_cast<std::int32_t>(random() % 25);
            if (extreme) {
                std::ranges::fill(row_shifts, std::int8_t{0});
                std::ranges::fill(downs, 0);
            }
            std::vector<std::int32_t> starts(n_tokens * 3);
            std::vector<std::int32_t> expected(n_tokens * rows, 0);
            for (std::size_t t = 0; t < n_tokens; ++t) {
                for (std::size_t p = 0, g = 0; p < 3; ++p) {
                    std::vector<std::int32_t> piece(rows, 0);
                    for (; g < ends[p]; ++g) {
                        for (std::size_t b = 0; b < 4; ++b) {
                            const int own = x[t * groups * 4 + g * 4 + b];
                            starts[t * 3 + p] -= 128 * own;
                            for (std::size_t r = 0; r < rows; ++r) {
                                piece[r] += own * (numbers[(g * rows + r) * 4 + b] - 128);
                            }
                        }
                    }
                    for (std::size_t r = 0; r < rows; ++r) {
                        expected[t * rows + r] += fixed_point::aligned(
                            piece[r], bits,
                            row_shifts[blocks[p] * rows + r] + downs[p * n_tokens + t]);
                    }
                }
            }
            std::vector<std::int32_t> found(n_tokens * rows, 77);
            IntegerPanel panel;
            panel.numbers = numbers.data();
            panel.piece_ends = ends.data();
            panel.n_pieces = 3;
            panel.bits = bits;
            panel.row_shifts = row_shifts.data();
            panel.piece_blocks = blocks.data();
            panel.token_downs = downs.data();
            panel.token_stride = n_tokens;
            panel.x = x.data();
            panel.x_stride = groups * 4;
            panel.x_starts = starts.data();
            panel.n_tokens = n_tokens;
            GetParam()->multiply_blocks(panel, found.data(), rows);
            EXPECT_EQ(found, expected);
        }
    }
}

// ---- arithmetic ------------------------------------------------------------------------------

TEST(FixedPoint, RoundsHalfToEven) {
    EXPECT_EQ(fixed_point::shift_right(5, 1), 2);
    EXPECT_EQ(fixed_point::shift_right(7, 1), 4);
    EXPECT_EQ(fixed_point::shift_right(-5, 1), -2);
    EXPECT_EQ(fixed_point::shift_right(-7, 1), -4);
    EXPECT_EQ(fixed_point::shift_right(6, 2), 2);
    EXPECT_EQ(fixed_point::shift_right(1, 63), 0);
}

TEST(FixedPoint, SumsKeepSixtyOneBits) {
    const Number large{std::int64_t{1} << 60, 0};
    const Number tiny{3, 40};
    const Number sum = fixed_point::sum(large, tiny);
    EXPECT_NEAR(std::ldexp(static_cast<double>(sum.mantissa), -sum.exponent), 0x1p60, 1.0);
    const Number exact = fixed_point::sum({5, 3}, {7, 10});
    EXPECT_EQ(exact.mantissa, 5 * 128 + 7);
    EXPECT_EQ(exact.exponent, 10);
    EXPECT_EQ(fixed_point::sum({0, 200}, {7, 10}).mantissa, 7);
}

TEST(FixedPoint, InverseRootHasSixteenBits) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 10000; ++i) {
        const auto mantissa = static_cast<std::int64_t>(random() >> (2 + random() % 61)) + 1;
        const int exponent = static_cast<int>(random() % 200) - 100;
        const Number root = fixed_point::inverse_root({mantissa, exponent});
        const double exact = 1.0 / std::sqrt(std::ldexp(static_cast<double>(mantissa), -exponent));
        const double found = std::ldexp(static_cast<double>(root.mantissa), -root.exponent);
        ASSERT_NEAR(found, exact, 1e-5 * exact) << mantissa << " at " << exponent;
        ASSERT_LE(root.mantissa, 1 << 17);
    }
    EXPECT_EQ(fixed_point::inverse_root({0, 5}).mantissa, 0);
}

TEST(FixedPoint, PowersOfTwoAreTwentyBitsExact) {
    std::vector<std::int32_t> powers;
    for (std::int32_t x = 0; x <= fixed_point::largest_exponent; x += 997) powers.push_back(x);
    const std::vector<std::int32_t> exponents = powers;
    std::vector<std::int32_t> whole(powers.size());
    fixed_point::negative_powers<fixed_point::PlainLoops>(powers.data(), whole.data(),
                                                          powers.size());
    for (std::size_t i = 0; i < powers.size(); ++i) {
        const double exact = std::exp2(-static_cast<double>(exponents[i]) / 65536.0);
        ASSERT_NEAR(powers[i] / 16777216.0, exact, 1e-6 * exact + 0x1p-24) << exponents[i];
    }
}

TEST(Integers, RefuseWhatCouldOverflowOrDoesNotFit) {
    ThreadPool pool(1);
    const auto backend = make_backend(BackendKind::reference, pool);
    const auto on = backend->integers();
    const BlockedMatrix wide(1, widest_integer_product + 4, 64, 8);
    EXPECT_THAT(message_of<UsageError>([&] { (void)on->pack(wide); }),
                ::testing::HasSubstr("133148 columns"));
    const BlockedMatrix w(3, 8, 8, 8);
    const BlockedMatrix x16(2, 8, 8, 16);
    BlockedMatrix y(2, 3, 8, 8);
    EXPECT_THAT(message_of<ShapeError>([&] { on->linear(x16, *on->pack(w), nullptr, y); }),
                ::testing::HasSubstr("x has 16 bits"));
    const BlockedMatrix x(2, 7, 8, 8);
    EXPECT_THAT(message_of<ShapeError>([&] { on->linear(x, *on->pack(w), nullptr, y); }),
                ::testing::HasSubstr("columns of x is 7"));
    const std::vector<std::uint32_t> ids{0, 3};
    BlockedMatrix e(2, 8, 8, 16);
    const std::vector<TableRows> terms{{&w, ids}};
    EXPECT_THROW(on->embed(terms, e), DataError);
}

}  // namespace
}  // namespace lathe::kernels
