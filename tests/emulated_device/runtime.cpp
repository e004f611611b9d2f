#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <cxxabi.h>
#include <dlfcn.h>

#include "block.hpp"
#include "cuda_runtime.h"
#include "emulator.hpp"
#include "kernels/cuda/device_only.cuh"
#include "memory.hpp"
#include "stream.hpp"

// The runtime: what is put on a stream is done in its order, when it must be or as the schedule
// says. Calls of several threads come one after the other.

namespace emulated {
namespace {

std::string first_fault;

std::mt19937_64& chance() {
    static std::mt19937_64 generator(schedule().seed);
    return generator;
}

}  // namespace

const Schedule& schedule() {
    static const Schedule schedule = [] {
        const char* const name = std::getenv("LATHE_EMULATED_SCHEDULE");
        const std::string given = name == nullptr ? "forwards" : name;
        if (given == "forwards") {
            return Schedule{Schedule::Kind::forwards, 0};
        }
        if (given == "backwards") {
            return Schedule{Schedule::Kind::backwards, 0};
        }
        return Schedule{Schedule::Kind::random, static_cast<unsigned>(std::stoul(given))};
    }();
    return schedule;
}

bool takes_effect_at_once() {
    const Schedule::Kind kind = schedule().kind;
    return kind == Schedule::Kind::backwards ||
           (kind == Schedule::Kind::random && chance()() % 2 == 0);
}

void put_in_order(std::size_t* order, std::size_t n) {
    std::iota(order, order + n, std::size_t{0});
    if (schedule().kind == Schedule::Kind::backwards) {
        std::reverse(order, order + n);
    } else if (schedule().kind == Schedule::Kind::random) {
        std::shuffle(order, order + n, chance());
    }
}

void fault(const std::string& message) {
    if (first_fault.empty()) {
        first_fault = message;
    }
    end_kernel();
}
std::string take_fault() {
    return std::exchange(first_fault, {});
}
bool has_fault() {
    return !first_fault.empty();
}

}  // namespace emulated

struct EmulatedStream {
    std::deque<std::function<void()>> operations;
};
struct EmulatedEvent {
    EmulatedStream* stream = nullptr;
    std::size_t n_before = 0;  ///< operations of the stream until it
    std::size_t number = 0;
};

namespace emulated {
namespace {

std::recursive_mutex one_at_a_time;
cudaError_t last_error = cudaSuccess;
std::string last_fault = "the emulated device found no fault";

cudaError_t error(cudaError_t status) {
    last_error = status;
    return status;
}

/// Does the first n operations of a stream.
void work_off(EmulatedStream& stream, std::size_t n) {
    if (n == 0) {
        return;
    }
    const memory::Opened opened;
    for (; n > 0; --n) {
        const std::function<void()> operation = std::move(stream.operations.front());
        stream.operations.pop_front();
        if (!has_fault()) {
            operation();
        }
    }
}

cudaError_t result_of_work() {
    if (!has_fault()) {
        return cudaSuccess;
    }
    last_fault = "emulated device: " + take_fault();
    return error(cudaErrorLaunchFailure);
}

/// What cudaFuncSetAttribute() allowed a kernel.
std::unordered_map<const void*, std::size_t>& shared_limits() {
    static auto& limits = *new std::unordered_map<const void*, std::size_t>;
    return limits;
}

/// Memory of the host that the device can read, by its first byte.
std::unordered_map<const void*, std::size_t>& host_memory() {
    static auto& memory = *new std::unordered_map<const void*, std::size_t>;
    return memory;
}
bool is_page_locked(const void* address) {
    const auto* const byte = static_cast<const std::byte*>(address);
    return std::any_of(host_memory().begin(), host_memory().end(), [=](const auto& block) {
        const auto* const first = static_cast<const std::byte*>(block.first);
        return byte >= first && byte < first + block.second;
    });
}

}  // namespace

namespace {

/// The kernel's name, or if the library does not tell it the types of its arguments.
std::string name_of(const Launch& launch) {
    Dl_info info{};
    if (dladdr(launch.kernel, &info) != 0 && info.dli_sname != nullptr &&
        info.dli_saddr == launch.kernel) {
        int status = 0;
        char* const name = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
        const std::string found = status == 0 ? name : info.dli_sname;
        std::free(name);
        return found;
    }
    const std::size_t begin = launch.name.find("Parameters = {");
    const std::size_t end = launch.name.find("; Arguments = ");
    return begin == std::string::npos ? launch.name
                                      : launch.name.substr(begin + 13, end - begin - 13);
}

}  // namespace

void enqueue(cudaStream_t stream, std::function<void()> operation) {
    const std::lock_guard lock(one_at_a_time);
    stream->operations.push_back(std::move(operation));
    if (takes_effect_at_once()) {
        work_off(*stream, stream->operations.size());
    }
}

cudaError_t launch(Launch launch) {
    const cudaLaunchConfig_t& config = launch.config;
    const std::lock_guard lock(one_at_a_time);
    const auto limit = shared_limits().find(launch.kernel);
    const std::size_t allowed = limit == shared_limits().end() ? 48 * 1024 : limit->second;
    constexpr unsigned highest_grid = 65535;
    if (config.blockDim.x == 0 || config.blockDim.x > most_threads || config.blockDim.y != 1 ||
        config.blockDim.z != 1 || config.gridDim.x == 0 || config.gridDim.x > 0x7FFFFFFFU ||
        config.gridDim.y == 0 || config.gridDim.y > highest_grid || config.gridDim.z != 1 ||
        config.dynamicSmemBytes > allowed) {
        return error(cudaErrorInvalidConfiguration);
    }
    launch.name = name_of(launch);
    enqueue(config.stream, [launch = std::move(launch)] { run_grid(launch); });
    return cudaSuccess;
}

cudaError_t set_shared_limit(const void* kernel, cudaFuncAttribute attribute, int value) {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<std::size_t>(value) > most_shared_bytes) {
        return error(cudaErrorInvalidValue);
    }
    const std::lock_guard lock(one_at_a_time);
    shared_limits()[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
}

}  // namespace emulated

