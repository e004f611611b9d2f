#include "lib/core/task_progress.hpp"

#include <algorithm>
#include <atomic>

namespace lathe {
namespace {

std::atomic<double> progress{0.0};

/// What this thread tells about, in shares of the task.
thread_local double part_begin = 0.0;
thread_local double part_length = 1.0;

double share(std::size_t done, std::size_t total) noexcept {
    return total == 0 ? 1.0
                      : static_cast<double>(std::min(done, total)) / static_cast<double>(total);
}

}  // namespace

void begin_progress() noexcept {
    progress = 0.0;
}

void tell_progress(std::size_t done, std::size_t total) noexcept {
    const double now = std::min(1.0, part_begin + part_length * share(done, total));
    double before = progress.load();
    while (before < now && !progress.compare_exchange_weak(before, now)) {
    }
}

double task_progress() noexcept {
    return progress.load();
}

ProgressPart::ProgressPart(std::size_t first, std::size_t end, std::size_t total) noexcept
    : begin_(part_begin), length_(part_length) {
    part_begin = begin_ + length_ * share(first, total);
    part_length = length_ * (share(end, total) - share(first, total));
}

ProgressPart::~ProgressPart() {
    tell_progress(1, 1);
    part_begin = begin_;
    part_length = length_;
}

}  // namespace lathe
