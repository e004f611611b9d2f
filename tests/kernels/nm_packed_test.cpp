#include "kernels/cpu/packed/nm_packed.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "tests/kernels/kernel_fixture.hpp"
#include "tests/kernels/tested_variants.hpp"

namespace lathe::kernels {
namespace {

using ::testing::HasSubstr;

enum class Codes { integer, binary, with_offset };

/// How values are stored: in `bits` bits with scales for `group_size` columns, or as numbers.
struct Storage {
    unsigned bits = 0;
    std::size_t group_size = 0;
    DType type = DType::f32;
    Codes codes = Codes::integer;
};

Storage binary(unsigned bits, std::size_t group_size, bool offset = false) {
    return {bits, group_size, DType::f32, offset ? Codes::with_offset : Codes::binary};
}

float rounded(float value, DType type) {
    switch (type) {
        case DType::f16:
            return half_to_float(float_to_half(value));
        case DType::bf16:
            return bfloat16_to_float(float_to_bfloat16(value));
        default:
            return value;
    }
}

/// A sparse matrix that owns its arrays, filled with random values at random places.
struct Sparse {
    NmMatrix matrix;
    std::vector<std::uint8_t> keep, codes;
    std::vector<float> values, scales, offsets;

    Sparse(std::size_t rows, std::size_t cols, NmPattern pattern, const Storage& storage) {
        matrix = {.rows = rows,
                  .cols = cols,
                  .pattern = pattern,
                  .num_bits = storage.bits,
                  .binary = storage.codes != Codes::integer,
                  .has_offsets = storage.codes == Codes::with_offset,
                  .value_type = storage.type,
                  .group_size = storage.group_size,
                  .read = {}};
        std::mt19937 random(static_cast<unsigned>(rows * 31 + cols + pattern.n));
        std::normal_distribution<float> normal(0.0F, 0.05F);
        std::vector<std::uint8_t> group(pattern.m, 0);
        std::fill_n(group.begin(), pattern.n, std::uint8_t{1});
        for (std::size_t i = 0; i < rows * cols / pattern.m; ++i) {
            std::shuffle(group.begin(), group.end(), random);
            keep.insert(keep.end(), group.begin(), group.end());
        }
        for (std::size_t i = 0; i < rows * matrix.stored(); ++i) {
            values.push_back(rounded(normal(random), storage.type));
            codes.push_back(static_cast<std::uint8_t>(random() % (1U << storage.bits)));
        }
        for (std::size_t i = 0; i < rows * matrix.groups() * matrix.scales_per_group(); ++i) {
            scales.push_back(rounded(std::abs(normal(random)) + 0.001F, DType::f16));
        }
        for (std::size_t i = 0; matrix.has_offsets && i < rows * matrix.groups(); ++i) {
            offsets.push_back(rounded(normal(random), DType::f16));
        }
    }

    /// What a backend is given: rows are copied out of this object, which must stay.
    [[nodiscard]] NmMatrix source() const {
        NmMatrix result = matrix;
        result.read = [this](std::size_t row, const NmRow& to) {
            const std::size_t stored = matrix.stored();
            std::copy_n(&keep[row * matrix.cols], matrix.cols, to.keep);
            if (matrix.num_bits == 0) {
                std::copy_n(&values[row * stored], stored, to.values);
                return;
            }
            const std::size_t n_scales = matrix.groups() * matrix.scales_per_group();
            std::copy_n(&codes[row * stored], stored, to.codes);
            std::copy_n(&scales[row * n_scales], n_scales, to.scales);
            if (matrix.has_offsets) {
                std::copy_n(&offsets[row * matrix.groups()], matrix.groups(), to.offsets);
            }
        };
        return result;
    }
    [[nodiscard]] Matrix<float> dense() const {
        Matrix<float> all(matrix.rows, matrix.cols);
        std::size_t next = 0;
        for (std::size_t i = 0; i < keep.size(); ++i) {
            if (keep[i] != 0) {
                all.values[i] = value(i / matrix.cols, i % matrix.cols, next);
                ++next;
            }
        }
        return all;
    }

private:
    /// The definition in kernels/contract/nm_matrix.hpp, of the stored value with number `next`.
    [[nodiscard]] float value(std::size_t row, std::size_t col, std::size_t next) const {
        if (matrix.num_bits == 0) {
            return values[next];
        }
        const std::size_t group = row * matrix.groups() + col / matrix.group_size;
        if (!matrix.binary) {
            return scales[group] * static_cast<float>(codes[next] - (1 << (matrix.num_bits - 1)));
        }
        float sum = matrix.has_offsets ? offsets[group] : 0.0F;
        for (unsigned p = 0; p < matrix.num_bits; ++p) {
            const float scale = scales[group * matrix.num_bits + p];
            sum += (codes[next] >> p & 1) != 0 ? scale : -scale;
        }
        return sum;
    }
};

/// x @ w^T + bias in fp64.
Matrix<float> exact_product(const Matrix<float>& x, const Matrix<float>& w, float bias) {
    Matrix<float> y(x.rows, w.rows);
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t r = 0; r < w.rows; ++r) {
            double sum = bias;
            for (std::size_t j = 0; j < w.cols; ++j) {
                sum += double{x.view()(t, j)} * double{w.view()(r, j)};
            }
            y.view()(t, r) = static_cast<float>(sum);
        }
    }
    return y;
}

