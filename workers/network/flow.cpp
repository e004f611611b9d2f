#include "workers/network/flow.hpp"

#include <algorithm>
#include <utility>

namespace lathe {

using kernels::BlockedMatrix;

BlockedMatrix BlockPool::take(std::size_t rows, std::size_t cols, std::size_t block_size,
                              unsigned num_bits) {
    // Of those that are large enough the smallest. Growing would fill with zeros, for nothing.
    const bool is_wide = num_bits > 8;
    const auto size = [&](const BlockedMatrix& m) {
        return is_wide ? m.wide.size() : m.narrow.size();
    };
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it) {
        if (size(*it) >= rows * cols && (best == free_.end() || size(*it) < size(*best))) {
            best = it;
        }
    }
    BlockedMatrix matrix;
    if (best != free_.end()) {
        matrix = std::move(*best);
        free_.erase(best);
    }
    matrix.reshape(rows, cols, block_size, num_bits);
    return matrix;
}

void BlockPool::give_back(BlockedMatrix matrix) noexcept {
    if (free_.size() < most && (!matrix.narrow.empty() || !matrix.wide.empty())) {
        free_.push_back(std::move(matrix));
    }
}

Flow::~Flow() {
    if (pool_ != nullptr) {
        pool_->give_back(std::move(blocks_));
    }
}

Flow& Flow::operator=(Flow&& other) noexcept {
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
    std::swap(blocks_, other.blocks_);
    std::swap(values_, other.values_);
    std::swap(pool_, other.pool_);
    return *this;
}

Flow Flow::of_values(std::size_t rows, std::size_t cols) {
    Flow flow;
    flow.rows_ = rows;
    flow.cols_ = cols;
    flow.values_.assign(rows * cols, 0.0F);
    return flow;
}

Flow Flow::of_values(MatrixView<const float> values) {
    Flow flow = of_values(values.rows, values.cols);
    for (std::size_t r = 0; r < values.rows; ++r) {
        std::copy_n(values.row(r), values.cols, flow.values_.data() + r * values.cols);
    }
    return flow;
}

BlockedMatrix& Flow::blocks(std::size_t block_size, unsigned num_bits) {
    if (!is_blocks() || blocks_.block_size != block_size || blocks_.num_bits != num_bits) {
        const MatrixView<float> now = values();
        blocks_.reshape(rows_, cols_, block_size, num_bits);
        kernels::to_blocks(now, blocks_);
        values_.clear();
    }
    return blocks_;
}

MatrixView<float> Flow::values() {
    if (is_blocks()) {
        values_.resize(rows_ * cols_);
        kernels::from_blocks(blocks_, {values_.data(), rows_, cols_});
    }
    return {values_.data(), rows_, cols_};
}

Flow Flow::row(std::size_t r) const {
    if (!is_blocks()) {
        return of_values(MatrixView<const float>(values_.data() + r * cols_, 1, cols_));
    }
    BlockedMatrix one(1, cols_, blocks_.block_size, blocks_.num_bits);
    const auto copy = [&](const auto& from, auto& to, std::size_t n) {
        if (!from.empty()) {
            std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(r * n), n, to.begin());
        }
    };
    copy(blocks_.narrow, one.narrow, cols_);
    copy(blocks_.wide, one.wide, cols_);
    copy(blocks_.shifts, one.shifts, blocks_.blocks());
    return Flow(std::move(one));
}

void Flow::reshape(std::size_t rows, std::size_t cols) {
    rows_ = rows;
    cols_ = cols;
    blocks_.rows = rows;
    blocks_.cols = cols;
}

}  // namespace lathe
