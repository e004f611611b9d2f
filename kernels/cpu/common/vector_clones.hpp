#pragma once

/// Marks a function of plain loops that the compiler translates for several instruction sets; the
/// best one for the machine is picked when the program starts. What it calls must be inlined.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LATHE_VECTOR_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LATHE_VECTOR_CLONES
#endif

/// Marks a helper of such a function.
#define LATHE_ALWAYS_INLINE __attribute__((always_inline)) inline