Matrix<float> multiply(const Backend& backend, const PackedMatrix& packed, const Matrix<float>& x,
                       const std::vector<float>& bias = {}) {
    Matrix<float> y(x.rows, packed.rows(), -7.0F);
    const PackedProduct product{&packed, bias, y.view()};
    backend.linear(x.view(), std::span(&product, 1));
    return y;
}

class NmPacked : public OnEachBackend {
protected:
    void SetUp() override {
        OnEachBackend::SetUp();
        if (!backend->multiplies_nm()) {
            GTEST_SKIP() << backend->name() << " has no products with N:M sparse weights";
        }
    }
};

TEST_P(NmPacked, MultipliesWhatIsStored) {
    // Row 0: columns 1 and 2 of the first four, 0 and 3 of the last; y = 3*20 + 5*30 + 7*50 + 9*80.
    NmMatrix matrix{.rows = 1, .cols = 8, .pattern = {2, 4}, .read = {}};
    matrix.read = [](std::size_t, const NmRow& to) {
        constexpr std::uint8_t keep[] = {0, 1, 1, 0, 1, 0, 0, 1};
        constexpr float values[] = {3, 5, 7, 9};
        std::copy_n(keep, 8, to.keep);
        std::copy_n(values, 4, to.values);
    };
    const Matrix<float> x(1, 8, {10, 20, 30, 40, 50, 60, 70, 80});
    EXPECT_EQ(multiply(*backend, *backend->pack(matrix), x).values, std::vector<float>{1280});
}

/// Patterns of each kind of place; columns that do not fill sections.
struct Case {
    NmPattern pattern;
    std::size_t cols;
};
constexpr Case cases[] = {{{2, 4}, 300}, {{1, 4}, 132},  {{1, 2}, 70},    {{4, 4}, 40},
                          {{4, 8}, 328}, {{8, 16}, 112}, {{1, 16}, 400},  {{2, 16}, 48},
                          {{3, 4}, 300}, {{5, 7}, 77},   {{33, 64}, 640}, {{1, 1}, 9}};

TEST_P(NmPacked, AgreesWithFp64OnTheValues) {
    for (const auto& [pattern, cols] : cases) {
        const std::size_t group = 3 * pattern.m;
        for (const Storage& storage :
             {Storage{}, Storage{0, 0, DType::f16}, Storage{0, 0, DType::bf16}, Storage{4, group},
              Storage{2, 16 * group}, Storage{5, group}, Storage{8, 128 * group}, binary(1, group),
              binary(2, group, true), binary(3, 16 * group), binary(3, pattern.m, true),
              binary(4, 128 * group), binary(4, group, true)}) {
            // Rows that do not fill tiles; groups of which the last is short.
            const Sparse sparse(70, cols, pattern, storage);
            const auto packed = backend->pack(sparse.source());
            const Matrix<float> dense = sparse.dense();
            for (const std::size_t tokens : {1, 2, 3, 8, 9, 20}) {
                SCOPED_TRACE(testing::Message()
                             << pattern.n << ":" << pattern.m << " of " << cols << " bits "
                             << storage.bits << " kind " << static_cast<int>(storage.codes) << " T"
                             << tokens);
                const Matrix<float> x = random_matrix(tokens, dense.cols, 5);
                const std::vector<float> bias(70, 0.25F);
                EXPECT_LE(largest_row_difference(multiply(*backend, *packed, x, bias),
                                                 exact_product(x, dense, 0.25F)),
                          1e-5);
            }
        }
    }
}

