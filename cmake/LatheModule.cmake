include_guard()

# lathe_add_module(<name> HEADERS <h>... SOURCES <cpp>... [LINK <target>...] [PRIVATE_LINK <target>...])
#
# One static library lathe_<name>, alias lathe::<name>, for the folder it is called in. Include
# paths start at the repository root. LINK is what the headers need, PRIVATE_LINK what only the
# sources need (C libraries, mostly).
function(lathe_add_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS;SOURCES;LINK;PRIVATE_LINK")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
    message(FATAL_ERROR "lathe_add_module(${name}): not understood: '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  add_library(lathe_${name} STATIC ${arg_SOURCES})
  add_library(lathe::${name} ALIAS lathe_${name})
  # Lists (.def) are included several times, in the midst of something: no headers of their own.
  set(lists ${arg_HEADERS})
  list(FILTER lists INCLUDE REGEX "\\.def$")
  list(FILTER arg_HEADERS EXCLUDE REGEX "\\.def$")
  target_sources(lathe_${name} PUBLIC
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${arg_HEADERS}
    FILE_SET lists TYPE HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${lists})
  target_link_libraries(lathe_${name}
    PUBLIC ${arg_LINK}
    PRIVATE lathe::warnings ${arg_PRIVATE_LINK})
  set_target_properties(lathe_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON
    INTERFACE_HEADER_SETS_TO_VERIFY HEADERS)
endfunction()
