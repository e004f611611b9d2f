#include "workers/candidates/unit_rows.hpp"

#include <algorithm>

#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

namespace {

/// All kernels' tiles of rows divide it.
constexpr std::size_t tile_rows = 256;

std::size_t rows_of(const ModelSpec& spec, std::size_t tensor) {
    return matrix_extents(spec.tensors[tensor].shape).first;
}

std::size_t divide_up(std::size_t a, std::size_t b) {
    return (a + b - 1) / b;
}

/// Whether each tensor begins where a tile does.
bool is_aligned(const ModelSpec& spec, const UnitSpec& unit) {
    std::size_t first = 0;
    return std::ranges::all_of(unit.tensors, [&](std::size_t t) {
        const bool aligned = first % tile_rows == 0;
        first += rows_of(spec, t);
        return aligned;
    });
}

}  // namespace

std::optional<SharedFactors> shared_factors(std::span<const Setting> settings) {
    SharedFactors all;
    for (const Setting& setting : settings) {
        const MethodRow& method = find_method(setting.method, "candidates");
        if (method.shared_by_rows == nullptr) {
            return std::nullopt;
        }
        const GramFactors own = method.shared_by_rows(setting);
        all.inverses = all.inverses || own.inverses;
        if (own.inverse_factor && std::ranges::count(all.feedbacks, *own.inverse_factor) == 0) {
            all.feedbacks.push_back(*own.inverse_factor);
        }
    }
    return all;
}

std::size_t row_count(const ModelSpec& spec, const UnitSpec& unit) {
    std::size_t rows = 0;
    for (const std::size_t t : unit.tensors) {
        rows += rows_of(spec, t);
    }
    return rows;
}

std::vector<TensorRows> tensors_of(const ModelSpec& spec, const UnitSpec& unit, UnitRows rows) {
    std::vector<TensorRows> parts;
    std::size_t begin = 0;  // of the tensor
    for (std::size_t place = 0; place < unit.tensors.size(); ++place) {
        const std::size_t end = begin + rows_of(spec, unit.tensors[place]);
        const std::size_t first = std::max(begin, rows.first);
        const std::size_t last = std::min(end, rows.first + rows.count);
        if (first < last) {
            parts.push_back({place, first - begin, last - first});
        }
        begin = end;
    }
    return parts;
}

std::vector<UnitRows> pieces_of(const ModelSpec& spec, const UnitSpec& unit,
                                std::span<const Setting> settings, std::size_t most_rows) {
    const std::size_t rows = row_count(spec, unit);
    const std::optional<SharedFactors> shared = shared_factors(settings);
    if (!shared || !is_aligned(spec, unit)) {
        return {{0, rows}};
    }
    // With twice as many rows as columns what each piece makes by itself takes a seventh of the
    // time at most; with an eighth as many, what it reads takes less.
    const std::size_t cols = matrix_extents(spec.tensors[unit.tensors.front()].shape).second;
    const std::size_t wanted = shared->inverses ? 2 * cols : cols / 8;
    std::size_t step =
        std::max<std::size_t>(1, divide_up(wanted, lookup_block_rows)) * lookup_block_rows;
    std::size_t count = std::max<std::size_t>(1, rows / step);
    if (rows - (count - 1) * step > most_rows) {  // the last piece, which has what is left over
        const std::size_t least = unit.input == Signal::token_ids ? lookup_block_rows : tile_rows;
        const std::size_t most = std::max<std::size_t>(1, most_rows / least) * least;
        step = divide_up(divide_up(rows, divide_up(rows, most)), least) * least;  // all alike
        count = divide_up(rows, step);
    }
    std::vector<UnitRows> pieces;
    for (std::size_t i = 0; i < count; ++i) {
        pieces.push_back({i * step, i + 1 == count ? rows - i * step : step});
    }
    return pieces;
}

std::vector<double> lookup_errors(MatrixView<const float> a, MatrixView<const float> b,
                                  std::span<const float> weights) {
    const std::size_t n_blocks = (a.rows + lookup_block_rows - 1) / lookup_block_rows;
    std::vector<double> blocks(n_blocks * a.cols, 0.0);
    for (std::size_t r = 0; r < a.rows; ++r) {
        double* const sums = blocks.data() + r / lookup_block_rows * a.cols;
        for (std::size_t j = 0; j < a.cols; ++j) {
            const double change = double{b(r, j)} - double{a(r, j)};
            sums[j] += double{weights[r]} * change * change;
        }
    }
    return blocks;
}

std::vector<double> sum_of_blocks(std::span<const double> blocks, std::size_t cols) {
    std::vector<double> sums(cols, 0.0);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        sums[i % cols] += blocks[i];
    }
    return sums;
}

}  // namespace lathe
