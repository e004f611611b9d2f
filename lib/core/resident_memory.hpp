#pragma once

#include <cstdint>

namespace lathe {

/// Bytes of memory that this process has at this moment; 0 if the system does not tell.
[[nodiscard]] std::uint64_t resident_memory() noexcept;

}  // namespace lathe
