#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lathe::tokenizer {

/// One field of a message in the wire format of Protocol Buffers.
struct WireField {
    std::uint32_t number;
    std::uint64_t value;     ///< of numbers; the bits of a 32-bit float
    std::string_view bytes;  ///< of texts and messages
};

/// Reads the fields of a message one after another. Fields that nobody asked for cost nothing.
class WireReader {
public:
    explicit WireReader(std::string_view message) : rest_(message) {}

    /// None at the end. @throws DataError  if the bytes are no such message
    [[nodiscard]] std::optional<WireField> next();

private:
    [[nodiscard]] std::uint64_t varint();
    [[nodiscard]] std::uint64_t fixed(std::size_t size);
    [[nodiscard]] std::string_view take(std::uint64_t size);

    std::string_view rest_;
};

}  // namespace lathe::tokenizer
