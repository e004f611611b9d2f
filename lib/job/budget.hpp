#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lathe {

/// Upper limit for everything in the output's checkpoint directory.
struct Budget {
    enum class Kind { bytes, ratio, bits_per_weight };
    Kind kind = Kind::ratio;
    double value = 4.0;

    /// The limit in bytes, rounded down. `source_bytes`: the source's tensors as stored;
    /// `parameters`: how many weights it has.
    [[nodiscard]] std::uint64_t limit_bytes(std::uint64_t source_bytes,
                                            std::uint64_t parameters) const;
    bool operator==(const Budget&) const = default;
};

/// "4x", "2.74MB", "35GB" (10^9), "1GiB" (2^30), "123456" (bytes), "3.5bpw". Upper and lower case
/// are the same; a space may stand before the unit. Kind::bytes holds whole bytes, rounded down.
///
/// Accepted: 1 byte to 2^53 bytes; ratio 0.5 to 1000 (so that 0.25x, written for "a quarter", is an
/// error and not a job that compresses nothing); 0.01 to 64 bits per weight.
/// @throws UsageError  naming the text and these forms, or the value and its range
[[nodiscard]] Budget parse_budget(std::string_view text);
/// A form parse_budget() reads back.
[[nodiscard]] std::string to_string(const Budget& budget);

}  // namespace lathe
