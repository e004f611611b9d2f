#include "access.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>

#include "block.hpp"
#include "counts.hpp"
#include "emulator.hpp"
#include "kernels/cuda/device_only.cuh"
#include "memory.hpp"

namespace emulated::access {
namespace {

/// Who used a byte last: numbers of spans, a span being what a thread does between two barriers.
/// Of the readers two, of different threads and where it can be of different warps.
struct Cell {
    std::uint32_t writer = 0;
    std::uint32_t atomic = 0;  ///< of those that wrote by an atomic operation
    std::uint32_t reader = 0;
    std::uint32_t other_reader = 0;
};
/// In the place of a writer: a copy is on its way.
constexpr std::uint32_t on_its_way = ~0U;
/// Numbers of spans are not given twice, until they run out.
constexpr std::uint32_t most_spans = 0xF0000000U;

constexpr std::size_t word_bytes = 4;

/// Elements that are 0, in pages that come to be when they are touched.
template <class T>
class Zeros {
public:
    void make(std::size_t n) {
        void* const memory = mmap(nullptr, n * sizeof(T), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            std::abort();
        }
        elements_ = static_cast<T*>(memory);
        n_ = n;
    }
    void forget() { (void)madvise(elements_, n_ * sizeof(T), MADV_DONTNEED); }
    T& operator[](std::size_t i) { return elements_[i]; }

private:
    T* elements_ = nullptr;
    std::size_t n_ = 0;
};

/// A range of addresses with a cell for each word, or for each byte of words that were used in
/// parts.
class Space {
public:
    std::uintptr_t begin = 0;
    std::size_t size = 0;
    bool is_shared = false;

    void make_cells(std::size_t n_bytes) {
        words_.make(n_bytes / word_bytes + 1);
        bytes_.make(n_bytes + word_bytes);
        is_split_.make(n_bytes / word_bytes + 1);
    }
    void forget() {
        words_.forget();
        bytes_.forget();
        is_split_.forget();
    }
    /// use(cell) for all that say something of the bytes at an offset.
    template <class Use>
    void for_each_cell(std::size_t offset, std::size_t n_bytes, const Use& use) {
        const bool is_whole = offset % word_bytes == 0 && n_bytes % word_bytes == 0;
        const std::size_t end = offset + n_bytes;
        for (std::size_t word = offset / word_bytes; word * word_bytes < end; ++word) {
            if (is_whole && !is_split_[word]) {
                use(words_[word]);
                continue;
            }
            if (!is_split_[word]) {
                std::fill_n(&bytes_[word * word_bytes], word_bytes, words_[word]);
                is_split_[word] = true;
            }
            const std::size_t last = std::min(end, (word + 1) * word_bytes);
            for (std::size_t i = std::max(offset, word * word_bytes); i < last; ++i) {
                use(bytes_[i]);
            }
        }
    }

private:
    Zeros<Cell> words_;
    Zeros<Cell> bytes_;
    Zeros<bool> is_split_;
};

/// The thread-local memory of this plug-in on the calling thread, which is the declared shared
/// memory of all kernels; and the plug-in itself, whose constants kernels may read.
struct Module {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::uintptr_t shared = 0;
    std::size_t shared_size = 0;
};

int find_module(dl_phdr_info* info, std::size_t, void* result) {
    Module found;
    found.begin = ~std::uintptr_t{0};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        if (part.p_type == PT_LOAD) {
            found.begin = std::min(found.begin, info->dlpi_addr + part.p_vaddr);
            found.end = std::max(found.end, info->dlpi_addr + part.p_vaddr + part.p_memsz);
        } else if (part.p_type == PT_TLS) {
            found.shared_size = part.p_memsz;
            found.shared = reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data);
        }
    }
    const auto here = reinterpret_cast<std::uintptr_t>(&find_module);
    if (here < found.begin || here >= found.end) {
        return 0;
    }
    *static_cast<Module*>(result) = found;
    return 1;
}

/// Makes the module's thread-local memory exist, which is otherwise made when it is first used.
__shared__ volatile unsigned touched;

/// What a launch asks for. Not in the plug-in, of which kernels may read everything.
std::byte* dynamic_memory() {
    static auto* const memory = static_cast<std::byte*>(std::aligned_alloc(256, most_shared_bytes));
    return memory;
}

/// A write whose byte another thread wrote too: not a fault if it leaves what was there.
struct Doubtful {
    const void* memory = nullptr;
    std::size_t bytes = 0;
    std::array<std::byte, 16> before{};
    Position other{};
    const void* code = nullptr;
};

