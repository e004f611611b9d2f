#pragma once

#include <cstddef>
#include <string>

#include "lib/config/job_config.hpp"
#include "lib/encoding/integer_form.hpp"
#include "lib/job/serve_targets.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {

/// A tensor with codes, as a program runs it.
struct ServedLayer {
    Role role{};
    std::size_t rows = 0;  ///< of all that the program runs as one with it
    std::size_t cols = 0;
    IntegerLayout layout;
};

/// The rules of the job's program (lib/job/serve_targets.hpp) for such a layer; "": it takes it.
[[nodiscard]] std::string why_not_this_layer(const ServeConfig& serve, const ServedLayer& layer);

}  // namespace lathe
