#pragma once

#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

// The inner loop of products with packed operands, whatever their elements are: VectorKernels says
// what it does. As simd.hpp for the sources of this folder only.

namespace lathe::kernels::LATHE_ISA {

/// Element::add_products(a, panel, sums) adds to sums[i] the products of element a[i *
/// packed_stride] with the two registers at `panel`.
template <class Element, std::size_t n_rows>
void multiply_rows(std::size_t depth, const float* a, const float* panel, float* c,
                   std::size_t c_stride, bool accumulate, const float* next,
                   std::size_t next_stride) {
    constexpr std::size_t width = product_width;
    Floats sums[n_rows][2] = {};
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n_rows; ++i) {
        __builtin_prefetch(c + i * c_stride, 1);
        __builtin_prefetch(c + i * c_stride + lanes, 1);
    }
    for (std::size_t k = 0; k < depth; ++k) {
        // The panel comes from the second-level cache, always in this order.
        __builtin_prefetch(panel + (k + 8) * width);
        __builtin_prefetch(panel + (k + 8) * width + lanes);
        __builtin_prefetch(next + k);
        __builtin_prefetch(next + next_stride + k);
        Element::add_products(a + k, panel + k * width, sums);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n_rows; ++i) {
        float* row = c + i * c_stride;
        if (accumulate) {
            sums[i][0] += load(row);
            sums[i][1] += load(row + lanes);
        }
        store(row, sums[i][0]);
        store(row + lanes, sums[i][1]);
    }
}

/// VectorKernels::multiply for elements of this kind.
template <class Element>
void multiply_elements(std::size_t n_rows, std::size_t depth, const float* a, const float* panel,
                       float* c, std::size_t c_stride, bool accumulate, const float* next,
                       std::size_t next_stride) {
    using MultiplyRows = void (*)(std::size_t, const float*, const float*, float*, std::size_t,
                                  bool, const float*, std::size_t);
    constexpr MultiplyRows table[] = {
        multiply_rows<Element, 1>,
        multiply_rows<Element, 2>,
        multiply_rows<Element, 3>,
        multiply_rows<Element, 4>,
        multiply_rows<Element, 5>,
        multiply_rows<Element, 6>,
#if LATHE_LANES == 16
        multiply_rows<Element, 7>,
        multiply_rows<Element, 8>,
        multiply_rows<Element, 9>,
        multiply_rows<Element, 10>,
        multiply_rows<Element, 11>,
        multiply_rows<Element, 12>,
        multiply_rows<Element, 13>,
        multiply_rows<Element, 14>,
#endif
    };
    static_assert(sizeof(table) / sizeof(MultiplyRows) == product_height);
    table[n_rows - 1](depth, a, panel, c, c_stride, accumulate, next, next_stride);
}

}  // namespace lathe::kernels::LATHE_ISA
