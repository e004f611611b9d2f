#pragma once

#include <cstddef>
#include <memory>

#include "kernels/contract/backend.hpp"

/// The CUDA backend lives in a shared library of its own, which is opened when it is asked for:
/// loading the CUDA libraries takes from half a second to several.
namespace lathe::kernels {

inline constexpr const char* cuda_plugin_file = "liblathe_cuda.so";

/// What the library exports, with C names:
///   const char* lathe_cuda_interface()
///   Backend* lathe_cuda_open(std::size_t device, char* reason, std::size_t reason_size)
/// lathe_cuda_interface() names the headers that both sides compile into themselves: this one and
/// all that it includes, by a hash that the build makes of them (cuda_interface.hpp). A library
/// that gives another one is refused before it is used.
/// lathe_cuda_open() returns a new backend, or null and the reason in `reason`, ended by a 0.
using CudaPluginInterface = const char*();
using CudaPluginOpen = Backend*(std::size_t device, char* reason, std::size_t reason_size);

/// Whether this build has the library, or LATHE_PLUGIN_DIR says where one is.
[[nodiscard]] bool is_cuda_compiled();

/// Opens the library once, and a backend on device number `device` modulo the number of devices.
/// @throws UsageError  naming what is missing: the library, a driver, a device
[[nodiscard]] std::unique_ptr<Backend> open_cuda_backend(std::size_t device);

/// Whether the machine has the device files of an NVIDIA driver, or LATHE_PLUGIN_DIR says where the
/// library is; opens no library.
[[nodiscard]] bool may_have_cuda_device();

}  // namespace lathe::kernels
