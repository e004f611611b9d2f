#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::tokenizer {

/// Finds all strings of a set that a text begins with.
class PrefixTree {
public:
    /// String i has number i; of equal ones the last counts.
    explicit PrefixTree(const std::vector<std::string>& strings);

    /// Calls `use(length, number)` for each string that `text` begins with, the shortest first. The
    /// empty string is never found.
    template <class Use>
    void for_each_prefix(std::string_view text, const Use& use) const {
        std::uint32_t node = 0;
        for (std::size_t i = 0; i < text.size(); ++i) {
            node = child(node, static_cast<unsigned char>(text[i]));
            if (node == none) return;
            if (nodes_[node].number != none) use(i + 1, nodes_[node].number);
        }
    }

private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    struct Node {
        std::uint32_t first_child = 0;  // its children follow one another, ordered by their byte
        std::uint16_t n_children = 0;
        std::uint8_t byte = 0;  // that leads here
        std::uint32_t number = none;
    };

    [[nodiscard]] std::uint32_t child(std::uint32_t node, unsigned char byte) const;

    std::vector<Node> nodes_;
};

}  // namespace lathe::tokenizer
