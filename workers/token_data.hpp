#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "lib/tokenizer/tokenizer.hpp"

namespace lathe {

/// Token ids cut into windows of equal length. Layout: window w at ids[w * length].
struct TokenWindows {
    std::size_t length = 0;
    std::vector<std::uint32_t> ids;

    [[nodiscard]] std::size_t count() const { return length == 0 ? 0 : ids.size() / length; }
    [[nodiscard]] std::span<const std::uint32_t> window(std::size_t w) const {
        return std::span(ids).subspan(w * length, length);
    }
};

/// All tokens of the files as one stream, without special tokens. `.txt`: the text as it is;
/// `.jsonl`: the field `text` of each line, one after another; `.h5`: dataset `input_ids`, row
/// after row.
/// @throws MissingInputError, DataError  naming file and line; unknown extension
[[nodiscard]] std::vector<std::uint32_t> read_token_stream(
    std::span<const std::filesystem::path> files, const Tokenizer* tokenizer,
    std::size_t vocab_size);

/// Consecutive windows of the whole stream; the last short one is dropped.
[[nodiscard]] TokenWindows all_windows(std::span<const std::uint32_t> stream, std::size_t length);

/// `count` windows spread evenly over the whole ones of the stream: number w of n is window
/// floor((w + offset) * n_windows / count). With offset 0 and 0.5 two selections of at most a
/// quarter of the windows each do not overlap.
/// @throws DataError  if the stream has fewer than `count` windows, naming `what` and both numbers
[[nodiscard]] TokenWindows spread_windows(std::span<const std::uint32_t> stream,
                                          std::size_t length, std::size_t count, double offset,
                                          const std::string& what);

}  // namespace lathe