using namespace emulated;  // what follows are the runtime's own functions

cudaError_t cudaGetDeviceCount(int* count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : error(cudaErrorInvalidValue);
}
cudaError_t cudaGetLastError() {
    return std::exchange(last_error, cudaSuccess);
}
const char* cudaGetErrorString(cudaError_t status) {
    switch (status) {
        case cudaSuccess:
            return "no error";
        case cudaErrorInvalidValue:
            return "invalid argument";
        case cudaErrorMemoryAllocation:
            return "out of memory";
        case cudaErrorInvalidConfiguration:
            return "invalid configuration argument";
        case cudaErrorInvalidPitchValue:
            return "invalid pitch argument";
        case cudaErrorInvalidMemcpyDirection:
            return "invalid copy direction for memcpy";
        case cudaErrorLaunchFailure:
            return last_fault.c_str();
    }
    return "unknown error";
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = new EmulatedStream;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const std::lock_guard lock(one_at_a_time);
    work_off(*stream, stream->operations.size());
    delete stream;
    return result_of_work();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    const std::lock_guard lock(one_at_a_time);
    work_off(*stream, stream->operations.size());
    return result_of_work();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    *event = new EmulatedEvent;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    const std::lock_guard lock(one_at_a_time);
    event->stream = stream;
    const std::size_t number = ++event->number;
    event->n_before = 1;
    enqueue(stream, [event, number] {
        if (event->number == number) {
            event->n_before = 0;
        }
    });
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const std::lock_guard lock(one_at_a_time);
    while (event->n_before > 0 && !event->stream->operations.empty()) {
        work_off(*event->stream, 1);
    }
    return result_of_work();
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
    const std::lock_guard lock(one_at_a_time);
    *memory = memory::allocate(bytes);
    if (*memory == nullptr) {
        return error(cudaErrorMemoryAllocation);
    }
    const memory::Opened opened;
    memory::fill_fresh(*memory);
    return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
    const std::lock_guard lock(one_at_a_time);
    return memory == nullptr || memory::release(memory) ? cudaSuccess
                                                        : error(cudaErrorInvalidValue);
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
    const std::lock_guard lock(one_at_a_time);
    *memory = std::malloc(bytes);
    host_memory()[*memory] = bytes;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
    const std::lock_guard lock(one_at_a_time);
    if (memory != nullptr && host_memory().erase(memory) == 0) {
        return error(cudaErrorInvalidValue);
    }
    std::free(memory);
    return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t stream) {
    const std::lock_guard lock(one_at_a_time);
    *memory = memory::allocate(bytes);
    if (*memory == nullptr) {  // what was freed on the stream may do
        work_off(*stream, stream->operations.size());
        *memory = memory::allocate(bytes);
    }
    if (*memory == nullptr) {
        return error(cudaErrorMemoryAllocation);
    }
    enqueue(stream, [memory = *memory] { memory::fill_fresh(memory); });
    return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
    enqueue(stream, [memory] {
        if (!memory::release(memory)) {
            fault("cudaFreeAsync() of memory that is not allocated");
        }
    });
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* left, std::size_t* total) {
    *left = memory::bytes_left();
    *total = memory::capacity;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
    *pool = nullptr;
    return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
    const std::lock_guard lock(one_at_a_time);
    *attributes = {};
    attributes->type = memory::contains(memory) ? cudaMemoryTypeDevice
                       : is_page_locked(memory) ? cudaMemoryTypeHost
                                                : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return bytes == 0 ? cudaSuccess
                      : cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

namespace {

/// A hash of all bytes that were copied to the host, in their order, for LATHE_EMULATED_RESULTS.
class Results {
public:
    explicit Results(const char* file) : file_(file) {}
    void add(const std::byte* bytes, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {  // FNV-1a
            hash_ = (hash_ ^ static_cast<std::uint64_t>(bytes[i])) * 0x100000001B3ULL;
        }
        n_bytes_ += n;
    }
    void write() const { std::ofstream(file_) << n_bytes_ << " bytes, " << hash_ << '\n'; }

private:
    std::string file_;
    std::uint64_t hash_ = 0xCBF29CE484222325ULL;
    std::size_t n_bytes_ = 0;
};

Results* results() {
    static Results* const results = [] {
        const char* const file = std::getenv("LATHE_EMULATED_RESULTS");
        Results* const made = file == nullptr ? nullptr : new Results(file);
        if (made != nullptr) {
            (void)std::atexit([] { ::results()->write(); });
        }
        return made;
    }();
    return results;
}

struct Rows {
    std::byte* to;
    std::size_t to_pitch;
    const std::byte* from;
    std::size_t from_pitch;
    std::size_t width;
    std::size_t height;

    void copy() const {
        memory::check_rows("a copy", from, from_pitch, width, height, true, false);
        memory::check_rows("a copy", to, to_pitch, width, height, false, true);
        for (std::size_t r = 0; r < height && !has_fault(); ++r) {
            std::memcpy(to + r * to_pitch, from + r * from_pitch, width);
            if (results() != nullptr && !memory::contains(to)) {
                results()->add(to + r * to_pitch, width);
            }
        }
    }
};

bool fits(cudaMemcpyKind kind, bool from_device, bool to_device) {
    return kind == cudaMemcpyDefault ||
           kind == static_cast<cudaMemcpyKind>((from_device ? 2 : 0) + (to_device ? 1 : 0));
}

}  // namespace

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
    const std::lock_guard lock(one_at_a_time);
    constexpr std::size_t highest_pitch = 0x7FFFFFFF;
    if (height > 1 && (width > to_pitch || width > from_pitch || to_pitch > highest_pitch ||
                       from_pitch > highest_pitch)) {
        return error(cudaErrorInvalidPitchValue);
    }
    if (!fits(kind, memory::contains(from), memory::contains(to))) {
        return error(cudaErrorInvalidMemcpyDirection);
    }
    Rows rows{static_cast<std::byte*>(to),
              to_pitch,
              static_cast<const std::byte*>(from),
              from_pitch,
              width,
              height};
    if (memory::contains(from) || is_page_locked(from)) {
        enqueue(stream, [rows] { rows.copy(); });
        return cudaSuccess;
    }
    // Pageable memory of the host is read before the call returns.
    auto staged = std::make_shared<std::vector<std::byte>>(width * height);
    for (std::size_t r = 0; r < height; ++r) {
        std::memcpy(staged->data() + r * width, rows.from + r * from_pitch, width);
    }
    rows.from = staged->data();
    rows.from_pitch = width;
    enqueue(stream, [rows, staged] { rows.copy(); });
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
    if (!memory::contains(memory)) {
        return error(cudaErrorInvalidValue);
    }
    enqueue(stream, [=] {
        memory::check_rows("cudaMemsetAsync()", memory, bytes, bytes, 1, false, true);
        if (!has_fault()) {
            std::memset(memory, value, bytes);
        }
    });
    return cudaSuccess;
}
