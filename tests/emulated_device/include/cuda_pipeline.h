#pragma once

// Copies from global to shared memory that a thread asks for ahead of their use. They take effect
// when the thread waits for them, or at once: by the schedule, since both are allowed.

#include "cuda_runtime.h"

namespace emulated {
void copy_async(void* shared, const void* global, std::size_t bytes);
void commit_copies();
void wait_for_copies(unsigned n_left, Place place);
}  // namespace emulated

inline void __pipeline_memcpy_async(void* shared, const void* global, std::size_t bytes) {
    emulated::copy_async(shared, global, bytes);
}
inline void __pipeline_commit() {
    emulated::commit_copies();
}
inline void __pipeline_wait_prior(unsigned n_left, const char* file = __builtin_FILE(),
                                  unsigned line = __builtin_LINE()) {
    emulated::wait_for_copies(n_left, {file, line});
}
