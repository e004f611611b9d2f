#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "lib/config/job_keys.hpp"
#include "lib/job/serve_targets.hpp"

namespace lathe {
namespace {

/// Whether YAML reads the text, without quotes, as just that text, also inside [...] and {...}.
bool is_plain(std::string_view text) {
    const auto is_word = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '/' || c == '.';
    };
    return !text.empty() && is_word(text.front()) &&
           std::all_of(text.begin(), text.end(),
                       [&](char c) { return is_word(c) || c == '-' || c == '+'; }) &&
           text.find_first_not_of('.') != std::string_view::npos && text != "null" &&
           text != "Null" && text != "NULL";
}

std::string yaml_text(const std::string& text) {
    if (is_plain(text)) {
        return text;
    }
    constexpr std::string_view hex = "0123456789ABCDEF";
    std::string quoted = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            quoted += '\\';
            quoted += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            quoted += "\\x";
            quoted += hex[byte / 16];
            quoted += hex[byte % 16];
        } else {
            quoted += c;
        }
    }
    return quoted + '"';
}

std::string yaml_text(const std::filesystem::path& path) {
    return yaml_text(path.string());
}

std::string joined(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) {
        all += (all.empty() ? "" : ", ") + text;
    }
    return all;
}

template <typename T>
std::string yaml_list(const std::vector<T>& items) {
    std::vector<std::string> texts;
    std::ranges::transform(items, std::back_inserter(texts),
                           [](const T& item) { return yaml_text(item); });
    return "[" + joined(texts) + "]";
}

std::string yaml_number(double value) {
    std::array<char, 32> buffer{};
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return {buffer.data(), result.ptr};
}

std::string yaml_entry(const CandidateEntry& entry) {
    std::string map = "{method: " + yaml_text(entry.method);
    for (const CandidateEntry::Key& key : entry.keys) {
        std::vector<std::string> values;
        std::ranges::transform(key.values, std::back_inserter(values),
                               [](const std::string& value) { return yaml_text(value); });
        std::ranges::transform(key.entries, std::back_inserter(values),
                               [](const CandidateEntry& inner) { return yaml_entry(inner); });
        map += ", " + yaml_text(key.name) + ": ";
        map += values.size() == 1 ? values.front() : "[" + joined(values) + "]";
    }
    return map + "}";
}

std::string yaml_entry(const TaskEntry& entry) {
    std::string map = "{task: " + yaml_text(entry.task) + ", data: " + yaml_text(entry.data);
    if (entry.max_seq_length > 0) {
        map += ", max_seq_length: " + std::to_string(entry.max_seq_length);
    }
    return map + "}";
}

/// A list of maps, one a line.
template <typename Entry>
JobKey entries_key(std::string_view section, std::string_view name,
                   const std::vector<Entry>& entries, bool may_change) {
    JobKey key{section, name, "[", {}, may_change};
    for (const Entry& entry : entries) {
        key.items.push_back(yaml_entry(entry));
        key.text += (key.text.size() > 1 ? ", " : "") + key.items.back();
    }
    key.text += "]";
    return key;
}

/// The slice section; nothing where there is none. What only says where to cut may change from run
/// to run: rotations are kept whole.
std::vector<JobKey> slice_keys(const std::optional<SliceConfig>& slice) {
    if (!slice) {
        return {};
    }
    const auto name = [](const auto& names, auto choice) {
        return std::string(names[static_cast<std::size_t>(choice)]);
    };
    const bool cut_later = slice->order == SliceConfig::Order::dense && slice->touch_up == 0;
    return {
        slice->parameter_reduction
            ? JobKey{"slice",
                     "parameter_reduction",
                     yaml_number(*slice->parameter_reduction),
                     {},
                     cut_later}
            : JobKey{"slice", "sparsity", yaml_number(slice->sparsity), {}, cut_later},
        {"slice", "round_interval", std::to_string(slice->round_interval), {}, cut_later},
        {"slice", "rotation", name(slice_names::rotation, slice->rotation), {}},
        {"slice", "order", name(slice_names::order, slice->order), {}},
        {"slice", "touch_up", std::to_string(slice->touch_up), {}},
        {"slice", "signal", name(slice_names::signal, slice->signal), {}},
        {"slice", "weighting", name(slice_names::weighting, slice->weighting), {}},
        {"slice", "widths", name(slice_names::widths, slice->widths), {}, cut_later},
        {"slice", "orientation", name(slice_names::orientation, slice->orientation), {}, true},
        {"slice", "head", slice->head ? "true" : "false", {}, cut_later},
        {"slice", "tables", name(slice_names::tables, slice->tables), {}, cut_later},
        {"slice", "refit", slice->refit ? "true" : "false", {}, true},
    };
}

