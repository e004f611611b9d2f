#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "lib/comm/communicator.hpp"
#include "lib/comm/rank_position.hpp"
#include "lib/core/errors.hpp"

namespace lathe::comm {
namespace {

class LocalCommunicator final : public Communicator {
public:
    [[nodiscard]] int rank() const noexcept override { return 0; }
    [[nodiscard]] int size() const noexcept override { return 1; }
    [[nodiscard]] int local_size() const noexcept override { return 1; }
    [[nodiscard]] int local_rank() const noexcept override { return 0; }
    [[nodiscard]] const std::vector<RankPlace>& places() const noexcept override { return places_; }

    void send(int to, Tag tag, std::vector<std::byte> bytes) override {
        check_rank(to, 0);
        const std::lock_guard lock(mutex_);
        queues_[tag].push_back({0, std::move(bytes)});
    }

    std::optional<Message> try_receive(int from, Tag tag) override {
        check_rank(from, -1);
        const std::lock_guard lock(mutex_);
        auto& queue = queues_[tag];
        if (queue.empty()) {
            return std::nullopt;
        }
        Message message = std::move(queue.front());
        queue.pop_front();
        return message;
    }

private:
    static void check_rank(int rank, int lowest) {
        if (rank < lowest || rank > 0) {
            throw InternalError("message to or from rank " + std::to_string(rank) +
                                ", but there is one process, rank 0");
        }
    }

    std::vector<RankPlace> places_ = shared_places({own_position()});
    std::mutex mutex_;
    std::map<Tag, std::deque<Message>> queues_;
};

}  // namespace

std::unique_ptr<Communicator> make_local_communicator() {
    return std::make_unique<LocalCommunicator>();
}

}  // namespace lathe::comm
