# Run at each build: writes FILE, one C++ source with the commit of ROOT, and leaves it alone if it
# says that already, so that nothing is compiled again. "unknown" without git or without its data.
set(commit "")
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS ${ROOT}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --abbrev=12 --exclude=*
    WORKING_DIRECTORY ${ROOT} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT commit MATCHES "^[0-9a-f]+(-dirty)?$")
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${FILE} CONTENT
"#include \"orchestrator/version.hpp\"

namespace lathe {

const char* program_commit() {
    return \"@commit@\";
}

}  // namespace lathe
" @ONLY)
