#pragma once

#include <functional>

#include "cuda_runtime_api.h"

namespace emulated {

/// Puts an operation on a stream. It may read and write device memory.
void enqueue(cudaStream_t stream, std::function<void()> operation);

}  // namespace emulated
