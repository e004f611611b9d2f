#pragma once

#include <array>
#include <optional>
#include <string>
#include <unordered_map>

#include "lib/tokenizer/bpe_merges.hpp"
#include "lib/tokenizer/token_model.hpp"

namespace lathe::tokenizer {

/// Byte-pair encoding: a word starts as its characters, and neighbours are merged by rank.
///
/// An unknown character becomes the tokens of its bytes ("<0xE2>") if byte_fallback is on and the
/// vocabulary has all of them, else the unknown token, else it is dropped.
class Bpe final : public TokenModel {
public:
    explicit Bpe(const JsonPlace& place);

    void tokenize(const PreTokenizedText& text, WordCache& cache,
                  std::vector<std::uint32_t>& ids) const override;
    [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

private:
    /// What one call of tokenize() works with.
    struct Work {
        WordCache& cache;
        Merger merger;
        std::vector<std::uint32_t> symbols;
        std::vector<std::uint32_t>& ids;
    };

    void read_merges(const JsonPlace& place);
    void add_merge(const JsonPlace& place, std::size_t rank, const std::string& left,
                   const std::string& right);
    void index_symbols();

    void tokenize_word(std::string_view word, Work& work) const;
    void merge_segment(std::span<const std::uint32_t> symbols, Work& work) const;

    /// Appends the symbols that `word` starts from.
    void split_into_symbols(std::string_view word, std::vector<std::uint32_t>& symbols) const;
    [[nodiscard]] std::uint32_t symbol_of(char32_t code_point) const;
    /// The same for a character of a word with the prefix and suffix that it takes there.
    [[nodiscard]] std::uint32_t affixed_symbol(std::string& character, bool is_first,
                                               bool is_last) const;
    [[nodiscard]] bool append_byte_tokens(std::string_view character,
                                          std::vector<std::uint32_t>& symbols) const;
    [[nodiscard]] std::uint32_t unknown_id() const;

    Vocabulary vocabulary_;
    std::optional<std::string> unknown_token_;
    std::string prefix_;  // on each symbol but the first of a word
    std::string suffix_;  // on the last symbol of a word
    bool fuse_unknown_;
    bool byte_fallback_;
    bool ignore_merges_;

    std::optional<MergeTable> merges_;
    /// Pairs of characters that some merge brings together. No token spans any other pair, so a
    /// word may be cut there and the parts merged (and remembered) on their own.
    std::optional<MergeTable> junctions_;

    std::vector<std::uint32_t> low_symbols_;  // by code point, below 2^16
    std::unordered_map<char32_t, std::uint32_t> high_symbols_;
    std::array<std::uint32_t, 256> byte_tokens_{};
};

}  // namespace lathe::tokenizer
