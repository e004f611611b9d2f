#include "lib/core/parallel.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <sched.h>

namespace lathe {
namespace {

thread_local bool inside_tile = false;

}  // namespace

struct ThreadPool::State {
    std::mutex mutex;
    std::condition_variable work_ready;
    std::condition_variable work_done;
    const std::function<void(std::size_t)>* tile = nullptr;
    std::size_t n_tiles = 0;
    std::size_t next_tile = 0;
    std::size_t unfinished = 0;
    std::exception_ptr error;
    std::size_t error_tile = 0;
    bool stopping = false;
    std::vector<std::thread> threads;
    std::mutex one_call_at_a_time;

    /// Takes tiles until none is left. `lock` is held on entry and on return.
    void take_tiles(std::unique_lock<std::mutex>& lock) {
        while (next_tile < n_tiles) {
            const std::size_t mine = next_tile++;
            const auto* run = tile;
            lock.unlock();
            std::exception_ptr thrown;
            inside_tile = true;
            try {
                (*run)(mine);
            } catch (...) {
                thrown = std::current_exception();
            }
            inside_tile = false;
            lock.lock();
            if (thrown && (!error || mine < error_tile)) {
                error = thrown;
                error_tile = mine;
            }
            if (--unfinished == 0) {
                work_done.notify_all();
            }
        }
    }

    void work() {
        std::unique_lock lock(mutex);
        while (true) {
            work_ready.wait(lock, [this] { return stopping || next_tile < n_tiles; });
            if (stopping) {
                return;
            }
            take_tiles(lock);
        }
    }
};

ThreadPool::ThreadPool(std::size_t n_threads) : state_(std::make_unique<State>()) {
    if (n_threads == 0) {
        n_threads = available_processors();
    }
    for (std::size_t i = 1; i < n_threads; ++i) {
        state_->threads.emplace_back([state = state_.get()] { state->work(); });
    }
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
    }
    state_->work_ready.notify_all();
    for (std::thread& thread : state_->threads) {
        thread.join();
    }
}

std::size_t ThreadPool::n_threads() const noexcept {
    return state_->threads.size() + 1;
}

void ThreadPool::for_each(std::size_t n_tiles, const std::function<void(std::size_t)>& tile) {
    if (inside_tile || n_tiles <= 1 || state_->threads.empty()) {
        for (std::size_t i = 0; i < n_tiles; ++i) {
            tile(i);
        }
        return;
    }
    const std::lock_guard turn(state_->one_call_at_a_time);
    std::unique_lock lock(state_->mutex);
    state_->tile = &tile;
    state_->n_tiles = n_tiles;
    state_->next_tile = 0;
    state_->unfinished = n_tiles;
    state_->error = nullptr;
    state_->work_ready.notify_all();
    state_->take_tiles(lock);
    state_->work_done.wait(lock, [this] { return state_->unfinished == 0; });
    state_->n_tiles = 0;
    if (state_->error) {
        std::rethrow_exception(state_->error);
    }
}

std::size_t available_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    const int count = CPU_COUNT(&set);
    return count > 0 ? static_cast<std::size_t>(count) : 1;
}

}  // namespace lathe
