#include "lib/comm/communicator.hpp"

#include "lib/comm/backoff.hpp"

namespace lathe::comm {

std::optional<Message> Communicator::receive(int from, Tag tag, const std::atomic<bool>* stop) {
    Backoff backoff;
    while (true) {
        if (auto message = try_receive(from, tag)) {
            return message;
        }
        if (stop != nullptr && stop->load()) {
            return std::nullopt;
        }
        backoff.sleep();
    }
}

}  // namespace lathe::comm
