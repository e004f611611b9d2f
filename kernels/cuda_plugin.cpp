#include "kernels/cuda_plugin.hpp"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <dlfcn.h>

#include "kernels/cuda_interface.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> places() {
    if (const char* directory = std::getenv("LATHE_PLUGIN_DIR")) {
        return {fs::path(directory) / cuda_plugin_file};
    }
    std::error_code ignored;
    const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
    return {program / cuda_plugin_file, program / "../lib/lathe" / cuda_plugin_file};
}

template <class Function>
Function* function_of(void* library, const char* name, const std::string& file) {
    void* const address = dlsym(library, name);
    if (address == nullptr) {
        throw UsageError("the CUDA backend cannot be used: " + file + " has no function " + name);
    }
    return reinterpret_cast<Function*>(address);
}

/// The function that opens a backend, of a library with our headers. It stays open until the end.
CudaPluginOpen* load() {
    std::error_code ignored;
    std::string searched;
    for (const fs::path& file : places()) {
        if (!fs::exists(file, ignored)) {
            searched += (searched.empty() ? "" : ", ") + file.string();
            continue;
        }
        void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            throw UsageError("the CUDA backend cannot be used: " + std::string(dlerror()));
        }
        const std::string interface =
            function_of<CudaPluginInterface>(library, "lathe_cuda_interface", file.string())();
        if (interface != cuda_interface) {
            throw UsageError("the CUDA backend cannot be used: " + file.string() +
                             " is of another build: its interface is " + interface + ", expected " +
                             cuda_interface);
        }
        return function_of<CudaPluginOpen>(library, "lathe_cuda_open", file.string());
    }
    throw UsageError("the CUDA backend cannot be used: no " + searched +
                     "; LATHE_PLUGIN_DIR may name its directory");
}

}  // namespace

bool is_cuda_compiled() {
#ifdef LATHE_HAS_CUDA
    return true;
#else
    return std::getenv("LATHE_PLUGIN_DIR") != nullptr;
#endif
}

std::unique_ptr<Backend> open_cuda_backend(std::size_t device) {
    static CudaPluginOpen* const open = load();  // tried again if it throws
    std::array<char, 512> reason{};
    std::unique_ptr<Backend> backend(open(device, reason.data(), reason.size()));
    if (!backend) {
        throw UsageError("the CUDA backend cannot be used: " + std::string(reason.data()));
    }
    return backend;
}

bool may_have_cuda_device() {
    std::error_code ignored;
    return fs::exists("/dev/nvidiactl", ignored) || fs::exists("/dev/dxg", ignored) ||
           std::getenv("LATHE_PLUGIN_DIR") != nullptr;
}

}  // namespace lathe::kernels
