#include "orchestrator/worker_table.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <tuple>
#include <utility>

#include "lib/core/log.hpp"

namespace lathe {
namespace {

/// What a rank tells of itself: how far its task is, bytes of memory. 0 for what is no such number:
/// progress is a courtesy.
std::pair<double, std::uint64_t> progress_in(const std::string& text) {
    double fraction = 0.0;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, fraction);
    if (error != std::errc() || !(fraction >= 0.0 && fraction <= 1.0)) {
        return {0.0, 0};
    }
    std::uint64_t bytes = 0;
    if (end == last || *end != ' ' || std::from_chars(end + 1, last, bytes).ptr != last) {
        return {end == last ? fraction : 0.0, 0};
    }
    return {fraction, bytes};
}

}  // namespace

WorkerTable::WorkerTable(int n_ranks, const Timekeeper& time)
    : time_(time), workers_(static_cast<std::size_t>(n_ranks)) {}

void WorkerTable::hear(const comm::Control& message) {
    Worker& worker = at(message.source);
    worker.last_heard = time_.now();
    worker.spoke_again = worker.lost;
    switch (message.kind) {
        case comm::ControlKind::stopped:
            worker.left = true;
            break;
        case comm::ControlKind::failed:
            worker.failure = message.text;
            break;
        case comm::ControlKind::heartbeat:
            note_instruction_set(message.source, message.text);
            break;
        case comm::ControlKind::progress:
            std::tie(worker.fraction, worker.memory_bytes) = progress_in(message.text);
            break;
        default:
            break;
    }
}

void WorkerTable::hear_all() {
    const auto now = time_.now();
    for (Worker& worker : workers_) {
        worker.last_heard = now;
    }
}

void WorkerTable::forgive(Timekeeper::Clock::duration pause) {
    for (Worker& worker : workers_) {
        worker.last_heard += pause;
        worker.task_start += pause;
    }
}

void WorkerTable::give(int rank, const Task& task) {
    Worker& worker = at(rank);
    worker.task = task.id;
    worker.is_pinned = task.rank != any_rank;
    worker.task_start = time_.now();
    worker.fraction = 0.0;
}

std::vector<RunningTask> WorkerTable::running_tasks() const {
    std::vector<RunningTask> running;
    for (const int rank : busy_ranks()) {
        const Worker& worker = at(rank);
        const std::chrono::duration<double> seconds = time_.now() - worker.task_start;
        running.push_back(
            {*worker.task, rank, seconds.count(), worker.fraction, worker.memory_bytes});
    }
    std::ranges::stable_sort(running, std::ranges::greater(), &RunningTask::seconds);
    return running;
}

bool WorkerTable::is_running(bool pinned_only) const {
    return std::ranges::any_of(workers_, [&](const Worker& worker) {
        return worker.is_busy() && (worker.is_pinned || !pinned_only);
    });
}

int WorkerTable::n_alive() const {
    return static_cast<int>(std::ranges::count_if(workers_, &Worker::is_alive));
}

std::vector<int> WorkerTable::lost_ranks() const {
    return ranks_where([](const Worker& worker) { return worker.lost; });
}

std::vector<int> WorkerTable::busy_ranks() const {
    return ranks_where([](const Worker& worker) { return worker.is_busy(); });
}

/// Once for all: every rank says it with each sign of life.
void WorkerTable::note_instruction_set(int rank, const std::string& name) {
    at(rank).instruction_set = name;
    if (name.empty() || told_of_mixed_sets_) {
        return;
    }
    for (int other = 0; other < n_ranks(); ++other) {
        const std::string& found = at(other).instruction_set;
        if (!found.empty() && found != name) {
            told_of_mixed_sets_ = true;
            log_warning("ranks_compute_differently rank=" + std::to_string(other) + " with=\"" +
                        found + "\" rank=" + std::to_string(rank) + " with=\"" + name +
                        "\" results=may_differ_in_their_last_bits "
                        "to_make_them_agree=runtime.instruction_set");
            return;
        }
    }
}

std::vector<int> WorkerTable::ranks_where(bool (*condition)(const Worker&)) const {
    std::vector<int> ranks;
    for (int rank = 0; rank < n_ranks(); ++rank) {
        if (condition(at(rank))) {
            ranks.push_back(rank);
        }
    }
    return ranks;
}

}  // namespace lathe
