#include "lib/checkpoint/safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <tuple>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

// Lengths and elements are little-endian in the file and are used where they lie.
static_assert(std::endian::native == std::endian::little);

namespace lathe {
namespace {

using nlohmann::json;

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t max_header_bytes = 100'000'000;  // the limit of the format's own library

/// In the order of DType.
constexpr std::array<std::string_view, 13> dtype_names{
    "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"};

std::string in_quotes(std::string_view text) {
    return "'" + std::string(text) + "'";
}

DType parse_dtype(const std::string& text, const std::string& where) {
    const auto* found = std::find(dtype_names.begin(), dtype_names.end(), text);
    if (found != dtype_names.end()) {
        return static_cast<DType>(found - dtype_names.begin());
    }
    for (const std::string_view prefix : {"F8_", "F6_", "F4", "C64"}) {
        if (text.starts_with(prefix)) {
            throw DataError(where + " has element type " + text +
                            "; weights of that type are not supported, convert the model to "
                            "bfloat16 or float16 first");
        }
    }
    throw DataError(where + " has the unknown element type " + in_quotes(text) +
                    ", expected F32, F16, BF16 or another type of the safetensors format");
}

const json& member(const json& object, const char* key, json::value_t type,
                   const std::string& where) {
    const auto found = object.find(key);
    if (found == object.end()) {
        throw DataError(where + " has no " + in_quotes(key));
    }
    if (found->type() != type) {
        throw DataError(where + ": " + in_quotes(key) + " is " + found->dump() + ", expected " +
                        (type == json::value_t::string ? "a string" : "an array"));
    }
    return *found;
}

/// The elements of an array that must be whole numbers from 0 to 2^64 - 1. Anything larger was
/// parsed as a floating-point number and is refused as such.
std::vector<std::size_t> counts(const json& array, const char* key, const std::string& where) {
    std::vector<std::size_t> values;
    for (const json& element : array) {
        if (!element.is_number_unsigned()) {
            throw DataError(where + ": " + in_quotes(key) + " holds " + element.dump() +
                            ", expected a whole number from 0 to 2^64 - 1");
        }
        values.push_back(element.get<std::size_t>());
    }
    return values;
}

std::optional<std::uint64_t> byte_count(DType dtype, const Shape& shape) {
    std::uint64_t bytes = size_bytes(dtype);
    for (const std::size_t extent : shape) {
        if (__builtin_mul_overflow(bytes, std::uint64_t{extent}, &bytes)) {
            return std::nullopt;
        }
    }
    return bytes;
}

HeaderEntry parse_entry(const std::string& name, const json& value, const std::string& file) {
    const std::string where = file + ": tensor " + in_quotes(name);
    if (!value.is_object()) {
        throw DataError(where + " is described by " + value.dump() + ", expected an object");
    }
    for (const auto& [key, ignored] : value.items()) {
        if (key != "dtype" && key != "shape" && key != "data_offsets") {
            throw DataError(where + " has the unknown key " + in_quotes(key) +
                            ", expected dtype, shape and data_offsets");
        }
    }
    HeaderEntry entry;
    entry.name = name;
    entry.dtype = parse_dtype(member(value, "dtype", json::value_t::string, where), where);
    entry.shape = counts(member(value, "shape", json::value_t::array, where), "shape", where);
    const auto offsets =
        counts(member(value, "data_offsets", json::value_t::array, where), "data_offsets", where);
    if (offsets.size() != 2) {
        throw DataError(where + ": 'data_offsets' has " + std::to_string(offsets.size()) +
                        " elements, expected 2");
    }
    std::tie(entry.begin, entry.end) = std::pair(offsets[0], offsets[1]);
    if (entry.begin > entry.end) {
        throw DataError(where + " begins at byte " + std::to_string(entry.begin) +
                        ", behind its end at byte " + std::to_string(entry.end));
    }
    const auto expected = byte_count(entry.dtype, entry.shape);
    if (expected != entry.end - entry.begin) {
        throw DataError(where + " has offsets for " + std::to_string(entry.end - entry.begin) +
                        " bytes, expected " +
                        (expected ? std::to_string(*expected) : "more than 2^64") + " for " +
                        std::string(safetensors_name(entry.dtype)) + " " + to_string(entry.shape));
    }
    return entry;
}

void check_metadata(const json& metadata, const std::string& file) {
    const bool all_text =
        metadata.is_object() && std::all_of(metadata.begin(), metadata.end(),
                                            [](const json& value) { return value.is_string(); });
    if (!all_text) {
        throw DataError(file + ": '__metadata__' is not an object whose values are strings");
    }
}

/// The tensors, in the order of their data, must cover exactly the bytes behind the header.
void check_coverage(std::vector<HeaderEntry> entries, std::uint64_t data_bytes,
                    const std::string& file) {
    std::sort(entries.begin(), entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
        return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    std::uint64_t covered = 0;
    std::string before = "the header";
    for (const HeaderEntry& entry : entries) {
        const std::string where = file + ": tensor " + in_quotes(entry.name);
        if (entry.begin != covered) {
            throw DataError(where + " begins at data byte " + std::to_string(entry.begin) + ", " +
                            (entry.begin < covered ? "overlapping " : "leaving a gap behind ") +
                            before + ", which ends at " + std::to_string(covered));
        }
        if (entry.end > data_bytes) {
            throw DataError(where + " ends at data byte " + std::to_string(entry.end) +
                            ", but the file holds " + std::to_string(data_bytes) +
                            " data bytes; it is truncated, or its header is wrong");
        }
        covered = entry.end;
        before = "tensor " + in_quotes(entry.name);
    }
    if (covered != data_bytes) {
        throw DataError(file + ": " + std::to_string(data_bytes - covered) +
                        " bytes behind the last tensor belong to no tensor (" +
                        std::to_string(data_bytes) + " data bytes, expected " +
                        std::to_string(covered) + ")");
    }
}

/// Length field and limits; returns the JSON text.
std::string_view header_text(std::span<const std::byte> file, const std::string& path) {
    if (file.size() < length_bytes) {
        throw DataError(path + ": truncated: " + std::to_string(file.size()) +
                        " bytes, expected at least 8 for the length of the header");
    }
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof length);
    if (length == 0) {
        throw DataError(path + ": the header is empty (length 0)");
    }
    if (length > max_header_bytes) {
        throw DataError(path + ": a header of " + std::to_string(length) +
                        " bytes, expected at most " + std::to_string(max_header_bytes) +
                        "; this is not a safetensors file, or it is damaged");
    }
    if (length > file.size() - length_bytes) {
        throw DataError(path + ": truncated: the header should have " + std::to_string(length) +
                        " bytes, but " + std::to_string(file.size() - length_bytes) + " are there");
    }
    const std::string_view text(reinterpret_cast<const char*>(file.data() + length_bytes), length);
    if (text.front() != '{') {
        throw DataError(path + ": the header does not begin with '{'");
    }
    return text;
}

}  // namespace

SafetensorsHeader read_safetensors_header(std::span<const std::byte> file,
                                          const std::filesystem::path& path) {
    const std::string_view text = header_text(file, path.string());
    // Header, tensor, array: nothing in the format is nested deeper.
    const json object = parse_strict_json(text, 3, path.string() + ": header");
    SafetensorsHeader header;
    header.data_begin = length_bytes + text.size();
    for (const auto& [name, value] : object.items()) {
        if (name == "__metadata__") {
            check_metadata(value, path.string());
        } else {
            header.entries.push_back(parse_entry(name, value, path.string()));
        }
    }
    check_coverage(header.entries, file.size() - header.data_begin, path.string());
    return header;
}

nlohmann::json parse_strict_json(std::string_view text, int max_depth, const std::string& where) {
    std::vector<std::set<std::string>> keys;  // of the objects that are open, outermost first
    const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
        const bool opens =
            event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
        if (opens && depth >= max_depth) {
            throw DataError(where + ": more than " + std::to_string(max_depth) +
                            " levels of nesting");
        }
        if (event == json::parse_event_t::object_start) {
            keys.emplace_back();
        }
        if (event == json::parse_event_t::object_end) {
            keys.pop_back();
        }
        if (event == json::parse_event_t::key &&
            !keys.back().insert(parsed.get<std::string>()).second) {
            throw DataError(where + ": the key " + in_quotes(parsed.get<std::string>()) +
                            " stands there twice");
        }
        return true;
    };
    try {
        return json::parse(text.begin(), text.end(), watch);
    } catch (const json::exception& error) {
        throw DataError(where + " is not valid JSON: " + error.what());
    }
}

std::string_view safetensors_name(DType dtype) noexcept {
    return dtype_names[static_cast<std::size_t>(dtype)];
}

}  // namespace lathe
