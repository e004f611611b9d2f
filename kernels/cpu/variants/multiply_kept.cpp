#include "kernels/cpu/variants/kept_octets.hpp"
#include "kernels/cpu/variants/kernels.hpp"

// N:M sparse weights times x: rows stand side by side in a register, and the elements of x that
// their stored values belong to are picked out of a window of columns by a permutation.

namespace lathe::kernels::LATHE_ISA {
namespace {

/// How far ahead of the octet at hand memory is asked for: 4 KiB.
constexpr std::size_t prefetch_bytes = 4096;

/// Adds the first n of an octet's values, each times the element of x that belongs to it, to sums:
/// two a token, since one would wait for the addition before. `all`: n is 8.
template <bool all, KeptValues value_kind, KeptPlaces place_kind, std::size_t n_tokens>
static inline void add_octet(Places<place_kind> places, Values<value_kind> values, std::size_t n,
                             const std::uint16_t (&windows)[octet], const float* x,
                             std::size_t x_stride, Floats (&sums)[n_tokens][2]) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < octet; ++i) {
        if (!all && i == n) {
            break;
        }
        const Ints index = places.next();
        const Floats value = values.next();
        const float* window = x + windows[i];
#pragma GCC unroll 4
        for (std::size_t t = 0; t < n_tokens; ++t) {
            sums[t][i % 2] += value * Places<place_kind>::pick(window + t * x_stride, index);
        }
    }
}

template <KeptValues value_kind, KeptPlaces place_kind, std::size_t n_tokens>
void multiply_tile(const KeptGroup& group, const float* x, std::size_t x_stride, float* y,
                   std::size_t y_stride) {
    const KeptLayout& layout = *group.layout;
    constexpr std::size_t octet_bytes = bytes_of(place_kind) + bytes_of(value_kind);
    const std::size_t strip_bytes = group.n_sections * layout.section_octets * octet_bytes;
    for (std::size_t row = 0; row < lookup_tile_rows; row += lanes) {
        const std::byte* at = group.octets + row / strip * strip_bytes;
        const Terms<value_kind> terms(group, row);
        Floats sums[n_tokens][2] = {};
        for (std::size_t s = 0; s < group.n_sections; ++s) {
            const float* own = x + s * layout.section_cols;
            const std::size_t left = group.n_stored - s * layout.section_values;
            const std::size_t stored = left < layout.section_values ? left : layout.section_values;
            for (std::size_t o = 0; o < layout.section_octets; ++o, at += octet_bytes) {
#pragma GCC unroll 8
                for (std::size_t line = 0; line < octet_bytes; line += 64) {
                    __builtin_prefetch(at + prefetch_bytes + line);
                }
                const Places<place_kind> places(at, row % strip);
                const Values<value_kind> values(at + bytes_of(place_kind), row % strip, terms);
                // Values that are missing are 0, but for binary codes, which have no 0.
                constexpr bool has_zero = planes_of(value_kind) == 0;
                if (has_zero || stored >= (o + 1) * octet) {
                    add_octet<true>(places, values, octet, layout.windows, own, x_stride, sums);
                } else if (stored > o * octet) {
                    add_octet<false>(places, values, stored - o * octet, layout.windows, own,
                                     x_stride, sums);
                }
            }
        }
        for (std::size_t t = 0; t < n_tokens; ++t) {
            float* to = y + t * y_stride + row;
            store(to, load(to) + terms.scaled(sums[t][0] + sums[t][1]));
        }
    }
}

using MultiplyTile = void (*)(const KeptGroup&, const float*, std::size_t, float*, std::size_t);

/// How many of `left` tokens are taken together. Picking single columns takes so long that nothing
/// is won by doing so for several.
std::size_t tokens_at_once(KeptPlaces places, std::size_t left) {
    return places == KeptPlaces::bits8 || left < 2 ? 1 : left < 4 ? 2 : 4;
}

template <KeptValues value_kind, KeptPlaces place_kind>
MultiplyTile tile_for(std::size_t n_tokens) {
    if constexpr (place_kind == KeptPlaces::bits8) {
        return multiply_tile<value_kind, place_kind, 1>;
    } else {
        return n_tokens == 1   ? multiply_tile<value_kind, place_kind, 1>
               : n_tokens == 2 ? multiply_tile<value_kind, place_kind, 2>
                               : multiply_tile<value_kind, place_kind, 4>;
    }
}

template <KeptValues value_kind>
MultiplyTile tile_for(KeptPlaces places, std::size_t n_tokens) {
    switch (places) {
        case KeptPlaces::bits2:
            return tile_for<value_kind, KeptPlaces::bits2>(n_tokens);
        case KeptPlaces::bits4:
            return tile_for<value_kind, KeptPlaces::bits4>(n_tokens);
        case KeptPlaces::bits8:
            return tile_for<value_kind, KeptPlaces::bits8>(n_tokens);
    }
    return nullptr;
}

MultiplyTile tile_for(const KeptLayout& layout, std::size_t n_tokens) {
    switch (layout.values) {
        case KeptValues::f32:
            return tile_for<KeptValues::f32>(layout.places, n_tokens);
        case KeptValues::f16:
            return tile_for<KeptValues::f16>(layout.places, n_tokens);
        case KeptValues::bf16:
            return tile_for<KeptValues::bf16>(layout.places, n_tokens);
        case KeptValues::bits4:
            return tile_for<KeptValues::bits4>(layout.places, n_tokens);
        case KeptValues::bits8:
            return tile_for<KeptValues::bits8>(layout.places, n_tokens);
        case KeptValues::planes1:
            return tile_for<KeptValues::planes1>(layout.places, n_tokens);
        case KeptValues::planes2:
            return tile_for<KeptValues::planes2>(layout.places, n_tokens);
        case KeptValues::planes3:
            return tile_for<KeptValues::planes3>(layout.places, n_tokens);
        case KeptValues::planes4:
            return tile_for<KeptValues::planes4>(layout.places, n_tokens);
    }
    return nullptr;
}

}  // namespace

void multiply_kept(const KeptGroup& group, const float* x, std::size_t x_stride,
                   std::size_t n_tokens, float* y, std::size_t y_stride) {
    std::size_t n = 0;
    for (std::size_t t = 0; t < n_tokens; t += n) {
        n = tokens_at_once(group.layout->places, n_tokens - t);
        tile_for(*group.layout, n)(group, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
