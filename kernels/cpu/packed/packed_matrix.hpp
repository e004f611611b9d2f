#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "kernels/cpu/variants/vector_kernels.hpp"

namespace lathe {
class ThreadPool;
}

namespace lathe::kernels {

/// How the columns of a packed matrix are cut: into pieces of a group, each filled up with zeros to
/// whole chunks of 32 columns. Matrices with the same cut share the tables of an x.
struct ColumnCut {
    std::size_t cols = 0;
    std::size_t group_size = 1;
    std::size_t piece = 1;  ///< columns of a piece at most; pieces do not cross groups

    /// Wide groups are cut so that the tables of a piece stay in the first-level cache.
    ColumnCut(std::size_t cols_, std::size_t group_size_);

    struct Piece {
        std::size_t begin = 0;  ///< first column
        std::size_t size = 0;
        std::size_t group = 0;
        std::size_t first_chunk = 0;
        std::size_t n_chunks = 0;
    };
    [[nodiscard]] std::vector<Piece> pieces() const;
    bool operator==(const ColumnCut&) const = default;
};

/// How a packed matrix is multiplied with a few tokens, which settles the order of its bytes.
enum class CodedProduct { lookup, coarse_lookup, multiply, coarse_multiply };

/// The fastest for a matrix among those that are exact, or that are not if its `tables` allow it.
[[nodiscard]] CodedProduct fastest_product(const CodedMatrix& matrix, const ColumnCut& cut);

/// What all packed matrices of this backend can do.
class CpuPackedMatrix : public PackedMatrix {
public:
    /// The values of a row. values [cols]
    virtual void decode_row(std::size_t row, float* values) const = 0;
    /// Whether it is a CpuNm (kernels/cpu/packed/nm_packed.hpp), else a CpuPacked.
    [[nodiscard]] virtual bool is_sparse() const noexcept = 0;
};

/// Codes in tiles of 64 rows; a tile is one stream of memory, in the order in which a
/// product reads it: for each piece of columns LookupGroup::planes, then the terms.
/// Rows behind the last have scales of 0.
class CpuPacked final : public CpuPackedMatrix {
public:
    CpuPacked(const CodedMatrix& matrix, ThreadPool& pool);

    [[nodiscard]] std::size_t rows() const noexcept override { return rows_; }
    [[nodiscard]] std::size_t cols() const noexcept override { return cut_.cols; }
    [[nodiscard]] std::size_t size_bytes() const noexcept override { return size_; }

    [[nodiscard]] const ColumnCut& cut() const { return cut_; }
    [[nodiscard]] CodedProduct product() const { return product_; }
    [[nodiscard]] const std::vector<ColumnCut::Piece>& pieces() const { return pieces_; }
    [[nodiscard]] std::size_t n_tiles() const {
        return (rows_ + lookup_tile_rows - 1) / lookup_tile_rows;
    }
    /// The piece with this number of a tile.
    [[nodiscard]] LookupGroup group(std::size_t tile, std::size_t piece) const;
    /// The values are those of coded_value().
    void decode_row(std::size_t row, float* values) const override;
    [[nodiscard]] bool is_sparse() const noexcept override { return false; }

private:
    [[nodiscard]] std::byte* at(std::size_t tile, std::size_t piece) const {
        return static_cast<std::byte*>(memory_.get()) + tile * tile_bytes_ + offsets_[piece];
    }
    [[nodiscard]] std::size_t n_scales() const { return uniform_ ? 1 : num_bits_; }
    [[nodiscard]] std::size_t n_terms() const { return n_scales() + (has_offsets_ ? 1 : 0); }
    /// The blocks of a chunk hold n <= 32 codes of a row of their strip. Of decode_codes() the
    /// codes behind n mean nothing.
    void encode_codes(const std::uint8_t* codes, std::size_t n, std::size_t row_in_strip,
                      std::byte* blocks) const;
    void decode_codes(const std::byte* blocks, std::size_t row_in_strip, std::uint8_t* codes) const;
    void store_row(std::size_t row, const std::uint8_t* codes, const float* scales,
                   const float* offsets);

    std::size_t rows_;
    ColumnCut cut_;
    unsigned num_bits_;
    bool uniform_;
    bool has_offsets_;
    CodedProduct product_;
    float usual_offset_;  ///< as LookupGroup has it
    std::vector<ColumnCut::Piece> pieces_;
    std::vector<std::size_t> offsets_;  ///< of the pieces in a tile, in bytes
    std::size_t tile_bytes_ = 0;
    std::size_t size_ = 0;
    std::shared_ptr<void> memory_;
};

}  // namespace lathe::kernels
