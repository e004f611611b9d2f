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

std::string lines_of(const EvaluationReport::Uniform& uniform, const std::string& file) {
    std::string lines;
    const auto add = [&](const char* what, const std::optional<PairedDifference>& difference) {
        if (difference) {
            lines += fmt::format("beside uniform    {} {}  {}\n", what, to_text(*difference), file);
        }
    };
    add("nats", uniform.difference.nll);
    add("KL", uniform.difference.kl);
    if (uniform.contradicts) {
        lines += fmt::format(
            "NOTE: on {} the uniform plan diverges less, though not on the search's own samples; "
            "more search.num_evaluation_samples, or texts of this kind among them, may help\n",
            file);
    }
    return lines;
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
    if (s.nll_difference) {
        lines += fmt::format("nats a token      {}  {}\n", to_text(*s.nll_difference), text.file);
    }
    const std::string uniform = text.uniform ? lines_of(*text.uniform, text.file) : "";
    const GroupMean kl = s.kl.value_or(GroupMean{});
    return lines +
           fmt::format("KL to the source  {:.5f} +- {:.5f}, same first choice {:.1f} %  {}\n",
                       kl.value, kl.standard_error, 100.0 * s.top1_agreement.value_or(0.0),
                       text.file) +
           uniform;
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
    if (s.answers) {
        lines += fmt::format("{:<17} {}  {}\n", task.name, to_text(*s.answers), task.file);
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
    if (summary.kl) {
        object["kl"] = summary.kl->value;
        object["kl_standard_error"] = summary.kl->standard_error;
    }
    add_if_there(object, "top1_agreement", summary.top1_agreement);
    if (summary.nll_difference) {
        object["nll_difference"] = to_json(*summary.nll_difference);
    }
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
    if (summary.answers) {
        object["answers"] = to_json(*summary.answers, reference);
    }
    return object;
}

json to_json(const PairedDifference& difference) {
    return {{"mean", difference.mean},
            {"standard_error", difference.standard_error},
            {"t", difference.t},
            {"p_value", difference.p_value},
            {"groups", difference.groups}};
}

json to_json(const TextComparison& comparison) {
    json object = json::object();
    if (comparison.nll) {
        object["nll"] = to_json(*comparison.nll);
    }
    if (comparison.kl) {
        object["kl"] = to_json(*comparison.kl);
    }
    return object;
}

json to_json(const AnswerPairs& answers, std::string_view other) {
    return {{"both", answers.both},
            {"only_model", answers.only_a},
            {"only_" + std::string(other), answers.only_b},
            {"neither", answers.neither},
            {"p_value", answers.p_value}};
}

json windows_json(const SampleLosses& losses) {
    json object{{"nll", losses.nll}};
    if (!losses.kl.empty()) {
        object["kl"] = losses.kl;
        object["reference_nll"] = losses.reference_nll;
        object["agree"] = losses.agree;
    }
    return object;
}

std::string to_text(const PairedDifference& difference) {
    return fmt::format("{:+.5f} +- {:.5f}, t {:.1f}, p {:.2g}, {} windows", difference.mean,
                       difference.standard_error, difference.t, difference.p_value,
                       difference.groups);
}

std::string to_text(const AnswerPairs& answers) {
    return fmt::format("right alone {} and {} of {}, p {:.2g}", answers.only_a, answers.only_b,
                       answers.both + answers.only_a + answers.only_b + answers.neither,
                       answers.p_value);
}

json to_json(const EvaluationReport& report) {
    json list = json::array();
    for (const EvaluationReport::Text& text : report.texts) {
        json entry = to_json(text.summary, "source");
        entry["file"] = text.file;
        if (text.uniform) {
            entry["uniform"] = to_json(text.uniform->summary, "source");
            entry["uniform"]["plan"] = text.uniform->plan;
            entry["uniform"]["difference"] = to_json(text.uniform->difference);
            entry["uniform"]["contradicts_search"] = text.uniform->contradicts;
        }
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
    if (!report.texts.empty() && report.texts.front().uniform) {
        text += "uniform plan      " + report.texts.front().uniform->plan + "\n";
    }
    for (const EvaluationReport::Task& entry : report.tasks) {
        text += lines_of(entry);
    }
    return text;
}

}  // namespace lathe
