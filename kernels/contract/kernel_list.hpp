#pragma once

// What a backend defines of each kernel stands in one list for each subject, forward_kernels.def
// and so on, as
//
//   LATHE_KERNEL(result, name, parameters...)
//
// which is the function `result do_name(parameters...) const`. The interface and the backends make
// their declarations of these lists, so a new kernel is a line there, its checked public function
// beside it, and a definition for each backend.

/// In the class that is the interface of a subject.
#define LATHE_PURE_KERNEL(result, name, ...) virtual result do_##name(__VA_ARGS__) const = 0;
/// In a class that is a backend.
#define LATHE_BACKEND_KERNEL(result, name, ...) result do_##name(__VA_ARGS__) const override;
