#include "kernels/layouts/tiled_codes.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/half.hpp"
#include "tests/kernels/kernel_fixture.hpp"

// The order of codes that the CUDA backend's tensor cores read, and what each thread of a warp does
// with them, followed on the host.

namespace lathe::kernels {
namespace {

using tiled::TiledLayout;

CodedMatrix shape(std::size_t rows, std::size_t cols, unsigned bits, std::size_t group) {
    return {rows, cols, bits, group, true, true, LookupTables::fp32, {}};
}

struct Tiled {
    TiledLayout at;
    std::vector<std::uint8_t> codes;
    std::vector<std::uint32_t> words;
    std::vector<float> scales;  ///< [term_place]
    std::vector<float> zeros;

    explicit Tiled(const CodedMatrix& matrix)
        : at(matrix), words(at.n_words()), scales(at.n_terms()), zeros(at.n_terms()) {
        std::mt19937 random(static_cast<unsigned>(at.rows + at.cols));
        for (std::size_t i = 0; i < at.rows * at.cols; ++i) {
            codes.push_back(static_cast<std::uint8_t>(random() % (1U << at.num_bits)));
        }
        for (std::size_t r = 0; r < at.rows; ++r) {
            at.put_row(r, &codes[r * at.cols], words.data());
            for (std::uint32_t g = 0; g < at.n_groups; ++g) {
                scales[at.term_place(g, r)] = 0.01F * static_cast<float>(1 + random() % 50);
                zeros[at.term_place(g, r)] = static_cast<float>(random() % (1U << at.num_bits));
            }
        }
    }
    [[nodiscard]] double value(std::size_t r, std::size_t j) const {
        const std::size_t term = at.term_place(j / at.group_size, r);
        return double{scales[term]} *
               (static_cast<double>(codes[r * at.cols + j]) - double{zeros[term]});
    }
};

class TiledCodes
    : public ::testing::TestWithParam<std::tuple<unsigned, std::tuple<int, int, int>>> {
protected:
    [[nodiscard]] static Tiled tiled() {
        const auto& [bits, extents] = GetParam();
        const auto& [rows, cols, group] = extents;
        return Tiled(shape(static_cast<std::size_t>(rows), static_cast<std::size_t>(cols), bits,
                           static_cast<std::size_t>(group)));
    }
};

TEST_P(TiledCodes, AreReadAsTheyWerePut) {
    const Tiled matrix = tiled();
    int bits_of_codes = 0;
    for (std::size_t r = 0; r < matrix.at.rows; ++r) {
        for (std::size_t j = 0; j < matrix.at.cols; ++j) {
            const std::uint8_t code = matrix.codes[r * matrix.at.cols + j];
            EXPECT_EQ(matrix.at.get(matrix.at.place(r, j), matrix.words.data()), code);
            bits_of_codes += std::popcount(code);
        }
    }
    int bits_of_words = 0;
    for (const std::uint32_t word : matrix.words) {
        bits_of_words += std::popcount(word);
    }
    EXPECT_EQ(bits_of_words, bits_of_codes);
}

TEST_P(TiledCodes, EveryColumnIsInOneLanesChunk) {
    const TiledLayout at = tiled().at;
    std::vector<int> seen(at.cols);
    for (std::uint32_t chunk = 0; chunk < at.n_steps * tiled::step_chunks; ++chunk) {
        for (unsigned quarter = 0; quarter < 4; ++quarter) {
            const auto columns = at.lane_columns(chunk, quarter);
            for (std::size_t k = 0; k < columns.count; ++k) {
                ++seen[columns.begin + k];
                EXPECT_EQ((columns.begin + k) / at.group_size, at.group_of(chunk));
            }
        }
    }
    EXPECT_THAT(seen, ::testing::Each(1));
}

using Halves = std::array<float, 2>;
Halves halves(std::uint32_t word) {
    return {half_to_float(static_cast<std::uint16_t>(word)),
            half_to_float(static_cast<std::uint16_t>(word >> 16))};
}

/// mma.m16n8k16 with fp16 numbers: which elements the registers of a lane hold is in the PTX
/// manual, "Matrix Fragments for mma.m16n8k16 with floating point type".
struct Instruction {
    std::array<std::array<Halves, 4>, tiled::n_lanes> a{};
    std::array<std::array<Halves, 2>, tiled::n_lanes> b{};

