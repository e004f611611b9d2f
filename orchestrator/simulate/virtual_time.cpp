#include "orchestrator/simulate/virtual_time.hpp"

#include <algorithm>
#include <utility>

namespace lathe {

double VirtualTime::seconds() const {
    return std::chrono::duration<double>(now_.time_since_epoch()).count();
}

VirtualTime::Clock::time_point VirtualTime::point(double seconds) {
    return Clock::time_point(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
}

void VirtualTime::at(double seconds, std::function<void()> event) {
    events_.push({std::max(point(seconds), now_), n_events_++, std::move(event)});
}

void VirtualTime::run_next() {
    // An event may ask for others: it must have left the queue before.
    const auto happen = std::move(const_cast<Event&>(events_.top()).happen);
    events_.pop();
    happen();
}

void VirtualTime::sleep(std::chrono::microseconds /*wanted*/) {
    const Clock::time_point end = point(seconds() + longest_sleep());
    awake_ = false;
    while (!awake_ && !events_.empty() && events_.top().when <= end) {
        now_ = events_.top().when;
        run_next();
    }
    if (!awake_) {
        now_ = end;
        return;
    }
    while (!events_.empty() && events_.top().when == now_) {
        run_next();
    }
}

void VirtualTime::pass(double seconds) {
    const Clock::time_point end = point(this->seconds() + seconds);
    while (!events_.empty() && events_.top().when <= end) {
        now_ = events_.top().when;
        run_next();
    }
    now_ = std::max(now_, end);
}

}  // namespace lathe
