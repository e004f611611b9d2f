#pragma once

/// Marks a function that device code may call as well. Nothing to compilers other than nvcc.
#ifdef __CUDACC__
#define LATHE_HOST_DEVICE __host__ __device__
#else
#define LATHE_HOST_DEVICE
#endif
