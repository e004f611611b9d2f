#pragma once

#include <string>

namespace lathe {

/// The name of this machine; "unknown" if the system does not tell.
[[nodiscard]] std::string host_name();

}  // namespace lathe
