#include "kernels/cpu/packed/packed_matrix.hpp"

#include <algorithm>
#include <array>

#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/layouts/binary_codes.hpp"
#include "lib/core/half.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t widest_piece = 512;
/// In narrower ones the last steps of a group take longer than tables of int8 save.
constexpr std::size_t least_coarse_piece = 64;
constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t strips_per_tile = lookup_tile_rows / strip;

/// Half of the largest code: uniform codes are this far from the sum of their planes' signs.
float middle_of(unsigned num_bits) {
    return 0.5F * static_cast<float>((1U << num_bits) - 1U);
}

/// Where the bytes of a word lie in the block of each plane.
using WordBytes = std::array<std::size_t, 4>;

/// Where the four bytes of a row's word lie.
WordBytes word_bytes(bool coarse, std::size_t row_in_strip) {
    WordBytes places{};
    for (std::size_t b = 0; b < places.size(); ++b) {
        places[b] = coarse ? strip * b + row_in_strip : 4 * row_in_strip + b;
    }
    return places;
}

/// codes[t]: bit p is bit t of the word of plane p.
LATHE_VECTOR_CLONES
void decode_words(const std::byte* blocks, const WordBytes& places, std::size_t n_planes,
                  std::uint8_t* codes) {
    std::uint32_t wide[lookup_chunk] = {};
    for (std::size_t p = 0; p < n_planes; ++p) {
        std::uint32_t word = 0;
        for (std::size_t b = 0; b < places.size(); ++b) {
            word |= std::to_integer<std::uint32_t>(blocks[p * lookup_block_bytes + places[b]])
                    << 8 * b;
        }
        for (std::uint32_t t = 0; t < lookup_chunk; ++t) {
            wide[t] |= (word >> t & 1U) << p;
        }
    }
    for (std::size_t t = 0; t < lookup_chunk; ++t) {
        codes[t] = static_cast<std::uint8_t>(wide[t]);
    }
}

/// The word of plane p gets bit p of each of n <= 32 codes; the inverse of decode_words().
LATHE_VECTOR_CLONES
void encode_words(const std::uint8_t* codes, std::size_t n, std::size_t n_planes,
                  const WordBytes& places, std::byte* blocks) {
    std::uint32_t wide[lookup_chunk] = {};
    for (std::size_t t = 0; t < n; ++t) {
        wide[t] = codes[t];
    }
    for (std::size_t p = 0; p < n_planes; ++p) {
        std::uint32_t word = 0;
        for (std::uint32_t t = 0; t < lookup_chunk; ++t) {
            word |= (wide[t] >> p & 1U) << t;
        }
        for (std::size_t b = 0; b < places.size(); ++b) {
            blocks[p * lookup_block_bytes + places[b]] = static_cast<std::byte>(word >> 8 * b);
        }
    }
}

/// Which half of which byte of the blocks of four planes holds a column's four bits of a row.
struct Nibble {
    std::size_t byte;
    unsigned shift;

    Nibble(std::size_t column, std::size_t row_in_strip)
        : byte(column / 8 * lookup_block_bytes + 4 * row_in_strip + column % 4),
          shift(column % 8 < 4 ? 0 : 4) {}
};
constexpr std::size_t nibble_plane_bytes = 4 * lookup_block_bytes;

void encode_nibbles(const std::uint8_t* codes, std::size_t n, std::size_t n_planes,
                    std::size_t row_in_strip, std::byte* blocks) {
    for (std::size_t p = 0; p < n_planes / 4; ++p) {
        for (std::size_t t = 0; t < n; ++t) {
            const Nibble at(t, row_in_strip);
            const unsigned four = codes[t] >> 4 * p & 15U;
            blocks[p * nibble_plane_bytes + at.byte] |= static_cast<std::byte>(four << at.shift);
        }
    }
}

