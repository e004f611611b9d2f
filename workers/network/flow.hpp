#pragma once

#include <cstddef>
#include <vector>

#include "kernels/contract/blocked_matrix.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe {

/// Memory of results that are done with, for results to come: a pass makes the same ones block
/// after block, and fresh memory from the system costs as much as many an operator.
class BlockPool {
public:
    BlockPool() { free_.reserve(most); }
    /// A matrix of this shape; what it holds is left over.
    [[nodiscard]] kernels::BlockedMatrix take(std::size_t rows, std::size_t cols,
                                              std::size_t block_size, unsigned num_bits);
    /// Beyond `most` it is freed.
    void give_back(kernels::BlockedMatrix matrix) noexcept;

private:
    static constexpr std::size_t most = 32;
    std::vector<kernels::BlockedMatrix> free_;
};

/// What flows between operators: blocks of whole numbers, or fp32 where the parts that make and
/// keep it are not on.
class Flow {
public:
    Flow() = default;
    /// With a pool it gives its memory back there in the end.
    explicit Flow(kernels::BlockedMatrix blocks, BlockPool* pool = nullptr)
        : rows_(blocks.rows), cols_(blocks.cols), blocks_(std::move(blocks)), pool_(pool) {}
    ~Flow();
    Flow(Flow&& other) noexcept = default;
    Flow& operator=(Flow&& other) noexcept;
    Flow(const Flow&) = delete;
    Flow& operator=(const Flow&) = delete;
    /// [rows, cols] of zeros in fp32.
    static Flow of_values(std::size_t rows, std::size_t cols);
    /// A copy in fp32.
    static Flow of_values(MatrixView<const float> values);

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t cols() const { return cols_; }
    [[nodiscard]] bool is_blocks() const { return values_.empty(); }
    /// Turns it into what is asked for, if it is not that.
    kernels::BlockedMatrix& blocks(std::size_t block_size, unsigned num_bits);
    MatrixView<float> values();
    /// The blocks, whatever their size. @pre  is_blocks()
    [[nodiscard]] kernels::BlockedMatrix& as_stored() { return blocks_; }
    [[nodiscard]] const kernels::BlockedMatrix& as_stored() const { return blocks_; }
    /// A copy of one row.
    [[nodiscard]] Flow row(std::size_t r) const;
    /// Rows of it become rows of another shape of as many elements. @pre  blocks, if there are,
    /// are as wide as the new rows
    void reshape(std::size_t rows, std::size_t cols);

private:
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
    kernels::BlockedMatrix blocks_;
    std::vector<float> values_;
    BlockPool* pool_ = nullptr;
};

}  // namespace lathe
