#include "lib/core/host_name.hpp"

#include <array>

#include <unistd.h>

namespace lathe {

std::string host_name() {
    std::array<char, 256> name{};
    const bool is_told = ::gethostname(name.data(), name.size() - 1) == 0 && name.front() != 0;
    return is_told ? name.data() : "unknown";
}

}  // namespace lathe
