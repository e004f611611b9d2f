#pragma once

// What the sources of this folder define, for kernels/cpu/variants/table.cpp. The contracts stand
// at VectorKernels.

#include "kernels/cpu/variants/vector_kernels.hpp"

namespace lathe::kernels::LATHE_ISA {

/// Rows and columns of one product. A product keeps height * 2 sums in registers: 28 of 32 with
/// AVX-512, else 12 of 16. The rest hold two columns of the panel and an element of the left
/// operand.
constexpr std::size_t product_height = LATHE_LANES == 16 ? 14 : 6;
constexpr std::size_t product_width = 2 * LATHE_LANES;
/// Divides product_width; twice as many sums are enough to hide the time that an addition takes.
constexpr std::size_t product_strip = LATHE_LANES == 16 ? 8 : 4;

void pack_transposed(const float* rows, std::size_t stride, std::size_t n_rows, std::size_t depth,
                     float* panel);
void pack(const float* rows, std::size_t stride, std::size_t n_cols, std::size_t depth,
          float* panel);
void multiply(std::size_t n_rows, std::size_t depth, const float* a, const float* panel, float* c,
              std::size_t c_stride, bool accumulate, const float* next, std::size_t next_stride);
void multiply_pairs(std::size_t n_rows, std::size_t depth, const float* a, const float* panel,
                    float* c, std::size_t c_stride, bool accumulate, const float* next,
                    std::size_t next_stride);
void round_to_pairs(const float* x, std::size_t n, float* words);
void multiply_panels(std::size_t depth, const float* left, const float* right, float* c,
                     std::size_t c_stride, bool accumulate, bool second_half);
void multiply_few(const float* x, std::size_t x_stride, std::size_t n_tokens, const float* w,
                  std::size_t w_stride, std::size_t n_rows, std::size_t depth, float* y,
                  std::size_t y_stride);

void build_tables(const float* x, std::size_t n, float* tables);
void lookup(const LookupGroup& group, const float* tables, float sum, float* y);
float build_coarse_tables(const float* x, std::size_t n_chunks, std::uint8_t* entries);
void lookup_coarse(const LookupGroup& group, const std::uint8_t* entries, float scale, float sum,
                   float* y);

float build_digits(const float* x, std::size_t n_chunks, std::size_t n_digits, std::size_t step,
                   std::int8_t* digits, float* sums);
void multiply_codes(const LookupGroup& group, const DigitVectors& x, float* y,
                    std::size_t y_stride);

void multiply_blocks(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride);

/// The same in other instructions; not of all variants.
void multiply_blocks_by_tiles(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride);

void interpolate(const std::int32_t* values, int rest_bits, const std::int32_t* x, std::size_t n,
                 std::int32_t* to);

void multiply_kept(const KeptGroup& group, const float* x, std::size_t x_stride,
                   std::size_t n_tokens, float* y, std::size_t y_stride);

void scale(const float* x, float factor, std::size_t n, float* y);
void add_ramp(float* scores, float slope, float first, std::size_t n);
float softmax_step(float* scores, std::size_t n, std::size_t begin, std::size_t end, float* maximum,
                   float* sum);
void weighted_sum(const float* p, const float* rows, std::size_t stride, std::size_t n_rows,
                  std::size_t n_cols, float* y);

void rms_norm(const float* x, const float* weight, float epsilon, std::size_t n, float* y);
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon,
                std::size_t n, float* y);
void rotate(float* head, const float* cos, const float* sin, std::size_t n);
void add(const float* x, std::size_t n, float* y);
bool all_finite(const float* x, std::size_t n);

extern const ActivationKernels silu;
extern const ActivationKernels gelu;
extern const ActivationKernels gelu_tanh;
extern const ActivationKernels relu;
extern const ActivationKernels tanh;

float maximum(const float* x, std::size_t n);
double sum_exp(const float* x, double shift, std::size_t n);
void divergence_sums(const float* p, double p_shift, const float* q, double q_shift, std::size_t n,
                     double sums[3]);

}  // namespace lathe::kernels::LATHE_ISA
