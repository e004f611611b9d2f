#include "workers/slicing/cut_weights.hpp"

namespace lathe {

std::vector<StreamWriter> writers_of(const ModelSpec& spec, std::size_t step) {
    constexpr StreamWriter attention{Role::o_proj, Signal::attention_out};
    constexpr StreamWriter mlp{Role::down_proj, Signal::mlp_hidden};
    if (spec.form == BlockForm::parallel) {
        return {attention, mlp};
    }
    return {step == 0 ? attention : mlp};
}

std::vector<Role> roles_of(const ModelSpec& spec, std::size_t step) {
    const std::vector<Role> attention{
        Role::attention_norm, Role::qkv_proj, Role::q_proj,
        Role::k_proj,         Role::v_proj,   Role::q_norm,
        Role::k_norm,         Role::o_proj,   Role::attention_shortcut};
    std::vector<Role> mlp{Role::mlp_norm, Role::gate_up_proj, Role::gate_proj,
                          Role::up_proj,  Role::down_proj,    Role::mlp_shortcut};
    if (spec.form == BlockForm::parallel) {
        mlp.insert(mlp.end(), attention.begin(), attention.end());
        return mlp;
    }
    return step == 0 ? attention : mlp;
}

void CutWeights::load(std::size_t index, const kernels::Backend& backend,
                      MatrixView<float> values) const {
    auto known = values_.find(index);
    if (known == values_.end()) {
        known = values_.emplace(index, weights_.values(spec_.tensors[index])).first;
    }
    backend.upload(reinterpret_cast<const std::byte*>(known->second.data()), DType::f64, values);
}

void CutWeights::refit(std::size_t boundary, const StepFit& fit, std::optional<Role> role) {
    weights_.refit(boundary, fit);
    std::erase_if(values_, [&](const auto& entry) {
        return !role || spec_.tensors[entry.first].role == *role;
    });
}

}  // namespace lathe