TEST_P(NmPacked, MultipliesTheLevelsOfBinaryCodes) {
    // Columns 1 and 2 of the first group, 0 and 3 of the second; scales 1 and 2, then 1 and 4, with
    // offsets 10 and 20. Codes 0, 1, 2, 3 are -1 - 2, 1 - 2, -1 + 4, 1 + 4 and the offset:
    // y = (10 - 3) * 20 + (10 - 1) * 30 + (20 + 3) * 50 + (20 + 5) * 80.
    NmMatrix matrix{.rows = 1,
                    .cols = 8,
                    .pattern = {2, 4},
                    .num_bits = 2,
                    .binary = true,
                    .has_offsets = true,
                    .group_size = 4,
                    .read = {}};
    matrix.read = [](std::size_t, const NmRow& to) {
        constexpr std::uint8_t keep[] = {0, 1, 1, 0, 1, 0, 0, 1};
        constexpr std::uint8_t codes[] = {0, 1, 2, 3};
        constexpr float scales[] = {1, 2, 1, 4};
        constexpr float offsets[] = {10, 20};
        std::copy_n(keep, 8, to.keep);
        std::copy_n(codes, 4, to.codes);
        std::copy_n(scales, 4, to.scales);
        std::copy_n(offsets, 2, to.offsets);
    };
    const Matrix<float> x(1, 8, {10, 20, 30, 40, 50, 60, 70, 80});
    EXPECT_EQ(multiply(*backend, *backend->pack(matrix), x).values, std::vector<float>{3560});
}

TEST_P(NmPacked, LooksUpRowsAsTheyAreDecoded) {
    for (const Storage& storage : {Storage{0, 0, DType::bf16}, Storage{4, 24}, Storage{8, 24},
                                   binary(3, 24), binary(4, 48, true)}) {
        for (const NmPattern pattern : {NmPattern{2, 4}, NmPattern{4, 8}, NmPattern{5, 6}}) {
            const Sparse sparse(70, 240, pattern, storage);
            const Matrix<float> dense = sparse.dense();
            const std::vector<std::uint32_t> ids{69, 0, 17, 0};
            Matrix<float> y(4, 240, -7.0F);
            backend->embed(ids, *backend->pack(sparse.source()), y.view());
            for (std::size_t t = 0; t < ids.size(); ++t) {
                for (std::size_t j = 0; j < 240; ++j) {
                    ASSERT_EQ(y.view()(t, j), dense.view()(ids[t], j)) << t << ", " << j;
                }
            }
        }
    }
}

TEST_P(NmPacked, StandsBesideCodesInACall) {
    const Sparse sparse(70, 64, {2, 4}, {4, 32});
    CodedMatrix codes{
        .rows = 5, .cols = 64, .num_bits = 4, .group_size = 64, .has_offsets = false, .read = {}};
    codes.read = [](std::size_t row, std::uint8_t* to, float* scales, float*) {
        std::fill_n(to, 64, static_cast<std::uint8_t>(row));
        scales[0] = 0.5F;
    };
    const auto first = backend->pack(sparse.source());
    const auto second = backend->pack(codes);
    const Matrix<float> x = random_matrix(2, 64, 8);
    Matrix<float> one(2, 70);
    Matrix<float> other(2, 5);
    const PackedProduct products[] = {{second.get(), {}, other.view()},
                                      {first.get(), {}, one.view()}};
    backend->linear(x.view(), products);
    EXPECT_EQ(one.values, multiply(*backend, *first, x).values);
    EXPECT_EQ(other.values, multiply(*backend, *second, x).values);
}

TEST_P(NmPacked, RefusesWhatIsNoPattern) {
    const auto message = [&](auto change) {
        NmMatrix matrix = Sparse(4, 24, {2, 4}, {4, 8}).matrix;
        change(matrix);
        return message_of<InternalError>([&] { (void)backend->pack(matrix); });
    };
    EXPECT_THAT(message([](NmMatrix& m) {
                    m.pattern = {5, 4};
                }),
                HasSubstr("pattern 5:4 of 24 columns, expected N:M with 1 <= N <= M <= 64"));
    EXPECT_THAT(message([](NmMatrix& m) { m.pattern = {2, 5}; }), HasSubstr("pattern 2:5 of 24"));
    EXPECT_THAT(message([](NmMatrix& m) { m.num_bits = 9; }),
                HasSubstr("num_bits is 9, expected 2 to 8, or 0 for floating numbers"));
    EXPECT_THAT(message([](NmMatrix& m) { m.group_size = 6; }),
                HasSubstr("group_size is 6, expected a multiple of 4"));
    for (const unsigned bits : {0U, 5U}) {
        EXPECT_THAT(
            message([&](NmMatrix& m) {
                m.binary = true;
                m.num_bits = bits;
            }),
            HasSubstr("num_bits is " + std::to_string(bits) + " of binary codes, expected 1 to 4"));
    }
    EXPECT_THAT(message([](NmMatrix& m) { m.has_offsets = true; }),
                HasSubstr("offsets of an N:M matrix whose codes are not binary"));
}

