#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "kernels/contract/gradients.hpp"

namespace lathe {
class ThreadPool;
}

namespace lathe::kernels {

enum class BackendKind { reference, cpu, cuda };

/// `pool` carries the tiles of the `cpu` backend and must outlive it; the others ignore it.
/// `cuda` is a plug-in, liblathe_cuda.so, that is opened by the first call that asks for it: from
/// the directory in the environment variable LATHE_PLUGIN_DIR, or else from beside the program or
/// ../lib/lathe from there. The CUDA libraries come with it.
/// `device`: which of the machine's devices, modulo their number.
/// @throws UsageError  if this build has no such backend, or the machine has no such device
std::unique_ptr<Backend> make_backend(BackendKind kind, ThreadPool& pool, std::size_t device = 0);

/// The backends of this build that can run on this machine; `reference` is always first.
std::vector<BackendKind> available_backends();

/// "reference", "cpu", "cuda". @throws UsageError  for another name
BackendKind backend_from_name(std::string_view name);

/// `pool` carries the tiles of `cpu` and must outlive it.
/// @throws UsageError  for `cuda`, which has no backward pass
std::unique_ptr<const Gradients> make_gradients(BackendKind kind, ThreadPool& pool);

}  // namespace lathe::kernels
