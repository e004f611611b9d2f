#include <cmath>

#include <fmt/format.h>

#include "lib/dataset/paired.hpp"
#include "orchestrator/progress.hpp"
#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"
#include "orchestrator/report/setting_labels.hpp"

namespace lathe::report {
namespace {

std::string tile(const std::string& label, const std::string& value, const std::string& below) {
    return fmt::format("<div class=\"tile\"><dt>{}</dt><dd><b>{}</b><span>{}</span></dd></div>\n",
                       label, value, below);
}

/// "1.5 % higher (95 % interval +1.2 % to +1.9 %)": a ratio of perplexities, of a paired difference
/// of their logarithms.
std::string ratio_text(Node difference) {
    const double mean = difference["mean"].number_or(0.0);
    const double half = half_of_interval_95(difference["standard_error"].number_or(NAN),
                                            difference["groups"].count());
    std::string text =
        fmt::format("{} {}", percent(std::abs(std::expm1(mean))), mean < 0.0 ? "lower" : "higher");
    if (std::isfinite(half)) {
        text += fmt::format(" (95 % interval {} to {})", percent(std::expm1(mean - half), true),
                            percent(std::expm1(mean + half), true));
    }
    return text;
}

std::string test_text(Node difference, const char* groups = "windows") {
    return fmt::format("t {:.1f}, {} {}", difference["t"].number_or(NAN),
                       difference["groups"].count(), groups);
}

std::string file_name(const std::string& path) {
    return escaped(std::filesystem::path(path).filename().string());
}

std::string perplexity_line(Node text) {
    const auto after = text["perplexity"].number();
    const auto before = text["source_perplexity"].number();
    std::string line = "<b>" + file_name(text["file"].text()) + "</b>: ";
    if (after && before) {
        const Node difference = text["nll_difference"];
        line += fmt::format("perplexity {:.3f} → <b>{:.3f}</b>", *before, *after);
        if (difference["mean"].number()) {
            line += fmt::format(", {}; paired {}, {}", ratio_text(difference),
                                plus_minus(fmt::format("{:+.5f}", *difference["mean"].number()),
                                           difference["standard_error"].number_or(NAN)) +
                                    " nats a token",
                                test_text(difference));
        }
        line += ". ";
    }
    line += fmt::format("KL to the source {} nats, same {} {}.",
                        plus_minus(short_number(text["kl"].number_or(NAN)),
                                   text["kl_standard_error"].number_or(NAN)),
                        after ? "first choice" : "answer",
                        percent(text["top1_agreement"].number_or(NAN)));
    return line;
}

/// The KL beside that of the best uniform plan within the same budget.
std::string uniform_line(Node text, const SettingLabels& labels) {
    const Node uniform = text["uniform"];
    const Node kl = uniform["difference"]["kl"];
    const auto mean = kl["mean"].number();
    if (!mean) {
        return "";
    }
    std::string line = fmt::format(
        "Against the best uniform plan within the budget ({}): KL <b>{}</b> by {} nats, paired, {}",
        escaped(labels.label(uniform["plan"].text())), *mean < 0.0 ? "lower" : "higher",
        plus_minus(short_number(std::abs(*mean)), kl["standard_error"].number_or(NAN)),
        test_text(kl, text["perplexity"].number() ? "windows" : "texts"));
    if (const Node nll = uniform["difference"]["nll"]; nll["mean"].number()) {
        line += ", perplexity " + ratio_text(nll);
    }
    line += ".";
    if (uniform["contradicts_search"].is_true()) {
        line +=
            " <strong class=\"warn\">The search's own samples say the opposite: this plan does not "
            "hold on this text. More search.num_evaluation_samples, or texts of this kind among "
            "them, may help.</strong>";
    }
    return line;
}

std::string task_line(Node task) {
    const Node metric = task["metrics"].at(0);
    std::string line =
        fmt::format("<b>{}</b> on {}: {} {:.4f} → <b>{}</b>, {} examples",
                    escaped(task["task"].text()), file_name(task["file"].text()),
                    escaped(metric["name"].text()), metric["source_value"].number_or(NAN),
                    plus_minus(fmt::format("{:.4f}", metric["value"].number_or(NAN)),
                               metric["standard_error"].number_or(NAN)),
                    task["examples"].count());
    if (const Node answers = task["answers"]; answers.has_value()) {
        line += fmt::format("; right alone: compressed {}, source {}; McNemar's exact test p {}",
                            answers["only_model"].count(), answers["only_source"].count(),
                            short_number(answers["p_value"].number_or(NAN)));
    }
    return line + ".";
}

std::string quality_list(const RunFacts& facts, const SettingLabels& labels) {
    std::string list;
    const Node evaluation = Node(facts.report)["evaluation"];
    for (std::size_t i = 0; i < evaluation.size(); ++i) {
        const Node entry = evaluation.at(i);
        list += "<li>" + (entry["task"].has_value() ? task_line(entry) : perplexity_line(entry));
        const std::string uniform = uniform_line(entry, labels);
        list += (uniform.empty() ? "" : "<br>" + uniform) + "</li>\n";
    }
    if (!list.empty()) {
        return "<ul class=\"quality\">\n" + list + "</ul>\n";
    }
    return "<p>Nothing was evaluated at the end: the job has no <code>evaluate</code>, or has not "
           "come to it.</p>\n";
}

/// The first text with a perplexity or task with a metric.
Node first_quality(const RunFacts& facts) {
    const Node evaluation = Node(facts.report)["evaluation"];
    for (std::size_t i = 0; i < evaluation.size(); ++i) {
        const Node entry = evaluation.at(i);
        if (entry["perplexity"].number() || entry["metrics"].at(0)["value"].number()) {
            return entry;
        }
    }
    return {};
}

/// How good it is, in a number.
std::string quality_tile(const RunFacts& facts) {
    const Node first = first_quality(facts);
    if (const auto after = first["perplexity"].number()) {
        const double half =
            half_of_interval_95(first["nll_difference"]["standard_error"].number_or(NAN),
                                first["nll_difference"]["groups"].count());
        const double mean = first["nll_difference"]["mean"].number_or(NAN);
        const std::string change =
            std::isfinite(mean) ? percent(std::expm1(mean), true) : std::string("–");
        const std::string within =
            std::isfinite(half) ? fmt::format(" ± {:.2f}", 100.0 * half * std::exp(mean)) : "";
        return tile("Perplexity", fmt::format("{:.2f}", *after),
                    fmt::format("from {:.2f}: {}{}", first["source_perplexity"].number_or(NAN),
                                change, within));
    }
    if (const Node metric = first["metrics"].at(0); metric["value"].number()) {
        return tile(escaped(first["task"].text() + " " + metric["name"].text()),
                    fmt::format("{:.3f}", *metric["value"].number()),
                    fmt::format("from {:.3f}, McNemar p {}", metric["source_value"].number_or(NAN),
                                short_number(first["answers"]["p_value"].number_or(NAN))));
    }
    if (const auto kl = facts.plan()["kl"].number()) {
        return tile("KL of the plan", short_number(*kl), "nats, on the search's own samples");
    }
    return "";
}

std::string uniform_tile(const RunFacts& facts) {
    const Node difference = Node(facts.report)["evaluation"].at(0)["uniform"]["difference"]["kl"];
    const Node kl = Node(facts.report)["evaluation"].at(0)["uniform"]["kl"];
    if (!difference["mean"].number() || !kl.number()) {
        return "";
    }
    const double share = *difference["mean"].number() / *kl.number();
    const double t = difference["t"].number_or(0.0);
    constexpr double least_t = 2.0;
    const char* const verdict = std::abs(t) < least_t ? "not to be told apart"
                                : share < 0.0         ? "better"
                                                      : "worse";
    return tile("KL beside uniform", fmt::format("{:+.0f}\u00a0%", 100.0 * share),
                fmt::format("{}, paired: t {:.1f}", verdict, t));
}

std::string tiles(const RunFacts& facts) {
    const Node report = facts.report;
    std::string text;
    const std::size_t bytes = report["checkpoint_bytes"].count() > 0
                                  ? report["checkpoint_bytes"].count()
                                  : facts.plan()["predicted_bytes"].count();
    if (bytes > 0 && facts.source_bytes > 0) {
        const double ratio = static_cast<double>(facts.source_bytes) / static_cast<double>(bytes);
        text += tile("Smaller by", fmt::format("{:.2f}×", ratio),
                     facts.job ? "budget " + escaped(to_string(facts.job->budget)) : "");
        text += tile("Bytes", bytes_text(bytes), "from " + bytes_text(facts.source_bytes));
    } else if (facts.source_bytes > 0) {
        text += tile("Source", bytes_text(facts.source_bytes), "no plan yet");
    }
    if (const auto bits = report["bits_per_weight"].number()) {
        text += tile("Bits a weight", fmt::format("{:.3f}", *bits),
                     grouped(report["parameters"].count()) + " weights");
    }
    text += quality_tile(facts) + uniform_tile(facts);
    if (const auto speedup = report["speedup"].number()) {
        text += tile("Products", fmt::format("{:.2f}×", *speedup), "as fast as the source's");
    }
    return text.empty() ? "" : "<dl class=\"tiles\">\n" + text + "</dl>\n";
}

std::string shell_quoted(const std::string& text) {
    std::string result = "'";
    for (const char c : text) {
        result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return result + "'";
}

std::string files_and_commands(const RunFacts& facts) {
    const Node report = facts.report;
    const std::string root = shell_quoted(facts.run.root().string());
    if (report["checkpoint"].text().empty()) {
        return "<h3>To continue</h3>\n<pre><code>lathe resume " + escaped(root) +
               "\n</code></pre>\n";
    }
    const std::string checkpoint = report["checkpoint"].text();
    Table files({"What", "Where", "#Bytes"});
    files.row({"checkpoint, hash <code>" + escaped(report["checkpoint_hash"].text()) + "</code>",
               "<code>" + escaped(checkpoint) + "</code>",
               grouped(report["checkpoint_bytes"].count())});
    std::string commands = "lathe verify " + shell_quoted(checkpoint) + "\n" + "lathe inspect " +
                           shell_quoted(checkpoint) + "\n";
    if (Node(facts.report)["evaluation"].at(0)["perplexity"].number()) {
        commands += "lathe generate " + shell_quoted(checkpoint) + " --prompt 'In the beginning'\n";
    }
    const nlohmann::json exports = report["exports"].json();
    if (exports.is_object()) {
        for (const auto& [format, entry] : exports.items()) {
            const Node exported(entry);
            files.row({"export, " + escaped(format),
                       "<code>" + escaped(exported["export"].text()) + "</code>",
                       grouped(exported["bytes"].count())});
        }
    }
    commands += "lathe search " + root + " --budget 3x,6x --assemble\n";
    return "<h3>Files</h3>\n" + files.html() + "<h3>Commands</h3>\n<pre><code>" +
           escaped(commands) + "</code></pre>\n";
}

}  // namespace

Section answer_section(const RunFacts& facts) {
    if (facts.is_empty()) {
        return {"answer", "The answer",
                "<p>There is no run in <code>" + escaped(facts.run.root().string()) +
                    "</code>: a run directory has a manifest.json, a job.yaml and a "
                    "journal.jsonl.</p>\n"};
    }
    const SettingLabels labels(facts);
    return {"answer", "The answer",
            tiles(facts) + quality_list(facts, labels) + files_and_commands(facts)};
}

}  // namespace lathe::report
