#pragma once

#include "lib/model/family.hpp"

namespace lathe {

/// Llama 1, 2, 3 and the many models of their shape (model_type "llama").
[[nodiscard]] FamilyRow llama_family();

}  // namespace lathe
