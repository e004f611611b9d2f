#include "lib/encoding/encoding_table.hpp"

#include <array>

#include "lib/encoding/bcq.hpp"
#include "lib/encoding/block_shift.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/low_rank.hpp"
#include "lib/encoding/nm.hpp"
#include "lib/encoding/split.hpp"
#include "lib/encoding/zeros.hpp"

namespace lathe {

std::span<const EncodingRow> encoding_table() {
    static const std::array table{
        dense_encoding(),    integer_encoding(), nm_encoding(),    bcq_encoding(),
        low_rank_encoding(), split_encoding(),   zeros_encoding(), block_shift_encoding(),
    };
    return table;
}

const EncodingRow* find_encoding(std::string_view name) {
    for (const EncodingRow& row : encoding_table()) {
        if (row.name == name) {
            return &row;
        }
    }
    return nullptr;
}

}  // namespace lathe
