#pragma once

#include <string>

#include "orchestrator/simulate/simulation.hpp"

namespace lathe {

/// A picture (SVG): time to the right, a row a rank, a colour a stage. What a rank waits for within
/// a task is pale; what came to no end is hatched. Its size does not grow with the tasks: what is
/// narrower than a pixel is drawn together, and of more than 128 ranks some are shown.
[[nodiscard]] std::string timeline_svg(const Simulation& simulation, const std::string& title);

}  // namespace lathe
