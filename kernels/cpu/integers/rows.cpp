#include <algorithm>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/integers/block_loops.hpp"
#include "kernels/cpu/integers/cpu_integers.hpp"
#include "kernels/layouts/integer_rows.hpp"

// The operators that go row by row: tiles of rows on the pool's threads. What a row does is the
// definition itself (integer_rows.hpp), translated for several instruction sets.

namespace lathe::kernels {
namespace {

using RowScratch = fixed_point::RowScratch<VectorLoops>;

struct Rows {
    std::size_t begin = 0;
    std::size_t end = 0;
};

LATHE_FLAT_VECTOR_CLONES
void embed_rows(std::span<const TableRows> terms, Rows rows, BlockedMatrix& y,
                RowScratch& scratch) {
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
        fixed_point::embed_row(terms, r, y, scratch);
    }
}

LATHE_FLAT_VECTOR_CLONES
void add_rows(const BlockedMatrix& x, const BlockedMatrix& y, Rows rows, BlockedMatrix& z,
              RowScratch& scratch) {
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
        fixed_point::add_rows(x, y, r, z, scratch);
    }
}

LATHE_FLAT_VECTOR_CLONES
void norm_rows(const BlockedMatrix& x, const IntegerNorm& settings, Rows rows, BlockedMatrix& y,
               RowScratch& scratch) {
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
        fixed_point::norm_row(x, settings, r, y, scratch);
    }
}

LATHE_FLAT_VECTOR_CLONES
void activate_rows(Activation kind, const BlockedMatrix& x, Rows rows, BlockedMatrix& y,
                   RowScratch& scratch) {
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
        fixed_point::activate_row(kind, x, r, y, scratch);
    }
}

LATHE_FLAT_VECTOR_CLONES
void activate_multiply_rows(Activation kind, const BlockedMatrix& gate, const BlockedMatrix& up,
                            Rows rows, BlockedMatrix& y, RowScratch& scratch) {
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
        fixed_point::activate_multiply_row(kind, gate, up, r, y, scratch);
    }
}

constexpr std::size_t rows_per_tile = 16;

/// each(rows, scratch) for all rows of y.
template <class Each>
void for_rows(ThreadPool& pool, const BlockedMatrix& y, const Each& each) {
    pool.for_each((y.rows + rows_per_tile - 1) / rows_per_tile, [&](std::size_t tile) {
        RowScratch scratch(y);
        each(Rows{tile * rows_per_tile, std::min((tile + 1) * rows_per_tile, y.rows)}, scratch);
    });
}

}  // namespace

std::unique_ptr<const Integers> CpuBackend::integers() const {
    return std::make_unique<CpuIntegers>(pool_);
}

void CpuIntegers::do_embed(std::span<const TableRows> terms, BlockedMatrix& y) const {
    for_rows(pool_, y,
             [&](Rows rows, RowScratch& scratch) { embed_rows(terms, rows, y, scratch); });
}

void CpuIntegers::do_add(const BlockedMatrix& x, const BlockedMatrix& y, BlockedMatrix& z) const {
    for_rows(pool_, z, [&](Rows rows, RowScratch& scratch) { add_rows(x, y, rows, z, scratch); });
}

void CpuIntegers::do_norm(const BlockedMatrix& x, const IntegerNorm& settings,
                          BlockedMatrix& y) const {
    for_rows(pool_, y,
             [&](Rows rows, RowScratch& scratch) { norm_rows(x, settings, rows, y, scratch); });
}

void CpuIntegers::do_activate(Activation kind, const BlockedMatrix& x, BlockedMatrix& y) const {
    for_rows(pool_, y,
             [&](Rows rows, RowScratch& scratch) { activate_rows(kind, x, rows, y, scratch); });
}

void CpuIntegers::do_activate_multiply(Activation kind, const BlockedMatrix& gate,
                                       const BlockedMatrix& up, BlockedMatrix& y) const {
    for_rows(pool_, y, [&](Rows rows, RowScratch& scratch) {
        activate_multiply_rows(kind, gate, up, rows, y, scratch);
    });
}

void CpuIntegers::do_rope(const BlockedMatrix& x, MatrixView<const std::int16_t> cos,
                          MatrixView<const std::int16_t> sin,
                          std::span<const std::uint32_t> positions, BlockedMatrix& y) const {
    for_rows(pool_, y, [&](Rows rows, RowScratch& scratch) {
        for (std::size_t r = rows.begin; r < rows.end; ++r) {
            fixed_point::rope_row(x, {cos.row(positions[r]), cos.cols},
                                  {sin.row(positions[r]), sin.cols}, r, y, scratch);
        }
    });
}

}  // namespace lathe::kernels
