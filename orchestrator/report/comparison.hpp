#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lib/dataset/paired.hpp"
#include "orchestrator/report/run_facts.hpp"

namespace lathe::report {

/// How a run's checkpoint does on a text or a task.
struct ComparedQuality {
    std::string subject;  ///< "test.txt", "sst2 accuracy"
    double value = 0.0;   ///< perplexity, of a classifier's text the KL, of a task its first metric
    double standard_error = 0.0;
    double kl = 0.0;  ///< to the source
    /// Less the first run's, on the windows that both have; none for the first run, and where there
    /// are fewer than two.
    std::optional<PairedDifference> nll;
    std::optional<PairedDifference> kl_difference;
};

struct ComparedRun {
    std::string name;  ///< of its directory, or more of the path where two have the same
    std::string state;
    std::string budget;
    std::string plan;        ///< where it came from, in short
    double bytes = 0.0;      ///< of the checkpoint, or predicted; 0: no plan yet
    double ratio = 0.0;      ///< 0: not known
    double bits = 0.0;       ///< a weight; 0: not known
    double search_kl = 0.0;  ///< on the search's own samples; NaN: not known
    double seconds = 0.0;    ///< of all stages together
    int ranks = 0;           ///< of the last start
    std::vector<ComparedQuality> quality;
    std::vector<std::pair<std::string, double>> stages;  ///< and their seconds
};

/// Several runs side by side. The first is what the others' differences are to.
[[nodiscard]] std::vector<ComparedRun> compare_runs(const std::vector<RunFacts>& runs);

[[nodiscard]] nlohmann::json to_json(const std::vector<ComparedRun>& runs);
[[nodiscard]] std::string to_text(const std::vector<ComparedRun>& runs);
/// A page like the report of a run.
[[nodiscard]] std::string comparison_html(const std::vector<RunFacts>& runs);

}  // namespace lathe::report
