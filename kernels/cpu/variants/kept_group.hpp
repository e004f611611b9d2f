#pragma once

#include <cstddef>
#include <cstdint>

namespace lathe::kernels {

/// How a stored value of an N:M sparse matrix is written.
enum class KeptValues { f32, f16, bf16, bits4, bits8 };

/// How the places of eight stored values of a row are written: in 2 or 4 bits each the column in
/// one of the windows of 4 or 16 columns that the eight come from; in 8 bits the column from the
/// first on.
enum class KeptPlaces { bits2, bits4, bits8 };

/// How the stored values of N:M sparse weights lie, eight to an *octet*. Sections of columns that
/// are alike follow one another.
struct KeptLayout {
    KeptValues values = KeptValues::f32;
    KeptPlaces places = KeptPlaces::bits2;
    std::size_t section_cols = 0;    ///< columns that an octet, or several, come from
    std::size_t section_octets = 0;  ///< in which all stored ones of a section have room
    std::uint16_t windows[8] = {};   ///< first column of the window of each of an octet's values

    /// Of an octet of 16 rows: 32, 64 or 128 for its places, 512, 256, 64 or 128 for its values.
    std::size_t place_bytes = 0;
    std::size_t value_bytes = 0;
};

/// One group of columns of the rows of a tile of N:M sparse weights (kernels/cpu/nm_packed.hpp).
struct KeptGroup {
    const KeptLayout* layout = nullptr;
    /// [64 / 16 rows][n_sections * section_octets][octet_bytes]: the places of 16 rows, in 2 or 4
    /// bits a word a row, the first lowest, in 8 bits [8][16]; then their values, of 4 bits a word
    /// of 32 bits a row, else [8][16]. Values of 4 and 8 bits are signed whole numbers.
    const std::byte* octets = nullptr;
    const std::uint16_t* scales = nullptr;  ///< fp16 [64], or null: all 1
    std::size_t n_sections = 0;
};
/// What a kernel may read of x behind the columns of a group.
inline constexpr std::size_t kept_overhang = 256;

}  // namespace lathe::kernels
