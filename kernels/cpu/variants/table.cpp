#include "kernels/cpu/variants/kernels.hpp"

#define LATHE_TEXT_OF(x) #x
#define LATHE_TEXT(x) LATHE_TEXT_OF(x)

namespace lathe::kernels::LATHE_ISA {

extern const VectorKernels table;
const VectorKernels table = {
    .name = LATHE_TEXT(LATHE_ISA),
    .panel_height = product_height,
    .panel_width = product_width,
    .strip_width = product_strip,
    .pack_transposed = pack_transposed,
    .pack = pack,
    .multiply = multiply,
    .multiply_pairs = multiply_pairs,
    .round_to_pairs = round_to_pairs,
    .multiply_panels = multiply_panels,
    .multiply_few = multiply_few,
    .build_tables = build_tables,
    .lookup = lookup,
    .build_coarse_tables = build_coarse_tables,
    .lookup_coarse = lookup_coarse,
    .build_digits = build_digits,
    .multiply_codes = multiply_codes,
    .multiply_blocks = multiply_blocks,
    .interpolate = interpolate,
    .multiply_kept = multiply_kept,
    .scale = scale,
    .add_ramp = add_ramp,
    .softmax_step = softmax_step,
    .weighted_sum = weighted_sum,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rotate = rotate,
    .add = add,
    .all_finite = all_finite,
    .silu = &silu,
    .gelu = &gelu,
    .gelu_tanh = &gelu_tanh,
    .relu = &relu,
    .tanh = &tanh,
    .maximum = maximum,
    .sum_exp = sum_exp,
    .divergence_sums = divergence_sums,
};

}  // namespace lathe::kernels::LATHE_ISA
