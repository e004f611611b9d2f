#pragma once

#include <string>
#include <vector>

#include "orchestrator/report/sections.hpp"

namespace lathe::report {

/// One HTML file that needs nothing else: style, scripts and data stand in it.
struct PageText {
    std::string title;
    std::string lead;  ///< HTML above the sections
    std::vector<Section> sections;
};
[[nodiscard]] std::string page_html(const PageText& page);

/// The report of a run.
[[nodiscard]] std::string report_html(const RunFacts& facts);

struct Written {
    std::string state;                 ///< RunFacts::state
    std::vector<std::string> missing;  ///< RunFacts::missing
    bool is_empty = false;             ///< nothing of a run is there, and the page says so
};
/// Reads the run and writes its report to `file`; `at_end` as for read_run_facts().
/// @throws MissingInputError, IoError
Written write_report(const RunDirectory& run, const std::filesystem::path& file,
                     bool at_end = false);

}  // namespace lathe::report
