#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "orchestrator/estimate/job_sizes.hpp"

namespace lathe {

/// Lists the calls of a search, and of whatever measures plans after it.
class SearchWork {
public:
    /// Adds to `calls`. @pre  both outlive the object
    SearchWork(const JobSizes& sizes, std::vector<WorkCall>& calls)
        : sizes_(sizes), calls_(calls) {}

    void search();
    /// Plans on the evaluation samples, after the references of these chunks if there are none yet.
    void measure(const std::string& name, std::size_t n_plans);

private:
    void probe();
    void evolve();
    /// Variants that change one unit each, `changed`.
    void add_variants(const std::string& name, const std::vector<std::size_t>& changed,
                      std::size_t samples, double base_bytes);
    WorkCall& add(const char* stage, double rank_bytes);
    [[nodiscard]] WorkTask reference(std::string id, double tokens) const;
    [[nodiscard]] WorkTask part_reference(std::size_t part, std::size_t samples) const;
    [[nodiscard]] WorkTask plan_task(std::string id, double tokens) const;
    [[nodiscard]] WorkTask variants(std::string id, const std::vector<std::size_t>& changed,
                                    double tokens, double base_bytes) const;
    /// Tokens of the chunks that plans are measured on.
    [[nodiscard]] std::vector<std::size_t> chunks_for(std::size_t n_plans) const;

    const JobSizes& sizes_;
    std::vector<WorkCall>& calls_;
    std::set<std::size_t> cuts_;  ///< numbers of chunks that references were made of
};

}  // namespace lathe
