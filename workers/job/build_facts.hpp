#pragma once

#include <string>
#include <vector>

namespace lathe {

/// The CPU instruction sets of this build that this processor can run, best last.
[[nodiscard]] std::vector<std::string> runnable_instruction_sets();

/// Whether this build has the CUDA backend.
[[nodiscard]] bool is_cuda_compiled();

}  // namespace lathe
