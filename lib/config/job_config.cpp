#include "lib/config/job_config.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>

#include "lib/config/budget_reader.hpp"
#include "lib/config/evaluate_reader.hpp"
#include "lib/config/job_keys.hpp"
#include "lib/config/runtime_reader.hpp"
#include "lib/config/serve_reader.hpp"
#include "lib/config/yaml_reader.hpp"
#include "lib/core/errors.hpp"
#include "lib/job/export_formats.hpp"

namespace lathe {
namespace {

constexpr std::uint64_t max_samples = 10000000;
constexpr std::uint64_t max_tokens = 10000000;
constexpr std::uint64_t max_generations = 100000;
constexpr double max_speedup = 1000.0;
constexpr std::uint64_t max_kernel_tokens = 65536;

/// Short forms that users of similar tools type.
struct Alias {
    std::string_view section;
    std::string_view alias;
    std::string_view key;
};
constexpr std::array aliases = {
    Alias{"calibration", "nsamples", "num_calibration_samples"},
    Alias{"calibration", "seqlen", "max_seq_length"},
};

/// Writes the long key for each short one.
void resolve_aliases(YamlValue& root) {
    for (const auto& [section, alias, key] : aliases) {
        YamlValue::Entry* const map = find_entry(root, section);
        YamlValue::Entry* const entry = map == nullptr ? nullptr : find_entry(map->value, alias);
        if (entry == nullptr) {
            continue;
        }
        if (const auto* const other = find_entry(map->value, key)) {
            refuse_at(entry->place, std::string(section) + "." + std::string(alias) +
                                        " is a short form of " + std::string(key) +
                                        ", which is given at " + other->place.text +
                                        "; keep one of them");
        }
        entry->key = key;
    }
}

/// An override wins over the file also where both say the same in two ways.
void resolve_path(Override& change) {
    if (change.path.size() != 2) {
        return;
    }
    for (const auto& [section, alias, key] : aliases) {
        if (change.path[0] == section && change.path[1] == alias) {
            change.path[1] = key;
        }
    }
    // A budget has one form: the new one replaces the old one.
    if (change.path[0] == "budget") {
        YamlValue form;
        form.kind = YamlValue::Kind::map;
        form.place = change.value.place;
        form.entries.push_back({change.path[1], form.place, std::move(change.value)});
        change.path.pop_back();
        change.value = std::move(form);
    }
}

template <class Choice>
void read_choice(MapReader& map, std::string_view key, std::span<const std::string_view> names,
                 Choice& out) {
    auto place = static_cast<std::size_t>(out);
    map.read_choice(key, place, names);
    out = static_cast<Choice>(place);
}

CalibrationConfig read_calibration(const YamlValue* value) {
    CalibrationConfig calibration;
    MapReader map(value, "calibration");
    map.read_paths("data", calibration.data);
    map.read_text("chat_template", calibration.chat_template);
    if (calibration.chat_template == "false" || calibration.chat_template == "none") {
        calibration.chat_template.clear();
    }
    map.read_whole("num_calibration_samples", calibration.num_calibration_samples, 1, max_samples);
    map.read_whole("max_seq_length", calibration.max_seq_length, 2, max_tokens);
    read_choice(map, "precision", precision_names, calibration.precision);
    read_choice(map, "weighting", token_weighting_names, calibration.weighting);
    map.finish();
    return calibration;
}

/// What cannot be had together.
void require_consistent(const SliceConfig& slice, const SourcePlace& place) {
    const bool is_sequential = slice.order == SliceConfig::Order::sequential;
    const bool has_own_widths = slice.widths != SliceConfig::Widths::constant;
    if (slice.is_global()) {
        if (is_sequential || slice.touch_up > 0) {
            refuse_at(place,
                      "slice: one global rotation comes from all boundaries at once; expected "
                      "order: dense and touch_up: 0");
        }
        if (has_own_widths) {
            refuse_at(place, "slice: one global rotation has one width; expected widths: constant");
        }
        if (slice.signal == SliceConfig::Signal::raw) {
            refuse_at(place,
                      "slice: the raw streams of different boundaries have no common scale; "
                      "expected signal: normalised with rotation: global");
        }
    }
    if (is_sequential && slice.touch_up > 0) {
        refuse_at(
            place,
            "slice: touch_up is for order: dense, which it brings near to sequential; expected "
            "touch_up: 0 with order: sequential");
    }
    if (slice.signal == SliceConfig::Signal::normalised && (is_sequential || slice.touch_up > 0)) {
        refuse_at(place, "slice: signal: normalised is for order: dense and touch_up: 0");
    }
    if (has_own_widths && (is_sequential || slice.touch_up > 0)) {
        refuse_at(place,
                  "slice: widths other than constant need the whole model's eigenvalues before "
                  "anything is "
                  "cut; expected order: dense and touch_up: 0");
    }
}

/// Of a section that a job may do without.
bool is_none(const YamlValue* value) {
    return value == nullptr || (value->kind == YamlValue::Kind::text && value->text == "none");
}

std::optional<SliceConfig> read_slice(const YamlValue* value) {
    if (is_none(value) || value->kind == YamlValue::Kind::null) {
        return std::nullopt;
    }
    constexpr double end = 0.95;  // of what may go
    SliceConfig slice;
    MapReader map(value, "slice");
    const bool has_sparsity = map.find("sparsity") != nullptr;
    map.read_share("sparsity", slice.sparsity, 0.0, end);
    if (const YamlValue* reduction = map.find("parameter_reduction");
        reduction != nullptr &&
        !(reduction->kind == YamlValue::Kind::text && reduction->text == "none")) {
        slice.parameter_reduction = 0.0;
        map.read_share("parameter_reduction", *slice.parameter_reduction, 0.0, end);
    }
    if (has_sparsity == slice.parameter_reduction.has_value()) {
        refuse_at(value->place, "slice has " + std::string(has_sparsity ? "both" : "neither") +
                                    " of sparsity and parameter_reduction; expected one of them");
    }
    map.read_whole("round_interval", slice.round_interval, 1, 1U << 16);
    read_choice(map, "rotation", slice_names::rotation, slice.rotation);
    read_choice(map, "order", slice_names::order, slice.order);
    map.read_whole("touch_up", slice.touch_up, 0, 100);
    if (slice.is_global()) {
        slice.signal = SliceConfig::Signal::normalised;
    }
    read_choice(map, "signal", slice_names::signal, slice.signal);
    read_choice(map, "weighting", slice_names::weighting, slice.weighting);
    read_choice(map, "widths", slice_names::widths, slice.widths);
    read_choice(map, "orientation", slice_names::orientation, slice.orientation);
    map.read_flag("head", slice.head);
    read_choice(map, "tables", slice_names::tables, slice.tables);
    map.read_flag("refit", slice.refit);
    map.finish();
    require_consistent(slice, value->place);
    return slice;
}

std::optional<FfsplitConfig> read_ffsplit(const YamlValue* value) {
    if (is_none(value)) {
        return std::nullopt;
    }
    FfsplitConfig ffsplit;
    MapReader map(value, "ffsplit");
    read_choice(map, "score", neuron_score_names, ffsplit.score);
    map.finish();
    return ffsplit;
}

CandidateEntry read_candidate(const YamlValue& value, const std::string& path);

/// A key of a candidate: scalars or, if one of the values is a map, entries.
CandidateEntry::Key read_candidate_key(const YamlValue::Entry& entry, const std::string& path) {
    const YamlValue& value = entry.value;
    const bool is_list = value.kind == YamlValue::Kind::list;
    const std::vector<YamlValue> items = is_list ? value.items : std::vector{value};
    if (items.empty()) {
        refuse_at(value.place, path + " is an empty list; expected the values to try");
    }
    const bool has_maps = std::ranges::any_of(
        items, [](const YamlValue& item) { return item.kind == YamlValue::Kind::map; });
    CandidateEntry::Key key{entry.key, {}, entry.place};
    for (const YamlValue& item : items) {
        if (item.kind == YamlValue::Kind::map) {
            key.entries.push_back(read_candidate(item, path));
            continue;
        }
        const std::string text = text_of(item, is_list ? "an item of " + path : path);
        if (has_maps) {
            key.entries.push_back({text, {}, item.place});
        } else {
            key.values.push_back(text);
        }
    }
    return key;
}

CandidateEntry read_candidate(const YamlValue& value, const std::string& path) {
    CandidateEntry entry;
    entry.place = value.place;
    MapReader map(&value, path);
    map.read_text("method", entry.method);
    if (entry.method.empty()) {
        refuse_at(value.place, path + " has no key \"method\"; expected {method: NAME, ...}");
    }
    for (const YamlValue::Entry& key : value.entries) {
        if (key.key != "method") {
            entry.keys.push_back(read_candidate_key(key, map.path_of(key.key)));
        }
    }
    return entry;
}

std::vector<CandidateEntry> read_candidates(const YamlValue* value, const std::string& key) {
    if (value == nullptr) {
        return {};
    }
    if (value->kind != YamlValue::Kind::list || value->items.empty()) {
        refuse_at(value->place, key + " is " +
                                    (value->kind == YamlValue::Kind::list ? std::string("empty")
                                                                          : describe(*value)) +
                                    "; expected a list of {method: NAME, ...}");
    }
    std::vector<CandidateEntry> candidates;
    for (const YamlValue& item : value->items) {
        candidates.push_back(
            read_candidate(item, key + "[" + std::to_string(candidates.size()) + "]"));
    }
    return candidates;
}

/// One map stands for a list of it.
std::vector<CandidateEntry> read_kept_tensors(const YamlValue* value) {
    if (value != nullptr && value->kind == YamlValue::Kind::map) {
        return {read_candidate(*value, "kept_tensors")};
    }
    return read_candidates(value, "kept_tensors");
}

SearchConfig read_search(const YamlValue* value) {
    SearchConfig search;
    MapReader map(value, "search");
    map.read_paths("evaluation", search.evaluation);
    map.read_whole("num_evaluation_samples", search.num_evaluation_samples, 1, max_samples);
    read_choice(map, "scores", score_names, search.scores);
    read_choice(map, "strategy", strategy_names, search.strategy);
    map.read_whole("generations", search.generations, 0, max_generations);
    map.read_whole("offspring", search.offspring, 1, max_generations);
    map.read_whole("tied_blocks", search.tied_blocks, 1, max_generations);
    map.read_share("speedup", search.speedup, 0.0, max_speedup);
    map.read_path("kernel_times", search.kernel_times);
    map.read_whole("kernel_tokens", search.kernel_tokens, 1, max_kernel_tokens);
    map.finish();
    return search;
}

void require_known_exports(const YamlValue* value, const std::vector<std::string>& exports) {
    for (std::size_t i = 0; i < exports.size(); ++i) {
        if (std::ranges::find(export_format_names, exports[i]) == export_format_names.end()) {
            refuse_at(value->items[i].place, "unknown export format \"" + exports[i] +
                                                 "\"; known: " + list_export_formats());
        }
    }
}

JobConfig read_root(const YamlValue& root, const std::string& file_name) {
    JobConfig job;
    MapReader map(&root, "");
    map.read_path("model", job.model);
    map.read_path("output", job.output);
    map.read_whole("seed", job.seed, 0, std::numeric_limits<std::uint64_t>::max());
    job.calibration = read_calibration(map.find("calibration"));
    job.slice = read_slice(map.find("slice"));
    if (job.slice && job.calibration.weighting != CalibrationConfig::Weighting::equal) {
        refuse_at(map.find("slice")->place,
                  "slice needs tokens that count alike; leave out \"calibration.weighting\"");
    }
    job.ffsplit = read_ffsplit(map.find("ffsplit"));
    job.serve = read_serve(map.find("serve"));
    job.budget = read_budget(map.find("budget"));
    job.candidates = read_candidates(map.find("candidates"), "candidates");
    job.kept_tensors = read_kept_tensors(map.find("kept_tensors"));
    map.read_texts("ignore", job.reading.ignore);
    map.read_flag("allow_nan_rows", job.reading.allow_nan_rows);
    job.search = read_search(map.find("search"));
    read_choice(map, "refine", refine_names, job.refine);
    job.evaluate = read_evaluate(map.find("evaluate"));
    map.read_texts("export", job.exports);
    require_known_exports(map.find("export"), job.exports);
    apply_serve(job, map.find("slice"));
    job.runtime = read_runtime(map.find("runtime"));
    map.finish();
    if (job.model.empty()) {
        refuse_at({file_name}, "no key \"model\"; it names the directory of the source checkpoint");
    }
    if (job.output.empty()) {
        refuse_at({file_name}, "no key \"output\"; it names the run directory");
    }
    return job;
}

}  // namespace

JobConfig read_job(const std::string& yaml, const std::string& file_name,
                   const std::vector<std::string>& overrides) {
    const std::string name = file_name.empty() ? std::string("job") : file_name;
    YamlValue root = parse_yaml(yaml, name);
    if (root.kind != YamlValue::Kind::null && root.kind != YamlValue::Kind::map) {
        refuse_at(root.place, "the job is " + describe(root) + "; expected a map of keys");
    }
    resolve_aliases(root);
    widen_serve(root);
    for (const std::string& text : overrides) {
        Override change = parse_override(text);
        resolve_path(change);
        apply_override(root, change);
        widen_serve(root);
        resolve_aliases(root);
    }
    return read_root(root, name);
}

}  // namespace lathe
