# hz_add_node(NAME [SOURCE...])
#
# One Horizon node: a module NAME.so made of the sources (default NAME.c), compiled and linked the way the host
# expects it. The built-in nodes and those of third parties are made by this same function. Afterwards NAME is an
# ordinary target: target_link_libraries(NAME PRIVATE something) adds what the node needs.
#
# HZ_NODE_OUTPUT_DIR   where the .so is built (default: the current binary folder)
# HZ_NODE_INSTALL_DIR  where `cmake --install` puts it, below the prefix (default lib/horizon/nodes; NONE: nowhere)

function(hz_add_node name)
  set(sources ${ARGN})
  if(NOT sources)
    set(sources ${name}.c)
  endif()
  set(output ${CMAKE_CURRENT_BINARY_DIR})
  if(HZ_NODE_OUTPUT_DIR)
    set(output ${HZ_NODE_OUTPUT_DIR})
  endif()
  set(destination lib/horizon/nodes)
  if(HZ_NODE_INSTALL_DIR)
    set(destination ${HZ_NODE_INSTALL_DIR})
  endif()
  add_library(${name} MODULE ${sources})
  target_link_libraries(${name} PRIVATE HorizonNode::HorizonNode)
  target_compile_options(${name} PRIVATE -fvisibility=hidden -fno-omit-frame-pointer)
  target_link_options(${name} PRIVATE -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack
    -Wl,--version-script=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/HorizonNode.map)
  # With clang the sanitizers' symbols come from the program that loads the node, so they are undefined at link time.
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    target_link_options(${name} PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(${name} PROPERTIES PREFIX "" POSITION_INDEPENDENT_CODE ON
    LIBRARY_OUTPUT_DIRECTORY ${output} LINK_DEPENDS ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/HorizonNode.map)
  set_property(GLOBAL APPEND PROPERTY HZ_NODES ${name})
  if(NOT destination STREQUAL NONE)
    install(TARGETS ${name} LIBRARY DESTINATION ${destination})
  endif()
endfunction()
