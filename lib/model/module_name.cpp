#include "lib/model/module_name.hpp"

#include "lib/model/family.hpp"

namespace lathe {

std::string module_name(const TensorSpec& tensor) {
    return tensor.name.substr(0, tensor.name.rfind('.'));
}

bool has_several_module_names(const ModelSpec& spec, const TensorSpec& tensor) {
    const FamilyRow* family = find_family(spec.family);
    return tensor.role == Role::lm_head && family != nullptr && !family->other_head.empty();
}

}  // namespace lathe