    void add_to(std::array<std::array<float, 4>, tiled::n_lanes>& c) const {
        float left[16][16];
        float right[16][8];
        for (unsigned lane = 0; lane < tiled::n_lanes; ++lane) {
            for (unsigned h = 0; h < 2; ++h) {
                for (unsigned reg = 0; reg < 4; ++reg) {
                    left[lane / 4 + reg % 2 * 8][lane % 4 * 2 + h + reg / 2 * 8] = a[lane][reg][h];
                }
                for (unsigned reg = 0; reg < 2; ++reg) {
                    right[lane % 4 * 2 + h + reg * 8][lane / 4] = b[lane][reg][h];
                }
            }
        }
        for (unsigned lane = 0; lane < tiled::n_lanes; ++lane) {
            for (unsigned i = 0; i < 4; ++i) {
                for (unsigned k = 0; k < 16; ++k) {
                    c[lane][i] += left[lane / 4 + i / 2 * 8][k] * right[k][lane % 4 * 2 + i % 2];
                }
            }
        }
    }
};

/// What kernels/cuda/packed_tiles.cu does with a tile, one lane after the other.
template <unsigned bits>
class Warp {
public:
    Warp(const Tiled& w, const Matrix<float>& x)
        : w_(w), x_(x), eights_(x.rows <= tiled::tokens_per_eight ? 1 : 2) {
        place_inputs();
    }

    void multiply(std::size_t tile, Matrix<float>& y) const {
        for (unsigned part = 0; part < tiled::n_parts; ++part) {
            for (unsigned eight = 0; eight < eights_; ++eight) {
                std::array<Halves, tiled::n_lanes> sums{};
                for (std::uint32_t chunk = 0; chunk < n_chunks(); ++chunk) {
                    add_chunk(tile, part, eight, chunk, sums);
                }
                for (unsigned lane = 0; lane < tiled::n_lanes; ++lane) {
                    for (unsigned second = 0; second < 2; ++second) {
                        const unsigned t = tiled::token_of_sum(lane, eight);
                        const std::size_t row =
                            tile * tiled::tile_rows + tiled::row_of_sum(lane, part, second);
                        if (t < x_.rows && row < w_.at.rows) {
                            y.view()(t, row) = std::ldexp(sums[lane][second], -powers_[t]);
                        }
                    }
                }
            }
        }
    }

private:
    [[nodiscard]] std::uint32_t n_chunks() const {
        return static_cast<std::uint32_t>(w_.at.n_steps * tiled::step_chunks);
    }

    void place_inputs() {
        inputs_.resize(std::size_t{n_chunks()} * eights_ * tiled::n_lanes);
        for (unsigned t = 0; t < x_.rows; ++t) {
            float largest = 0.0F;
            for (std::size_t j = 0; j < x_.cols; ++j) {
                largest = std::max(largest, std::abs(x_.view()(t, j)));
            }
            powers_.push_back(tiled::input_power(std::bit_cast<std::uint32_t>(largest)));
            for (unsigned i = 0; i < n_chunks() * 4; ++i) {
                const auto columns = w_.at.lane_columns(i / 4, i % 4);
                for (unsigned k = 0; k < columns.count; ++k) {
                    const float value = std::ldexp(x_.view()(t, columns.begin + k), powers_[t]);
                    const float high = half_to_float(float_to_half(value));
                    const float low = half_to_float(float_to_half(value - high));
                    inputs_[tiled::input_place(i / 4, i % 4, t, false, eights_)][k] = high;
                    inputs_[tiled::input_place(i / 4, i % 4, t, true, eights_)][k] = low;
                }
            }
        }
    }

    void add_chunk(std::size_t tile, unsigned part, unsigned eight, std::uint32_t chunk,
                   std::array<Halves, tiled::n_lanes>& sums) const {
        std::array<std::array<float, 4>, tiled::n_lanes> products{};
        const std::uint32_t group = w_.at.group_of(chunk);
        for (unsigned i = 0; i < 2; ++i) {
            Instruction instruction;
            for (unsigned lane = 0; lane < tiled::n_lanes; ++lane) {
                for (unsigned reg = 0; reg < 4; ++reg) {
                    const unsigned slot = tiled::pair_slot(bits, (chunk % 2 * 2 + i) * 4 + reg);
                    instruction.a[lane][reg] = weights({tile, chunk / 2, lane, part, slot, 0},
                                                       term(tile, group, lane, part) + reg % 2);
                }
                const auto& eight_inputs =
                    inputs_[((chunk / 2 * eights_ + eight) * 2 + chunk % 2) * tiled::n_lanes +
                            lane];
                for (unsigned reg = 0; reg < 2; ++reg) {
                    instruction.b[lane][reg] = {eight_inputs[4 * i + 2 * reg],
                                                eight_inputs[4 * i + 2 * reg + 1]};
                }
            }
            instruction.add_to(products);
        }
        for (unsigned lane = 0; lane < tiled::n_lanes; ++lane) {
            for (unsigned second = 0; second < 2; ++second) {
                sums[lane][second] += w_.scales[term(tile, group, lane, part) + second] *
                                      (products[lane][2 * second] + products[lane][2 * second + 1]);
            }
        }
    }

