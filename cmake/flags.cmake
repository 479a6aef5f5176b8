# SPDX-License-Identifier: Apache-2.0
# The flags every target shares: wf_flags (language level, visibility, warnings). -Werror only in presets (WF_WERROR).
add_library(wf_flags INTERFACE)
target_compile_features(wf_flags INTERFACE c_std_17)
target_compile_definitions(wf_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_include_directories(wf_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(wf_flags INTERFACE
  -fvisibility=hidden -fno-strict-aliasing
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wstrict-prototypes
  -Wmissing-prototypes -Wundef -Wvla -Wcast-qual -Wwrite-strings -Wnull-dereference
  -Wimplicit-fallthrough -Wpointer-arith -Wold-style-definition)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(wf_flags INTERFACE -Wlogical-op -Wduplicated-cond -Wduplicated-branches)
endif()
option(WF_WERROR "Warnings are errors" OFF)
if(WF_WERROR)
  target_compile_options(wf_flags INTERFACE -Werror)
endif()
set(WF_SANITIZE "" CACHE STRING "Comma-separated sanitizers, for example address,undefined")
if(WF_SANITIZE)
  target_compile_options(wf_flags INTERFACE -fsanitize=${WF_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(wf_flags INTERFACE -fsanitize=${WF_SANITIZE})
  target_compile_definitions(wf_flags INTERFACE WF_SANITIZED=1)
endif()
