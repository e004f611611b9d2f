#include "kernels/contract/host_checks.hpp"

#include <string>

#include "lib/core/errors.hpp"

namespace lathe::kernels {

void require_below(std::span<const std::uint32_t> ids, std::size_t limit, std::string_view what) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] >= limit) {
            throw DataError(std::string(what) + " " + std::to_string(i) + " is " +
                            std::to_string(ids[i]) + ", expected less than " +
                            std::to_string(limit));
        }
    }
}

}  // namespace lathe::kernels
