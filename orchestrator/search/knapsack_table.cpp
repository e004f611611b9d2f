#include "orchestrator/search/knapsack_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

/// Row u of the table: entry c is the lowest score of units u, u + 1, ... with weights of exactly
/// c in sum; infinite if there is none. It follows from row u + 1. Rows are large: their memory is
/// used again, the system would clear fresh pages for each.
using Row = std::vector<double>;
using Items = std::vector<TableItem>;

void make_row(const Items& items, const Row& next, std::size_t capacity, Row& row) {
    std::size_t heaviest = 0;
    for (const TableItem& item : items) {
        if (item.weight <= capacity) {
            heaviest = std::max(heaviest, item.weight);
        }
    }
    const std::size_t size = std::min(capacity, next.size() - 1 + heaviest) + 1;
    row.assign(size, std::numeric_limits<double>::infinity());
    // Strips that stay in the first-level cache while all items pass over them.
    constexpr std::size_t strip = 2048;
    for (std::size_t begin = 0; begin < size; begin += strip) {
        const std::size_t end = std::min(begin + strip, size);
        for (const TableItem& item : items) {
            if (item.weight >= end) {
                continue;
            }
            const std::size_t first = std::max(begin, item.weight);
            const std::size_t last = std::min(end, next.size() + item.weight);
            if (first >= last) {
                continue;
            }
            double* const __restrict out = row.data() + first;
            const double* const __restrict in = next.data() + (first - item.weight);
            const double score = item.score;
            for (std::size_t c = 0; c < last - first; ++c) {
                const double value = score + in[c];
                out[c] = value < out[c] ? value : out[c];
            }
        }
    }
}

/// The first item that leads from entry `c` of `row` into `next`.
std::size_t find_item(const Items& items, const Row& row, const Row& next, std::size_t c) {
    for (std::size_t i = 0; i < items.size(); ++i) {
        const auto& [weight, score] = items[i];
        if (weight <= c && c - weight < next.size() && score + next[c - weight] == row[c]) {
            return i;
        }
    }
    throw InternalError("knapsack: no way through the table");
}

void require_valid(const std::vector<Items>& units) {
    for (std::size_t u = 0; u < units.size(); ++u) {
        if (std::none_of(units[u].begin(), units[u].end(),
                         [](const TableItem& item) { return item.weight == 0; })) {
            throw InternalError("knapsack: unit " + std::to_string(u) + " has no item of weight 0");
        }
    }
}

}  // namespace

std::vector<std::size_t> solve_table(const std::vector<Items>& units, std::size_t capacity) {
    require_valid(units);
    // All rows would take units x capacity: only the row at the end of each block is kept, and on
    // the way back the rows of one block at a time are made again.
    const std::size_t n_units = units.size();
    const auto block =
        std::max<std::size_t>(1, static_cast<std::size_t>(std::sqrt(static_cast<double>(n_units))));
    std::vector<Row> block_ends;  // the last block's first
    Row row = {0.0};
    Row next;
    for (std::size_t u = n_units; u-- > 0;) {
        if (u == n_units - 1 || (u + 1) % block == 0) {
            block_ends.push_back(row);
        }
        std::swap(row, next);
        make_row(units[u], next, capacity, row);
    }

    auto c = static_cast<std::size_t>(std::min_element(row.begin(), row.end()) - row.begin());
    std::vector<std::size_t> choice;
    std::vector<Row> rows(block + 1);
    for (std::size_t begin = 0; begin < n_units; begin += block) {
        const std::size_t end = std::min(begin + block, n_units);
        rows[end - begin] = std::move(block_ends.back());
        block_ends.pop_back();
        for (std::size_t u = end; u-- > begin;) {
            make_row(units[u], rows[u - begin + 1], c, rows[u - begin]);
        }
        for (std::size_t u = begin; u < end; ++u) {
            choice.push_back(find_item(units[u], rows[u - begin], rows[u - begin + 1], c));
            c -= units[u][choice.back()].weight;
        }
    }
    return choice;
}

}  // namespace lathe