/// The keys that every job has.
std::vector<JobKey> constant_keys(const JobConfig& job) {
    const auto whole = [](std::uint64_t value) { return std::to_string(value); };
    const CalibrationConfig& calibration = job.calibration;
    const SearchConfig& search = job.search;
    const EvaluateConfig& evaluate = job.evaluate;
    const RuntimeConfig& runtime = job.runtime;
    constexpr bool may_change = true;
    return {
        {"", "model", yaml_text(job.model), {}},
        {"", "output", yaml_text(job.output), {}},
        {"", "seed", whole(job.seed), {}},
        {"calibration", "data", yaml_list(calibration.data), {}},
        {"calibration", "num_calibration_samples", whole(calibration.num_calibration_samples), {}},
        {"calibration", "max_seq_length", whole(calibration.max_seq_length), {}},
        {"calibration",
         "precision",
         std::string(precision_names[static_cast<std::size_t>(calibration.precision)]),
         {}},
        {"calibration",
         "weighting",
         std::string(token_weighting_names[static_cast<std::size_t>(calibration.weighting)]),
         {}},
        {"", "budget", to_string(job.budget), {}},
        {"", "ignore", yaml_list(job.reading.ignore), {}},
        {"", "allow_nan_rows", job.reading.allow_nan_rows ? "true" : "false", {}},
        {"search", "evaluation", yaml_list(search.evaluation), {}},
        {"search", "num_evaluation_samples", whole(search.num_evaluation_samples), {}},
        {"search",
         "scores",
         std::string(score_names[static_cast<std::size_t>(search.scores)]),
         {},
         may_change},
        {"search",
         "strategy",
         std::string(strategy_names[static_cast<std::size_t>(search.strategy)]),
         {},
         may_change},
        {"search", "generations", whole(search.generations), {}, may_change},
        {"search", "offspring", whole(search.offspring), {}, may_change},
        {"search", "tied_blocks", whole(search.tied_blocks), {}, may_change},
        {"search", "speedup", yaml_number(search.speedup), {}, may_change},
        {"search", "kernel_tokens", whole(search.kernel_tokens), {}, may_change},
        {"",
         "refine",
         std::string(refine_names[static_cast<std::size_t>(job.refine)]),
         {},
         may_change},
        {"evaluate", "perplexity", yaml_list(evaluate.perplexity), {}, may_change},
        entries_key("evaluate", "tasks", evaluate.tasks, may_change),
        {"evaluate", "max_seq_length", whole(evaluate.max_seq_length), {}, may_change},
        {"evaluate", "limit", whole(evaluate.limit), {}, may_change},
        {"", "export", yaml_list(job.exports), {}, may_change},
        {"runtime", "backend", yaml_text(runtime.backend), {}, may_change},
        {"runtime", "instruction_set", yaml_text(runtime.instruction_set), {}, may_change},
        {"runtime", "threads", whole(runtime.threads), {}, may_change},
        {"runtime",
         "memory_limit",
         runtime.memory_limit == 0 ? "auto" : std::to_string(runtime.memory_limit) + "B",
         {},
         may_change},
        {"runtime", "max_walltime", yaml_number(runtime.max_walltime), {}, may_change},
        {"runtime", "worker_timeout", yaml_number(runtime.worker_timeout), {}, may_change},
    };
}

/// Puts those that only some jobs have in their places.
void insert_optional_keys(const JobConfig& job, std::vector<JobKey>& keys) {
    if (!job.candidates.empty()) {
        keys.insert(std::ranges::find(keys, std::string_view("ignore"), &JobKey::name),
                    entries_key("", "candidates", job.candidates, false));
    }
    if (!job.kept_tensors.empty()) {
        keys.insert(std::ranges::find(keys, std::string_view("ignore"), &JobKey::name),
                    entries_key("", "kept_tensors", job.kept_tensors, false));
    }
    if (!job.calibration.chat_template.empty()) {
        keys.insert(
            std::ranges::find(keys, std::string_view("num_calibration_samples"), &JobKey::name),
            {"calibration", "chat_template", yaml_text(job.calibration.chat_template), {}});
    }
    if (!job.search.kernel_times.empty()) {
        keys.insert(std::ranges::find(keys, std::string_view("kernel_tokens"), &JobKey::name),
                    {"search", "kernel_times", yaml_text(job.search.kernel_times), {}, true});
    }
    const std::vector<JobKey> slice = slice_keys(job.slice);
    keys.insert(std::ranges::find(keys, std::string_view("budget"), &JobKey::name), slice.begin(),
                slice.end());
    if (job.serve) {
        const ServeConfig& serve = *job.serve;
        const std::vector<JobKey> section{
            {"serve", "reader", serve.reader, {}},
            {"serve", "tensor_parallel", std::to_string(serve.tensor_parallel), {}},
            {"serve",
             "low_bits",
             serve.low_bits ? std::string(find_serve_target(serve.reader)->low_bits) : "none",
             {}}};
        keys.insert(std::ranges::find(keys, std::string_view("budget"), &JobKey::name),
                    section.begin(), section.end());
    }
    if (job.ffsplit) {
        const auto score = static_cast<std::size_t>(job.ffsplit->score);
        keys.insert(std::ranges::find(keys, std::string_view("budget"), &JobKey::name),
                    {"ffsplit", "score", std::string(neuron_score_names[score]), {}, true});
    }
}

}  // namespace

std::vector<JobKey> job_keys(const JobConfig& job) {
    std::vector<JobKey> keys = constant_keys(job);
    insert_optional_keys(job, keys);
    return keys;
}

std::string to_yaml(const JobConfig& job) {
    std::string yaml;
    std::string_view section;
    for (const JobKey& key : job_keys(job)) {
        if (key.section != section && !key.section.empty()) {
            yaml += std::string(key.section) + ":\n";
        }
        section = key.section;
        yaml += (section.empty() ? "" : "  ") + std::string(key.name) + ":";
        if (key.items.empty()) {
            yaml += " " + key.text;
        }
        for (const std::string& item : key.items) {
            yaml += (section.empty() ? "\n  - " : "\n    - ") + item;
        }
        yaml += "\n";
    }
    return yaml;
}

}  // namespace lathe
