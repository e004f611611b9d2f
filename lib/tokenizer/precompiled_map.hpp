#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::tokenizer {

/// The "precompiled_charsmap" of SentencePiece: which pieces of a text are rewritten, and as what.
/// Its bytes are a double-array tree (as in the darts-clone library) and the texts that it points
/// at, each ended by a byte 0.
class PrecompiledMap {
public:
    /// @throws DataError  if the bytes are cut short
    explicit PrecompiledMap(std::string_view bytes);

    /// What replaces `piece`, or its beginning: as in the original, the shortest entry that it
    /// begins with decides.
    [[nodiscard]] std::optional<std::string_view> find(std::string_view piece) const;

    /// Every grapheme of `text` replaced, or else every code point of it.
    [[nodiscard]] std::string apply(std::string_view text) const;

private:
    void append_grapheme(std::string& out, std::string_view grapheme) const;

    std::vector<std::uint32_t> units_;
    std::string texts_;
};

}  // namespace lathe::tokenizer