/// Where a piece of code is, as addr2line wants it.
std::string place_of(const void* code) {
    Dl_info info{};
    if (dladdr(code, &info) == 0) {
        return "?";
    }
    char offset[32];
    std::snprintf(offset, sizeof offset, "0x%zx",
                  static_cast<std::size_t>(static_cast<const char*>(code) -
                                           static_cast<const char*>(info.dli_fbase)));
    return std::string(info.dli_fname) + " " + offset;
}

class Watch {
public:
    Watch() {
        arena_.begin = memory::begin();
        arena_.size = memory::capacity;
        arena_.make_cells(memory::capacity);
        dynamic_.begin = reinterpret_cast<std::uintptr_t>(dynamic_memory());
        dynamic_.is_shared = true;
        dynamic_.make_cells(most_shared_bytes);
        static_.is_shared = true;
    }

    void begin_grid() {
        touched = 1;
        (void)dl_iterate_phdr(find_module, &module_);
        if (static_.size == 0) {
            static_.make_cells(module_.shared_size);
        }
        if (static_.begin != module_.shared) {
            static_.begin = module_.shared;
            static_.size = module_.shared_size;
            std::memset(reinterpret_cast<void*>(static_.begin), junk, static_.size);
            is_used_.assign(static_.size / line + 1, false);
            used_lines_.clear();
        }
        if (next_span_ > most_spans) {
            arena_.forget();
            dynamic_.forget();
            static_.forget();
            next_span_ = 1;
        }
        first_of_grid_ = next_span_;
        spans_.clear();
        span_ = 0;
        doubtful_ = {};
    }
    void begin_block(std::size_t dynamic_bytes) {
        dynamic_.size = dynamic_bytes;
        std::memset(dynamic_memory(), junk, dynamic_bytes);
        first_of_block_ = next_span_;
    }
    void end_block() {
        for (const std::size_t at : used_lines_) {
            std::memset(reinterpret_cast<void*>(static_.begin + at * line), junk,
                        std::min(line, static_.size - at * line));
            is_used_[at] = false;
        }
        used_lines_.clear();
    }
    void leave_thread() {
        settle();
        span_ = 0;
    }

    void note(Kind kind, const void* memory, std::size_t bytes, const void* code) {
        settle();
        const auto address = reinterpret_cast<std::uintptr_t>(memory);
        const bool is_constant =
            kind == Kind::read && address - module_.begin < module_.end - module_.begin;
        if (is_constant || address - own_.begin < own_.size) {
            return;
        }
        code_ = code;
        Space* const space = find(address, bytes, kind);
        if (space == nullptr) {
            return;
        }
        if (address % bytes != 0 && (bytes & (bytes - 1)) == 0) {
            refuse(kind, memory, bytes, "which is not a multiple of its size");
        }
        if (counts::enabled()) {
            counts::note(kind != Kind::read, space->is_shared, address, bytes, code);
        }
        const std::size_t offset = address - space->begin;
        if (!space->is_shared) {
            check_state(kind, memory, offset, bytes);
        } else if (space == &static_ && kind != Kind::read) {
            use_lines(offset, bytes);
        }
        if (span_ == 0) {
            span_ = next_span_++;
            spans_.push_back(running);
        }
        space->for_each_cell(offset, bytes, [&](Cell& cell) {
            // What the thread read in this span and nobody wrote since it may read again.
            if (kind != Kind::write && (cell.reader != span_ || cell.writer == on_its_way)) {
                read(*space, cell, memory, bytes, kind);
            }
            if (kind != Kind::read) {
                write(*space, cell, memory, bytes, kind);
            }
        });
    }

    void begin_copy(void* shared, std::size_t bytes, const void* code) {
        note(Kind::write, shared, bytes, code);
        settle();
        set_writer(shared, bytes, on_its_way);
    }
    void end_copy(void* shared, std::size_t bytes) {
        set_writer(shared, bytes, span_);  // of the wait, if it did anything else since
        if (span_ == 0) {
            span_ = next_span_++;
            spans_.push_back(running);
            set_writer(shared, bytes, span_);
        }
    }

private:
    static constexpr std::size_t line = 256;
    static constexpr std::uint32_t all_written = 0x01010101U * unsigned(memory::State::written);

