#include "orchestrator/evaluation_report.hpp"

#include <fmt/format.h>

#include "lib/core/json.hpp"

namespace lathe {
namespace {

using nlohmann::json;

json metric_json(const Metric& metric) {
    return {
        {"name", metric.name}, {"value", metric.value}, {"standard_error", metric.standard_error}};
}

void add_perplexity(json& object, const std::string& prefix,
                    const std::optional<Perplexity>& perplexity) {
    if (perplexity) {
        object[prefix + "perplexity"] = perplexity->value;
        object[prefix + "perplexity_standard_error"] = perplexity->standard_error;
    }
}

void add_if_there(json& object, const std::string& key, const std::optional<double>& value) {
    if (value) {
        object[key] = *value;
    }
}

std::string lines_of(const EvaluationReport::Text& text) {
    const TextSummary& s = text.summary;
    std::string lines;
    if (s.perplexity && s.reference_perplexity) {
        lines += fmt::format(
            "perplexity        {:.4f} -> {:.4f} +- {:.4f} ({:+.2f} %)  {}\n",
            s.reference_perplexity->value, s.perplexity->value, s.perplexity->standard_error,
            100.0 * (s.perplexity->value / s.reference_perplexity->value - 1.0), text.file);
    }
    return lines + fmt::format("KL to the source  {:.5f}, same first choice {:.1f} %  {}\n",
                               s.kl.value_or(0.0), 100.0 * s.top1_agreement.value_or(0.0),
                               text.file);
}

std::string lines_of(const EvaluationReport::Task& task) {
    const TaskSummary& s = task.summary;
    std::string lines;
    for (std::size_t m = 0; m < s.metrics.size(); ++m) {
        lines +=
            fmt::format("{:<17} {:.4f} -> {:.4f} +- {:.4f}  {} examples of {}\n",
                        task.name + " " + s.metrics[m].name, s.reference_metrics.at(m).value,
                        s.metrics[m].value, s.metrics[m].standard_error, s.examples, task.file);
    }
    const std::string same =
        s.top1_agreement ? fmt::format(", same answer {:.1f} %", 100.0 * *s.top1_agreement) : "";
    return lines +
           fmt::format("KL to the source  {:.5f}{}  {}\n", s.kl.value_or(0.0), same, task.file);
}

}  // namespace

json to_json(const TextSummary& summary, std::string_view reference) {
    json object{{"tokens", summary.tokens}, {"windows", summary.sequences}};
    add_perplexity(object, "", summary.perplexity);
    add_perplexity(object, std::string(reference) + "_", summary.reference_perplexity);
    add_if_there(object, "kl", summary.kl);
    add_if_there(object, "top1_agreement", summary.top1_agreement);
    return object;
}

json to_json(const TaskSummary& summary, std::string_view reference) {
    const std::string prefix = std::string(reference) + "_";
    json metrics = json::array();
    for (std::size_t m = 0; m < summary.metrics.size(); ++m) {
        json entry = metric_json(summary.metrics[m]);
        if (m < summary.reference_metrics.size()) {
            entry[prefix + "value"] = summary.reference_metrics[m].value;
            entry[prefix + "standard_error"] = summary.reference_metrics[m].standard_error;
        }
        metrics.push_back(std::move(entry));
    }
    json object = metrics.front();  // the usual one once more, in plain view
    object["metric"] = object["name"];
    object.erase("name");
    object["examples"] = summary.examples;
    object["truncated"] = summary.n_cut;
    object["metrics"] = std::move(metrics);
    add_if_there(object, "loss", summary.loss);
    add_if_there(object, prefix + "loss", summary.reference_loss);
    add_if_there(object, "kl", summary.kl);
    add_if_there(object, "top1_agreement", summary.top1_agreement);
    return object;
}

json to_json(const EvaluationReport& report) {
    json list = json::array();
    for (const EvaluationReport::Text& text : report.texts) {
        json entry = to_json(text.summary, "source");
        entry["file"] = text.file;
        list.push_back(std::move(entry));
    }
    for (const EvaluationReport::Task& task : report.tasks) {
        json entry = to_json(task.summary, "source");
        entry["task"] = task.name;
        entry["file"] = task.file;
        list.push_back(std::move(entry));
    }
    return list;
}

std::string to_text(const EvaluationReport& report) {
    std::string text;
    for (const EvaluationReport::Text& entry : report.texts) {
        text += lines_of(entry);
    }
    for (const EvaluationReport::Task& entry : report.tasks) {
        text += lines_of(entry);
    }
    return text;
}

}  // namespace lathe