    /// Of the first of a lane's two rows; the second row's is next to it.
    [[nodiscard]] std::size_t term(std::size_t tile, std::uint32_t group, unsigned lane,
                                   unsigned part) const {
        return w_.at.term_place(group, tile * tiled::tile_rows + lane / 4) + 2 * std::size_t{part};
    }

    [[nodiscard]] Halves weights(const tiled::CodePlace& at, std::size_t term) const {
        std::array<std::uint32_t, bits> words{};
        for (unsigned i = 0; i < bits; ++i) {
            words[i] = w_.words[w_.at.word_place(at, i)];
        }
        Halves pair = halves(tiled::pair_as_halves<bits>(words.data(), at.slot));
        const float power = halves(tiled::two_powers(tiled::first_bit(bits, at.slot)))[0];
        for (float& weight : pair) {
            weight -= half_to_float(float_to_half(w_.zeros[term] + power));
        }
        return pair;
    }

    const Tiled& w_;
    const Matrix<float>& x_;
    unsigned eights_;
    std::vector<int> powers_;
    std::vector<std::array<float, 8>> inputs_;
};

template <unsigned bits>
Matrix<float> product(const Tiled& w, const Matrix<float>& x) {
    Matrix<float> y(x.rows, w.at.rows, -7.0F);
    const Warp<bits> warp(w, x);
    for (std::size_t tile = 0; tile < w.at.n_tiles; ++tile) {
        warp.multiply(tile, y);
    }
    return y;
}

Matrix<float> product(const Tiled& w, const Matrix<float>& x) {
    switch (w.at.num_bits) {
        case 2:
            return product<2>(w, x);
        case 3:
            return product<3>(w, x);
        case 4:
            return product<4>(w, x);
        default:
            return product<8>(w, x);
    }
}

TEST_P(TiledCodes, ALanesShareMakesTheProduct) {
    const Tiled w = tiled();
    for (const std::size_t tokens : {1, 3, 8}) {
        Matrix<float> x = random_matrix(tokens, w.at.cols, 5);
        // One token far smaller than the others, one input far larger than the others of its token.
        for (std::size_t j = 0; j < w.at.cols && tokens > 1; ++j) {
            x.values[j] *= 0x1p-100F;
        }
        x.values[x.values.size() - 1] *= 1e4F;
        Matrix<float> exact(tokens, w.at.rows);
        for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t r = 0; r < w.at.rows; ++r) {
                double sum = 0.0;
                for (std::size_t j = 0; j < w.at.cols; ++j) {
                    sum += w.value(r, j) * double{x.view()(t, j)};
                }
                exact.view()(t, r) = static_cast<float>(sum);
            }
        }
        EXPECT_LE(largest_row_difference(product(w, x), exact), 1e-6) << tokens << " tokens";
    }
}

// Rows and columns that fill neither tiles, groups, chunks nor steps.
INSTANTIATE_TEST_SUITE_P(
    Widths, TiledCodes,
    ::testing::Combine(::testing::Values(2U, 3U, 4U, 8U),
                       ::testing::Values(std::tuple(70, 301, 128), std::tuple(64, 256, 32),
                                         std::tuple(65, 333, 100), std::tuple(3, 45, 20),
                                         std::tuple(17, 192, 64), std::tuple(130, 500, 1000))));

TEST(TiledLayouts, TakeTheBitsOfTheCodes) {
    for (const unsigned bits : {2U, 3U, 4U, 8U}) {
        const TiledLayout at(shape(128, 512, bits, 128));
        EXPECT_EQ(at.n_words() * 32, 128U * 512U * bits);
        EXPECT_EQ(at.n_terms(), 128U * 4U);
    }
}

TEST(TiledLayouts, InputsFitFp16) {
    for (const float largest : {1e-40F, 1e-30F, 0.7F, 1.0F, 65000.0F, 3e38F}) {
        const int power = tiled::input_power(std::bit_cast<std::uint32_t>(largest));
        EXPECT_LT(std::ldexp(largest, power), 0x1p15F);
        if (largest > 1e-30F) {
            EXPECT_GE(std::ldexp(largest, power), 0x1p14F);
        }
    }
    // What is not finite stays so, and its power and that one's inverse are normal numbers.
    const int power = tiled::input_power(std::bit_cast<std::uint32_t>(INFINITY));
    EXPECT_GE(power, -126);
    EXPECT_LE(-power, 127);
}

TEST(TiledLayouts, AreForUniformCodesOfSomeWidths) {
    CodedMatrix matrix = shape(4, 4, 3, 4);
    EXPECT_TRUE(tiled::can_tile(matrix));
    matrix.uniform = false;
    EXPECT_FALSE(tiled::can_tile(matrix));
    EXPECT_FALSE(tiled::can_tile(shape(4, 4, 5, 4)));
    EXPECT_FALSE(tiled::can_tile(shape(4, 4, 1, 4)));
}

}  // namespace
}  // namespace lathe::kernels