    Space* find(std::uintptr_t address, std::size_t bytes, Kind kind) {
        for (Space* const space : {&arena_, &dynamic_, &static_}) {
            if (address - space->begin < space->size &&
                bytes <= space->begin + space->size - address) {
                return space;
            }
        }
        refuse(kind, reinterpret_cast<void*>(address), bytes,
               address - dynamic_.begin < most_shared_bytes
                   ? "behind the shared memory that the launch asked for"
                   : "which is not the device's memory");
        return nullptr;
    }
    void check_state(Kind kind, const void* memory, std::size_t offset, std::size_t bytes) {
        memory::State* const states = memory::states() + offset;
        std::uint32_t word = 0;
        if (bytes == word_bytes) {
            std::memcpy(&word, states, word_bytes);
        }
        if (word == all_written) {
            return;
        }
        for (std::size_t i = 0; i < bytes; ++i) {
            if (states[i] == memory::State::absent) {
                refuse(kind, memory, bytes, "which is not allocated");
            }
            if (states[i] == memory::State::fresh && kind != Kind::write) {
                refuse(kind, memory, bytes, "which nothing was written to");
            }
        }
        if (kind != Kind::read) {
            std::fill_n(states, bytes, memory::State::written);
        }
    }
    void use_lines(std::size_t offset, std::size_t bytes) {
        for (std::size_t at = offset / line; at <= (offset + bytes - 1) / line; ++at) {
            if (!is_used_[at]) {
                is_used_[at] = true;
                used_lines_.push_back(at);
            }
        }
    }
    [[nodiscard]] const Position& position_of(std::uint32_t span) const {
        return spans_[span - first_of_grid_];
    }
    /// Whether the running thread and that of another span are not kept apart. Other blocks have
    /// other shared memory.
    [[nodiscard]] bool is_beside(const Space& space, std::uint32_t span) const {
        if (span < (space.is_shared ? first_of_block_ : first_of_grid_) || span == span_) {
            return false;
        }
        const Position& a = position_of(span);
        const Position& b = running;
        if (a.block != b.block) {
            return true;
        }
        return a.thread != b.thread && a.block_epoch == b.block_epoch &&
               (a.thread / warp_lanes != b.thread / warp_lanes || a.warp_epoch == b.warp_epoch);
    }
    void read(const Space& space, Cell& cell, const void* memory, std::size_t bytes, Kind kind) {
        if (cell.writer == on_its_way) {
            refuse(kind, memory, bytes, "where a copy is on its way that was not waited for");
        }
        if (space.is_shared && std::max(cell.writer, cell.atomic) < first_of_block_) {
            refuse(kind, memory, bytes, "shared memory that the block has not written to");
        }
        refuse_beside(space, cell.writer, kind, memory, bytes, " wrote");
        if (kind == Kind::atomic) {
            return;
        }
        refuse_beside(space, cell.atomic, kind, memory, bytes, " wrote");
        // One that is kept apart from all that the thread does from now on need not be known; and
        // of those beside it, one in another warp says more than one in the same.
        if (cell.reader == 0 || !is_beside(space, cell.reader)) {
            cell.reader = span_;
        } else if (cell.other_reader == 0 || !is_beside(space, cell.other_reader) ||
                   position_of(cell.other_reader).thread / warp_lanes ==
                       position_of(cell.reader).thread / warp_lanes) {
            cell.other_reader = span_;
        }
    }
    void write(const Space& space, Cell& cell, const void* memory, std::size_t bytes, Kind kind) {
        if (cell.writer == on_its_way) {
            refuse(kind, memory, bytes, "where a copy is on its way");
        }
        refuse_beside(space, cell.reader, kind, memory, bytes, " read");
        refuse_beside(space, cell.other_reader, kind, memory, bytes, " read");
        if (kind == Kind::atomic) {
            cell.atomic = span_;
            return;
        }
        refuse_beside(space, cell.atomic, kind, memory, bytes, " wrote");
        if (is_beside(space, cell.writer) && doubtful_.memory == nullptr && bytes <= 16) {
            doubtful_ = {memory, bytes, {}, position_of(cell.writer), code_};
            std::memcpy(doubtful_.before.data(), memory, bytes);
        }
        cell.writer = span_;
    }
    void refuse_beside(const Space& space, std::uint32_t span, Kind kind, const void* memory,
                       std::size_t bytes, const char* did) {
        if (is_beside(space, span)) [[unlikely]] {
            refuse(kind, memory, bytes,
                   "which " + describe(position_of(span)) + did + ", with no barrier between");
        }
    }
    /// The write that the thread was about to make when this was last called has been made.
    void settle() {
        if (doubtful_.memory != nullptr) [[unlikely]] {
            settle_doubt();
        }
    }
    void settle_doubt() {
        const Doubtful write = std::exchange(doubtful_, {});
        if (std::memcmp(write.memory, write.before.data(), write.bytes) != 0) {
            code_ = write.code;
            refuse(Kind::write, write.memory, write.bytes,
                   "which " + describe(write.other) + " wrote too, with no barrier between");
        }
    }
    void set_writer(const void* memory, std::size_t bytes, std::uint32_t writer) {
        const auto address = reinterpret_cast<std::uintptr_t>(memory);
        Space& space = address - dynamic_.begin < dynamic_.size ? dynamic_ : static_;
        space.for_each_cell(address - space.begin, bytes,
                            [=](Cell& cell) { cell.writer = writer; });
    }
    void refuse(Kind kind, const void* memory, std::size_t bytes, const std::string& why) {
        char address[32];
        std::snprintf(address, sizeof address, "%p", memory);
        fault(describe(running) + (kind == Kind::read ? " reads " : " writes ") +
              std::to_string(bytes) + " bytes at " + address + ", " + why + "; in " +
              kernel_name() + ", at " + place_of(code_));
    }

