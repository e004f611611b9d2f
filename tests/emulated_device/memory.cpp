#include "memory.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>

#include <sys/mman.h>

#include "emulator.hpp"

namespace emulated::memory {
namespace {

/// CUDA aligns to 256 bytes; as much lies unused behind each allocation, at least.
constexpr std::size_t grain = 256;
/// So many freed allocations are not given out again at once: whoever still uses one shows.
constexpr std::size_t most_kept = 64;

class Arena {
public:
    Arena()
        : begin_(static_cast<std::byte*>(reserve(capacity, PROT_NONE))),
          states_(static_cast<State*>(reserve(capacity, PROT_READ | PROT_WRITE))) {
        free_[0] = capacity;
    }

    [[nodiscard]] std::byte* begin() const { return begin_; }
    [[nodiscard]] State* states() const { return states_; }
    [[nodiscard]] std::size_t bytes_left() const { return capacity - taken_; }

    void* allocate(std::size_t bytes) {
        const std::size_t room = (bytes + 2 * grain - 1) / grain * grain;
        auto place = find(room);
        if (place == free_.end() && !kept_.empty()) {
            while (!kept_.empty()) {
                give_back_oldest();
            }
            place = find(room);
        }
        if (place == free_.end()) {
            return nullptr;
        }
        const std::size_t at = place->first;
        const std::size_t left = place->second - room;
        free_.erase(place);
        if (left > 0) {
            free_[at + room] = left;
        }
        used_[at] = {bytes, room};
        taken_ += room;
        std::fill_n(states_ + at, bytes, State::fresh);
        if (at + room > top_) {
            top_ = at + room;
            if (n_open_ > 0) {
                protect(PROT_READ | PROT_WRITE);
            }
        }
        return begin_ + at;
    }

    bool release(void* memory) {
        const auto place =
            used_.find(static_cast<std::size_t>(static_cast<std::byte*>(memory) - begin_));
        if (place == used_.end()) {
            return false;
        }
        std::fill_n(states_ + place->first, place->second.bytes, State::absent);
        taken_ -= place->second.room;
        kept_.emplace_back(place->first, place->second.room);
        used_.erase(place);
        if (kept_.size() > most_kept) {
            give_back_oldest();
        }
        return true;
    }

    void fill_fresh(void* memory) {
        const auto place =
            used_.find(static_cast<std::size_t>(static_cast<std::byte*>(memory) - begin_));
        if (place != used_.end()) {
            std::memset(memory, junk, place->second.bytes);
        }
    }

    void open() {
        if (n_open_++ == 0) {
            protect(PROT_READ | PROT_WRITE);
        }
    }
    void close() {
        if (--n_open_ == 0) {
            protect(PROT_NONE);
        }
    }

private:
    struct Used {
        std::size_t bytes;
        std::size_t room;
    };
    using FreePlaces = std::map<std::size_t, std::size_t>;

    static void* reserve(std::size_t bytes, int protection) {
        void* const memory =
            mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            throw std::runtime_error("no addresses are left for the emulated device");
        }
        return memory;
    }
    void protect(int protection) {
        if (top_ > 0 && mprotect(begin_, top_, protection) != 0) {
            throw std::runtime_error("mprotect() failed on the emulated device's memory");
        }
    }
    FreePlaces::iterator find(std::size_t room) {
        return std::find_if(free_.begin(), free_.end(),
                            [=](const auto& place) { return place.second >= room; });
    }
    void give_back_oldest() {
        const auto [at, room] = kept_.front();
        kept_.pop_front();
        auto place = free_.emplace(at, room).first;
        const auto next = std::next(place);
        if (next != free_.end() && at + room == next->first) {
            place->second += next->second;
            free_.erase(next);
        }
        if (place != free_.begin()) {
            const auto before = std::prev(place);
            if (before->first + before->second == at) {
                before->second += place->second;
                free_.erase(place);
            }
        }
    }

    std::byte* begin_;
    State* states_;
    std::map<std::size_t, Used> used_;
    FreePlaces free_;
    std::deque<std::pair<std::size_t, std::size_t>> kept_;
    std::size_t taken_ = 0;
    std::size_t top_ = 0;  ///< nothing was ever allocated from here on
    int n_open_ = 0;
};

/// Never destroyed: backends may be closed after everything else.
Arena& arena() {
    static Arena& arena = *new Arena;
    return arena;
}

}  // namespace

void* allocate(std::size_t bytes) {
    return arena().allocate(bytes);
}
bool release(void* memory) {
    return arena().release(memory);
}
void fill_fresh(void* memory) {
    arena().fill_fresh(memory);
}
std::size_t bytes_left() {
    return arena().bytes_left();
}
std::uintptr_t begin() {
    static const auto begin = reinterpret_cast<std::uintptr_t>(arena().begin());
    return begin;
}
State* states() {
    static State* const states = arena().states();
    return states;
}
Opened::Opened() {
    arena().open();
}
Opened::~Opened() {
    arena().close();
}

void check_rows(const char* what, const void* memory, std::size_t pitch, std::size_t row_bytes,
                std::size_t rows, bool reads, bool writes) {
    if (!contains(memory)) {
        return;
    }
    const std::size_t first = reinterpret_cast<std::uintptr_t>(memory) - begin();
    for (std::size_t r = 0; r < rows; ++r) {
        State* const row = states() + first + r * pitch;
        for (std::size_t i = 0; i < row_bytes; ++i) {
            if (row[i] == State::absent || (reads && row[i] == State::fresh)) {
                fault(std::string(what) +
                      (row[i] == State::absent ? " reaches memory that is not allocated"
                                               : " reads memory that nothing was written to") +
                      ", byte " + std::to_string(i) + " of row " + std::to_string(r));
                return;
            }
        }
        if (writes) {
            std::fill_n(row, row_bytes, State::written);
        }
    }
}

}  // namespace emulated::memory
