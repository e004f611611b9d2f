# The sources of the plug-in, by their path from the root: its own, and those that it shares with
# the program.
set(LATHE_CUDA_SOURCES
  attention.cu binary.cu call.cu context.cpp descent.cu factor.cu forward.cu grid.cu linear_bf16.cu
  losses.cu memory.cu packed.cu packed_planes.cu packed_tiles.cu sparse.cu statistics.cu)
list(TRANSFORM LATHE_CUDA_SOURCES PREPEND kernels/cuda/)
list(APPEND LATHE_CUDA_SOURCES
  kernels/contract/forward_kernels.cpp kernels/contract/host_checks.cpp
  kernels/contract/integers.cpp kernels/contract/memory.cpp
  kernels/contract/packed_kernels.cpp kernels/contract/rounding_kernels.cpp
  kernels/contract/sparsity_kernels.cpp kernels/contract/statistics_kernels.cpp
  lib/core/dtype.cpp lib/core/half.cpp)
