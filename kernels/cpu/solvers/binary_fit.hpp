#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "kernels/layouts/binary_codes.hpp"

namespace lathe::kernels {

/// places[j] = the place of the level nearest to w[j], j < n.
void find_places(const float* w, std::size_t n, const Levels& levels, std::int32_t* places);

/// values[j] = the level nearest to w[j], j < n; values may be w.
void round_to_levels(const float* w, std::size_t n, const Levels& levels, float* values);

/// Fits binary codings to groups of one row, one after another, as Backend::fit_binary_codes()
/// says. Elements of the same code are summed up first, so that a round costs little more than
/// finding the nearest levels. Keeps its working memory; for one thread.
class BinaryFit {
public:
    explicit BinaryFit(const BinaryCodeSettings& settings) : settings_(settings) {}

    /// w, importance [n] -> scales [num_bits], offset, codes [n]
    void run(const float* w, const float* importance, std::size_t n, float* scales, float* offset,
             std::uint8_t* codes);

private:
    /// The scales, then the offset.
    using Terms = std::array<double, most_unknowns>;

    [[nodiscard]] Terms greedy_start();
    [[nodiscard]] Terms uniform_start();
    /// Rounds of least squares and nearest levels from the terms' levels, then fp16. With
    /// `has_codes` the first round takes the codes as they are. Returns the error.
    double improve(Terms& terms, bool has_codes);
    [[nodiscard]] Terms least_squares();
    void take_nearest(const Levels& levels);
    [[nodiscard]] Levels levels_of(const Terms& terms) const;

    const BinaryCodeSettings& settings_;
    const float* w_ = nullptr;
    const float* importance_ = nullptr;
    std::size_t n_ = 0;
    std::vector<std::int32_t> places_;
    std::vector<std::uint8_t> codes_;
    std::vector<std::uint8_t> before_;
    std::vector<std::uint8_t> first_;
    std::vector<double> rest_;
};

}  // namespace lathe::kernels
