#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cpu/packed/packed_matrix.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// What products of packed weights with a few tokens read instead of x, for one cut of the columns
/// and one kind of product: tables of sums, or x in digits.
class CodedInputs {
public:
    CodedInputs(const CpuPacked& weight, MatrixView<const float> x);

    [[nodiscard]] bool fit(const CpuPacked& weight) const {
        return weight.cut() == cut_ && weight.product() == product_;
    }
    /// Floats of memory, which is to be set before anything is built.
    [[nodiscard]] std::size_t size() const {
        return x_.rows * n_chunks_ * chunk_bytes() / sizeof(float);
    }
    void place(float* memory) { memory_ = reinterpret_cast<std::byte*>(memory); }

    /// Tasks that build all of it, in any order.
    [[nodiscard]] std::size_t n_tasks() const { return n_passes() * pieces_.size(); }
    void build(std::size_t task);

    /// y [tokens, 64] += what the rows of a tile and the columns of a piece add to the products.
    void multiply(const LookupGroup& group, std::size_t piece, float* y) const;

private:
    /// Tokens go side by side in passes: codes are taken apart once a pass.
    [[nodiscard]] std::size_t tokens_at_once() const;
    [[nodiscard]] std::size_t n_passes() const {
        return (x_.rows + tokens_at_once() - 1) / tokens_at_once();
    }
    [[nodiscard]] std::size_t tokens_of(std::size_t pass) const;
    /// 0 if there are tables.
    [[nodiscard]] std::size_t n_digits() const;
    /// Of one token.
    [[nodiscard]] std::size_t chunk_bytes() const;
    /// What a pass reads of a piece.
    [[nodiscard]] std::byte* at(std::size_t pass, const ColumnCut::Piece& piece) const;
    /// The place of a token's sums and scales of a piece.
    [[nodiscard]] std::size_t term(std::size_t piece, std::size_t token) const {
        return piece * x_.rows + token;
    }

    const ColumnCut& cut_;
    CodedProduct product_;
    const std::vector<ColumnCut::Piece>& pieces_;
    std::size_t n_chunks_;
    MatrixView<const float> x_;
    std::vector<float> sums_;        ///< of x
    std::vector<float> digit_sums_;  ///< n_digits for each token
    std::vector<float> scales_;      ///< of digits, and of tables of int8
    std::byte* memory_ = nullptr;
};

}  // namespace lathe::kernels
