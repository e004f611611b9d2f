#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/estimate/memory_limit.hpp"
#include "orchestrator/job_questions.hpp"
#include "orchestrator/serving.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// What a job will take, found out from headers and settings alone.
struct Preflight {
    struct Stage {
        std::string name;
        std::size_t tasks = 0;
        double flops = 0.0;
        double seconds = 0.0;  ///< on these ranks, from a short measurement of this processor
    };
    /// For a job that slices; approximate for widths by energy:
    struct Slice {
        std::size_t hidden_size = 0;
        std::size_t width = 0;  ///< of the stream, where it is cut
        std::uint64_t parameters = 0;
        // What of them is not a weight of the source made narrower:
        std::uint64_t shortcuts = 0;
        std::uint64_t projections = 0;  ///< around a table that embedding and head share
        /// Parameters of the tables, if embedding and head share one in the source and have two
        /// here; else 0.
        std::uint64_t split_tables = 0;
    };
    std::uint64_t parameters = 0;
    std::uint64_t source_bytes = 0;
    std::uint64_t budget_bytes = 0;
    std::uint64_t minimum_bytes = 0;  ///< the smallest output the candidates allow
    /// It takes calibration or compression to know the bytes of some candidates: minimum_bytes is
    /// then a lower bound, and so is the candidates' share of run_directory_bytes.
    bool is_lower_bound = false;
    /// What a rank takes in a stage.
    struct Memory {
        std::string stage;
        std::uint64_t bytes = 0;
        bool streams_in_files = false;  ///< in memory they would take more than a rank may use
    };
    std::vector<Memory> memory;  ///< of the stages that take much
    MemoryLimit memory_limit;
    /// The stage that takes the most. @pre  memory is not empty
    [[nodiscard]] const Memory& peak_memory() const;
    std::uint64_t run_directory_bytes = 0;
    std::vector<Stage> stages;
    std::optional<Slice> slice;
    std::vector<DroppedSetting> dropped;  ///< of a job with `serve`
    [[nodiscard]] bool feasible() const { return minimum_bytes <= budget_bytes; }
};

/// Looks at everything a job reads before it begins: the texts of calibration and search must be
/// there; the data of its evaluation at the end are read.
/// @throws UsageError, MissingInputError, DataError
[[nodiscard]] JobQuestions check_inputs(const JobContext& context);

/// @throws DataError  if the model has a form that the job cannot work on
[[nodiscard]] Preflight preflight(const JobContext& context, const JobQuestions& questions);

/// @throws InfeasibleError  if a stage takes more memory than a rank may use, naming it and both
void require_memory(const Preflight& preflight);

/// @throws InfeasibleError  if the budget is below the minimum, naming it in the budget's own form
void require_feasible(const Preflight& preflight, const Budget& budget);

}  // namespace lathe
