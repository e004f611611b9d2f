#include <map>

#include <fmt/format.h>

#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"

namespace lathe::report {

Section tensors_section(const RunFacts& facts) {
    const Node tensors = Node(facts.report)["tensors"];
    if (tensors.size() == 0) {
        return {};
    }
    std::map<std::string, std::map<std::string, std::size_t>> counts;  // fate, why
    Table table({"Tensor", "Fate", "Unit, or why"});
    for (std::size_t t = 0; t < tensors.size(); ++t) {
        const Node tensor = tensors.at(t);
        const std::string fate = tensor["fate"].text();
        const std::string reason = tensor["reason"].text();
        ++counts[fate][reason];
        table.row({"<code>" + escaped(tensor["tensor"].text()) + "</code>", escaped(fate),
                   escaped(reason.empty() ? tensor["unit"].text() : reason)});
    }
    Table summary({"Fate", "Why", "#Tensors"});
    for (const auto& [fate, reasons] : counts) {
        for (const auto& [reason, count] : reasons) {
            summary.row({escaped(fate),
                         reason.empty() ? "candidates of its unit change it" : escaped(reason),
                         grouped(count)});
        }
    }
    return {"tensors", "Every tensor of the source",
            summary.html() +
                details(fmt::format("Table of tensors ({})", tensors.size()), table.html())};
}

}  // namespace lathe::report
