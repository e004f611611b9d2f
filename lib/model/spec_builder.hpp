#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// Fills the tensor and unit lists of a ModelSpec, in checkpoint order: whatever stands before the
/// blocks, then block by block, then what stands after. A family calls it once for each module.
class SpecBuilder {
public:
    /// `spec` must outlive the builder; its lists are appended to.
    explicit SpecBuilder(ModelSpec& spec) : spec_(spec) {}

    /// What follows belongs to this block; none: outside the blocks.
    void enter_block(std::optional<std::size_t> block) { block_ = block; }

    /// Whether the source has the linear weights that follow as [in, out].
    void store_transposed(bool transposed) { transposed_ = transposed; }

    /// `module`.weight [out, in] and, with `has_bias`, `module`.bias [out].
    void add_linear(Role role, const std::string& module, std::size_t out, std::size_t in,
                    bool has_bias = false);
    /// A linear whose rows belong to several roles; `role` is that of the whole.
    void add_fused(const std::string& module, Role role, FusedRows rows, std::size_t in,
                   bool has_bias);
    /// `module`.weight [width] and, for a LayerNorm, `module`.bias [width].
    void add_norm(Role role, const std::string& module, std::size_t width, bool has_bias = false);
    /// `module`.weight [rows, width].
    void add_embedding(Role role, const std::string& module, std::size_t rows, std::size_t width);

    /// A unit of the weights of `roles`, which must be there already. Inside a block its name is
    /// "block_0003." and `name`.
    void add_unit(const std::string& name, std::initializer_list<Role> roles, Signal input);

private:
    void add(Role role, std::string name, Shape shape, bool is_bias);

    ModelSpec& spec_;
    std::optional<std::size_t> block_;
    bool transposed_ = false;
};

}  // namespace lathe
