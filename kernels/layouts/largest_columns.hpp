#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace lathe::kernels {

/// Finds the columns of largest |x_j| * weight_j in rows of one width. The order is total: equal
/// products go by index, the lower first, and NaN is above every number.
class LargestColumns {
public:
    /// @pre  per_token <= weights.size(); `weights` outlives the object; none is negative
    LargestColumns(std::span<const float> weights, std::size_t per_token)
        : weights_(weights), per_token_(per_token), keys_(weights.size()) {}

    /// found(column) for each of them, in no particular order.
    template <class Found>
    void find(const float* row, const Found& found) {
        if (per_token_ == 0) {
            return;
        }
        constexpr std::uint64_t last = std::numeric_limits<std::uint32_t>::max();
        for (std::size_t j = 0; j < keys_.size(); ++j) {
            // The bits of numbers that are not negative are in the numbers' order.
            const float product = std::abs(row[j]) * weights_[j];
            const std::uint64_t size =
                std::isnan(product) ? last : std::bit_cast<std::uint32_t>(product);
            keys_[j] = size << 32U | (last - j);
        }
        const auto end = keys_.begin() + static_cast<std::ptrdiff_t>(per_token_);
        std::nth_element(keys_.begin(), end - 1, keys_.end(), std::greater<>());
        std::for_each(keys_.begin(), end, [&](std::uint64_t key) { found(last - (key & last)); });
    }

private:
    std::span<const float> weights_;
    std::size_t per_token_;
    std::vector<std::uint64_t> keys_;
};

}  // namespace lathe::kernels
