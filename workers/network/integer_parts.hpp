#pragma once

#include <cstddef>
#include <string>

namespace lathe {

/// Which parts of a forward pass run on blocks of whole numbers (kernels/contract/integers.hpp);
/// the others run in fp32. Weights are what the checkpoint stores either way.
struct IntegerParts {
    bool embedding = false;   ///< rows of tables, added up
    bool products = false;    ///< linear layers and the head
    bool softmax = false;     ///< attention: scores, softmax and the mix of values
    bool activation = false;  ///< between the layers of an MLP and in a pooler
    bool norm = false;
    bool residual = false;  ///< sums of the residual stream, and rotary positions
    /// What stands between operators is kept in blocks. Else operators on blocks give results of
    /// 16 bits.
    bool storage = false;
    std::size_t block_size = 64;  ///< of what is stored

    [[nodiscard]] bool any() const {
        return embedding || products || softmax || activation || norm || residual || storage;
    }
    [[nodiscard]] bool all() const {
        return embedding && products && softmax && activation && norm && residual && storage;
    }
    bool operator==(const IntegerParts&) const = default;
};

/// "all", "weights" (none of the parts: the stored weights in fp32), or parts separated by commas,
/// each of which may begin with "all" and take parts away: "all,-softmax".
/// @throws UsageError  listing the names
[[nodiscard]] IntegerParts integer_parts_from(const std::string& text);
/// A text that integer_parts_from() reads back, block size aside.
[[nodiscard]] std::string to_string(const IntegerParts& parts);

/// As JSON, and back.
[[nodiscard]] std::string to_json(const IntegerParts& parts);
[[nodiscard]] IntegerParts integer_parts_from_json(const std::string& text);

}  // namespace lathe
