#include "block.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <boost/context/detail/fcontext.hpp>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <sys/mman.h>

#include "access.hpp"
#include "counts.hpp"
#include "emulator.hpp"
#include "kernels/cuda/device_only.cuh"
#include "memory.hpp"

// Threads of a block as fibers of the calling thread. One that ends leaves its fiber to the next,
// so that a kernel without barriers takes one.

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace emulated {

bool in_kernel = false;
Position running{};

namespace {

namespace context = boost::context::detail;

constexpr std::size_t stack_bytes = 128 * 1024;
constexpr std::size_t page_bytes = 4096;

/// Stacks one behind the other, each with a page below that nobody may touch.
class Stacks {
public:
    Stacks() {
        void* const memory = mmap(nullptr, size(), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            std::abort();
        }
        begin_ = static_cast<std::byte*>(memory);
    }
    [[nodiscard]] StackRange range() const {
        return {reinterpret_cast<std::uintptr_t>(begin_), size()};
    }
    /// The top, from where stack i grows down.
    [[nodiscard]] void* top(std::size_t i) {
        for (; n_guarded_ <= i; ++n_guarded_) {
            (void)mprotect(begin_ + n_guarded_ * stack_bytes, page_bytes, PROT_NONE);
        }
        return begin_ + (i + 1) * stack_bytes;
    }
    static constexpr std::size_t usable = stack_bytes - page_bytes;

private:
    static constexpr std::size_t size() { return most_threads * stack_bytes; }
    std::byte* begin_ = nullptr;
    std::size_t n_guarded_ = 0;
};

Stacks& stacks() {
    static Stacks& stacks = *new Stacks;
    return stacks;
}

struct Copy {
    void* shared;
    const void* global;
    std::size_t bytes;
};

enum class Waits { no, unstarted, at_block, at_warp, ended };

/// What lanes of a warp wait for together; all must wait for the same.
enum class Meeting { barrier, shuffle, product };

struct Thread {
    Waits waits = Waits::unstarted;
    std::size_t fiber = 0;
    std::vector<Copy> asked;                ///< copies behind the last commit
    std::vector<std::vector<Copy>> groups;  ///< committed, in their order
};

struct Warp {
    unsigned arrived = 0;
    unsigned ended = 0;
    unsigned mask = 0;
    Meeting meeting = Meeting::barrier;
    std::uint32_t epoch = 0;
    /// What lanes bring to a meeting: of this one and the one before, which some still read.
    std::uint64_t brought[2][warp_lanes] = {};
    struct Fragment {
        std::uint32_t a[4];
        std::uint32_t b[2];
    } fragments[2][warp_lanes] = {};
    unsigned present[2] = {};  ///< who was there
    unsigned turn = 0;
};

class Block {
public:
    void run_grid(const Launch& launch);

    // Of the running thread.
    void meet_block();
    void meet_warp(unsigned mask, Meeting meeting);
    [[nodiscard]] Warp& warp() { return warps_[running.thread / warp_lanes]; }
    [[nodiscard]] unsigned lane() const { return running.thread % warp_lanes; }
    [[nodiscard]] Thread& thread() { return threads_[running.thread]; }
    [[nodiscard]] const std::string& kernel_name() const { return name_; }
    void complete(Thread& thread, std::size_t n_left);
    /// Ends the kernel; does not return to the thread that runs.
    void abandon();
    [[nodiscard]] bool runs_thread() const { return runs_thread_; }

private:
    struct Fiber {
        context::fcontext_t at = nullptr;  ///< null: to be made
    };

    void run_block();
    void run(std::size_t thread);
    void run_threads();
    void switch_away();
    void end_thread();
    void release_warp(std::size_t warp);
    void explain_standstill();
    static void enter_fiber(context::transfer_t from);

    const Launch* launch_ = nullptr;
    std::string name_;
    std::size_t n_threads_ = 0;
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::vector<std::size_t> order_;
    std::vector<Fiber> fibers_;
    std::vector<std::size_t> idle_;
    context::fcontext_t scheduler_ = nullptr;
    std::size_t n_at_block_ = 0;
    std::size_t n_ended_ = 0;
    std::uint32_t block_epoch_ = 0;
    bool runs_thread_ = false;
    bool is_abandoned_ = false;
};

Block& block() {
    static Block& block = *new Block;
    return block;
}

void Block::run_grid(const Launch& launch) {
    launch_ = &launch;
    name_ = launch.name;
    const cudaLaunchConfig_t& config = launch.config;
    n_threads_ = config.blockDim.x;
    threads_.resize(n_threads_);
    warps_.resize((n_threads_ + warp_lanes - 1) / warp_lanes);
    order_.resize(n_threads_);
    ::blockDim = config.blockDim;
    ::gridDim = config.gridDim;
    const std::size_t n_blocks = std::size_t{config.gridDim.x} * config.gridDim.y;
    std::vector<std::size_t> blocks(n_blocks);
    put_in_order(blocks.data(), n_blocks);
    access::begin_grid();
    is_abandoned_ = false;
    for (const std::size_t number : blocks) {
        ::blockIdx = {static_cast<unsigned>(number % config.gridDim.x),
                      static_cast<unsigned>(number / config.gridDim.x), 0};
        running = {static_cast<std::uint32_t>(number), 0, 0, 0};
        run_block();
        if (is_abandoned_) {
            // What the fibers left on their stacks is of no use to anyone.
            fibers_.clear();
            idle_.clear();
            return;
        }
    }
}

void Block::run_block() {
    access::begin_block(launch_->config.dynamicSmemBytes);
    std::fill(threads_.begin(), threads_.end(), Thread{});
    for (Warp& warp : warps_) {
        warp.arrived = warp.ended = warp.turn = 0;
        warp.epoch = 0;
    }
    n_at_block_ = n_ended_ = 0;
    block_epoch_ = 0;
    run_threads();
    access::end_block();
    counts::end_block();
}

void Block::run_threads() {
    put_in_order(order_.data(), n_threads_);
    while (n_ended_ < n_threads_) {
        bool any = false;
        for (const std::size_t i : order_) {
            if (threads_[i].waits == Waits::no || threads_[i].waits == Waits::unstarted) {
                any = true;
                run(i);
                if (is_abandoned_) {
                    return;
                }
            }
        }
        if (!any) {
            explain_standstill();
            is_abandoned_ = true;
            return;
        }
        if (schedule().kind == Schedule::Kind::random) {
            put_in_order(order_.data(), n_threads_);
        }
    }
}

void Block::run(std::size_t i) {
    Thread& thread = threads_[i];
    const bool is_new = thread.waits == Waits::unstarted;
    if (is_new) {
        if (idle_.empty()) {
            idle_.push_back(fibers_.size());
            fibers_.emplace_back();
        }
        thread.fiber = idle_.back();
        idle_.pop_back();
        thread.waits = Waits::no;
    }
    Fiber& fiber = fibers_[thread.fiber];
    if (fiber.at == nullptr) {
        fiber.at = context::make_fcontext(stacks().top(thread.fiber), Stacks::usable, enter_fiber);
    }
    running.thread = static_cast<std::uint32_t>(i);
    running.block_epoch = block_epoch_;
    running.warp_epoch = warps_[i / warp_lanes].epoch;
    ::threadIdx = {static_cast<unsigned>(i), 0, 0};
    const std::size_t number = thread.fiber;
    runs_thread_ = true;
    in_kernel = !is_new;
    const context::transfer_t back = context::jump_fcontext(fiber.at, this);
    in_kernel = false;
    runs_thread_ = false;
    fibers_[number].at = back.fctx;
}

void Block::enter_fiber(context::transfer_t from) {
    auto& own = *static_cast<Block*>(from.data);
    own.scheduler_ = from.fctx;
    for (;;) {
        own.launch_->body();
        in_kernel = false;
        own.end_thread();
        own.idle_.push_back(own.thread().fiber);
        own.scheduler_ = context::jump_fcontext(own.scheduler_, nullptr).fctx;
    }
}

void Block::switch_away() {
    access::leave_thread();
    scheduler_ = context::jump_fcontext(scheduler_, nullptr).fctx;
}

void Block::abandon() {
    is_abandoned_ = true;
    for (;;) {
        (void)context::jump_fcontext(scheduler_, nullptr);
    }
}

void Block::end_thread() {
    complete(thread(), 0);
    access::leave_thread();
    thread().waits = Waits::ended;
    ++n_ended_;
    warp().ended |= 1U << lane();
    release_warp(running.thread / warp_lanes);
}

void Block::meet_block() {
    thread().waits = Waits::at_block;
    if (++n_at_block_ == n_threads_) {
        n_at_block_ = 0;
        ++block_epoch_;
        for (Thread& each : threads_) {
            each.waits = Waits::no;
        }
    }
    switch_away();
}

void Block::meet_warp(unsigned mask, Meeting meeting) {
    Warp& own = warp();
    if ((mask >> lane() & 1U) == 0) {
        fault(describe(running) + " is not in the mask of lanes that it waits for; in " + name_);
    }
    if (own.arrived != 0 && (own.mask != mask || own.meeting != meeting)) {
        fault("lanes of a warp wait for different things, " + describe(running) +
              " among them; in " + name_);
    }
    own.mask = mask;
    own.meeting = meeting;
    own.arrived |= 1U << lane();
    thread().waits = Waits::at_warp;
    release_warp(running.thread / warp_lanes);
    switch_away();
}

/// Lets the lanes of a warp go on if all that have not ended are here.
void Block::release_warp(std::size_t number) {
    Warp& own = warps_[number];
    if (own.arrived == 0 || (own.mask & ~own.ended & ~own.arrived) != 0) {
        return;
    }
    for (unsigned i = 0; i < warp_lanes; ++i) {
        if ((own.arrived >> i & 1U) != 0) {
            threads_[number * warp_lanes + i].waits = Waits::no;
        }
    }
    own.present[own.turn] = std::exchange(own.arrived, 0);
    own.turn = 1 - own.turn;
    ++own.epoch;
}

void Block::explain_standstill() {
    std::size_t at_warp = 0;
    for (const Thread& thread : threads_) {
        at_warp += thread.waits == Waits::at_warp ? 1 : 0;
    }
    fault("of block " + std::to_string(running.block) + ", " + std::to_string(n_at_block_) +
          " threads wait for the block, " + std::to_string(at_warp) + " for their warp, and " +
          std::to_string(n_ended_) + " have ended: none can go on; in " + name_);
}

/// Lets all but the last n_left groups of copies take effect.
void Block::complete(Thread& thread, std::size_t n_left) {
    while (thread.groups.size() > n_left) {
        for (const Copy& copy : thread.groups.front()) {
            if (copy.global != nullptr) {
                std::memcpy(copy.shared, copy.global, copy.bytes);
            }
            access::end_copy(copy.shared, copy.bytes);
        }
        thread.groups.erase(thread.groups.begin());
    }
}

}  // namespace

StackRange stack_range() {
    return stacks().range();
}

void run_grid(const Launch& launch) {
    block().run_grid(launch);
}
const std::string& kernel_name() {
    return block().kernel_name();
}
std::string describe(const Position& position) {
    return "thread " + std::to_string(position.thread) + " of block " +
           std::to_string(position.block);
}
void end_kernel() {
    if (block().runs_thread()) {
        block().abandon();
    }
}

namespace {

/// While it lives the emulator runs, not the kernel.
class Outside {
public:
    Outside() { in_kernel = false; }
    ~Outside() { in_kernel = true; }
    Outside(const Outside&) = delete;
    Outside& operator=(const Outside&) = delete;
};

}  // namespace

void enter_kernel() {
    in_kernel = true;
}

unsigned lane() {
    return block().lane();
}

namespace {

/// Whether LATHE_EMULATED_WITHOUT names the place, as FILE:LINE without folders.
bool is_left_out(Place place) {
    static const char* const given = std::getenv("LATHE_EMULATED_WITHOUT");
    if (given == nullptr) [[likely]] {
        return false;
    }
    const std::string file = place.file;
    return file.substr(file.rfind('/') + 1) + ":" + std::to_string(place.line) == given;
}

}  // namespace

void block_barrier(Place place) {
    const Outside outside;
    if (!is_left_out(place)) {
        block().meet_block();
    }
}

void warp_barrier(unsigned mask, Place place) {
    const Outside outside;
    if (!is_left_out(place)) {
        block().meet_warp(mask, Meeting::barrier);
    }
}

std::uint64_t exchange(unsigned mask, std::uint64_t bits, unsigned from) {
    const Outside outside;
    Warp& warp = block().warp();
    const unsigned turn = warp.turn;
    warp.brought[turn][block().lane()] = bits;
    block().meet_warp(mask, Meeting::shuffle);
    const bool is_there = from < warp_lanes && (warp.present[turn] >> from & 1U) != 0;
    return is_there ? warp.brought[turn][from] : ~std::uint64_t{0};
}

unsigned atomic_max(unsigned* memory, unsigned value) {
    const Outside outside;
    access::note(access::Kind::atomic, memory, sizeof *memory, __builtin_return_address(0));
    return std::exchange(*memory, std::max(*memory, value));
}

void copy_async(void* shared, const void* global, std::size_t bytes) {
    const Outside outside;
    if (bytes != 4 && bytes != 8 && bytes != 16) {
        fault("a copy to shared memory is of 4, 8 or 16 bytes, not " + std::to_string(bytes));
    }
    const void* const code = __builtin_return_address(0);
    access::note(access::Kind::read, global, bytes, code);
    access::begin_copy(shared, bytes, code);
    if (takes_effect_at_once()) {
        std::memcpy(shared, global, bytes);
        global = nullptr;
    } else {
        std::memset(shared, junk, bytes);
    }
    block().thread().asked.push_back({shared, global, bytes});
}

void commit_copies() {
    const Outside outside;
    Thread& thread = block().thread();
    thread.groups.push_back(std::move(thread.asked));
    thread.asked.clear();
}

void wait_for_copies(unsigned n_left, Place place) {
    const Outside outside;
    if (!is_left_out(place)) {
        block().complete(block().thread(), n_left);
    }
}

// The elements that a lane has of the matrices, by the PTX manual: in "Matrix Fragments for
// mma.m16n8k16 with floating point type", with group = lane / 4 and in_group = lane % 4.
void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                  std::uint32_t b1) {
    const Outside outside;
    Warp& warp = block().warp();
    auto& fragments = warp.fragments[warp.turn];
    fragments[block().lane()] = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    block().meet_warp(~0U, Meeting::product);
    const auto half_of = [](std::uint32_t pair, unsigned i) {
        return half_to_float(static_cast<std::uint16_t>(pair >> 16 * i));
    };
    const unsigned group = block().lane() / 4;
    const unsigned in_group = block().lane() % 4;
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = group + (i < 2 ? 0 : 8);
        const unsigned col = in_group * 2 + i % 2;
        double sum = sums[i];
        for (unsigned k = 0; k < 16; ++k) {
            const auto& of_row = fragments[row % 8 * 4 + k % 8 / 2];
            const auto& of_col = fragments[col * 4 + k % 8 / 2];
            sum += static_cast<double>(half_of(of_row.a[row / 8 + k / 8 * 2], k % 2)) *
                   static_cast<double>(half_of(of_col.b[k / 8], k % 2));
        }
        sums[i] = static_cast<float>(sum);
    }
}

}  // namespace emulated
