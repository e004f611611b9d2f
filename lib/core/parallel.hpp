#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace lathe {

/// A fixed set of threads that share out tiles of work. Threads wait on a condition variable,
/// never by spinning: the cores may be shared with other ranks.
///
/// Results never depend on the number of threads as long as each tile writes its own memory: tiles
/// are numbered, their size is the caller's choice and does not depend on the thread count.
class ThreadPool {
public:
    /// `n_threads` counts the calling thread; 0 means one for each processor this process may use.
    explicit ThreadPool(std::size_t n_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    [[nodiscard]] std::size_t n_threads() const noexcept;

    /// Calls tile(0) ... tile(n_tiles - 1), each once, in any order, on any thread; returns when
    /// all are done. The first exception (lowest tile number) is thrown again here. One call at a
    /// time: a call from inside a tile runs its tiles one after another on that thread.
    void for_each(std::size_t n_tiles, const std::function<void(std::size_t)>& tile);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Processors this process may run on (its affinity mask), at least 1.
[[nodiscard]] std::size_t available_processors();

}  // namespace lathe
