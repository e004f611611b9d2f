include_guard()

# Sets LATHE_HAS_CUDA: whether the CUDA backend can be compiled. With LATHE_CUDA=OFF, or without nvcc
# and the toolkit's libraries, the build continues without it and the program says so when asked.
set(LATHE_HAS_CUDA OFF)
if(LATHE_CUDA)
  include(CheckLanguage)
  # Code for A100 and H100, H200 devices; CMake adds what later ones compile when they load it.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25.1 does not know that nvcc has C++20
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    find_package(CUDAToolkit 12)
    if(TARGET CUDA::cudart AND TARGET CUDA::cublas AND TARGET CUDA::cusolver)
      set(LATHE_HAS_CUDA ON)
    endif()
  endif()
  if(NOT LATHE_HAS_CUDA)
    message(STATUS "CUDA backend: not compiled (no nvcc, or its libraries are missing)")
  endif()
endif()
