#pragma once

#include <cstddef>
#include <cstdint>

namespace lathe {

/// How the places of the stored values of an N:M row are written down: a few bits for each symbol.
/// A symbol is a group (2:4 and 1:4) or a column (all other patterns).
struct NmMeta {
    std::size_t n = 0;
    std::size_t m = 0;

    [[nodiscard]] bool by_group() const { return m == 4 && n <= 2; }
    [[nodiscard]] unsigned bits_per_symbol() const { return by_group() ? (n == 2 ? 4U : 2U) : 1U; }
    [[nodiscard]] std::size_t symbols(std::size_t cols) const {
        return by_group() ? cols / m : cols;
    }

    /// Symbols of a row with exactly n ones in each m. keep [cols]
    void write(const std::uint8_t* keep, std::size_t cols, std::uint8_t* symbols) const;
    /// The inverse. Returns the first group whose symbols are illegal, or cols / m if none is; the
    /// places of that group and those after it are not written.
    [[nodiscard]] std::size_t read(const std::uint8_t* symbols, std::size_t cols,
                                   std::uint8_t* keep) const;
};

}  // namespace lathe
