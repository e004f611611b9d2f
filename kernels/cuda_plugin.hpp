#pragma once

#include <cstddef>
#include <memory>

#include "kernels/contract/backend.hpp"

/// The CUDA backend lives in a shared library of its own, which is opened when it is asked for:
/// loading the CUDA libraries takes from half a second to several.
namespace lathe::kernels {

/// Changes with anything that both sides compile into themselves: the class Backend and what its
/// functions take. A library with another number is refused.
inline constexpr int cuda_plugin_version = 3;
inline constexpr const char* cuda_plugin_file = "liblathe_cuda.so";

/// What the library exports, with C names:
///   int lathe_cuda_version()
///   Backend* lathe_cuda_open(std::size_t device, char* reason, std::size_t reason_size)
/// lathe_cuda_open() returns a new backend, or null and the reason in `reason`, ended by a 0.
using CudaPluginVersion = int();
using CudaPluginOpen = Backend*(std::size_t device, char* reason, std::size_t reason_size);

/// Whether this build has the library.
[[nodiscard]] bool is_cuda_compiled();

/// Opens the library once, and a backend on device number `device` modulo the number of devices.
/// @throws UsageError  naming what is missing: the library, a driver, a device
[[nodiscard]] std::unique_ptr<Backend> open_cuda_backend(std::size_t device);

/// Whether the machine has the device files of an NVIDIA driver, or LATHE_PLUGIN_DIR says where the
/// library is; opens no library.
[[nodiscard]] bool may_have_cuda_device();

}  // namespace lathe::kernels
