#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lib/comm/communicator.hpp"

namespace lathe {

/// One line on where the ranks of a job run and what with:
/// "4 ranks on 2 hosts (n1: 0-1, n2: 2-3), cpu, 6 threads each". `threads` is runtime.threads: of
/// each rank, 0 for its share of the processors that it may use.
[[nodiscard]] std::string ranks_text(const std::vector<comm::RankPlace>& places,
                                     const std::string& backend, std::size_t threads);

/// What makes such a job slow and would not be seen: "" or a sentence. Ranks of a host that have
/// more threads together than processors; several that are bound to no memory node.
[[nodiscard]] std::string slow_ranks_text(const std::vector<comm::RankPlace>& places,
                                          std::size_t threads);

}  // namespace lathe
