#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/packed/packed_matrix.hpp"
#include "lib/core/coded_matrix.hpp"

namespace lathe::kernels {

/// The stored values of N:M sparse weights and their places, in tiles of 64 rows; a tile is one
/// stream of memory, for each piece of columns KeptGroup::octets, then the terms. Rows behind the
/// last are 0.
class CpuNm final : public CpuPackedMatrix {
public:
    CpuNm(const NmMatrix& matrix, ThreadPool& pool);

    [[nodiscard]] std::size_t rows() const noexcept override { return rows_; }
    [[nodiscard]] std::size_t cols() const noexcept override { return cols_; }
    [[nodiscard]] std::size_t size_bytes() const noexcept override { return size_; }
    void decode_row(std::size_t row, float* values) const override;
    [[nodiscard]] bool is_sparse() const noexcept override { return true; }

    [[nodiscard]] std::size_t n_tiles() const {
        return (rows_ + lookup_tile_rows - 1) / lookup_tile_rows;
    }
    [[nodiscard]] std::size_t n_pieces() const { return offsets_.size(); }
    /// The first column of a piece.
    [[nodiscard]] std::size_t begin(std::size_t piece) const { return piece * piece_cols_; }
    [[nodiscard]] KeptGroup group(std::size_t tile, std::size_t piece) const;

private:
    /// The values of binary codes.
    using LevelTable = std::array<float, 16>;

    [[nodiscard]] std::size_t size(std::size_t piece) const {
        return std::min(piece_cols_, cols_ - begin(piece));
    }
    [[nodiscard]] std::size_t n_stored(std::size_t piece) const {
        return size(piece) / pattern_.m * pattern_.n;
    }
    [[nodiscard]] std::size_t n_sections(std::size_t piece) const;
    [[nodiscard]] bool coded() const { return n_scales_ > 0; }
    [[nodiscard]] std::size_t n_terms() const { return n_scales_ + (layout_.has_offset ? 1 : 0); }
    [[nodiscard]] std::byte* at(std::size_t tile, std::size_t piece) const {
        return static_cast<std::byte*>(memory_.get()) + tile * tile_bytes_ + offsets_[piece];
    }
    [[nodiscard]] std::size_t octet_bytes() const {
        return bytes_of(layout_.places) + bytes_of(layout_.values);
    }
    /// The octets of a piece in the strip of a row.
    [[nodiscard]] std::byte* octets(std::size_t row, std::size_t piece) const;
    /// The first term of a row; the next lies lookup_tile_rows behind it.
    [[nodiscard]] std::uint16_t* terms(std::size_t row, std::size_t piece) const;
    [[nodiscard]] LevelTable levels(std::size_t row, std::size_t piece) const;
    void store_terms(std::size_t row, std::size_t piece, const NmRow& from);
    void store_row(const NmMatrix& matrix, std::size_t row, const NmRow& from);

    std::size_t rows_;
    std::size_t cols_;
    NmPattern pattern_;
    std::size_t n_scales_;  ///< of a row and group; 0 without codes
    KeptLayout layout_;
    std::size_t piece_cols_;
    std::vector<std::size_t> offsets_;  ///< of the pieces in a tile, in bytes
    std::size_t tile_bytes_ = 0;
    std::size_t size_ = 0;
    std::shared_ptr<void> memory_;
};

}  // namespace lathe::kernels
