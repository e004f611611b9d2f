#include "kernels/cpu/nm_packed.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cpu/scratch.hpp"
#include "lib/core/half.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t strips_per_tile = lookup_tile_rows / strip;
constexpr std::size_t octet = 8;
/// Places of 8 bits name one of so many columns.
constexpr std::size_t widest_section = 256;
/// Without scales sums of so many columns are added up: errors grow with the length of a sum.
constexpr std::size_t usual_piece = 1024;

template <class T>
T read_as(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
template <class T>
void write_as(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof value);
}

/// Values from windows of `width` columns, if an octet's come from whole windows.
bool fit_windows(const NmPattern& pattern, std::size_t width, KeptLayout& layout) {
    if (width % pattern.m != 0 || octet % (width / pattern.m * pattern.n) != 0) {
        return false;
    }
    const std::size_t per_window = width / pattern.m * pattern.n;
    for (std::size_t i = 0; i < octet; ++i) {
        layout.windows[i] = static_cast<std::uint16_t>(i / per_window * width);
    }
    layout.section_cols = octet / per_window * width;
    layout.section_octets = 1;
    return true;
}

/// @pre  piece_cols is a multiple of m
KeptLayout layout_of(const NmMatrix& matrix, std::size_t piece_cols) {
    KeptLayout layout;
    if (matrix.num_bits > 0) {
        layout.values = matrix.num_bits <= 4 ? KeptValues::bits4 : KeptValues::bits8;
        layout.value_bytes = matrix.num_bits <= 4 ? 64 : 128;
    } else if (matrix.value_type == DType::f16 || matrix.value_type == DType::bf16) {
        layout.values = matrix.value_type == DType::f16 ? KeptValues::f16 : KeptValues::bf16;
        layout.value_bytes = 256;
    } else {
        layout.values = KeptValues::f32;
        layout.value_bytes = 512;
    }
    if (fit_windows(matrix.pattern, 4, layout)) {
        layout.places = KeptPlaces::bits2;
        layout.place_bytes = 32;
    } else if (fit_windows(matrix.pattern, 16, layout)) {
        layout.places = KeptPlaces::bits4;
        layout.place_bytes = 64;
    } else {
        // Groups of m whose values fill whole octets, if there are as many.
        std::size_t n_groups = widest_section / matrix.pattern.m;
        n_groups = n_groups >= octet ? n_groups / octet * octet : n_groups;
        n_groups = std::clamp<std::size_t>(piece_cols / matrix.pattern.m, 1, n_groups);
        layout.places = KeptPlaces::bits8;
        layout.place_bytes = 128;
        layout.section_cols = n_groups * matrix.pattern.m;
        layout.section_octets = (n_groups * matrix.pattern.n + octet - 1) / octet;
    }
    return layout;
}

std::size_t piece_cols_of(const NmMatrix& matrix) {
    if (matrix.num_bits > 0) {
        return std::min(matrix.group_size, std::max<std::size_t>(matrix.cols, 1));
    }
    const std::size_t section = layout_of(matrix, matrix.cols).section_cols;
    const std::size_t piece = std::max<std::size_t>(1, usual_piece / section) * section;
    return std::min(piece, std::max<std::size_t>(matrix.cols, 1));
}

void write_place(const KeptLayout& layout, std::byte* octet_begin, std::size_t i, std::size_t r,
                 std::size_t place) {
    switch (layout.places) {
        case KeptPlaces::bits2: {
            std::byte* at = octet_begin + 2 * r;
            write_as(at, static_cast<std::uint16_t>(read_as<std::uint16_t>(at) | place << 2 * i));
            break;
        }
        case KeptPlaces::bits4: {
            std::byte* at = octet_begin + 4 * r;
            write_as(at, static_cast<std::uint32_t>(read_as<std::uint32_t>(at) | place << 4 * i));
            break;
        }
        case KeptPlaces::bits8:
            octet_begin[strip * i + r] = static_cast<std::byte>(place);
            break;
    }
}

std::size_t read_place(const KeptLayout& layout, const std::byte* octet_begin, std::size_t i,
                       std::size_t r) {
    switch (layout.places) {
        case KeptPlaces::bits2:
            return read_as<std::uint16_t>(octet_begin + 2 * r) >> 2 * i & 3U;
        case KeptPlaces::bits4:
            return read_as<std::uint32_t>(octet_begin + 4 * r) >> 4 * i & 15U;
        case KeptPlaces::bits8:
            return std::to_integer<std::size_t>(octet_begin[strip * i + r]);
    }
    return 0;
}

void write_value(const KeptLayout& layout, std::byte* values, std::size_t i, std::size_t r,
                 float value) {
    const std::size_t place = strip * i + r;
    switch (layout.values) {
        case KeptValues::f32:
            write_as(values + 4 * place, value);
            break;
        case KeptValues::f16:
            write_as(values + 2 * place, float_to_half(value));
            break;
        case KeptValues::bf16:
            write_as(values + 2 * place, float_to_bfloat16(value));
            break;
        case KeptValues::bits8:
            write_as(values + place, static_cast<std::int8_t>(value));
            break;
        case KeptValues::bits4: {
            std::byte* at = values + 4 * r;
            const auto four = static_cast<std::uint32_t>(static_cast<std::int32_t>(value)) & 15U;
            write_as(at, read_as<std::uint32_t>(at) | four << 4 * i);
            break;
        }
    }
}

