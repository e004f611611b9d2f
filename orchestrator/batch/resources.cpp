#include "orchestrator/batch/resources.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "lib/core/errors.hpp"

namespace lathe::batch {
namespace {

constexpr double gigabyte = 1e9;
constexpr std::uint64_t mebibyte = 1 << 20;
/// Of each rank beside what the plan counts: the program, MPI, libraries, the tokenizer.
constexpr std::uint64_t base_memory_bytes = 512 * mebibyte;
/// The plan's memory is an estimate, and a job that is killed for a little more loses hours.
constexpr double memory_margin = 1.25;
/// So is its time; a job that ends early gives its nodes back.
constexpr double time_margin = 1.5;
constexpr int least_minutes = 15;
constexpr int no_limit = std::numeric_limits<int>::max();
/// What a job that leaves nodes and time open shall end within, where the partition allows it: one
/// that asks for longer waits longer, too.
constexpr int usual_minutes = 24 * 60;

std::uint64_t memory_of_node(const Demand& demand, int ntasks_per_node) {
    const double rank = memory_margin * static_cast<double>(demand.memory_bytes_per_rank) +
                        static_cast<double>(base_memory_bytes);
    const auto bytes = static_cast<std::uint64_t>(rank * ntasks_per_node);
    return (bytes + mebibyte - 1) / mebibyte * mebibyte;
}

void require_memory(const Demand& demand, const Wishes& wishes, const Resources& resources,
                    const std::optional<PartitionLimits>& limits) {
    const std::uint64_t needed =
        demand.memory_bytes_per_rank * static_cast<std::uint64_t>(resources.ntasks_per_node);
    const auto refuse = [&](const std::string& what, std::uint64_t there) {
        throw InfeasibleError(fmt::format(
            "the job cannot fit: {} ranks of a node need {:.2f} GB by the plan, {} {:.2f} GB. "
            "Fewer --ntasks-per-node, fewer calibration samples, or nodes with more memory",
            resources.ntasks_per_node, static_cast<double>(needed) / gigabyte, what,
            static_cast<double>(there) / gigabyte));
    };
    if (wishes.memory_bytes_per_node > 0 && wishes.memory_bytes_per_node < needed) {
        refuse("--mem gives", wishes.memory_bytes_per_node);
    }
    if (limits && limits->memory_bytes_per_node > 0 && limits->memory_bytes_per_node < needed) {
        refuse("the largest node of the partition has", limits->memory_bytes_per_node);
    }
}

void require_disk(const Demand& demand, std::uint64_t free_bytes) {
    const std::uint64_t needed =
        demand.disk_bytes > demand.disk_there ? demand.disk_bytes - demand.disk_there : 0;
    if (needed > free_bytes) {
        throw InfeasibleError(fmt::format(
            "the job cannot fit: its run directory needs {:.2f} GB more by the plan, "
            "and its file system has {:.2f} GB free",
            static_cast<double>(needed) / gigabyte, static_cast<double>(free_bytes) / gigabyte));
    }
}

int chosen_cpus(const Wishes& wishes, const Resources& resources,
                const std::optional<PartitionLimits>& limits) {
    if (wishes.cpus_per_task > 0 || !limits || limits->processors_per_node == 0) {
        return wishes.cpus_per_task;
    }
    return std::max(1, limits->processors_per_node / resources.ntasks_per_node);
}

/// One, where the plan's time or the nodes are not known.
int chosen_nodes(const Demand& demand, const Wishes& wishes, const Resources& resources,
                 const std::optional<PartitionLimits>& limits) {
    if (wishes.nodes > 0 || !demand.thread_seconds || !limits || resources.cpus_per_task == 0) {
        return std::max(1, wishes.nodes);
    }
    const int most_minutes = limits->minutes.value_or(no_limit);
    const int minutes = wishes.minutes.value_or(std::min(usual_minutes, most_minutes));
    const double threads_of_node = resources.cpus_per_task * resources.ntasks_per_node;
    const double wanted =
        std::ceil(time_margin * *demand.thread_seconds / threads_of_node / (60.0 * minutes));
    double most = limits->nodes;
    if (demand.tasks > 0) {
        most = std::min(most,
                        std::floor(static_cast<double>(demand.tasks) / resources.ntasks_per_node));
    }
    return static_cast<int>(std::max(1.0, std::min(wanted, most)));
}

void choose_time(const Demand& demand, const Wishes& wishes,
                 const std::optional<PartitionLimits>& limits, Resources& resources) {
    if (demand.thread_seconds) {
        const int threads =
            std::max(1, resources.cpus_per_task) * resources.ntasks_per_node * resources.nodes;
        resources.seconds = *demand.thread_seconds / threads;
    }
    const int most = limits ? limits->minutes.value_or(no_limit) : no_limit;
    if (wishes.minutes) {
        resources.minutes = *wishes.minutes;
    } else if (resources.seconds) {
        resources.minutes = std::max(
            least_minutes, static_cast<int>(std::ceil(time_margin * *resources.seconds / 60.0)));
        resources.minutes = std::min(resources.minutes, most);
    } else {
        throw UsageError("the time cannot be told without the device: give --time");
    }
    if (resources.minutes > most) {
        throw InfeasibleError("the job cannot fit: --time " + time_text(resources.minutes) +
                              " is more than the partition allows, " + time_text(most));
    }
    if (resources.seconds && *resources.seconds > 60.0 * resources.minutes) {
        resources.remarks.push_back(
            fmt::format("it will take about {:.1f} times the time limit, and go on after each",
                        *resources.seconds / (60.0 * resources.minutes)));
    }
}

}  // namespace

Resources choose_resources(const Demand& demand, const Wishes& wishes,
                           const std::optional<PartitionLimits>& limits,
                           std::uint64_t free_disk_bytes) {
    Resources resources;
    resources.gpus_per_node = wishes.gpus_per_node;
    resources.ntasks_per_node =
        wishes.ntasks_per_node > 0 ? wishes.ntasks_per_node : std::max(1, wishes.gpus_per_node);
    if (limits && wishes.nodes > limits->nodes) {
        throw InfeasibleError(fmt::format("the job cannot fit: {} nodes, the partition has {}",
                                          wishes.nodes, limits->nodes));
    }
    if (!limits) {
        resources.remarks.push_back(
            "sinfo tells nothing of the partition: its limits are not checked");
    }
    resources.cpus_per_task = chosen_cpus(wishes, resources, limits);
    if (resources.cpus_per_task == 0) {
        resources.remarks.push_back(
            std::string("--cpus-per-task is not known: it is the template's") +
            (demand.thread_seconds ? ", and the plan's time that of one processor for each task"
                                   : ""));
    }
    resources.nodes = chosen_nodes(demand, wishes, resources, limits);
    require_memory(demand, wishes, resources, limits);
    require_disk(demand, free_disk_bytes);
    resources.memory_bytes_per_node = wishes.memory_bytes_per_node;
    if (resources.memory_bytes_per_node == 0) {
        resources.memory_bytes_per_node = memory_of_node(demand, resources.ntasks_per_node);
        if (limits && limits->memory_bytes_per_node > 0) {
            resources.memory_bytes_per_node =
                std::min(resources.memory_bytes_per_node, limits->memory_bytes_per_node);
        }
    }
    choose_time(demand, wishes, limits, resources);
    return resources;
}

std::uint64_t memory_in(const std::string& text) {
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    const std::string unit(rest, end);
    static const std::string letters = "KMGT";
    const auto power = unit.empty() ? 1 : letters.find(static_cast<char>(std::toupper(unit[0])));
    if (error != std::errc() || unit.size() > 1 || power == std::string::npos) {
        throw UsageError("memory of '" + text + "': expected a number and K, M, G or T, as 350G");
    }
    const auto shift = 10 * (power + 1);
    if (value > std::numeric_limits<std::uint64_t>::max() >> shift) {
        throw UsageError("memory of '" + text + "' is more than there is");
    }
    return value << shift;
}

}  // namespace lathe::batch
