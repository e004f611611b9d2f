include_guard()

# lathe_write_interface_hash(<root>)
#
# Writes generated/kernels/cuda_interface.hpp in the build tree: a hash of the plug-in's header and
# of all that it includes, one from another, in the source tree at <root>. Program and plug-in each
# compile it into themselves, so that one refuses the other if any of these headers differed. A
# change of one configures again.
function(lathe_write_interface_hash root)
  file(GLOB_RECURSE open RELATIVE ${root} ${root}/kernels/cuda_plugin.hpp)
  list(LENGTH open n_found)
  if(NOT n_found EQUAL 1)
    message(FATAL_ERROR "expected one cuda_plugin.hpp below ${root}/kernels, found: ${open}")
  endif()
  set(headers)
  while(open)
    list(POP_FRONT open header)
    if(header IN_LIST headers)
      continue()
    endif()
    list(APPEND headers ${header})
    file(STRINGS ${root}/${header} includes REGEX "^[ \t]*#[ \t]*include[ \t]+\"")
    list(TRANSFORM includes REPLACE ".*\"(.*)\".*" "\\1")
    list(APPEND open ${includes})
  endwhile()
  list(SORT headers)
  set(hashes)
  foreach(header IN LISTS headers)
    file(SHA256 ${root}/${header} hash)
    string(APPEND hashes "${hash} ${header}\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${root}/${header})
  endforeach()
  string(SHA256 hash "${hashes}")
  string(SUBSTRING ${hash} 0 16 hash)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/kernels/cuda_interface.hpp CONTENT
"#pragma once

namespace lathe::kernels {

inline constexpr const char* cuda_interface = \"@hash@\";

}  // namespace lathe::kernels
" @ONLY)
endfunction()