void decode_nibbles(const std::byte* blocks, std::size_t n_planes, std::size_t row_in_strip,
                    std::uint8_t* codes) {
    std::fill_n(codes, lookup_chunk, std::uint8_t{0});
    for (std::size_t p = 0; p < n_planes / 4; ++p) {
        for (std::size_t t = 0; t < lookup_chunk; ++t) {
            const Nibble at(t, row_in_strip);
            const auto own = std::to_integer<unsigned>(blocks[p * nibble_plane_bytes + at.byte]);
            codes[t] = static_cast<std::uint8_t>(codes[t] | (own >> at.shift & 15U) << 4 * p);
        }
    }
}

}  // namespace

ColumnCut::ColumnCut(std::size_t cols_, std::size_t group_size_)
    : cols(cols_),
      group_size(std::min(group_size_, std::max<std::size_t>(cols_, 1))),
      piece(std::min(group_size, widest_piece)) {}

std::vector<ColumnCut::Piece> ColumnCut::pieces() const {
    std::vector<Piece> result;
    std::size_t chunk = 0;
    for (std::size_t begin = 0; begin < cols;) {
        const std::size_t group = begin / group_size;
        const std::size_t group_end = std::min((group + 1) * group_size, cols);
        const std::size_t size = std::min(piece, group_end - begin);
        const std::size_t n_chunks = (size + lookup_chunk - 1) / lookup_chunk;
        result.push_back({begin, size, group, chunk, n_chunks});
        chunk += n_chunks;
        begin += size;
    }
    return result;
}

CodedProduct fastest_product(const CodedMatrix& matrix, const ColumnCut& cut) {
    const bool coarse = matrix.tables == LookupTables::int8;
    // Measured in groups of 32 to 512: docs/notes/kernels.md.
    if (matrix.uniform && matrix.num_bits % 4 == 0) {
        return coarse ? CodedProduct::coarse_multiply : CodedProduct::multiply;
    }
    return coarse && cut.piece >= least_coarse_piece ? CodedProduct::coarse_lookup
                                                     : CodedProduct::lookup;
}

CpuPacked::CpuPacked(const CodedMatrix& matrix, ThreadPool& pool)
    : rows_(matrix.rows),
      cut_(matrix.cols, matrix.group_size),
      num_bits_(matrix.num_bits),
      uniform_(matrix.uniform),
      has_offsets_(matrix.has_offsets),
      product_(fastest_product(matrix, cut_)),
      usual_offset_(uniform_ ? middle_of(num_bits_) - usual_offset(matrix) : usual_offset(matrix)),
      pieces_(cut_.pieces()) {
    for (const ColumnCut::Piece& piece : pieces_) {
        offsets_.push_back(tile_bytes_);
        tile_bytes_ += piece.n_chunks * num_bits_ * strips_per_tile * lookup_block_bytes +
                       n_terms() * lookup_tile_rows * sizeof(std::uint16_t);
    }
    size_ = n_tiles() * tile_bytes_;
    memory_ = allocate_zeroed(size_);
    const std::size_t n_groups = group_count(cut_.cols, cut_.group_size);
    pool.for_each(n_tiles(), [&](std::size_t tile) {
        std::vector<std::uint8_t> codes(cut_.cols);
        std::vector<float> scales(n_groups * n_scales());
        std::vector<float> offsets(n_groups);
        const std::size_t end = std::min(rows_, (tile + 1) * lookup_tile_rows);
        for (std::size_t row = tile * lookup_tile_rows; row < end; ++row) {
            matrix.read(row, codes.data(), scales.data(), offsets.data());
            store_row(row, codes.data(), scales.data(), offsets.data());
        }
    });
}

LookupGroup CpuPacked::group(std::size_t tile, std::size_t piece) const {
    const std::byte* begin = at(tile, piece);
    const std::size_t n_chunks = pieces_[piece].n_chunks;
    const std::size_t plane_bytes = n_chunks * num_bits_ * strips_per_tile * lookup_block_bytes;
    return {.planes = begin,
            .terms = reinterpret_cast<const std::uint16_t*>(begin + plane_bytes),
            .n_chunks = n_chunks,
            .n_planes = num_bits_,
            .uniform = uniform_,
            .has_offset = has_offsets_,
            .usual_offset = usual_offset_};
}

