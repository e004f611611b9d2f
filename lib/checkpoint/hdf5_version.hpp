#pragma once

#include <string>

namespace lathe {

/// The HDF5 library this process runs with: "1.10.8".
/// @throws InternalError
[[nodiscard]] std::string hdf5_version();

}  // namespace lathe
