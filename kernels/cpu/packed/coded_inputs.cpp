#include "kernels/cpu/packed/coded_inputs.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"

namespace lathe::kernels {
namespace {

constexpr std::size_t tables_per_chunk = lookup_chunk / 4;
constexpr std::size_t table_bytes = tables_per_chunk * 16 * sizeof(float);

}  // namespace

CodedInputs::CodedInputs(const CpuPacked& weight, MatrixView<const float> x)
    : cut_(weight.cut()),
      product_(weight.product()),
      pieces_(weight.pieces()),
      n_chunks_(pieces_.empty() ? 0 : pieces_.back().first_chunk + pieces_.back().n_chunks),
      x_(x),
      sums_(x.rows * pieces_.size()),
      digit_sums_(sums_.size() * n_digits()),
      scales_(sums_.size()) {}

std::size_t CodedInputs::n_digits() const {
    switch (product_) {
        case CodedProduct::multiply:
            return 3;
        case CodedProduct::coarse_multiply:
            return 1;
        default:
            return 0;
    }
}

std::size_t CodedInputs::tokens_at_once() const {
    return n_digits() == 0 ? 1 : most_digit_vectors / n_digits();
}

std::size_t CodedInputs::tokens_of(std::size_t pass) const {
    return std::min(tokens_at_once(), x_.rows - pass * tokens_at_once());
}

std::size_t CodedInputs::chunk_bytes() const {
    switch (product_) {
        case CodedProduct::lookup:
            return table_bytes;
        case CodedProduct::coarse_lookup:
            return coarse_table_bytes;
        default:
            return n_digits() * lookup_chunk;
    }
}

std::byte* CodedInputs::at(std::size_t pass, const ColumnCut::Piece& piece) const {
    return memory_ + (pass * tokens_at_once() * n_chunks_ + piece.first_chunk * tokens_of(pass)) *
                         chunk_bytes();
}

void CodedInputs::build(std::size_t task) {
    const std::size_t pass = task / pieces_.size();
    const std::size_t i = task % pieces_.size();
    const ColumnCut::Piece& piece = pieces_[i];
    const VectorKernels& kernels = vector_kernels();
    std::byte* memory = at(pass, piece);
    thread_local Scratch scratch;
    const std::size_t padded = piece.n_chunks * lookup_chunk;
    float* x = scratch.floats(padded);
    const std::size_t n_tokens = tokens_of(pass);
    for (std::size_t t = 0; t < n_tokens; ++t) {
        const std::size_t token = pass * tokens_at_once() + t;
        const float* own = x_.row(token) + piece.begin;
        std::fill(std::copy_n(own, piece.size, x), x + padded, 0.0F);
        const std::size_t place = term(i, token);
        sums_[place] = static_cast<float>(std::accumulate(own, own + piece.size, 0.0));
        if (n_digits() > 0) {
            const std::size_t step = n_tokens * chunk_bytes();
            scales_[place] =
                kernels.build_digits(x, piece.n_chunks, n_digits(), step,
                                     reinterpret_cast<std::int8_t*>(memory + t * chunk_bytes()),
                                     digit_sums_.data() + place * n_digits());
            continue;
        }
        if (product_ == CodedProduct::coarse_lookup) {
            scales_[place] = kernels.build_coarse_tables(x, piece.n_chunks,
                                                         reinterpret_cast<std::uint8_t*>(memory));
        } else {
            kernels.build_tables(x, piece.n_chunks * tables_per_chunk,
                                 reinterpret_cast<float*>(memory));
        }
    }
}

void CodedInputs::multiply(const LookupGroup& group, std::size_t piece, float* y) const {
    const VectorKernels& kernels = vector_kernels();
    for (std::size_t pass = 0; pass < n_passes(); ++pass) {
        const std::byte* memory = at(pass, pieces_[piece]);
        const std::size_t token = pass * tokens_at_once();
        const std::size_t place = term(piece, token);
        float* own = y + token * lookup_tile_rows;
        if (product_ == CodedProduct::lookup) {
            kernels.lookup(group, reinterpret_cast<const float*>(memory), sums_[place], own);
        } else if (product_ == CodedProduct::coarse_lookup) {
            kernels.lookup_coarse(group, reinterpret_cast<const std::uint8_t*>(memory),
                                  scales_[place], sums_[place], own);
        } else {
            kernels.multiply_codes(group,
                                   {.digits = reinterpret_cast<const std::int8_t*>(memory),
                                    .digit_sums = digit_sums_.data() + place * n_digits(),
                                    .scales = scales_.data() + place,
                                    .sums = sums_.data() + place,
                                    .n_tokens = tokens_of(pass),
                                    .n_digits = n_digits()},
                                   own, lookup_tile_rows);
        }
    }
}

}  // namespace lathe::kernels