TEST_P(NmPacked, TakesAnEmptyMatrix) {
    const Sparse none(0, 32, {2, 4}, {});
    EXPECT_TRUE(
        multiply(*backend, *backend->pack(none.source()), random_matrix(2, 32, 9)).values.empty());
}

INSTANTIATE_TEST_SUITE_P(Backends, NmPacked, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

TEST(NmPackedProducts, ThreadsDoNotShow) {
    for (const Storage& storage : {Storage{4, 64}, binary(3, 64, true)}) {
        const Sparse sparse(300, 260, {2, 4}, storage);
        for (const std::size_t tokens : {1, 8, 9}) {
            const Matrix<float> x = random_matrix(tokens, 260, 10);
            expect_threads_do_not_show([&](const Backend& backend) {
                return backend.multiplies_nm()
                           ? multiply(backend, *backend.pack(sparse.source()), x).values
                           : std::vector<float>{};
            });
        }
    }
}

TEST(NmPackedProducts, TakeTheBytesOfValuesAndPlaces) {
    ThreadPool pool(1);
    const auto backend = make_backend(BackendKind::cpu, pool);
    const auto bits_per_column = [&](NmPattern pattern, const Storage& storage) {
        const Sparse sparse(640, 512, pattern, storage);
        return static_cast<double>(backend->pack(sparse.source())->size_bytes()) * 8 / (640 * 512);
    };
    // 2:4: a place of 2 bits and a value for every other column.
    EXPECT_EQ(bits_per_column({2, 4}, {0, 0, DType::f16}), 9.0);
    EXPECT_EQ(bits_per_column({2, 4}, {0, 0, DType::f32}), 17.0);
    EXPECT_EQ(bits_per_column({2, 4}, {4, 128}), 3.0 + 16.0 / 128);
    EXPECT_EQ(bits_per_column({1, 4}, {4, 128}), 1.5 + 16.0 / 128);
    // As many bits as binary codes have planes.
    EXPECT_EQ(bits_per_column({2, 4}, binary(1, 128)), 1.5 + 16.0 / 128);
    EXPECT_EQ(bits_per_column({2, 4}, binary(3, 128)), 2.5 + 3 * 16.0 / 128);
    EXPECT_EQ(bits_per_column({2, 4}, binary(3, 128, true)), 2.5 + 4 * 16.0 / 128);
    // 4:8: places in 4 bits each.
    EXPECT_EQ(bits_per_column({4, 8}, {0, 0, DType::bf16}), 10.0);
}

TEST(NmPackedProducts, EveryInstructionSetAgrees) {
    ThreadPool pool(1);
    for (const NmPattern pattern :
         {NmPattern{2, 4}, NmPattern{1, 4}, NmPattern{4, 8}, NmPattern{8, 16}, NmPattern{3, 4}}) {
        for (const Storage& storage :
             {Storage{}, Storage{0, 0, DType::f16}, Storage{0, 0, DType::bf16}, Storage{4, 64},
              Storage{7, 64}, binary(1, 64), binary(2, 48, true), binary(3, 64), binary(4, 80)}) {
            const CpuNm packed(Sparse(64, 192, pattern, storage).source(), pool);
            const std::size_t stride = 192 + kept_overhang;
            const Matrix<float> x = random_matrix(8, stride, 11);
            for (std::size_t tokens = 1; tokens <= 8; ++tokens) {
                std::vector<std::vector<float>> results;
                for (const VectorKernels* kernels : tested_variants()) {
                    std::vector<float>& y = results.emplace_back(tokens * lookup_tile_rows, 1.5F);
                    for (std::size_t i = 0; i < packed.n_pieces(); ++i) {
                        kernels->multiply_kept(packed.group(0, i),
                                               x.values.data() + packed.begin(i), stride, tokens,
                                               y.data(), lookup_tile_rows);
                    }
                }
                for (const std::vector<float>& y : results) {
                    for (std::size_t i = 0; i < y.size(); ++i) {
                        ASSERT_NEAR(y[i], results[0][i], 1e-5 * (1 + std::abs(results[0][i])));
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace lathe::kernels
