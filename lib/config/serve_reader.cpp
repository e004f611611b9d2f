#include "lib/config/serve_reader.hpp"

#include <algorithm>
#include <array>

#include "lib/job/serve_targets.hpp"

namespace lathe {
namespace {

constexpr std::uint64_t max_devices = 1024;

const ServeTarget& target_named(const YamlValue& value, const std::string& name) {
    const ServeTarget* target = find_serve_target(name);
    if (target == nullptr) {
        refuse_at(value.place,
                  "serve.reader is \"" + name + "\"; expected one of " + list_serve_targets());
    }
    return *target;
}

void read_low_bits(const YamlValue* value, const ServeTarget& target, ServeConfig& serve) {
    if (value == nullptr || (value->kind == YamlValue::Kind::text && value->text == "none")) {
        return;
    }
    if (target.low_bits.empty()) {
        refuse_at(value->place, "serve.low_bits is for vllm; with " + serve.reader +
                                    " no package is needed for few bits");
    }
    if (text_of(*value, "serve.low_bits") != target.low_bits) {
        refuse_at(value->place, "serve.low_bits is " + describe(*value) + "; expected none or " +
                                    std::string(target.low_bits));
    }
    serve.low_bits = true;
}

void apply_to_slice(SliceConfig& slice, const YamlValue* section, const ServeTarget& target) {
    const auto place_of = [&](const char* key) {
        for (const YamlValue::Entry& entry : section->entries) {
            if (entry.key == key) {
                return std::optional(entry.place);
            }
        }
        return std::optional<SourcePlace>();
    };
    const std::string name(target.name);
    if (!slice.is_global()) {
        refuse_at(place_of("rotation").value_or(section->place),
                  "serve: " + name +
                      " runs no shortcut matrices between rotations; expected slice.rotation: "
                      "global");
    }
    if (slice.tables == SliceConfig::Tables::shared) {
        refuse_at(*place_of("tables"),
                  "serve: " + name +
                      " runs no projections around a table that embedding and head share; expected "
                      "slice.tables: own");
    }
    const auto place = place_of("round_interval");
    if (!place) {
        slice.round_interval = target.slice_multiple;
    } else if (slice.round_interval % target.slice_multiple != 0) {
        refuse_at(*place, "slice.round_interval is " + std::to_string(slice.round_interval) +
                              "; serve: " + name + " takes widths that are multiples of " +
                              std::to_string(target.slice_multiple));
    }
}

}  // namespace

void widen_serve(YamlValue& root) {
    YamlValue::Entry* const entry = find_entry(root, "serve");
    if (entry == nullptr || entry->value.kind != YamlValue::Kind::text ||
        entry->value.text == "none") {
        return;
    }
    YamlValue section;
    section.kind = YamlValue::Kind::map;
    section.place = entry->value.place;
    section.entries.push_back({"reader", entry->value.place, entry->value});
    entry->value = std::move(section);
}

std::optional<ServeConfig> read_serve(const YamlValue* value) {
    if (value == nullptr || value->kind == YamlValue::Kind::null ||
        (value->kind == YamlValue::Kind::text && value->text == "none")) {
        return std::nullopt;
    }
    ServeConfig serve;
    serve.place = value->place;
    MapReader map(value, "serve");
    map.read_text("reader", serve.reader);
    if (serve.reader.empty()) {
        refuse_at(value->place,
                  "serve has no key \"reader\"; expected one of " + list_serve_targets());
    }
    const ServeTarget& target = target_named(*map.find("reader"), serve.reader);
    map.read_whole("tensor_parallel", serve.tensor_parallel, 1, max_devices);
    if (serve.tensor_parallel > 1 && !target.splits_layers) {
        refuse_at(map.find("tensor_parallel")->place,
                  "serve.tensor_parallel is for vllm; " + serve.reader + " does not split layers");
    }
    read_low_bits(map.find("low_bits"), target, serve);
    map.finish();
    return serve;
}

void apply_serve(JobConfig& job, const YamlValue* slice) {
    if (!job.serve) {
        return;
    }
    const ServeTarget& target = *find_serve_target(job.serve->reader);
    if (std::ranges::find(job.exports, target.format) == job.exports.end()) {
        job.exports.emplace_back(target.format);
    }
    if (job.slice) {
        apply_to_slice(*job.slice, slice, target);
        job.slice->heads_divide_width = target.heads_divide_width || job.exports.size() > 1;
    }
    if (!job.kept_tensors.empty()) {
        refuse_at(job.kept_tensors.front().place,
                  "kept_tensors: serve: " + job.serve->reader +
                      " has norms and biases as floating numbers; leave the key out");
    }
}

}  // namespace lathe
