#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lathe {

/// 64-bit XXH3 (seed 0) of a byte sequence. Guards against accidents, not against forgery.
[[nodiscard]] std::uint64_t hash_bytes(std::span<const std::byte> bytes) noexcept;
[[nodiscard]] std::uint64_t hash_text(std::string_view text) noexcept;

/// The same hash over a sequence given piece by piece.
class Hasher {
public:
    Hasher();
    ~Hasher();
    Hasher(Hasher&&) noexcept;
    Hasher& operator=(Hasher&&) noexcept;

    void add(std::span<const std::byte> bytes);
    /// Adds the length, then the text, so that ("ab", "c") and ("a", "bc") differ.
    void add_field(std::string_view text);
    void add_field(std::uint64_t value);
    [[nodiscard]] std::uint64_t digest() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// 16 lower-case hexadecimal digits.
[[nodiscard]] std::string to_hex(std::uint64_t value);

}  // namespace lathe
