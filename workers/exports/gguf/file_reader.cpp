#include "workers/exports/gguf/file_reader.hpp"

#include <cstring>
#include <type_traits>

#include "lib/core/errors.hpp"
#include "workers/exports/gguf/dequantise.hpp"

namespace lathe::gguf {
namespace {

using nlohmann::json;

constexpr std::uint64_t unit = 32;  // general.alignment, where the file does not say

/// The bytes of a file from its first to its last.
class Cursor {
public:
    Cursor(std::span<const std::byte> bytes, std::string where)
        : bytes_(bytes), where_(std::move(where)) {}

    [[noreturn]] void fail(const std::string& what) const {
        throw DataError(where_ + ": at byte " + std::to_string(at_) + ": " + what);
    }
    template <class T>
    T number() {
        static_assert(std::is_arithmetic_v<T>);
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    std::string text() {
        const auto length = number<std::uint64_t>();
        const auto bytes = take(length);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    json value(std::uint32_t type, bool in_list = false) {
        switch (type) {
            case 0:
                return number<std::uint8_t>();
            case 1:
                return number<std::int8_t>();
            case 2:
                return number<std::uint16_t>();
            case 3:
                return number<std::int16_t>();
            case 4:
                return number<std::uint32_t>();
            case 5:
                return number<std::int32_t>();
            case 6:
                return number<float>();
            case 7:
                return number<std::uint8_t>() != 0;
            case 8:
                return text();
            case 9:
                if (in_list) {
                    fail("a list in a list");
                }
                return list();
            case 10:
                return number<std::uint64_t>();
            case 11:
                return number<std::int64_t>();
            case 12:
                return number<double>();
            default:
                fail("a value of type " + std::to_string(type));
        }
    }
    void align() {
        at_ = (at_ + unit - 1) / unit * unit;
        if (at_ > bytes_.size()) {
            fail("the file ends before its data");
        }
    }
    [[nodiscard]] std::span<const std::byte> rest() const { return bytes_.subspan(at_); }

private:
    std::span<const std::byte> take(std::uint64_t count) {
        if (count > bytes_.size() - at_) {
            fail("the file ends inside a value of " + std::to_string(count) + " bytes");
        }
        at_ += count;
        return bytes_.subspan(at_ - count, count);
    }
    json list() {
        const auto type = number<std::uint32_t>();
        const auto count = number<std::uint64_t>();
        json list = json::array();
        for (std::uint64_t i = 0; i < count; ++i) {
            list.push_back(value(type, true));
        }
        return list;
    }

    std::span<const std::byte> bytes_;
    std::string where_;
    std::size_t at_ = 0;
};

struct TableEntry {
    std::string name;
    FoundTensor tensor;
    std::uint64_t offset = 0;
};

TableEntry read_entry(Cursor& cursor) {
    TableEntry entry{cursor.text(), {}, 0};
    const auto n_extents = cursor.number<std::uint32_t>();
    if (n_extents < 1 || n_extents > 4) {
        cursor.fail(entry.name + " has " + std::to_string(n_extents) + " dimensions");
    }
    constexpr std::uint64_t most_elements = std::uint64_t{1} << 48;
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < n_extents; ++d) {
        const auto extent = cursor.number<std::uint64_t>();
        if (extent < 1 || extent > most_elements / elements) {
            cursor.fail(entry.name + " has an extent of " + std::to_string(extent));
        }
        elements *= extent;
        entry.tensor.extents.push_back(extent);
    }
    entry.tensor.type = cursor.number<std::uint32_t>();
    entry.offset = cursor.number<std::uint64_t>();
    return entry;
}

std::uint64_t bytes_of(const TableEntry& entry, const Cursor& cursor) {
    const BlockSize block = block_size(entry.tensor.type);
    if (block.elements == 0 || entry.tensor.extents[0] % block.elements != 0) {
        cursor.fail(entry.name + " has type " + std::to_string(entry.tensor.type) +
                    " and rows of " + std::to_string(entry.tensor.extents[0]));
    }
    std::uint64_t bytes = block.bytes;
    std::uint64_t blocks = entry.tensor.extents[0] / block.elements;
    for (std::size_t d = 1; d < entry.tensor.extents.size(); ++d) {
        blocks *= entry.tensor.extents[d];
    }
    return bytes * blocks;
}

}  // namespace

FoundFile FoundFile::read(const std::filesystem::path& path) {
    FoundFile found{MappedFile(path), {}, {}};
    Cursor cursor(found.file.bytes(), path.string());
    if (cursor.number<std::uint32_t>() != 0x46554747) {  // "GGUF"
        cursor.fail("no GGUF file");
    }
    if (const auto version = cursor.number<std::uint32_t>(); version != 3) {
        cursor.fail("version " + std::to_string(version) + ", expected 3");
    }
    const auto n_tensors = cursor.number<std::uint64_t>();
    const auto n_keys = cursor.number<std::uint64_t>();
    for (std::uint64_t k = 0; k < n_keys; ++k) {
        std::string name = cursor.text();
        const auto type = cursor.number<std::uint32_t>();
        if (!found.keys.emplace(name, cursor.value(type)).second) {
            cursor.fail("the key " + name + " a second time");
        }
    }
    std::vector<TableEntry> entries;
    for (std::uint64_t t = 0; t < n_tensors; ++t) {
        entries.push_back(read_entry(cursor));
    }
    cursor.align();
    std::uint64_t end = 0;
    for (TableEntry& entry : entries) {
        const std::uint64_t bytes = bytes_of(entry, cursor);
        if (entry.offset != (end + unit - 1) / unit * unit || entry.offset > cursor.rest().size() ||
            bytes > cursor.rest().size() - entry.offset) {
            cursor.fail(entry.name + " lies at offset " + std::to_string(entry.offset) +
                        ", expected the next multiple of 32, inside the file");
        }
        end = entry.offset + bytes;
        entry.tensor.bytes = cursor.rest().subspan(entry.offset, bytes);
        if (!found.tensors.emplace(entry.name, entry.tensor).second) {
            cursor.fail(entry.name + " a second time");
        }
    }
    return found;
}

}  // namespace lathe::gguf
