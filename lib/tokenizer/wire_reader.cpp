#include "lib/tokenizer/wire_reader.hpp"

#include <string>

#include "lib/core/errors.hpp"

namespace lathe::tokenizer {

std::string_view WireReader::take(std::uint64_t size) {
    if (size > rest_.size()) {
        throw DataError("a field of " + std::to_string(size) + " bytes, of which " +
                        std::to_string(rest_.size()) + " are there");
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
}

std::uint64_t WireReader::varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const auto byte = static_cast<unsigned char>(take(1).front());
        value |= std::uint64_t{byte & 0x7FU} << shift;
        if (byte < 0x80) return value;
    }
    throw DataError("a number of more than 64 bits");
}

std::uint64_t WireReader::fixed(std::size_t size) {
    const std::string_view bytes = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) {
        value = value << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

std::optional<WireField> WireReader::next() {
    if (rest_.empty()) return std::nullopt;
    const std::uint64_t tag = varint();
    WireField field{static_cast<std::uint32_t>(tag >> 3U), 0, {}};
    switch (tag & 7U) {
        case 0:
            field.value = varint();
            return field;
        case 1:
            field.value = fixed(8);
            return field;
        case 2:
            field.bytes = take(varint());
            return field;
        case 5:
            field.value = fixed(4);
            return field;
        default:
            throw DataError("a field of the unknown kind " + std::to_string(tag & 7U));
    }
}

}  // namespace lathe::tokenizer
