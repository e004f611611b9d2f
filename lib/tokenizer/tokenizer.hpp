#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// Text to token ids and back, as the checkpoint's own tokenizer does it, id for id.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    /// `text` is UTF-8; invalid bytes become U+FFFD. With `special` the post-processor's tokens
    /// (<s>, [CLS] ... [SEP]) are added. Special tokens written out in the text are recognised.
    [[nodiscard]] virtual std::vector<std::uint32_t> encode(std::string_view text,
                                                            bool special) const = 0;
    /// Special tokens are left out. @throws DataError  for an id that is not in the vocabulary
    [[nodiscard]] virtual std::string decode(std::span<const std::uint32_t> ids) const = 0;
    /// One more than the largest id, added tokens included.
    [[nodiscard]] virtual std::size_t id_limit() const = 0;
};

/// From `tokenizer.json` of a checkpoint directory, else from its `tokenizer.model`.
/// @throws MissingInputError  if it has neither
/// @throws DataError          naming file and what is wrong or not supported
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

/// From one file, by its extension (.json or .model).
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer_file(const std::filesystem::path& file);

}  // namespace lathe
