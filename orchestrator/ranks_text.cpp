#include "orchestrator/ranks_text.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace lathe {
namespace {

struct Host {
    std::string name;
    std::vector<std::size_t> ranks;  ///< in order
};

std::vector<Host> hosts_of(const std::vector<comm::RankPlace>& places) {
    std::vector<Host> hosts;
    for (std::size_t rank = 0; rank < places.size(); ++rank) {
        auto host = std::ranges::find(hosts, places[rank].host, &Host::name);
        if (host == hosts.end()) {
            host = hosts.insert(host, {places[rank].host, {}});
        }
        host->ranks.push_back(rank);
    }
    return hosts;
}

/// "0-3,8".
std::string ranges_text(const std::vector<std::size_t>& ranks) {
    std::string text;
    for (std::size_t i = 0; i < ranks.size();) {
        std::size_t last = i;
        while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) {
            ++last;
        }
        text += fmt::format("{}{}", text.empty() ? "" : ",", ranks[i]);
        if (last > i) {
            text += fmt::format("-{}", ranks[last]);
        }
        i = last + 1;
    }
    return text;
}

std::size_t threads_of(const comm::RankPlace& place, std::size_t threads) {
    return threads > 0 ? threads
                       : static_cast<std::size_t>(std::max(1, place.processors / place.sharing));
}

std::string counted(std::size_t n, const char* what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

}  // namespace

std::string ranks_text(const std::vector<comm::RankPlace>& places, const std::string& backend,
                       std::size_t threads) {
    constexpr std::size_t most_hosts_named = 16;
    const std::vector<Host> hosts = hosts_of(places);
    std::string names;
    for (std::size_t i = 0; i < std::min(hosts.size(), most_hosts_named); ++i) {
        names +=
            fmt::format("{}{}: {}", i == 0 ? "" : ", ", hosts[i].name, ranges_text(hosts[i].ranks));
    }
    if (hosts.size() > most_hosts_named) {
        names += ", ...";
    }
    std::size_t fewest = threads_of(places.front(), threads);
    std::size_t most = fewest;
    for (const comm::RankPlace& place : places) {
        fewest = std::min(fewest, threads_of(place, threads));
        most = std::max(most, threads_of(place, threads));
    }
    return fmt::format(
        "{} on {} ({}), {}{}, {} each", counted(places.size(), "rank"),
        counted(hosts.size(), "host"), names, backend,
        backend == "cuda" ? ", device by place on the host" : "",
        fewest == most ? counted(most, "thread") : fmt::format("{} to {} threads", fewest, most));
}

std::string slow_ranks_text(const std::vector<comm::RankPlace>& places, std::size_t threads) {
    for (const comm::RankPlace& place : places) {
        const auto sharing = static_cast<std::size_t>(place.sharing);
        const auto there = static_cast<std::size_t>(std::max(1, place.processors));
        if (threads_of(place, threads) * sharing > there) {
            return fmt::format(
                "host {}: {} of {} share {}: they wait for each other. Fewer ranks or threads, or "
                "more processors for each (--cpus-per-task, --bind-to none)",
                place.host, counted(sharing, "rank"), counted(threads_of(place, threads), "thread"),
                counted(there, "processor"));
        }
        if (place.sharing > 1 && place.memory_nodes > 1) {
            return fmt::format(
                "host {}: {} may run on any of {} memory nodes, so that their memory may be far. "
                "Bind each to one (srun --cpu-bind=cores, mpirun --bind-to numa)",
                place.host, counted(sharing, "rank"), place.memory_nodes);
        }
    }
    return "";
}

}  // namespace lathe
