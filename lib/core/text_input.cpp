#include "lib/core/text_input.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/log.hpp"
#include "lib/core/utf8.hpp"

namespace lathe {
namespace {

/// An encoding with units of more than one byte, by its byte order mark.
struct WideEncoding {
    std::string_view name;
    std::string_view mark;
    std::size_t unit;  // bytes
    bool is_big_endian;
};

// UTF-32LE first: its mark begins with that of UTF-16LE.
constexpr std::array wide_encodings = {
    WideEncoding{"UTF-32LE", {"\xFF\xFE\0\0", 4}, 4, false},
    WideEncoding{"UTF-32BE", {"\0\0\xFE\xFF", 4}, 4, true},
    WideEncoding{"UTF-16LE", {"\xFF\xFE", 2}, 2, false},
    WideEncoding{"UTF-16BE", {"\xFE\xFF", 2}, 2, true},
};
constexpr std::string_view utf8_mark = "\xEF\xBB\xBF";

std::string hex(std::uint32_t value) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "0x%02X", static_cast<unsigned>(value));
    return text.data();
}

class WideText {
public:
    WideText(std::string_view bytes, const WideEncoding& encoding,
             const std::filesystem::path& file)
        : bytes_(bytes), encoding_(encoding), file_(file), at_(encoding.mark.size()) {}

    std::string as_utf8() {
        std::string out;
        while (at_ < bytes_.size()) append_utf8(out, next());
        return out;
    }

private:
    char32_t unit() {
        const std::size_t size = encoding_.unit;
        if (at_ + size > bytes_.size()) fail(at_, "the file ends within a character");
        char32_t value = 0;
        for (std::size_t i = 0; i < size; ++i) {
            const std::size_t from = encoding_.is_big_endian ? i : size - 1 - i;
            value = value << 8U | static_cast<unsigned char>(bytes_[at_ + from]);
        }
        at_ += size;
        return value;
    }

    char32_t next() {
        const std::size_t begin = at_;
        const char32_t first = unit();
        const bool is_surrogate = first >= 0xD800 && first <= 0xDFFF;
        if (!is_surrogate) {
            if (first > 0x10FFFF) fail(begin, hex(first) + " is above U+10FFFF");
            return first;
        }
        if (encoding_.unit == 2 && first < 0xDC00 && at_ + 2 <= bytes_.size()) {
            const char32_t second = unit();
            if (second >= 0xDC00 && second <= 0xDFFF) {
                return 0x10000 + ((first & 0x3FFU) << 10U) + (second & 0x3FFU);
            }
        }
        fail(begin, "the surrogate " + hex(first) + " has no other half");
    }

    [[noreturn]] void fail(std::size_t offset, const std::string& problem) const {
        throw DataError(file_.string() + ": " + std::string(encoding_.name) +
                        " by its byte order mark, but at offset " + std::to_string(offset) + " " +
                        problem);
    }

    std::string_view bytes_;
    const WideEncoding& encoding_;
    const std::filesystem::path& file_;
    std::size_t at_;
};

void require_utf8(std::string_view bytes, const std::filesystem::path& file) {
    const std::size_t bad = find_invalid_utf8(bytes);
    const std::size_t zero = bytes.substr(0, bad).find('\0');
    const std::size_t offset = std::min(bad, zero);
    if (offset == bytes.size()) return;
    const std::string_view before = bytes.substr(0, offset);
    const std::string place = file.string() + ": byte " +
                              hex(static_cast<unsigned char>(bytes[offset])) + " at offset " +
                              std::to_string(offset) + " (line " +
                              std::to_string(1 + std::ranges::count(before, '\n')) + ") ";
    if (offset == zero) {
        throw DataError(place +
                        "is no text: expected UTF-8. If the file is UTF-16 without a byte order "
                        "mark, convert it: iconv -f UTF-16LE -t UTF-8 FILE");
    }
    throw DataError(place +
                    "is not UTF-8; expected UTF-8, or UTF-16 or UTF-32 with a byte order mark. If "
                    "the file is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 FILE");
}

}  // namespace

std::string text_of_bytes(std::string bytes, const std::filesystem::path& file) {
    for (const WideEncoding& encoding : wide_encodings) {
        if (!bytes.starts_with(encoding.mark)) continue;
        log_info("text_converted file=" + file.string() + " from=" + std::string(encoding.name));
        std::string text = WideText(bytes, encoding, file).as_utf8();
        require_utf8(text, file);
        return text;
    }
    require_utf8(bytes, file);
    if (bytes.starts_with(utf8_mark)) bytes.erase(0, utf8_mark.size());
    return bytes;
}

std::string read_text_file(const std::filesystem::path& file) {
    return text_of_bytes(read_file(file), file);
}

}  // namespace lathe