void CpuPacked::encode_codes(const std::uint8_t* codes, std::size_t n, std::size_t row_in_strip,
                             std::byte* blocks) const {
    if (product_ == CodedProduct::multiply || product_ == CodedProduct::coarse_multiply) {
        encode_nibbles(codes, n, num_bits_, row_in_strip, blocks);
    } else {
        encode_words(codes, n, num_bits_,
                     word_bytes(product_ == CodedProduct::coarse_lookup, row_in_strip), blocks);
    }
}

void CpuPacked::decode_codes(const std::byte* blocks, std::size_t row_in_strip,
                             std::uint8_t* codes) const {
    if (product_ == CodedProduct::multiply || product_ == CodedProduct::coarse_multiply) {
        decode_nibbles(blocks, num_bits_, row_in_strip, codes);
    } else {
        decode_words(blocks, word_bytes(product_ == CodedProduct::coarse_lookup, row_in_strip),
                     num_bits_, codes);
    }
}

void CpuPacked::store_row(std::size_t row, const std::uint8_t* codes, const float* scales,
                          const float* offsets) {
    const std::size_t in_tile = row % lookup_tile_rows;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
        const ColumnCut::Piece& piece = pieces_[i];
        const std::size_t strip_bytes = piece.n_chunks * num_bits_ * lookup_block_bytes;
        std::byte* begin = at(row / lookup_tile_rows, i);
        auto* terms = reinterpret_cast<std::uint16_t*>(begin + strips_per_tile * strip_bytes);
        std::byte* blocks = begin + in_tile / strip * strip_bytes;
        for (std::size_t j = 0; j < piece.size; j += lookup_chunk) {
            encode_codes(codes + piece.begin + j, std::min(lookup_chunk, piece.size - j),
                         in_tile % strip,
                         blocks + j / lookup_chunk * num_bits_ * lookup_block_bytes);
        }
        const float* scale = scales + piece.group * n_scales();
        for (std::size_t k = 0; k < n_scales(); ++k) {
            terms[k * lookup_tile_rows + in_tile] = float_to_half(scale[k]);
        }
        if (has_offsets_) {
            const float offset = offsets[piece.group];
            terms[n_scales() * lookup_tile_rows + in_tile] =
                float_to_half(uniform_ ? middle_of(num_bits_) - offset : offset);
        }
    }
}

void CpuPacked::decode_row(std::size_t row, float* values) const {
    const std::size_t in_tile = row % lookup_tile_rows;
    std::array<float, 8> scales{};
    std::array<float, 256> levels{};
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
        const ColumnCut::Piece& piece = pieces_[i];
        const LookupGroup group = this->group(row / lookup_tile_rows, i);
        for (std::size_t k = 0; k < n_terms() && k < scales.size(); ++k) {
            scales[k] = half_to_float(group.terms[k * lookup_tile_rows + in_tile]);
        }
        float offset = has_offsets_
                           ? half_to_float(group.terms[n_scales() * lookup_tile_rows + in_tile])
                           : usual_offset_;
        offset = uniform_ ? middle_of(num_bits_) - offset : offset;
        for (unsigned c = 0; c < 1U << num_bits_; ++c) {
            levels[c] = coded_value(c, scales.data(), offset, num_bits_, uniform_);
        }
        const std::byte* blocks =
            group.planes + in_tile / strip * piece.n_chunks * num_bits_ * lookup_block_bytes;
        for (std::size_t j = 0; j < piece.size; j += lookup_chunk) {
            std::array<std::uint8_t, lookup_chunk> codes;
            decode_codes(blocks + j / lookup_chunk * num_bits_ * lookup_block_bytes,
                         in_tile % strip, codes.data());
            for (std::size_t t = 0; t < std::min(lookup_chunk, piece.size - j); ++t) {
                values[piece.begin + j + t] = levels[codes[t]];
            }
        }
    }
}

}  // namespace lathe::kernels
