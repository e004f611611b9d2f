#pragma once

#include <cstddef>
#include <cstdint>

/// The emulated device's memory: addresses of its own, which the host may not touch except while
/// operations run. Around what is allocated nothing is.
namespace emulated::memory {

/// What is known of a byte.
enum class State : std::uint8_t { absent, fresh, written };

inline constexpr std::size_t capacity = std::size_t{4} << 30;

/// Null if there is not enough left.
[[nodiscard]] void* allocate(std::size_t bytes);
/// False if allocate() did not give it, or it is free already.
[[nodiscard]] bool release(void* memory);
/// Fills an allocation that is new with junk; of those since, it is as good as any content.
void fill_fresh(void* memory);
[[nodiscard]] std::size_t bytes_left();

[[nodiscard]] std::uintptr_t begin();
[[nodiscard]] inline bool contains(const void* memory) {
    return reinterpret_cast<std::uintptr_t>(memory) - begin() < capacity;
}
/// Of the byte at offset 0 and those behind it.
[[nodiscard]] State* states();

/// Whether host code can read and write device memory. Calls may be nested.
class Opened {
public:
    Opened();
    ~Opened();
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
};

/// For what the emulator does itself: a fault unless the rows of bytes are allocated, or are on the
/// host; and, if they are read, unless they were written. What is written is so from then on.
void check_rows(const char* what, const void* memory, std::size_t pitch, std::size_t row_bytes,
                std::size_t rows, bool reads, bool writes);

}  // namespace emulated::memory
