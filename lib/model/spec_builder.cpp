#include "lib/model/spec_builder.hpp"

#include <cstdio>
#include <utility>

#include "lib/core/errors.hpp"

namespace lathe {

void SpecBuilder::add(Role role, std::string name, Shape shape, bool is_bias) {
    TensorSpec tensor;
    tensor.name = std::move(name);
    tensor.role = role;
    tensor.block = block_;
    tensor.is_bias = is_bias;
    tensor.shape = std::move(shape);
    spec_.tensors.push_back(std::move(tensor));
}

void SpecBuilder::add_linear(Role role, const std::string& module, std::size_t out, std::size_t in,
                             bool has_bias) {
    add(role, module + ".weight", {out, in}, false);
    spec_.tensors.back().transposed = transposed_;
    if (has_bias) add(role, module + ".bias", {out}, true);
}

void SpecBuilder::add_fused(const std::string& module, Role role, FusedRows rows, std::size_t in,
                            bool has_bias) {
    std::size_t out = 0;
    for (const FusedRows::Part& part : rows.parts) out += rows.n_groups * part.rows;
    const std::size_t first = spec_.tensors.size();
    add_linear(role, module, out, in, has_bias);
    for (std::size_t t = first; t < spec_.tensors.size(); ++t) spec_.tensors[t].fused = rows;
}

void SpecBuilder::add_norm(Role role, const std::string& module, std::size_t width, bool has_bias) {
    add(role, module + ".weight", {width}, false);
    if (has_bias) add(role, module + ".bias", {width}, true);
}

void SpecBuilder::add_embedding(Role role, const std::string& module, std::size_t rows,
                                std::size_t width) {
    add(role, module + ".weight", {rows, width}, false);
}

void SpecBuilder::add_unit(const std::string& name, std::initializer_list<Role> roles,
                           Signal input) {
    UnitSpec unit{.name = name, .block = block_, .tensors = {}, .input = input};
    if (block_) {
        char prefix[32];
        std::snprintf(prefix, sizeof prefix, "block_%04zu.", *block_);
        unit.name = prefix + name;
    }
    // The tensors of the current block are the last of the list, so the search goes backwards.
    for (const Role role : roles) {
        std::size_t index = spec_.tensors.size();
        while (index > 0) {
            const TensorSpec& tensor = spec_.tensors[index - 1];
            if (tensor.role == role && tensor.block == block_ && !tensor.is_bias) break;
            --index;
        }
        if (index == 0)
            throw InternalError("unit " + unit.name + " asks for " +
                                std::string(lathe::name(role)) + ", which was not added");
        unit.tensors.push_back(index - 1);
    }
    spec_.units.push_back(std::move(unit));
}

}  // namespace lathe
