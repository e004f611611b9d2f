#include "orchestrator/simulate/simulated_ranks.hpp"

#include <algorithm>

#include "lib/comm/control.hpp"
#include "lib/core/errors.hpp"

namespace lathe {

using comm::ControlKind;

SimulatedRanks::SimulatedRanks(VirtualTime& time, int n_ranks, CostOf cost_of)
    : time_(time),
      cost_of_(std::move(cost_of)),
      ranks_(static_cast<std::size_t>(n_ranks)),
      places_(static_cast<std::size_t>(n_ranks)) {
    beat();
}

void SimulatedRanks::in(double seconds, std::function<void()> event) {
    time_.at(time_.seconds() + seconds, [this, start = start_, event = std::move(event)] {
        if (start == start_) {
            event();
        }
    });
}

void SimulatedRanks::beat() {
    for (int rank = 0; rank < size(); ++rank) {
        if (!ranks_[static_cast<std::size_t>(rank)].lost) {
            tell(rank, static_cast<char>(ControlKind::heartbeat), "");
        }
    }
    in(heartbeat_seconds, [this] { beat(); });
}

void SimulatedRanks::tell(int rank, char kind, const std::string& text) {
    comm::Message message{rank, {static_cast<std::byte>(kind)}};
    for (const char c : text) {
        message.bytes.push_back(static_cast<std::byte>(c));
    }
    inbox_.push_back(std::move(message));
    time_.wake();
}

void SimulatedRanks::restart() {
    for (int rank = 0; rank < size(); ++rank) {
        close_span(rank, false);
        ranks_[static_cast<std::size_t>(rank)] = Rank();
    }
    ++start_;
    inbox_.clear();
    arrived_.clear();
    beat();
}

void SimulatedRanks::lose(int rank) {
    close_span(rank, false);
    Rank& lost = ranks_[static_cast<std::size_t>(rank)];
    lost.lost = true;
    lost.task.reset();
}

void SimulatedRanks::close_span(int rank, bool finished) {
    const Rank& r = ranks_[static_cast<std::size_t>(rank)];
    if (!r.task) {
        return;
    }
    const double now = time_.seconds();
    const double busy = r.task->rank == all_ranks ? std::min(r.busy, now - r.begin)
                        : r.computes              ? r.busy + now - r.batch_begin
                                                  : r.busy;
    spans_.push_back({rank, r.begin, now, busy, r.task->stage, r.task->id, finished});
}

void SimulatedRanks::send(int to, comm::Tag tag, std::vector<std::byte> bytes) {
    if (tag != comm::Tag::task || to < 0 || to >= size()) {
        throw InternalError("a simulated rank takes tasks only");
    }
    if (ranks_[static_cast<std::size_t>(to)].lost) {
        return;
    }
    const comm::Control order = comm::parse_control({0, std::move(bytes)});
    if (order.kind == ControlKind::stop) {
        tell(to, static_cast<char>(ControlKind::stopped), "");
        return;
    }
    begin(to, task_from_json(order.text));
}

std::optional<comm::Message> SimulatedRanks::try_receive(int /*from*/, comm::Tag tag) {
    if (tag != comm::Tag::result || inbox_.empty()) {
        return std::nullopt;
    }
    comm::Message message = std::move(inbox_.front());
    inbox_.pop_front();
    return message;
}

void SimulatedRanks::begin(int rank, Task task) {
    Rank& r = ranks_[static_cast<std::size_t>(rank)];
    const TaskCost cost = cost_of_(task);
    const bool is_joint = task.rank == all_ranks;
    r = Rank();
    r.task = std::move(task);
    r.cost = cost;
    r.begin = time_.seconds();
    if (!is_joint) {
        advance(rank);
    } else if (std::ranges::all_of(ranks_,
                                   [](const Rank& other) { return other.task.has_value(); })) {
        begin_joint();
    }
}

void SimulatedRanks::begin_joint() {
    double longest = 0.0;
    const auto n = ranks_.size();
    for (std::size_t rank = 0; rank < n; ++rank) {
        Rank& r = ranks_[rank];
        const std::size_t parts = (rank + 1) * r.cost.parts / n - rank * r.cost.parts / n;
        const double share = static_cast<double>(parts) / static_cast<double>(r.cost.parts);
        r.busy = r.cost.seconds * (r.cost.divisible * share + 1.0 - r.cost.divisible);
        longest = std::max(longest, r.busy);
    }
    for (std::size_t rank = 0; rank < n; ++rank) {
        in(longest + (n > 1 ? ranks_[rank].cost.message_seconds : 0.0),
           [this, rank] { finish(static_cast<int>(rank)); });
    }
}

void SimulatedRanks::advance(int rank) {
    Rank& r = ranks_[static_cast<std::size_t>(rank)];
    if (!r.task || r.task->rank == all_ranks || r.computes) {
        return;
    }
    if (r.cost.from >= 0) {
        std::size_t& there = arrived_[{r.cost.from, rank}];
        if (there == 0) {
            return;
        }
        --there;
    }
    r.computes = true;
    r.batch_begin = time_.seconds();
    const double seconds = r.cost.seconds / static_cast<double>(r.cost.batches);
    in(seconds, [this, rank, seconds, id = r.task->id] {
        Rank& now = ranks_[static_cast<std::size_t>(rank)];
        if (now.task && now.task->id == id) {  // else it was lost
            now.busy += seconds;
            end_batch(rank);
        }
    });
}

void SimulatedRanks::end_batch(int rank) {
    Rank& r = ranks_[static_cast<std::size_t>(rank)];
    r.computes = false;
    pass_on(rank);
    if (++r.batches_done == r.cost.batches) {
        finish(rank);
    } else {
        advance(rank);
    }
}

void SimulatedRanks::pass_on(int rank) {
    const TaskCost& cost = ranks_[static_cast<std::size_t>(rank)].cost;
    if (cost.to < 0) {
        return;
    }
    in(rank == cost.to ? 0.0 : cost.message_seconds, [this, rank, to = cost.to] {
        ++arrived_[{rank, to}];
        advance(to);
    });
}

void SimulatedRanks::finish(int rank) {
    Rank& r = ranks_[static_cast<std::size_t>(rank)];
    const auto is_lost = [](const Rank& other) { return other.lost; };
    if (!r.task || (r.task->rank == all_ranks && std::ranges::any_of(ranks_, is_lost))) {
        return;  // lost, or waits for the sums of one that is
    }
    close_span(rank, true);
    const TaskResult result{r.task->id, true, 0, "", time_.seconds() - r.begin, rank};
    r.task.reset();
    tell(rank, static_cast<char>(ControlKind::result), to_json(result));
}

}  // namespace lathe
