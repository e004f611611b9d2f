#include "lib/encoding/nm_meta.hpp"

#include <algorithm>

namespace lathe {

void NmMeta::write(const std::uint8_t* keep, std::size_t cols, std::uint8_t* symbols) const {
    if (!by_group()) {
        std::copy_n(keep, cols, symbols);
        return;
    }
    for (std::size_t group = 0; group < cols / m; ++group) {
        unsigned symbol = 0;
        unsigned shift = 0;
        for (unsigned i = 0; i < m; ++i) {
            if (keep[group * m + i] != 0) {
                symbol |= i << shift;
                shift += 2;
            }
        }
        symbols[group] = static_cast<std::uint8_t>(symbol);
    }
}

std::size_t NmMeta::read(const std::uint8_t* symbols, std::size_t cols, std::uint8_t* keep) const {
    const std::size_t n_groups = cols / m;
    for (std::size_t group = 0; group < n_groups; ++group) {
        std::uint8_t* places = keep + group * m;
        if (by_group()) {
            const unsigned first = symbols[group] & 3U;
            const unsigned second = symbols[group] >> 2;
            if (n == 2 && first >= second) {
                return group;
            }
            std::fill_n(places, m, std::uint8_t{0});
            places[first] = 1;
            if (n == 2) {
                places[second] = 1;
            }
            continue;
        }
        const std::uint8_t* bits = symbols + group * m;
        if (static_cast<std::size_t>(std::count(bits, bits + m, std::uint8_t{1})) != n) {
            return group;
        }
        std::copy_n(bits, m, places);
    }
    return n_groups;
}

}  // namespace lathe
