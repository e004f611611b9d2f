#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "lib/dataset/glue.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/tokenizer/tokenizer.hpp"

namespace lathe {

/// Sequences go through the model in batches of about this many tokens. A constant of the program,
/// never of the machine: it decides how sums are grouped.
inline constexpr std::size_t tokens_per_batch = 2048;

/// Some of the sequences, and their tokens.
struct SequenceRange {
    std::size_t first = 0;
    std::size_t count = 0;
    std::size_t first_token = 0;
    std::size_t tokens = 0;
};

/// Token sequences, one after another, without padding.
struct TokenSequences {
    std::vector<std::uint32_t> ids;
    std::vector<std::uint32_t> lengths;   ///< of each sequence; they add up to ids.size()
    std::vector<std::uint32_t> segments;  ///< of each token: 0, or 1 in the second text of a pair;
                                          ///< empty: all 0

    [[nodiscard]] std::size_t count() const { return lengths.size(); }
    [[nodiscard]] std::size_t tokens() const { return ids.size(); }
    /// The longest sequence; 0 if there is none.
    [[nodiscard]] std::size_t max_length() const;
    /// Tokens with a token before them in their sequence: those a language model predicts.
    [[nodiscard]] std::size_t predicted_tokens() const;

    void append(std::span<const std::uint32_t> sequence);
    void append(const TokenSequences& others);
    [[nodiscard]] TokenSequences part(const SequenceRange& range) const;
    [[nodiscard]] SequenceRange whole() const { return {0, count(), 0, tokens()}; }
    /// Consecutive ranges of at most `max_tokens` tokens, but of one sequence at least. The cut
    /// depends on the lengths alone, never on the machine: it decides how sums are grouped.
    [[nodiscard]] std::vector<SequenceRange> ranges(std::size_t max_tokens) const;
};

/// All tokens of the files as one stream, without special tokens. `.txt`, `.raw`: the text, with
/// every line end (CR LF, CR) as LF, as Python's text mode reads it;
/// `.jsonl`: the field `text` of each line, one after another; `.h5`: dataset `input_ids`, row
/// after row.
/// A file with another ending is read like `.txt`, with a warning, if it is plain text.
/// @throws MissingInputError, DataError  naming file and line; neither a known ending nor text
[[nodiscard]] std::vector<std::uint32_t> read_token_stream(
    std::span<const std::filesystem::path> files, const Tokenizer* tokenizer,
    std::size_t vocab_size);

/// Consecutive windows of the whole stream; the last short one is dropped.
[[nodiscard]] TokenSequences all_windows(std::span<const std::uint32_t> stream, std::size_t length);

/// `count` windows spread evenly over the whole ones of the stream: number w of n is window
/// floor((w + offset) * n_windows / count). With offset 0 and 0.5 two selections of at most a
/// quarter of the windows each do not overlap.
/// @throws DataError  if the stream has fewer than `count` windows, naming `what` and both numbers
[[nodiscard]] TokenSequences spread_windows(std::span<const std::uint32_t> stream,
                                            std::size_t length, std::size_t count, double offset,
                                            const std::string& what);

/// A text, or a pair of them, with the tokenizer's special tokens; what is too long is cut as
/// Tokenizer::encode_within() and encode_pair() do. Segments only where the model tells the two
/// texts of a pair apart.
[[nodiscard]] TokenSequences encode_texts(const TextPair& texts, const ModelSpec& spec,
                                          const Tokenizer& tokenizer, std::size_t max_length);

/// The texts of the files, one sequence each, as a classifier reads them (encode_texts()): each
/// line of a `.txt` that is not empty, the field `text` of each line of a `.jsonl`, each sentence
/// or pair of a `.tsv` of GLUE (read_sentences()), each row of the dataset `input_ids` of a `.h5`
/// (read_token_rows()), of which only the first `max_length` tokens are taken.
/// @throws MissingInputError, DataError  naming file and line; unknown extension
[[nodiscard]] TokenSequences read_texts(std::span<const std::filesystem::path> files,
                                        const Tokenizer* tokenizer, const ModelSpec& spec,
                                        std::size_t max_length);

/// `count` of the sequences, spread like the windows of spread_windows().
[[nodiscard]] TokenSequences spread_sequences(const TokenSequences& all, std::size_t count,
                                              double offset, const std::string& what);

/// The rows of `input_ids` [n, length] of an HDF5 file, each as far as its `attention_mask`, with
/// the segments of `token_type_ids`; both are optional.
/// @throws DataError  ids out of range; a mask that is not ones and then zeros
[[nodiscard]] TokenSequences read_token_rows(const std::filesystem::path& file,
                                             std::size_t vocab_size);

/// 16 hexadecimal digits that stand for ids, lengths and segments.
[[nodiscard]] std::string hash_of(const TokenSequences& sequences);

/// Ids, lengths and segments as JSON, and back.
[[nodiscard]] std::string to_json(const TokenSequences& sequences);
[[nodiscard]] TokenSequences token_sequences_from_json(const std::string& text);

}  // namespace lathe
