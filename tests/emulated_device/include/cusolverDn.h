#pragma once

// The calls of cuSOLVER that kernels/cuda makes, on the emulated device: as work on its stream,
// done by the host's LAPACK. They want a workspace, which they fill with what is no number.

#include "cublas_v2.h"

enum cusolverStatus_t {
    CUSOLVER_STATUS_SUCCESS = 0,
    CUSOLVER_STATUS_INVALID_VALUE = 3,
    CUSOLVER_STATUS_NOT_SUPPORTED = 9
};
enum cusolverEigMode_t { CUSOLVER_EIG_MODE_NOVECTOR = 0, CUSOLVER_EIG_MODE_VECTOR = 1 };
using cusolverDnHandle_t = struct EmulatedSolver*;
using cusolverDnParams_t = struct EmulatedSolverParams*;

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle);
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle);
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream);
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params);
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params);

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cusolverEigMode_t mode, cublasFillMode_t fill,
                                             std::int64_t n, cudaDataType_t type_a, const void* a,
                                             std::int64_t lda, cudaDataType_t type_w, const void* w,
                                             cudaDataType_t compute, std::size_t* device_bytes,
                                             std::size_t* host_bytes);
cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cusolverEigMode_t mode, cublasFillMode_t fill, std::int64_t n,
                                  cudaDataType_t type_a, void* a, std::int64_t lda,
                                  cudaDataType_t type_w, void* w, cudaDataType_t compute,
                                  void* device, std::size_t device_bytes, void* host,
                                  std::size_t host_bytes, int* info);
cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                             cublasFillMode_t fill, std::int64_t n,
                                             cudaDataType_t type_a, const void* a, std::int64_t lda,
                                             cudaDataType_t compute, std::size_t* device_bytes,
                                             std::size_t* host_bytes);
cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cublasFillMode_t fill, std::int64_t n, cudaDataType_t type_a,
                                  void* a, std::int64_t lda, cudaDataType_t compute, void* device,
                                  std::size_t device_bytes, void* host, std::size_t host_bytes,
                                  int* info);
cusolverStatus_t cusolverDnXtrtri_bufferSize(cusolverDnHandle_t handle, cublasFillMode_t fill,
                                             cublasDiagType_t diagonal, std::int64_t n,
                                             cudaDataType_t type_a, void* a, std::int64_t lda,
                                             std::size_t* device_bytes, std::size_t* host_bytes);
cusolverStatus_t cusolverDnXtrtri(cusolverDnHandle_t handle, cublasFillMode_t fill,
                                  cublasDiagType_t diagonal, std::int64_t n, cudaDataType_t type_a,
                                  void* a, std::int64_t lda, void* device, std::size_t device_bytes,
                                  void* host, std::size_t host_bytes, int* info);
