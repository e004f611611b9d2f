#include "kernels/cpu/packed/nm_packed.hpp"

#include <algorithm>
#include <array>

#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/packed/nm_layout.hpp"
#include "kernels/layouts/binary_codes.hpp"
#include "lib/core/half.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t strips_per_tile = lookup_tile_rows / strip;
constexpr std::size_t octet = kept_octet;

}  // namespace

CpuNm::CpuNm(const NmMatrix& matrix, ThreadPool& pool)
    : rows_(matrix.rows),
      cols_(matrix.cols),
      pattern_(matrix.pattern),
      n_scales_(matrix.num_bits > 0 ? matrix.scales_per_group() : 0),
      layout_(kept_layout(matrix, kept_piece_cols(matrix))),
      piece_cols_(kept_piece_cols(matrix)) {
    for (std::size_t first = 0; first < cols_; first += piece_cols_) {
        offsets_.push_back(tile_bytes_);
        tile_bytes_ += strips_per_tile * n_sections(offsets_.size() - 1) * layout_.section_octets *
                           octet_bytes() +
                       n_terms() * lookup_tile_rows * sizeof(std::uint16_t);
    }
    size_ = n_tiles() * tile_bytes_;
    memory_ = allocate_zeroed(size_);
    pool.for_each(n_tiles(), [&](std::size_t tile) {
        std::vector<std::uint8_t> keep(cols_);
        std::vector<float> values(coded() ? 0 : matrix.stored());
        std::vector<std::uint8_t> codes(coded() ? matrix.stored() : 0);
        std::vector<float> scales(matrix.groups() * n_scales_);
        std::vector<float> offsets(layout_.has_offset ? matrix.groups() : 0);
        const NmRow row_memory{keep.data(), values.data(), codes.data(), scales.data(),
                               offsets.data()};
        const std::size_t end = std::min(rows_, (tile + 1) * lookup_tile_rows);
        for (std::size_t row = tile * lookup_tile_rows; row < end; ++row) {
            matrix.read(row, row_memory);
            store_row(matrix, row, row_memory);
        }
    });
}

std::size_t CpuNm::n_sections(std::size_t piece) const {
    return (size(piece) + layout_.section_cols - 1) / layout_.section_cols;
}

KeptGroup CpuNm::group(std::size_t tile, std::size_t piece) const {
    return {.layout = &layout_,
            .octets = at(tile, piece),
            .terms = coded() ? terms(tile * lookup_tile_rows, piece) : nullptr,
            .n_stored = n_stored(piece),
            .n_sections = n_sections(piece)};
}

std::byte* CpuNm::octets(std::size_t row, std::size_t piece) const {
    const std::size_t in_tile = row % lookup_tile_rows;
    return at(row / lookup_tile_rows, piece) +
           in_tile / strip * n_sections(piece) * layout_.section_octets * octet_bytes();
}

std::uint16_t* CpuNm::terms(std::size_t row, std::size_t piece) const {
    std::byte* begin = at(row / lookup_tile_rows, piece) +
                       strips_per_tile * n_sections(piece) * layout_.section_octets * octet_bytes();
    return reinterpret_cast<std::uint16_t*>(begin) + row % lookup_tile_rows;
}

void CpuNm::store_terms(std::size_t row, std::size_t piece, const NmRow& from) {
    std::uint16_t* own = terms(row, piece);
    for (std::size_t k = 0; k < n_scales_; ++k) {
        own[k * lookup_tile_rows] = float_to_half(from.scales[piece * n_scales_ + k]);
    }
    if (layout_.has_offset) {
        own[n_scales_ * lookup_tile_rows] = float_to_half(from.offsets[piece]);
    }
}

void CpuNm::store_row(const NmMatrix& matrix, std::size_t row, const NmRow& from) {
    const float zero =
        coded() && !matrix.binary ? static_cast<float>(1U << (matrix.num_bits - 1)) : 0.0F;
    const std::size_t r = row % strip;
    std::size_t next = 0;
    for (std::size_t piece = 0; piece < n_pieces(); ++piece) {
        const std::size_t end = begin(piece) + size(piece);
        for (std::size_t first = begin(piece); first < end; first += layout_.section_cols) {
            const std::size_t section = (first - begin(piece)) / layout_.section_cols;
            std::byte* begin_of_section =
                octets(row, piece) + section * layout_.section_octets * octet_bytes();
            std::size_t stored = 0;
            for (std::size_t j = first; j < std::min(end, first + layout_.section_cols); ++j) {
                if (from.keep[j] == 0) {
                    continue;
                }
                std::byte* own = begin_of_section + stored / octet * octet_bytes();
                const std::size_t i = stored % octet;
                write_kept_place(layout_, own, i, r, j - first - layout_.windows[i]);
                write_kept_value(
                    layout_, own + bytes_of(layout_.places), i, r,
                    coded() ? static_cast<float>(from.codes[next]) - zero : from.values[next]);
                ++stored;
                ++next;
            }
        }
        store_terms(row, piece, from);
    }
}

CpuNm::LevelTable CpuNm::levels(std::size_t row, std::size_t piece) const {
    const std::size_t n_planes = planes_of(layout_.values);
    const std::uint16_t* own = terms(row, piece);
    std::array<float, 4> scales{};
    for (std::size_t p = 0; p < n_planes; ++p) {
        scales[p] = half_to_float(own[p * lookup_tile_rows]);
    }
    const float offset =
        layout_.has_offset ? half_to_float(own[n_planes * lookup_tile_rows]) : 0.0F;
    LevelTable levels{};
    for (unsigned code = 0; code < 1U << n_planes; ++code) {
        levels[code] =
            coded_value(code, scales.data(), offset, static_cast<unsigned>(n_planes), false);
    }
    return levels;
}

void CpuNm::decode_row(std::size_t row, float* values) const {
    std::fill_n(values, cols_, 0.0F);
    const std::size_t r = row % strip;
    const bool binary = planes_of(layout_.values) > 0;
    for (std::size_t piece = 0; piece < n_pieces(); ++piece) {
        const float factor = coded() && !binary ? half_to_float(*terms(row, piece)) : 1.0F;
        const LevelTable levels = binary ? this->levels(row, piece) : LevelTable{};
        const std::byte* section = octets(row, piece);
        for (std::size_t first = 0; first < n_stored(piece); first += layout_.section_values) {
            const std::size_t n = std::min(layout_.section_values, n_stored(piece) - first);
            float* to =
                values + begin(piece) + first / layout_.section_values * layout_.section_cols;
            for (std::size_t k = 0; k < n; ++k) {
                const std::byte* own = section + k / octet * octet_bytes();
                const std::size_t i = k % octet;
                const float value = read_kept_value(layout_, own + bytes_of(layout_.places), i, r);
                to[layout_.windows[i] + read_kept_place(layout_, own, i, r)] =
                    binary ? levels[static_cast<std::size_t>(value)] : factor * value;
            }
            section += layout_.section_octets * octet_bytes();
        }
    }
}

}  // namespace lathe::kernels
