#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lathe::kernels {

/// For backends whose memory the host can read.
/// @throws DataError  naming the first of `ids` that is not below `limit`: "<what> <place> is ..."
void require_below(std::span<const std::uint32_t> ids, std::size_t limit, std::string_view what);

}  // namespace lathe::kernels
