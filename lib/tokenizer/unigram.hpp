#pragma once

#include <optional>
#include <vector>

#include "lib/tokenizer/prefix_tree.hpp"
#include "lib/tokenizer/token_model.hpp"

namespace lathe::tokenizer {

/// Unigram (the default of SentencePiece): of all ways to cut a word into tokens the one with the
/// highest sum of scores. Neighbouring characters that no token covers are one unknown token, or
/// the tokens of their bytes ("<0xE2>") if byte_fallback is on and the vocabulary has all of them.
class Unigram final : public TokenModel {
public:
    /// `place` is {"vocab": [[token, score], ...], "unk_id": ..., "byte_fallback": ...}.
    explicit Unigram(const JsonPlace& place);

    void tokenize(const PreTokenizedText& text, WordCache& cache,
                  std::vector<std::uint32_t>& ids) const override;
    [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

private:
    struct Pieces {
        std::vector<std::string> tokens;
        std::vector<double> scores;
    };
    /// The best way to reach a position of a word: from `begin`, with this token last.
    struct Step {
        double score = 0.0;
        std::size_t begin = 0;
        std::uint32_t token = 0;
        bool is_reached = false;
    };

    Unigram(const JsonPlace& place, Pieces pieces);
    static Pieces read_pieces(const JsonPlace& place);

    void tokenize_word(std::string_view word, std::vector<Step>& steps,
                       std::vector<std::uint32_t>& ids) const;
    void find_best_steps(std::string_view word, std::vector<Step>& steps) const;
    void append_unknown(std::string_view text, std::vector<std::uint32_t>& ids) const;
    [[nodiscard]] std::uint32_t unknown_id() const;

    Vocabulary vocabulary_;
    PrefixTree tree_;
    std::vector<double> scores_;
    double unknown_score_;
    std::optional<std::uint32_t> unknown_id_;
    bool byte_fallback_;
};

}  // namespace lathe::tokenizer
