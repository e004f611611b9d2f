#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "orchestrator/report/run_facts.hpp"

namespace lathe::report {

/// A part of the page.
struct Section {
    std::string id;
    std::string title;
    std::string html;  ///< without script it says all that counts; empty: the section is left out
    nlohmann::json data = nlohmann::json::object();  ///< what its charts draw, by their keys
};

// In the order of the page, one file each.
[[nodiscard]] Section answer_section(const RunFacts& facts);
[[nodiscard]] Section plans_section(const RunFacts& facts);
[[nodiscard]] Section units_section(const RunFacts& facts);
[[nodiscard]] Section search_section(const RunFacts& facts);
[[nodiscard]] Section windows_section(const RunFacts& facts);
[[nodiscard]] Section ranks_section(const RunFacts& facts);
[[nodiscard]] Section slicing_section(const RunFacts& facts);
[[nodiscard]] Section neurons_section(const RunFacts& facts);
[[nodiscard]] Section tensors_section(const RunFacts& facts);
[[nodiscard]] Section job_section(const RunFacts& facts);

}  // namespace lathe::report