float read_value(const KeptLayout& layout, const std::byte* values, std::size_t i, std::size_t r) {
    const std::size_t place = strip * i + r;
    switch (layout.values) {
        case KeptValues::f32:
            return read_as<float>(values + 4 * place);
        case KeptValues::f16:
            return half_to_float(read_as<std::uint16_t>(values + 2 * place));
        case KeptValues::bf16:
            return bfloat16_to_float(read_as<std::uint16_t>(values + 2 * place));
        case KeptValues::bits8:
            return static_cast<float>(read_as<std::int8_t>(values + place));
        case KeptValues::bits4: {
            const auto word = read_as<std::uint32_t>(values + 4 * r);
            return static_cast<float>(std::bit_cast<std::int32_t>(word << (28 - 4 * i)) >> 28);
        }
    }
    return 0.0F;
}

}  // namespace

CpuNm::CpuNm(const NmMatrix& matrix, ThreadPool& pool)
    : rows_(matrix.rows),
      cols_(matrix.cols),
      coded_(matrix.num_bits > 0),
      layout_(layout_of(matrix, piece_cols_of(matrix))),
      piece_cols_(piece_cols_of(matrix)) {
    for (std::size_t first = 0; first < cols_; first += piece_cols_) {
        offsets_.push_back(tile_bytes_);
        tile_bytes_ += strips_per_tile * n_sections(offsets_.size() - 1) * layout_.section_octets *
                           octet_bytes() +
                       (coded_ ? lookup_tile_rows * sizeof(std::uint16_t) : 0);
    }
    size_ = n_tiles() * tile_bytes_;
    memory_ = allocate_zeroed(size_);
    pool.for_each(n_tiles(), [&](std::size_t tile) {
        std::vector<std::uint8_t> keep(cols_);
        std::vector<float> values(coded_ ? 0 : matrix.stored());
        std::vector<std::uint8_t> codes(coded_ ? matrix.stored() : 0);
        std::vector<float> scales(coded_ ? group_count(cols_, matrix.group_size) : 0);
        const NmRow row_memory{keep.data(), values.data(), codes.data(), scales.data()};
        const std::size_t end = std::min(rows_, (tile + 1) * lookup_tile_rows);
        for (std::size_t row = tile * lookup_tile_rows; row < end; ++row) {
            matrix.read(row, row_memory);
            store_row(matrix, row, row_memory);
        }
    });
}

std::size_t CpuNm::n_sections(std::size_t piece) const {
    const std::size_t size = std::min(piece_cols_, cols_ - begin(piece));
    return (size + layout_.section_cols - 1) / layout_.section_cols;
}

KeptGroup CpuNm::group(std::size_t tile, std::size_t piece) const {
    const std::size_t row = tile * lookup_tile_rows;
    return {.layout = &layout_,
            .octets = at(tile, piece),
            .scales = coded_ ? scale(row, piece) : nullptr,
            .n_sections = n_sections(piece)};
}

std::byte* CpuNm::octets(std::size_t row, std::size_t piece) const {
    const std::size_t in_tile = row % lookup_tile_rows;
    return at(row / lookup_tile_rows, piece) +
           in_tile / strip * n_sections(piece) * layout_.section_octets * octet_bytes();
}

std::uint16_t* CpuNm::scale(std::size_t row, std::size_t piece) const {
    std::byte* scales = at(row / lookup_tile_rows, piece) + strips_per_tile * n_sections(piece) *
                                                                layout_.section_octets *
                                                                octet_bytes();
    return reinterpret_cast<std::uint16_t*>(scales) + row % lookup_tile_rows;
}

void CpuNm::store_row(const NmMatrix& matrix, std::size_t row, const NmRow& from) {
    const float zero = coded_ ? static_cast<float>(1U << (matrix.num_bits - 1)) : 0.0F;
    const std::size_t r = row % strip;
    std::size_t next = 0;
    for (std::size_t piece = 0; piece < n_pieces(); ++piece) {
        const std::size_t end = std::min(cols_, begin(piece) + piece_cols_);
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
                write_place(layout_, own, i, r, j - first - layout_.windows[i]);
                write_value(
                    layout_, own + layout_.place_bytes, i, r,
                    coded_ ? static_cast<float>(from.codes[next]) - zero : from.values[next]);
                ++stored;
                ++next;
            }
        }
        if (coded_) {
            *scale(row, piece) = float_to_half(from.scales[piece]);
        }
    }
}

void CpuNm::decode_row(std::size_t row, float* values) const {
    std::fill_n(values, cols_, 0.0F);
    const std::size_t r = row % strip;
    for (std::size_t piece = 0; piece < n_pieces(); ++piece) {
        const float factor = coded_ ? half_to_float(*scale(row, piece)) : 1.0F;
        const std::byte* own = octets(row, piece);
        for (std::size_t section = 0; section < n_sections(piece); ++section) {
            float* to = values + begin(piece) + section * layout_.section_cols;
            for (std::size_t o = 0; o < layout_.section_octets; ++o, own += octet_bytes()) {
                for (std::size_t i = 0; i < octet; ++i) {
                    const float value = read_value(layout_, own + layout_.place_bytes, i, r);
                    // Where a section is not filled there are zeros, at places of other columns.
                    if (value != 0.0F) {
                        to[layout_.windows[i] + read_place(layout_, own, i, r)] = factor * value;
                    }
                }
            }
        }
    }
}

}  // namespace lathe::kernels
