include_guard()

# Warnings for our own code. Errors only where LATHE_WERROR is on (CI): a user's newer compiler
# must not fail a build.
add_library(lathe_warnings INTERFACE)
add_library(lathe::warnings ALIAS lathe_warnings)
target_compile_options(lathe_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # GCC 12 false alarm on std::string + (bug 105651)
  # Sources compiled as one: the compiler takes all but the first for headers.
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<BOOL:${CMAKE_UNITY_BUILD}>>:-Wno-subobject-linkage>
  $<$<BOOL:${LATHE_WERROR}>:-Werror>)
