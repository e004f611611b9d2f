#include "lib/config/cluster_config.hpp"

#include <array>
#include <string_view>

#include "lib/config/yaml_reader.hpp"
#include "lib/core/errors.hpp"
#include "lib/job/budget.hpp"

namespace lathe {
namespace {

constexpr std::uint64_t most_nodes = 100000;
constexpr std::uint64_t most_devices_per_node = 1024;
constexpr double most_flops = 1e20;  // of a device
constexpr double most_bandwidth = 1e16;
constexpr double most_task_seconds = 3600.0;
constexpr std::array<std::string_view, 3> certainty_names{"measured", "scaled", "assumed"};

const YamlValue& required(MapReader& map, std::string_view key, const SourcePlace& place) {
    const YamlValue* const value = map.find(key);
    if (value == nullptr || value->kind == YamlValue::Kind::null) {
        refuse_at(value == nullptr ? place : value->place,
                  "there is no " + map.path_of(key) + "; expected a figure");
    }
    return *value;
}

ClusterFigure read_figure(MapReader& map, std::string_view key, const SourcePlace& place,
                          double high) {
    const YamlValue& value = required(map, key, place);
    ClusterFigure figure;
    if (value.kind != YamlValue::Kind::map) {
        map.read_positive(key, figure.value, high);
        return figure;
    }
    MapReader parts(&value, map.path_of(key));
    (void)required(parts, "value", value.place);
    parts.read_positive("value", figure.value, high);
    auto certainty = static_cast<std::size_t>(Certainty::assumed);
    parts.read_choice("certainty", certainty, certainty_names);
    figure.certainty = static_cast<Certainty>(certainty);
    parts.read_text("source", figure.source);
    parts.finish();
    return figure;
}

std::uint64_t read_bytes(const YamlValue& value, const std::string& key) {
    try {
        const Budget bytes = parse_budget(text_of(value, key));
        if (bytes.kind == Budget::Kind::bytes) {
            return static_cast<std::uint64_t>(bytes.value);
        }
    } catch (const UsageError&) {  // NOLINT(bugprone-empty-catch): said below, with the place
    }
    refuse_at(value.place, key + " is " + describe(value) + "; expected bytes, as 80GB or 64GiB");
}

/// The place of a section, or where it should be.
SourcePlace place_of(const YamlValue* section, const YamlValue& root) {
    return section == nullptr ? root.place : section->place;
}

}  // namespace

std::string_view name(Certainty certainty) {
    return certainty_names.at(static_cast<std::size_t>(certainty));
}

ClusterConfig read_cluster(const std::string& yaml, const std::string& file_name) {
    const YamlValue root = parse_yaml(yaml, file_name);
    if (root.kind != YamlValue::Kind::map) {
        refuse_at(root.place, "a cluster file is " + describe(root) +
                                  "; expected a map with nodes, devices_per_node, flops and "
                                  "bandwidth");
    }
    ClusterConfig cluster;
    cluster.name = file_name;
    MapReader map(&root, "");
    map.read_text("name", cluster.name);
    (void)required(map, "nodes", root.place);
    map.read_whole("nodes", cluster.nodes, 1, most_nodes);
    (void)required(map, "devices_per_node", root.place);
    map.read_whole("devices_per_node", cluster.devices_per_node, 1, most_devices_per_node);
    if (const YamlValue* const memory = map.find("memory")) {
        cluster.memory = read_bytes(*memory, "memory");
    }
    if (const YamlValue* const cache = map.find("cache")) {
        cluster.cache = read_bytes(*cache, "cache");
    }
    if (map.find("task_seconds") != nullptr) {
        map.read_share("task_seconds", cluster.task_seconds, 0.0, most_task_seconds);
    }
    const YamlValue* const flops_section = map.find("flops");
    const SourcePlace flops_place = place_of(flops_section, root);
    MapReader flops(flops_section, "flops");
    cluster.forward = read_figure(flops, "forward", flops_place, most_flops);
    cluster.gram = read_figure(flops, "gram", flops_place, most_flops);
    cluster.solve = read_figure(flops, "solve", flops_place, most_flops);
    flops.finish();
    const YamlValue* const bandwidth_section = map.find("bandwidth");
    const SourcePlace bandwidth_place = place_of(bandwidth_section, root);
    MapReader bandwidth(bandwidth_section, "bandwidth");
    cluster.link = read_figure(bandwidth, "link", bandwidth_place, most_bandwidth);
    cluster.network = read_figure(bandwidth, "network", bandwidth_place, most_bandwidth);
    cluster.read = read_figure(bandwidth, "read", bandwidth_place, most_bandwidth);
    cluster.write = read_figure(bandwidth, "write", bandwidth_place, most_bandwidth);
    if (cluster.cache > 0 || bandwidth.find("cached") != nullptr) {
        cluster.cached = read_figure(bandwidth, "cached", bandwidth_place, most_bandwidth);
    }
    bandwidth.finish();
    map.finish();
    return cluster;
}

}  // namespace lathe
