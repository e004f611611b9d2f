#pragma once

#include <cstddef>
#include <cstdint>

namespace lathe::kernels {

/// fixed_point::PlainLoops, translated for several instruction sets.
struct ClonedLoops {
    static std::uint64_t largest(const std::int64_t* x, std::size_t n);
    static void add(std::int64_t* own, int own_up, const std::int64_t* other, int other_up,
                    std::size_t n);
    static void store(const std::int64_t* x, std::size_t n, int up, std::int64_t highest,
                      std::int8_t* to);
    static void store(const std::int64_t* x, std::size_t n, int up, std::int64_t highest,
                      std::int16_t* to);
};

}  // namespace lathe::kernels
