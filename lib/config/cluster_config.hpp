#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lathe {

/// How a figure was come by, the surest first.
enum class Certainty { measured, scaled, assumed };
[[nodiscard]] std::string_view name(Certainty certainty);

/// A speed, and how sure it is.
struct ClusterFigure {
    double value = 0.0;
    Certainty certainty = Certainty::assumed;
    std::string source;  ///< in the user's words; may be empty
};

/// Machines that a job may run on, one rank a device. Figures are what is reached in practice, not
/// what a data sheet promises.
struct ClusterConfig {
    std::string name;
    std::uint64_t nodes = 1;
    std::uint64_t devices_per_node = 1;
    std::uint64_t memory = 0;  ///< bytes that a rank may use; 0: not said
    std::uint64_t cache = 0;   ///< bytes of files that a node remembers
    // FLOP/s of a device:
    ClusterFigure forward;  ///< linear layers and attention
    ClusterFigure gram;     ///< sums of products of inputs
    ClusterFigure solve;    ///< factors and solvers
    // Bytes a second:
    ClusterFigure link;     ///< between two ranks of a node
    ClusterFigure network;  ///< in and out of a node
    ClusterFigure read;     ///< files, of a node
    ClusterFigure cached;   ///< the same of files that the node has read before and remembers
    ClusterFigure write;
    double task_seconds = 0.0;  ///< of each task beside its work: a file opened, memory prepared

    [[nodiscard]] std::uint64_t n_devices() const { return nodes * devices_per_node; }
};

/// Reads a cluster file (docs/simulate.md) as strictly as a job file. A figure is a number or a map
/// of `value`, `certainty` (measured, scaled or assumed; assumed if it is not said) and `source`.
/// @throws UsageError  with file, line and column
[[nodiscard]] ClusterConfig read_cluster(const std::string& yaml, const std::string& file_name);

}  // namespace lathe
