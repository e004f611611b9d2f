include_guard()

# What is installed beside the program (orchestrator/CMakeLists.txt) and the plug-in
# (kernels/cuda/CMakeLists.txt), and the package that cpack makes of it all. The program finds
# share/lathe and lib/lathe from its own place, so the whole can be moved.
install(DIRECTORY configs examples slurm DESTINATION share/lathe)
install(DIRECTORY python DESTINATION share/lathe
  PATTERN __pycache__ EXCLUDE PATTERN build EXCLUDE PATTERN *.egg-info EXCLUDE PATTERN .mypy_cache EXCLUDE)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION share/doc/lathe)
install(DIRECTORY docs DESTINATION share/doc/lathe PATTERN __pycache__ EXCLUDE)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Lathe maintainers <maintainers@lathe.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# The libraries, by what the program is linked with; mpirun comes with none of them.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS openmpi-bin)
include(CPack)
