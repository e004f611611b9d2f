#pragma once

#include <cstddef>
#include <cstdint>

namespace lathe::kernels {

/// How a stored value of an N:M sparse matrix is written: as a number, as a signed whole number of
/// 4 or 8 bits, or as the bits of a binary code of 1 to 4 planes.
enum class KeptValues { f32, f16, bf16, bits4, bits8, planes1, planes2, planes3, planes4 };

/// 0 if they are no binary codes.
[[nodiscard]] constexpr std::size_t planes_of(KeptValues values) {
    return values < KeptValues::planes1 ? 0
                                        : static_cast<std::size_t>(values) -
                                              static_cast<std::size_t>(KeptValues::planes1) + 1;
}

/// How the places of eight stored values of a row are written: in 2 or 4 bits each the column in
/// one of the windows of 4 or 16 columns that the eight come from; in 8 bits the column from the
/// first on.
enum class KeptPlaces { bits2, bits4, bits8 };

/// Bytes of the places and of the values of an octet of 16 rows.
[[nodiscard]] constexpr std::size_t bytes_of(KeptPlaces places) {
    return places == KeptPlaces::bits2 ? 32 : places == KeptPlaces::bits4 ? 64 : 128;
}
[[nodiscard]] constexpr std::size_t bytes_of(KeptValues values) {
    switch (values) {
        case KeptValues::f32:
            return 512;
        case KeptValues::f16:
        case KeptValues::bf16:
            return 256;
        case KeptValues::bits4:
            return 64;
        case KeptValues::bits8:
            return 128;
        default:
            return 16 * planes_of(values);
    }
}

/// How the stored values of N:M sparse weights lie, eight to an *octet*. Sections of columns that
/// are alike follow one another.
struct KeptLayout {
    KeptValues values = KeptValues::f32;
    KeptPlaces places = KeptPlaces::bits2;
    std::size_t section_cols = 0;    ///< columns that an octet, or several, come from
    std::size_t section_octets = 0;  ///< in which all stored ones of a section have room
    std::size_t section_values = 0;  ///< stored in a section that is not cut off
    std::uint16_t windows[8] = {};   ///< first column of the window of each of an octet's values

    bool has_offset = false;  ///< of binary codes, else it is 0
};

/// One group of columns of the rows of a tile of N:M sparse weights
/// (kernels/cpu/packed/nm_packed.hpp).
struct KeptGroup {
    const KeptLayout* layout = nullptr;
    /// [64 / 16 rows][n_sections * section_octets][octet_bytes]: the places of 16 rows, in 2 or 4
    /// bits a word a row, the first lowest, in 8 bits [8][16]; then their values, of 4 bits a word
    /// of 32 bits a row, of binary codes [8][n_planes] words of 16 bits with a bit for each row,
    /// else [8][16]. What a section does not fill is 0, which of a binary code is a value too.
    const std::byte* octets = nullptr;
    /// fp16 [n_terms][64]: a scale, of binary codes one for each plane and then the offset if there
    /// is one; or null: scales of 1.
    const std::uint16_t* terms = nullptr;
    std::size_t n_stored = 0;  ///< values of each row
    std::size_t n_sections = 0;
};
/// What a kernel may read of x behind the columns of a group.
inline constexpr std::size_t kept_overhang = 256;

}  // namespace lathe::kernels
