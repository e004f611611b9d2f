#include "workers/job/build_facts.hpp"

#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cuda_plugin.hpp"

namespace lathe {

std::vector<std::string> runnable_instruction_sets() {
    std::vector<std::string> names;
    for (const kernels::VectorKernels* table : kernels::runnable_vector_kernels()) {
        names.emplace_back(table->name);
    }
    return names;
}

bool is_cuda_compiled() {
    return kernels::is_cuda_compiled();
}

}  // namespace lathe
