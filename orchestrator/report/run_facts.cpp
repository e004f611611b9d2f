#include "orchestrator/report/run_facts.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/utf8.hpp"
#include "orchestrator/version.hpp"

namespace lathe::report {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

/// Runs what reads a part of the run; whatever it throws becomes a sentence.
template <class Read>
void attempt(RunFacts& facts, const Read& read) {
    try {
        read();
    } catch (const std::exception& error) {
        facts.missing.push_back(repair_utf8(error.what()));
    }
}

/// null, and a sentence, for a file that is not there or is damaged.
nlohmann::json read_json(RunFacts& facts, const fs::path& file, const char* what) {
    if (!is_there(file)) {
        facts.missing.push_back(std::string(what) + " (no " +
                                file.lexically_relative(facts.run.root()).string() + ")");
        return {};
    }
    nlohmann::json content;
    attempt(facts, [&] {
        content = try_parse_json(read_file(file));
        if (content.is_discarded()) {
            content = {};
            throw DataError(file.lexically_relative(facts.run.root()).string() +
                            " is damaged: no JSON, or cut off");
        }
    });
    return content;
}

void read_manifest_of(RunFacts& facts) {
    if (!is_there(facts.run.manifest())) {
        facts.missing.emplace_back("what the run was begun with (no manifest.json)");
        return;
    }
    attempt(facts, [&] {
        facts.manifest = read_manifest(facts.run.manifest());
        const nlohmann::json stored = try_parse_json(read_file(facts.run.manifest()));
        const std::size_t version = Node(stored)["format_version"].count();
        if (version != 1) {
            throw DataError("manifest.json has format version " + std::to_string(version) +
                            ", this program knows 1: what follows may be incomplete");
        }
        if (facts.manifest->program_version != program_version) {
            throw DataError("the run was begun by version \"" + facts.manifest->program_version +
                            "\" of the program, this one is " + program_version);
        }
    });
}

void read_job_of(RunFacts& facts) {
    if (!is_there(facts.run.job())) {
        facts.missing.emplace_back("the job (no job.yaml)");
        return;
    }
    attempt(facts, [&] {
        facts.job_text = repair_utf8(read_file(facts.run.job()));
        facts.job = read_job(facts.job_text, facts.run.job().string(), {});
    });
}

void read_plans(RunFacts& facts) {
    nlohmann::json own = read_json(facts, facts.run.plan(), "the search's plan");
    if (own.is_object()) {
        facts.plans.push_back({"", std::move(own)});
    }
    std::vector<fs::path> others;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(facts.run.search(), error)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("plan_") && name.ends_with(".json") && is_valid_utf8(name)) {
            others.push_back(entry.path());
        }
    }
    std::ranges::sort(others);
    for (const fs::path& file : others) {
        nlohmann::json content = read_json(facts, file, "a plan");
        if (content.is_object()) {
            facts.plans.push_back({file.stem().string().substr(5), std::move(content)});
        }
    }
}

/// From the report or, before there is one, from the record of the model's files.
std::uint64_t source_bytes_of(const RunFacts& facts) {
    if (const std::size_t bytes = Node(facts.report)["source_bytes"].count(); bytes > 0) {
        return bytes;
    }
    nlohmann::json sources;
    try {
        sources = try_parse_json(read_file(facts.run.sources()));
    } catch (const Error&) {
        return 0;
    }
    std::uint64_t bytes = 0;
    const Node files = Node(sources)["files"];
    for (std::size_t i = 0; i < files.size(); ++i) {
        const bool is_weights = !files.at(i)["name"].text().ends_with(".json");
        bytes += is_weights ? files.at(i)["bytes"].count() : 0;
    }
    return bytes;
}

}  // namespace

bool RunFacts::is_empty() const {
    return !manifest && job_text.empty() && report.is_null() && plans.empty() &&
           timeline.spans.empty();
}

std::string RunFacts::model_name() const {
    if (!job || job->model.empty()) {
        return "model";
    }
    const fs::path model = job->model.lexically_normal();
    return (model.has_filename() ? model : model.parent_path()).filename().string();
}

Node RunFacts::plan() const {
    return !plans.empty() && plans.front().name.empty() ? plans.front().node() : Node();
}

RunFacts read_run_facts(const RunDirectory& given, bool at_end) {
    // Commands on the page work anywhere.
    const RunDirectory run(fs::absolute(given.root()).lexically_normal());
    std::error_code error;
    if (!fs::is_directory(run.root(), error)) {
        throw MissingInputError(run.root().string() + " is no directory");
    }
    RunFacts facts;
    facts.run = run;
    read_manifest_of(facts);
    read_job_of(facts);
    attempt(facts, [&] { facts.status = read_live_status(run); });
    if (facts.manifest || is_there(run.status())) {
        facts.state = at_end ? "done" : facts.status.status;
    }
    facts.report = read_json(facts, run.report(), "the results of the job");
    read_plans(facts);
    facts.windows = read_json(facts, run.windows(), "the figures of each window of the texts");
    facts.source_bytes = source_bytes_of(facts);
    attempt(facts, [&] { facts.timeline = read_timeline(run, facts.missing); });
    attempt(facts, [&] { facts.neurons = read_concentration(run); });
    attempt(facts, [&] { facts.spectra = read_spectra(run); });
    return facts;
}

}  // namespace lathe::report
