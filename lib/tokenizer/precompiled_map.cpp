#include "lib/tokenizer/precompiled_map.hpp"

#include "lib/core/errors.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

constexpr std::size_t unit_size = 4;
/// Longer graphemes are looked up by code points only.
constexpr std::size_t longest_grapheme = 5;

std::uint32_t little_endian(std::string_view bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = unit_size; i-- > 0;) {
        value = value << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

// A unit of the double array.
bool has_leaf(std::uint32_t unit) {
    return (unit >> 8U & 1U) != 0;
}
std::uint32_t label(std::uint32_t unit) {
    return unit & (1U << 31U | 0xFFU);
}
std::uint32_t offset(std::uint32_t unit) {
    return (unit >> 10U) << ((unit & (1U << 9U)) >> 6U);
}
std::uint32_t value(std::uint32_t unit) {
    return unit & ((1U << 31U) - 1);
}

}  // namespace

PrecompiledMap::PrecompiledMap(std::string_view bytes) {
    const std::size_t n_bytes = bytes.size() < unit_size ? 1 : little_endian(bytes);
    if (n_bytes % unit_size != 0 || unit_size + n_bytes > bytes.size() || n_bytes == 0) {
        throw DataError("the precompiled character map of " + std::to_string(bytes.size()) +
                        " bytes is damaged");
    }
    for (std::size_t at = unit_size; at < unit_size + n_bytes; at += unit_size) {
        units_.push_back(little_endian(bytes.substr(at)));
    }
    texts_ = bytes.substr(unit_size + n_bytes);
}

std::optional<std::string_view> PrecompiledMap::find(std::string_view piece) const {
    std::size_t node = offset(units_[0]);
    for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        node ^= byte;
        if (byte == 0 || node >= units_.size() || label(units_[node]) != byte) return std::nullopt;
        const std::uint32_t unit = units_[node];
        node ^= offset(unit);
        if (!has_leaf(unit)) continue;
        const std::size_t begin = node < units_.size() ? value(units_[node]) : texts_.size();
        if (begin >= texts_.size()) return std::nullopt;
        return std::string_view(texts_).substr(begin, texts_.find('\0', begin) - begin);
    }
    return std::nullopt;
}

void PrecompiledMap::append_grapheme(std::string& out, std::string_view grapheme) const {
    if (grapheme.size() <= longest_grapheme) {
        if (const auto replacement = find(grapheme)) {
            out += *replacement;
            return;
        }
    }
    for (std::size_t i = 0; i < grapheme.size();) {
        const std::size_t begin = i;
        (void)next_code_point(grapheme, i);
        const std::string_view piece = grapheme.substr(begin, i - begin);
        out += find(piece).value_or(piece);
    }
}

std::string PrecompiledMap::apply(std::string_view text) const {
    std::string out;
    out.reserve(text.size());
    GraphemeBreaks breaks;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t position = i;
        if (breaks.before(next_code_point(text, i))) {
            append_grapheme(out, text.substr(begin, position - begin));
            begin = position;
        }
    }
    append_grapheme(out, text.substr(begin));
    return out;
}

}  // namespace lathe::tokenizer
