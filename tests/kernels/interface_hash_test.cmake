# cmake -DROOT=<source tree> -DWORK=<scratch> -P interface_hash_test.cmake
#
# The hash that tells plug-ins of other builds apart, on copies of the source tree's headers.
cmake_minimum_required(VERSION 3.25)
include(${ROOT}/cmake/LatheInterface.cmake)

# A fresh copy of the headers in <WORK>/<name>.
function(copy_headers name)
  file(REMOVE_RECURSE ${WORK}/${name})
  file(GLOB_RECURSE headers RELATIVE ${ROOT} ${ROOT}/kernels/*.hpp ${ROOT}/kernels/*.def
    ${ROOT}/lib/*.hpp)
  foreach(header IN LISTS headers)
    get_filename_component(folder ${WORK}/${name}/${header} DIRECTORY)
    file(COPY ${ROOT}/${header} DESTINATION ${folder})
  endforeach()
endfunction()

function(hash_of name variable)
  set(CMAKE_BINARY_DIR ${WORK}/build_${name})
  lathe_write_interface_hash(${WORK}/${name})
  file(STRINGS ${CMAKE_BINARY_DIR}/generated/kernels/cuda_interface.hpp line REGEX "cuda_interface")
  if(NOT line MATCHES "\"([0-9a-f]+)\"")
    message(FATAL_ERROR "no hash in: ${line}")
  endif()
  set(${variable} ${CMAKE_MATCH_1} PARENT_SCOPE)
endfunction()

# The copy's file of this name, wherever it lies.
function(append_to name file text)
  file(GLOB_RECURSE found ${WORK}/${name}/${file})
  list(LENGTH found n)
  if(NOT n EQUAL 1)
    message(FATAL_ERROR "expected one ${file}, found: ${found}")
  endif()
  file(APPEND ${found} "${text}")
endfunction()

copy_headers(plain)
hash_of(plain plain)
string(LENGTH ${plain} n_digits)
if(NOT n_digits EQUAL 16)
  message(FATAL_ERROR "a hash of ${n_digits} digits: ${plain}")
endif()
copy_headers(again)
hash_of(again again)
if(NOT plain STREQUAL again)
  message(FATAL_ERROR "equal headers, but ${plain} and ${again}")
endif()

# Headers of the interface: its own, one that it includes, one that this includes in turn.
foreach(header cuda_plugin.hpp packed_kernels.hpp backend.hpp matrix_view.hpp)
  copy_headers(changed)
  append_to(changed ${header} "// more\n")
  hash_of(changed changed)
  if(plain STREQUAL changed)
    message(FATAL_ERROR "a change of ${header} does not show in the hash")
  endif()
endforeach()

# A header that is not part of it.
copy_headers(private)
append_to(private cpu_backend.hpp "// more\n")
hash_of(private private)
if(NOT plain STREQUAL private)
  message(FATAL_ERROR "cpu_backend.hpp shows in the hash")
endif()
