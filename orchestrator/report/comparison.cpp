#include "orchestrator/report/comparison.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/core/errors.hpp"
#include "orchestrator/report/setting_labels.hpp"

namespace lathe::report {
namespace {

namespace fs = std::filesystem;

/// The last parts of the paths, as many as it takes to tell them apart.
std::vector<std::string> names_of(const std::vector<RunFacts>& runs) {
    for (std::size_t parts = 1; parts < 64; ++parts) {
        std::vector<std::string> names;
        for (const RunFacts& run : runs) {
            fs::path path = run.run.root().lexically_normal();
            path = path.has_filename() ? path : path.parent_path();
            fs::path name = path.filename();
            for (std::size_t p = 1; p < parts && path.has_relative_path(); ++p) {
                path = path.parent_path();
                name = path.filename() / name;
            }
            names.push_back(name.string());
        }
        std::vector<std::string> sorted = names;
        std::ranges::sort(sorted);
        if (std::ranges::adjacent_find(sorted) == sorted.end()) {
            return names;
        }
    }
    std::vector<std::string> names;
    for (const RunFacts& run : runs) {
        names.push_back(run.run.root().string());
    }
    return names;
}

/// The first `count` numbers of an array, NaN for what is none.
std::vector<double> numbers(Node array, std::size_t count, double less = 0.0) {
    std::vector<double> values;
    for (std::size_t i = 0; i < std::min(count, array.size()); ++i) {
        values.push_back(array.at(i).number_or(NAN) - less);
    }
    return values;
}

/// The windows of a text; an absent node if the run has none of that name.
Node windows_of(const RunFacts& run, const std::string& file) {
    const Node all = run.windows;
    for (std::size_t t = 0; t < all.size(); ++t) {
        if (fs::path(all.at(t)["file"].text()).filename() == fs::path(file).filename()) {
            return all.at(t);
        }
    }
    return {};
}

std::optional<PairedDifference> difference(Node a, Node b, const char* key,
                                           const std::vector<double>& counts) {
    const std::vector<double> mine = numbers(a[key], counts.size());
    const std::vector<double> others = numbers(b[key], counts.size());
    const auto is_finite = [](double v) { return std::isfinite(v); };
    const bool fits = mine.size() == counts.size() && others.size() == counts.size() &&
                      std::ranges::all_of(mine, is_finite) &&
                      std::ranges::all_of(others, is_finite) &&
                      std::ranges::all_of(counts, is_finite);
    try {
        return fits ? std::optional(paired_difference(mine, others, counts)) : std::nullopt;
    } catch (const ShapeError&) {
        return std::nullopt;  // no tokens in it
    }
}

/// How many windows, from the first on, two runs have in common: as long, and as likely to the
/// source. One run may have a limit that the other has not.
std::size_t common_windows(Node a, Node b) {
    const std::size_t most = std::min(a["tokens"].size(), b["tokens"].size());
    std::size_t count = 0;
    for (; count < most; ++count) {
        const double mine = a["reference_nll"].at(count).number_or(NAN);
        const double other = b["reference_nll"].at(count).number_or(NAN);
        const bool is_same = a["tokens"].at(count).number() == b["tokens"].at(count).number() &&
                             std::abs(mine - other) <= 1e-3 * std::abs(mine);
        if (!is_same) {
            break;
        }
    }
    return count;
}

ComparedQuality quality_of_text(const RunFacts& run, const RunFacts& first, bool is_first,
                                Node entry) {
    const std::string file = entry["file"].text();
    ComparedQuality quality;
    quality.subject = fs::path(file).filename().string();
    const bool predicts = entry["perplexity"].number().has_value();
    quality.value = entry[predicts ? "perplexity" : "kl"].number_or(NAN);
    quality.standard_error =
        entry[predicts ? "perplexity_standard_error" : "kl_standard_error"].number_or(NAN);
    quality.kl = entry["kl"].number_or(NAN);
    const Node mine = windows_of(run, file);
    const Node others = windows_of(first, file);
    const std::size_t count = is_first ? 0 : common_windows(mine, others);
    if (count > 1) {
        quality.nll = difference(mine, others, "nll", numbers(mine["tokens"], count, 1.0));
        quality.kl_difference = difference(mine, others, "kl", numbers(mine["tokens"], count));
    }
    return quality;
}

ComparedQuality quality_of_task(Node entry) {
    const Node metric = entry["metrics"].at(0);
    return {entry["task"].text() + " " + metric["name"].text(),
            metric["value"].number_or(NAN),
            metric["standard_error"].number_or(NAN),
            entry["kl"].number_or(NAN),
            std::nullopt,
            std::nullopt};
}

ComparedRun compared(const RunFacts& run, const RunFacts& first, const std::string& name) {
    const Node report = run.report;
    const Node plan = run.plan();
    ComparedRun result;
    result.name = name;
    result.state = run.state;
    result.budget = plan["budget"].text();
    result.plan = SettingLabels(run).label(plan["origin"].text());
    result.bytes = report["checkpoint_bytes"].number_or(plan["predicted_bytes"].number_or(0.0));
    result.ratio = result.bytes > 0.0 ? static_cast<double>(run.source_bytes) / result.bytes : 0.0;
    result.bits = report["bits_per_weight"].number_or(0.0);
    result.search_kl = plan["kl"].number_or(NAN);
    result.ranks = run.timeline.starts.empty() ? 0 : run.timeline.starts.back().n_ranks;
    for (std::size_t s = 0; s < report["stages"].size(); ++s) {
        const Node stage = report["stages"].at(s);
        result.stages.emplace_back(stage["name"].text(), stage["seconds"].number_or(0.0));
        result.seconds += result.stages.back().second;
    }
    for (std::size_t e = 0; e < report["evaluation"].size(); ++e) {
        const Node entry = report["evaluation"].at(e);
        result.quality.push_back(entry["task"].has_value()
                                     ? quality_of_task(entry)
                                     : quality_of_text(run, first, &run == &first, entry));
    }
    return result;
}

nlohmann::json known(double value) {
    return std::isfinite(value) && value != 0.0 ? nlohmann::json(value) : nlohmann::json();
}

nlohmann::json to_json(const std::optional<PairedDifference>& difference) {
    if (!difference) {
        return {};
    }
    return {{"mean", difference->mean},
            {"standard_error", difference->standard_error},
            {"t", difference->t},
            {"p_value", difference->p_value},
            {"groups", difference->groups}};
}

}  // namespace

std::vector<ComparedRun> compare_runs(const std::vector<RunFacts>& runs) {
    const std::vector<std::string> names = names_of(runs);
    std::vector<ComparedRun> result;
    for (std::size_t r = 0; r < runs.size(); ++r) {
        result.push_back(compared(runs[r], runs.front(), names[r]));
    }
    return result;
}

nlohmann::json to_json(const std::vector<ComparedRun>& runs) {
    nlohmann::json list = nlohmann::json::array();
    for (const ComparedRun& run : runs) {
        nlohmann::json quality = nlohmann::json::array();
        for (const ComparedQuality& q : run.quality) {
            quality.push_back({{"subject", q.subject},
                               {"value", q.value},
                               {"standard_error", q.standard_error},
                               {"kl", q.kl},
                               {"nll_difference", to_json(q.nll)},
                               {"kl_difference", to_json(q.kl_difference)}});
        }
        nlohmann::json stages = nlohmann::json::object();
        for (const auto& [name, seconds] : run.stages) {
            stages[name] = seconds;
        }
        list.push_back({{"run", run.name},
                        {"state", run.state},
                        {"budget", run.budget},
                        {"plan", run.plan},
                        {"bytes", known(run.bytes)},
                        {"ratio", known(run.ratio)},
                        {"bits_per_weight", known(run.bits)},
                        {"search_kl", known(run.search_kl)},
                        {"seconds", known(run.seconds)},
                        {"ranks", run.ranks},
                        {"quality", std::move(quality)},
                        {"stages", std::move(stages)}});
    }
    return list;
}

std::string to_text(const std::vector<ComparedRun>& runs) {
    std::size_t width = 4;
    for (const ComparedRun& run : runs) {
        width = std::max(width, run.name.size());
    }
    const auto cell = [](double value, const char* format) {
        return std::isfinite(value) && value != 0.0 ? fmt::format(fmt::runtime(format), value)
                                                    : std::string("-");
    };
    std::string text =
        fmt::format("{:<{}}  {:<8} {:>14} {:>8} {:>7} {:>10} {:>10} {:>6}  {}\n", "run", width,
                    "state", "bytes", "ratio", "bits", "search KL", "seconds", "ranks", "plan");
    for (const ComparedRun& run : runs) {
        text += fmt::format("{:<{}}  {:<8} {:>14} {:>8} {:>7} {:>10} {:>10} {:>6}  {}\n", run.name,
                            width, run.state, cell(run.bytes, "{:.0f}"), cell(run.ratio, "{:.3f}"),
                            cell(run.bits, "{:.3f}"), cell(run.search_kl, "{:.5f}"),
                            cell(run.seconds, "{:.1f}"), run.ranks, run.plan);
    }
    for (const ComparedRun& run : runs) {
        for (const ComparedQuality& q : run.quality) {
            text += fmt::format("{:<{}}  {}: {} +- {}, KL {}", run.name, width, q.subject,
                                cell(q.value, "{:.4f}"), cell(q.standard_error, "{:.4f}"),
                                cell(q.kl, "{:.5f}"));
            if (q.nll) {
                text += fmt::format("; less {} on {} windows: {:+.5f} +- {:.5f} nats, t {:.1f}",
                                    runs.front().name, q.nll->groups, q.nll->mean,
                                    q.nll->standard_error, q.nll->t);
            }
            if (q.kl_difference) {
                text += fmt::format("; KL {:+.5f} +- {:.5f}, t {:.1f}", q.kl_difference->mean,
                                    q.kl_difference->standard_error, q.kl_difference->t);
            }
            text += "\n";
        }
    }
    return text;
}

}  // namespace lathe::report
