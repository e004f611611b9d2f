#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/comm/communicator.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/simulate/virtual_time.hpp"

namespace lathe {

/// What a task takes of the ranks that do it.
struct TaskCost {
    /// Of one rank that does it alone and waits for nobody.
    double seconds = 0.0;
    /// A link of a pipeline: so many batches come from rank `from` and go on to rank `to`, each as
    /// soon as it is through (workers/calibration/calibration.hpp). -1: from or to nobody.
    std::size_t batches = 1;
    int from = -1;
    int to = -1;
    /// A task for all ranks: this share of the seconds is divided, in at most so many parts, rank r
    /// of n having those from r * parts / n on (workers/chain/sample_share.hpp). Each rank does the
    /// rest itself.
    double divisible = 1.0;
    std::size_t parts = 1;
    /// Until a batch is at the next rank; until sums have gone to rank 0 and back.
    double message_seconds = 0.0;
};

/// What a rank did with one task.
struct RankSpan {
    int rank = 0;
    double begin = 0.0;  ///< seconds since the start
    double end = 0.0;
    double busy = 0.0;  ///< of that, computing; the rest it waited for others
    std::string stage;
    std::string task;
    bool finished = false;  ///< false: lost or stopped in the midst of it
};

/// Ranks as the coordinator sees them, on a virtual clock: they take tasks, give signs of life,
/// answer when the time that a task costs is over, and can be lost. All that they say is what real
/// workers say (workers/worker.hpp); the coordinator is the real one.
class SimulatedRanks final : public comm::Communicator {
public:
    using CostOf = std::function<TaskCost(const Task&)>;

    /// @pre  `time` outlives the object, and no event happens after its end
    SimulatedRanks(VirtualTime& time, int n_ranks, CostOf cost_of);

    /// The rank falls silent, with the task it has.
    void lose(int rank);
    /// All ranks begin anew, as after a start of the program; what they did is gone.
    void restart();
    [[nodiscard]] const std::vector<RankSpan>& spans() const { return spans_; }

    [[nodiscard]] int rank() const noexcept override { return 0; }
    [[nodiscard]] int size() const noexcept override { return static_cast<int>(ranks_.size()); }
    [[nodiscard]] int local_size() const noexcept override { return size(); }
    [[nodiscard]] int local_rank() const noexcept override { return 0; }
    [[nodiscard]] const std::vector<comm::RankPlace>& places() const noexcept override {
        return places_;
    }
    void send(int to, comm::Tag tag, std::vector<std::byte> bytes) override;
    std::optional<comm::Message> try_receive(int from, comm::Tag tag) override;

private:
    static constexpr double heartbeat_seconds = 60.0;

    struct Rank {
        bool lost = false;
        std::optional<Task> task;
        TaskCost cost;
        double begin = 0.0;
        double busy = 0.0;
        std::size_t batches_done = 0;
        bool computes = false;  ///< a batch
        double batch_begin = 0.0;
    };

    void in(double seconds, std::function<void()> event);
    void beat();
    void tell(int rank, char kind, const std::string& text);
    void begin(int rank, Task task);
    void begin_joint();
    /// Begins the next batch if it is there.
    void advance(int rank);
    void end_batch(int rank);
    void pass_on(int rank);
    void finish(int rank);
    void close_span(int rank, bool finished);

    VirtualTime& time_;
    CostOf cost_of_;
    std::vector<Rank> ranks_;
    std::vector<comm::RankPlace> places_;
    std::deque<comm::Message> inbox_;                     // the coordinator's
    std::map<std::pair<int, int>, std::size_t> arrived_;  // batches from rank to rank, not used yet
    std::vector<RankSpan> spans_;
    std::uint64_t start_ = 0;  ///< number of it; events of former starts do nothing
};

}  // namespace lathe
