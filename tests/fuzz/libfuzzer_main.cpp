#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <sanitizer/allocator_interface.h>

#include "tests/fuzz/fuzzing.hpp"

// libFuzzer's own limits are for one allocation and for the whole process. A list that grows piece
// by piece passes both, so this counts what is alive at once while one input is read. And its clock
// runs also while others have the processor, so this takes the processor's own time.

namespace {

/// What one input may have in memory at once: this much, and so many times its own size.
constexpr std::int64_t free_bytes = std::int64_t{16} << 20;
constexpr std::int64_t times_its_size = 4096;
/// What one input may take of the processor's time, in seconds. One that does not end at all is
/// libFuzzer's: its `-timeout`.
constexpr double seconds_of_one_input = 1.0;

std::atomic<std::int64_t> live_bytes{0};
std::atomic<std::int64_t> most_bytes{0};
std::atomic<bool> is_counting{false};

void on_malloc(const volatile void* /*pointer*/, std::size_t size) {
    if (!is_counting) return;
    const std::int64_t now = live_bytes += static_cast<std::int64_t>(size);
    if (now > most_bytes) {
        is_counting = false;
        std::fprintf(stderr, "more than %lld bytes in memory at once\n",
                     static_cast<long long>(most_bytes));
        std::abort();
    }
}

void on_free(const volatile void* pointer) {
    if (!is_counting || pointer == nullptr) return;
    live_bytes -=
        static_cast<std::int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(pointer)));
}

double processor_seconds() {
    std::timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const lathe::fuzz::Target run = lathe::fuzz::targets().at(0).run;
    live_bytes = 0;
    most_bytes = free_bytes + times_its_size * static_cast<std::int64_t>(size);
    is_counting = !lathe::fuzz::is_memory_allowed();
    const double start = processor_seconds();
    run({reinterpret_cast<const char*>(data), size});
    const double seconds = processor_seconds() - start;
    is_counting = false;
    if (seconds > seconds_of_one_input) {
        std::fprintf(stderr, "more than %.0f s for one input: %.2f s\n", seconds_of_one_input,
                     seconds);
        std::abort();
    }
    return 0;
}
