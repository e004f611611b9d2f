include_guard()

# Warnings for our own code. Errors only where LATHE_WERROR is on (CI): a user's newer compiler
# must not fail a build.
add_library(lathe_warnings INTERFACE)
add_library(lathe::warnings ALIAS lathe_warnings)
# Sources compiled as one: GCC takes all but the first for headers, and a local name may hide one that
# another source has for itself.
set(gcc_unity $<AND:$<CXX_COMPILER_ID:GNU>,$<BOOL:${CMAKE_UNITY_BUILD}>>)
target_compile_options(lathe_warnings INTERFACE
  -Wall -Wextra -Wnon-virtual-dtor -Woverloaded-virtual
  $<IF:${gcc_unity},-Wshadow=local,-Wshadow>
  $<${gcc_unity}:-Wno-subobject-linkage>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # GCC 12 false alarm on std::string + (bug 105651)
  $<$<BOOL:${LATHE_WERROR}>:-Werror>)
