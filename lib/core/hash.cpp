#include "lib/core/hash.hpp"

#include <array>
#include <cstdio>
#include <new>

#include <xxhash.h>

namespace lathe {

std::uint64_t hash_bytes(std::span<const std::byte> bytes) noexcept {
    return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t hash_text(std::string_view text) noexcept {
    return XXH3_64bits(text.data(), text.size());
}

struct Hasher::State {
    XXH3_state_t* xxh = XXH3_createState();
    State() {
        if (xxh == nullptr) {
            throw std::bad_alloc();
        }
        XXH3_64bits_reset(xxh);
    }
    ~State() { XXH3_freeState(xxh); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::add(std::span<const std::byte> bytes) {
    XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Hasher::add_field(std::string_view text) {
    add_field(static_cast<std::uint64_t>(text.size()));
    add(std::as_bytes(std::span(text)));
}

void Hasher::add_field(std::uint64_t value) {
    add(std::as_bytes(std::span(&value, 1)));
}

std::uint64_t Hasher::digest() const {
    return XXH3_64bits_digest(state_->xxh);
}

std::string to_hex(std::uint64_t value) {
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
    return text.data();
}

}  // namespace lathe
