#include "lib/encoding/part_checks.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

std::string part_text(const TensorPart& part, const std::string& where) {
    return where + ": part '" + part.name + "'";
}

std::string joined(std::initializer_list<std::string_view> names) {
    std::string text;
    for (const std::string_view name : names) {
        text += (text.empty() ? "" : ", ") + std::string(name);
    }
    return text.empty() ? "none" : text;
}

}  // namespace

std::int64_t checked_setting(const EncodedTensor& tensor, std::string_view key, std::int64_t least,
                             std::int64_t most, const std::string& where) {
    const auto found = tensor.settings.find(std::string(key));
    if (found == tensor.settings.end()) {
        throw DataError(where + ": encoding '" + tensor.encoding + "' needs the setting '" +
                        std::string(key) + "', which is absent");
    }
    if (found->second < least || found->second > most) {
        const std::string range = most == std::numeric_limits<std::int64_t>::max()
                                      ? "at least " + std::to_string(least)
                                      : std::to_string(least) + " to " + std::to_string(most);
        throw DataError(where + ": setting '" + std::string(key) + "' is " +
                        std::to_string(found->second) + ", expected " + range);
    }
    return found->second;
}

void check_setting_names(const EncodedTensor& tensor, std::initializer_list<std::string_view> names,
                         const std::string& where) {
    for (const auto& [key, value] : tensor.settings) {
        if (std::find(names.begin(), names.end(), key) == names.end()) {
            throw DataError(where + ": encoding '" + tensor.encoding + "' has no setting '" + key +
                            "'; its settings are: " + joined(names));
        }
    }
    for (const std::string_view name : names) {
        checked_setting(tensor, name, std::numeric_limits<std::int64_t>::min(),
                        std::numeric_limits<std::int64_t>::max(), where);
    }
}

void check_part_names(const EncodedTensor& tensor, std::initializer_list<std::string_view> names,
                      const std::string& where) {
    const bool same =
        std::equal(tensor.parts.begin(), tensor.parts.end(), names.begin(), names.end(),
                   [](const TensorPart& part, std::string_view name) { return part.name == name; });
    if (same) {
        return;
    }
    std::string found;
    for (const TensorPart& part : tensor.parts) {
        found += (found.empty() ? "" : ", ") + part.name;
    }
    throw DataError(where + ": the parts of encoding '" + tensor.encoding + "' are " +
                    (found.empty() ? "none" : found) + ", expected " + joined(names));
}

void check_part(const TensorPart& part, DType dtype, const Shape& shape, const std::string& where) {
    if (part.dtype != dtype) {
        throw DataError(part_text(part, where) + " has type " + std::string(name(part.dtype)) +
                        ", expected " + std::string(name(dtype)));
    }
    if (part.shape != shape) {
        throw DataError(part_text(part, where) + " has shape " + to_string(part.shape) +
                        ", expected " + to_string(shape));
    }
    const std::size_t expected = element_count(shape) * size_bytes(dtype);
    if (part.bytes.size() != expected) {
        throw DataError(part_text(part, where) + " has " + std::to_string(part.bytes.size()) +
                        " bytes, expected " + std::to_string(expected));
    }
}

void check_finite_halves(const TensorPart& part, const std::string& where) {
    for (std::size_t i = 0; i + 1 < part.bytes.size(); i += 2) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, part.bytes.data() + i, sizeof bits);
        if ((bits & 0x7C00U) == 0x7C00U) {
            throw DataError(part_text(part, where) + " holds a value that is not finite, element " +
                            std::to_string(i / 2));
        }
    }
}

void check_bytes_at_most(const TensorPart& part, std::uint8_t most, const std::string& where) {
    for (std::size_t i = 0; i < part.bytes.size(); ++i) {
        const auto value = std::to_integer<unsigned>(part.bytes[i]);
        if (value > most) {
            throw DataError(part_text(part, where) + " holds " + std::to_string(value) +
                            " as element " + std::to_string(i) + ", expected at most " +
                            std::to_string(most));
        }
    }
}

void check_extents(const Shape& shape, const std::string& where) {
    // Zero extents count as one, so that every partial product is safe too.
    std::size_t product = 8;
    for (const std::size_t extent : shape) {
        if (__builtin_mul_overflow(product, std::max<std::size_t>(extent, 1), &product)) {
            throw DataError(where + ": shape " + to_string(shape) + " is larger than any tensor");
        }
    }
}

}  // namespace lathe
