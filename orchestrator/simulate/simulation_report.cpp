#include "orchestrator/simulate/simulation_report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "lib/core/json.hpp"
#include "orchestrator/progress.hpp"

namespace lathe {
namespace {

const StageDemand* demand_of(const SimulationReport& report, const std::string& stage) {
    const auto found = std::ranges::find(report.demands, stage, &StageDemand::stage);
    return found == report.demands.end() ? nullptr : &*found;
}

/// The share of all ranks' time in which a stage's ranks did not do what one rank would do.
double unused_share(const Simulation& simulation, const SimulatedStage& stage) {
    const double all = simulation.n_ranks * simulation.seconds;
    return all > 0.0 ? (simulation.n_ranks * stage.seconds - stage.work) / all : 0.0;
}

std::uint64_t whole_bytes(double bytes) {
    return static_cast<std::uint64_t>(std::llround(bytes));
}

nlohmann::json stage_json(const SimulationReport& report, const SimulatedStage& stage) {
    nlohmann::json json{{"name", stage.name},
                        {"tasks", stage.tasks},
                        {"seconds", stage.seconds},
                        {"one_rank_seconds", stage.work},
                        {"busy_seconds", stage.busy},
                        {"lost_seconds", stage.lost},
                        {"unused_share", unused_share(report.simulation, stage)},
                        {"critical_path", stage.critical_path},
                        {"longest_task", stage.longest_task},
                        {"longest_task_seconds", stage.longest_seconds}};
    if (const StageDemand* demand = demand_of(report, stage.name)) {
        json["rank_bytes"] = whole_bytes(demand->rank_bytes);
        json["disk_bytes"] = whole_bytes(demand->disk_bytes);
        json["messages"] = whole_bytes(demand->messages);
        json["message_bytes"] = whole_bytes(demand->message_bytes);
        json["certainty"] = name(demand->certainty);
    }
    for (const RecordedJob::Stage& measured : report.measured) {
        if (measured.name == stage.name) {
            json["measured_seconds"] = measured.seconds;
        }
    }
    return json;
}

std::string stage_text(const SimulationReport& report, const SimulatedStage& stage) {
    std::string text =
        fmt::format("  {:<12} {:>6}  {:>14}  {:>14}  {:>9.1f} %", stage.name, stage.tasks,
                    duration_text(stage.seconds), duration_text(stage.critical_path),
                    100.0 * unused_share(report.simulation, stage));
    if (const StageDemand* demand = demand_of(report, stage.name)) {
        text += fmt::format(
            "  {:>9}  {:>9}  {:>9.0f}  {:>9}  {}", bytes_text(whole_bytes(demand->rank_bytes)),
            bytes_text(whole_bytes(demand->disk_bytes)), demand->messages,
            bytes_text(whole_bytes(demand->message_bytes)), name(demand->certainty));
    }
    for (const RecordedJob::Stage& measured : report.measured) {
        if (measured.name == stage.name) {
            text += fmt::format("  {:>14}", duration_text(measured.seconds));
        }
    }
    return text + "\n";
}

std::string stops_text(const Simulation& simulation) {
    if (simulation.starts == 1 && simulation.ranks_lost == 0) {
        return "";
    }
    double lost = 0.0;
    for (const SimulatedStage& stage : simulation.stages) {
        lost += stage.lost;
    }
    return fmt::format(
        "{} ranks lost, {} preemptions, {} starts; {} of ranks' work came to no end\n",
        simulation.ranks_lost, simulation.preemptions, simulation.starts, duration_text(lost));
}

}  // namespace

std::string to_json(const SimulationReport& report) {
    const Simulation& s = report.simulation;
    nlohmann::json stages = nlohmann::json::array();
    for (const SimulatedStage& stage : s.stages) {
        stages.push_back(stage_json(report, stage));
    }
    nlohmann::json others = nlohmann::json::array();
    for (const SimulationReport::Other& other : report.others) {
        others.push_back({{"ranks", other.n_ranks},
                          {"seconds", other.seconds},
                          {"efficiency", other.efficiency}});
    }
    nlohmann::json json{{"subject", report.subject},
                        {"costs", report.costs},
                        {"ranks", s.n_ranks},
                        {"seconds", s.seconds},
                        {"efficiency", s.efficiency()},
                        {"utilisation", s.utilisation()},
                        {"critical_path", s.critical_path},
                        {"one_rank_seconds", s.work},
                        {"starts", s.starts},
                        {"ranks_lost", s.ranks_lost},
                        {"preemptions", s.preemptions},
                        {"stages", stages},
                        {"other_ranks", others},
                        {"notes", report.notes}};
    if (!report.measured.empty()) {
        json["measured_ranks"] = report.measured_ranks;
    }
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string to_text(const SimulationReport& report) {
    const Simulation& s = report.simulation;
    std::string text = fmt::format(
        "{} on {} rank{}: {}, efficiency {:.1f} %, ranks busy {:.1f} %\n"
        "costs: {}\n"
        "one rank would take {}, any number of ranks {} or more\n{}"
        "  stage         tasks         seconds   shortest path      unused",
        report.subject, s.n_ranks, s.n_ranks == 1 ? "" : "s", duration_text(s.seconds),
        100.0 * s.efficiency(), 100.0 * s.utilisation(), report.costs, duration_text(s.work),
        duration_text(s.critical_path), stops_text(s));
    text += report.demands.empty() ? "" : "     memory       disk   messages      bytes  figures";
    text += report.measured.empty() ? ""
                                    : fmt::format("  run on {} rank{}", report.measured_ranks,
                                                  report.measured_ranks == 1 ? "" : "s");
    text += "\n";
    for (const SimulatedStage& stage : s.stages) {
        text += stage_text(report, stage);
    }
    text += "other numbers of ranks\n";
    for (const SimulationReport::Other& other : report.others) {
        text += fmt::format("  {:>5}  {:>14}  efficiency {:.1f} %\n", other.n_ranks,
                            duration_text(other.seconds), 100.0 * other.efficiency);
    }
    for (const std::string& note : report.notes) {
        text += "note: " + note + "\n";
    }
    return text;
}

}  // namespace lathe
