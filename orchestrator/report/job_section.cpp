#include <fmt/chrono.h>
#include <fmt/format.h>

#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"
#include "orchestrator/version.hpp"

namespace lathe::report {

Section job_section(const RunFacts& facts) {
    if (facts.is_empty()) {
        return {};
    }
    Table table({"What", "Value"});
    const auto add = [&](const char* what, const std::string& value) {
        if (!value.empty()) {
            table.row({what, "<code>" + escaped(value) + "</code>"});
        }
    };
    add("run directory", facts.run.root().string());
    if (facts.job) {
        add("model", facts.job->model.string());
    }
    if (facts.manifest) {
        add("begun by version", facts.manifest->program_version);
        add("instruction set", facts.manifest->instruction_set);
        add("fingerprint of the model", facts.manifest->model_fingerprint);
        add("fingerprint of the samples", facts.manifest->samples_fingerprint);
    }
    add("hash of the checkpoint", Node(facts.report)["checkpoint_hash"].text());
    if (!facts.timeline.starts.empty()) {
        add("ranks", facts.timeline.starts.back().where);
    }
    add("this page by version", std::string(program_version) + ", " + program_commit());
    std::string html = table.html();
    if (!facts.job_text.empty()) {
        html +=
            "<h3>The job as it ran</h3>\n<pre><code>" + escaped(facts.job_text) + "</code></pre>\n";
    }
    return {"job", "The job, versions, machine", html};
}

}  // namespace lathe::report
