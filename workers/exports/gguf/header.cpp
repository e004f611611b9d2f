#include "workers/exports/gguf/header.hpp"

#include <bit>
#include <cstring>
#include <type_traits>

namespace lathe::gguf {
namespace {

static_assert(std::endian::native == std::endian::little);

enum class ValueType : std::uint32_t {
    u32 = 4,
    i32 = 5,
    f32 = 6,
    boolean = 7,
    text = 8,
    list = 9,
};

class Bytes {
public:
    template <class T>
    requires std::is_trivially_copyable_v<T>
    void put(const T& value) {
        const std::size_t size = bytes_.size();
        bytes_.resize(size + sizeof(T));
        std::memcpy(bytes_.data() + size, &value, sizeof(T));
    }
    void put_text(std::string_view text) {
        put(std::uint64_t{text.size()});
        bytes_ += text;
    }

    void put_value(std::uint32_t value) {
        put(ValueType::u32);
        put(value);
    }
    void put_value(float value) {
        put(ValueType::f32);
        put(value);
    }
    void put_value(bool value) {
        put(ValueType::boolean);
        put(static_cast<std::uint8_t>(value ? 1 : 0));
    }
    void put_value(const std::string& value) {
        put(ValueType::text);
        put_text(value);
    }
    template <class T>
    void put_value(const std::vector<T>& list) {
        put(ValueType::list);
        put(std::is_same_v<T, float>          ? ValueType::f32
            : std::is_same_v<T, std::int32_t> ? ValueType::i32
                                              : ValueType::text);
        put(std::uint64_t{list.size()});
        for (const T& each : list) {
            if constexpr (std::is_same_v<T, std::string>) {
                put_text(each);
            } else {
                put(each);
            }
        }
    }
    void fill_up() { bytes_.resize(aligned(bytes_.size()), '\0'); }
    [[nodiscard]] std::string take() { return std::move(bytes_); }

private:
    std::string bytes_;
};

}  // namespace

std::string header(const std::vector<Key>& keys, const std::vector<Tensor>& tensors) {
    constexpr std::uint32_t version = 3;
    Bytes bytes;
    for (const char letter : {'G', 'G', 'U', 'F'}) {
        bytes.put(letter);
    }
    bytes.put(version);
    bytes.put(std::uint64_t{tensors.size()});
    bytes.put(std::uint64_t{keys.size()});
    for (const Key& key : keys) {
        bytes.put_text(key.name);
        std::visit([&](const auto& value) { bytes.put_value(value); }, key.value);
    }
    for (const Tensor& tensor : tensors) {
        bytes.put_text(tensor.name);
        bytes.put(static_cast<std::uint32_t>(tensor.shape.size()));
        for (std::size_t d = tensor.shape.size(); d-- > 0;) {
            bytes.put(std::uint64_t{tensor.shape[d]});
        }
        bytes.put(tensor.type);
        bytes.put(tensor.offset);
    }
    bytes.fill_up();
    return bytes.take();
}

}  // namespace lathe::gguf