    StackRange own_ = stack_range();
    Space arena_;
    Space dynamic_;
    Space static_;
    Module module_;
    std::vector<bool> is_used_;  ///< lines of declared shared memory that the block wrote to
    std::vector<std::size_t> used_lines_;
    std::vector<Position> spans_;  ///< of the grid
    std::uint32_t next_span_ = 1;
    std::uint32_t first_of_grid_ = 1;
    std::uint32_t first_of_block_ = 1;
    std::uint32_t span_ = 0;  ///< of the running thread, 0 until it does something
    Doubtful doubtful_;
    const void* code_ = nullptr;
};

Watch& watch() {
    static Watch& watch = *new Watch;
    return watch;
}

}  // namespace

void begin_grid() {
    watch().begin_grid();
}
void begin_block(std::size_t dynamic_shared_bytes) {
    watch().begin_block(dynamic_shared_bytes);
}
void end_block() {
    watch().end_block();
}
void leave_thread() {
    watch().leave_thread();
}
void note(Kind kind, const void* memory, std::size_t bytes, const void* code) {
    watch().note(kind, memory, bytes, code);
}
void begin_copy(void* shared, std::size_t bytes, const void* code) {
    watch().begin_copy(shared, bytes, code);
}
void end_copy(void* shared, std::size_t bytes) {
    watch().end_copy(shared, bytes);
}

}  // namespace emulated::access

namespace emulated {

void* dynamic_shared() {
    return access::dynamic_memory();
}

}  // namespace emulated

// What GCC calls for -fsanitize=thread.

namespace {

template <std::size_t bytes>
inline void note_plain(emulated::access::Kind kind, const void* memory, const void* code) {
    if (emulated::in_kernel) {
        emulated::in_kernel = false;
        emulated::access::note(kind, memory, bytes, code);
        emulated::in_kernel = true;
    }
}
inline void note_range(emulated::access::Kind kind, const void* memory, std::size_t bytes,
                       const void* code) {
    if (emulated::in_kernel) {
        emulated::in_kernel = false;
        for (std::size_t i = 0; i < bytes; ++i) {
            emulated::access::note(kind, static_cast<const std::byte*>(memory) + i, 1, code);
        }
        emulated::in_kernel = true;
    }
}

}  // namespace

extern "C" {
#define LATHE_NOTED(bytes)                                                                     \
    void __tsan_read##bytes(void* memory) {                                                    \
        note_plain<bytes>(emulated::access::Kind::read, memory, __builtin_return_address(0));  \
    }                                                                                          \
    void __tsan_write##bytes(void* memory) {                                                   \
        note_plain<bytes>(emulated::access::Kind::write, memory, __builtin_return_address(0)); \
    }                                                                                          \
    void __tsan_unaligned_read##bytes(void* memory) {                                          \
        __tsan_read##bytes(memory);                                                            \
    }                                                                                          \
    void __tsan_unaligned_write##bytes(void* memory) {                                         \
        __tsan_write##bytes(memory);                                                           \
    }
LATHE_NOTED(1)
LATHE_NOTED(2)
LATHE_NOTED(4)
LATHE_NOTED(8)
LATHE_NOTED(16)
#undef LATHE_NOTED
void __tsan_read_range(void* memory, std::size_t bytes) {
    note_range(emulated::access::Kind::read, memory, bytes, __builtin_return_address(0));
}
void __tsan_write_range(void* memory, std::size_t bytes) {
    note_range(emulated::access::Kind::write, memory, bytes, __builtin_return_address(0));
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_init() {}
// Counts of references, in the sources' host code.
int __tsan_atomic32_fetch_sub(volatile int* memory, int value, int /*order*/) {
    return __atomic_fetch_sub(memory, value, __ATOMIC_SEQ_CST);
}
int __tsan_atomic32_fetch_add(volatile int* memory, int value, int /*order*/) {
    return __atomic_fetch_add(memory, value, __ATOMIC_SEQ_CST);
}
}
