#include "kernels/cpu/common/vector_kernels.hpp"

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "lib/core/errors.hpp"

#ifdef LATHE_X86_VARIANTS
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace lathe::kernels {

namespace generic {
extern const VectorKernels table;
}
#ifdef LATHE_X86_VARIANTS
namespace avx2 {
extern const VectorKernels table;
}
namespace avx512 {
extern const VectorKernels table;
}
namespace avx512vnni {
void multiply_codes(const LookupGroup& group, const DigitVectors& x, float* y,
                    std::size_t y_stride);
void multiply_blocks(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride);
}  // namespace avx512vnni
namespace avx512vbmi {
void lookup_coarse(const LookupGroup& group, const std::uint8_t* entries, float scale, float sum,
                   float* y);
}
namespace avx512bf16 {
void multiply_pairs(std::size_t n_rows, std::size_t depth, const float* a, const float* panel,
                    float* c, std::size_t c_stride, bool accumulate, const float* next,
                    std::size_t next_stride);
}
namespace avx512amx {
void multiply_blocks_by_tiles(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride);
}
#endif

namespace {

#ifdef LATHE_X86_VARIANTS
/// A table with some functions of `others` replaced. Each place of a call has one table: the first
/// call makes it.
template <class Replace>
const VectorKernels& on_top_of(const VectorKernels& others, const char* name,
                               const Replace& replace) {
    static const VectorKernels table = [&] {
        VectorKernels own = others;
        own.name = name;
        replace(own);
        return own;
    }();
    return table;
}

/// Whether the processor has tiles of bytes and the system lets this process use them, which has to
/// be asked for once.
bool may_use_tiles() {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    constexpr unsigned amx_tile = 1U << 24;
    constexpr unsigned amx_int8 = 1U << 25;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & amx_tile) == 0 ||
        (d & amx_int8) == 0) {
        return false;
    }
#if defined(__linux__)
    constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long tile_data = 18;
    return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}
#endif

std::vector<const VectorKernels*> find_runnable() {
    std::vector<const VectorKernels*> tables{&generic::table};
#ifdef LATHE_X86_VARIANTS
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return tables;
    }
    tables.push_back(&avx2::table);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        tables.push_back(&avx512::table);
        // On top of whatever else the processor has.
        const auto add = [&](const char* name, const auto& replace) {
            tables.push_back(&on_top_of(*tables.back(), name, replace));
        };
        if (__builtin_cpu_supports("avx512vnni")) {
            add("avx512vnni", [](VectorKernels& own) {
                own.multiply_codes = avx512vnni::multiply_codes;
                own.multiply_blocks = avx512vnni::multiply_blocks;
            });
            if (__builtin_cpu_supports("avx512vbmi")) {
                add("avx512vbmi",
                    [](VectorKernels& own) { own.lookup_coarse = avx512vbmi::lookup_coarse; });
            }
        }
        if (__builtin_cpu_supports("avx512bf16")) {
            add("avx512bf16",
                [](VectorKernels& own) { own.multiply_pairs = avx512bf16::multiply_pairs; });
        }
        if (__builtin_cpu_supports("avx512vnni") && may_use_tiles()) {
            add("avx512amx", [](VectorKernels& own) {
                own.multiply_blocks = avx512amx::multiply_blocks_by_tiles;
            });
        }
    }
#endif
    return tables;
}

}  // namespace

std::span<const VectorKernels* const> runnable_vector_kernels() {
    static const std::vector<const VectorKernels*> tables = find_runnable();
    return tables;
}

namespace {

std::atomic<const VectorKernels*>& in_use() {
    static std::atomic<const VectorKernels*> table{runnable_vector_kernels().back()};
    return table;
}

}  // namespace

const VectorKernels& vector_kernels() {
    return *in_use().load(std::memory_order_relaxed);
}

void use_vector_kernels(std::string_view name) {
    const auto tables = runnable_vector_kernels();
    const auto found =
        name == "auto" ? tables.end() - 1 : std::ranges::find(tables, name, [](const auto* table) {
            return std::string_view(table->name);
        });
    if (found == tables.end()) {
        std::string names;
        for (const VectorKernels* table : tables) {
            names += (names.empty() ? "" : ", ") + std::string(table->name);
        }
        throw UsageError("this processor has no instruction set " + std::string(name) +
                         "; it has: " + names);
    }
    in_use() = *found;
}

}  // namespace lathe::kernels
