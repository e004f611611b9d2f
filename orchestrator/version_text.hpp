#pragma once

#include <string>

namespace lathe {

/// What `lathe --version` prints: version, commit, MPI, HDF5, instruction sets, CUDA.
[[nodiscard]] std::string version_text();

}  // namespace lathe
