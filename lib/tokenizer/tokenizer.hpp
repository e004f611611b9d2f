#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

namespace tokenizer {
struct PostProcessor;
}

/// Tokens with special ones among them, and the segment of each: 0, or 1 in the second text of a
/// pair where the tokenizer tells the two apart.
struct EncodedText {
    std::vector<std::uint32_t> ids;
    std::vector<std::uint32_t> segments;
};

/// Text to token ids and back, as the checkpoint's own tokenizer does it, id for id.
///
/// Texts are UTF-8; invalid bytes become U+FFFD. Special tokens written out in a text are
/// recognised. Special tokens around it (<s>, [CLS] ... [SEP]) are those of the post-processor of a
/// tokenizer.json; a tokenizer.model begins each text with its BOS.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    /// The whole text, with special tokens around it or without.
    [[nodiscard]] std::vector<std::uint32_t> encode(std::string_view text, bool special) const;
    /// With special tokens, and the end of the text cut off where there would be more than
    /// `max_length`: `truncation=True, max_length=...` of transformers.
    /// @throws UsageError  if the special tokens alone are more
    [[nodiscard]] EncodedText encode_within(std::string_view text, std::size_t max_length) const;
    /// Two texts in one sequence; of too many tokens the longer text loses its end first
    /// (`longest_first`). A tokenizer that says nothing of pairs puts one after the other.
    /// @throws UsageError  if the special tokens alone are more
    [[nodiscard]] EncodedText encode_pair(std::string_view first, std::string_view second,
                                          std::size_t max_length) const;
    /// Special tokens are left out. @throws DataError  for an id that is not in the vocabulary
    [[nodiscard]] virtual std::string decode(std::span<const std::uint32_t> ids) const = 0;
    /// One more than the largest id that encoding gives: of the vocabulary, of added tokens and of
    /// what the post-processor adds, which need be in neither.
    [[nodiscard]] virtual std::size_t id_limit() const = 0;

private:
    /// The text alone.
    [[nodiscard]] virtual std::vector<std::uint32_t> do_encode(std::string_view text) const = 0;
    [[nodiscard]] virtual const tokenizer::PostProcessor& post_processor() const = 0;
};

/// The tokenizer of a checkpoint directory as transformers 5 makes it from all files that are
/// there: tokenizer.json, tokenizer.model, vocab.json and merges.txt or vocab.txt for the tokens;
/// tokenizer_config.json, special_tokens_map.json and added_tokens.json for special tokens and
/// switches; config.json for the class of tokenizer where these do not name it.
/// @throws MissingInputError  if it has none of the first five
/// @throws DataError          naming file and what is wrong or not supported, and both values where
///                            two files contradict each other
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

/// From one file alone, by its extension (.json or .model).
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer_file(const std::filesystem::path& file);

/// "bos_token" and the like with their contents, as the files of the directory name them and, where
/// they do not, its class of tokenizer. @throws DataError
[[nodiscard]] std::map<std::string, std::string> named_special_tokens(
    const std::filesystem::path& directory);

/// Those of the files that load_tokenizer() reads which are there, always in the same order.
[[nodiscard]] std::vector<std::filesystem::path> tokenizer_files(
    const std::filesystem::path& directory);

}  // namespace lathe
