include_guard()

# What scripts/gate.sh builds for a sanitizer: the programs of tests with these labels.
add_custom_target(unit_tests)
set(unit_tests_labels "(^|;)(unit|kernels|mpi)(;|$)")
add_custom_target(thread_tests)
set(thread_tests_labels "(^|;)threads(;|$)")

# lathe_add_test(<name> SOURCES <src>... LINK <target>... LABELS <label>... [RANKS <n>...]
#                [TIMEOUT <seconds>])
#
# One executable and one ctest entry, <name>. With RANKS there is one entry for each rank count,
# <name>@1, <name>@3, ..., started by mpirun, which takes that many processor slots.
function(lathe_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LINK;LABELS;RANKS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES OR NOT arg_LABELS)
    message(FATAL_ERROR "lathe_add_test(${name}): SOURCES and LABELS are required; "
                        "not understood: '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()

  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gmock lathe::warnings lathe::test_options)
  target_precompile_headers(${name} REUSE_FROM lathe_test_headers)
  target_compile_definitions(${name} PRIVATE
    LATHE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" LATHE_SHARED_DIR="${PROJECT_SOURCE_DIR}/../shared")

  foreach(group IN ITEMS unit_tests thread_tests)
    if(arg_LABELS MATCHES "${${group}_labels}")
      add_dependencies(${group} ${name})
    endif()
  endforeach()

  if(NOT arg_RANKS)
    target_link_libraries(${name} PRIVATE GTest::gmock_main)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
    return()
  endif()

  target_link_libraries(${name} PRIVATE lathe::mpi_test_main)
  set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}@${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} --bind-to none
              ${MPIEXEC_PREFLAGS} $<TARGET_FILE:${name}> ${MPIEXEC_POSTFLAGS})
    set_tests_properties(${name}@${ranks} PROPERTIES
      LABELS "${arg_LABELS};mpi" PROCESSORS ${ranks} TIMEOUT ${arg_TIMEOUT})
  endforeach()
endfunction()
