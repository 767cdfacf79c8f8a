# find_package(Graft): the library that runtime/c/build has made, as Graft::Graft.
#
# Graft_TARGET, before find_package: the library's target, a folder of lib/. By default `host`; where CMake compiles for
# another machine it must be set, to thumbv7em-none-eabihf for instance.
# Graft_SHARED, before find_package: the shared library of a hosted system in place of the static one.
get_filename_component(_graft_root "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
set(_graft_hosted ON)
if(CMAKE_SYSTEM_NAME STREQUAL "Generic")
    set(_graft_hosted OFF)
endif()
if(NOT Graft_TARGET AND _graft_hosted AND NOT CMAKE_CROSSCOMPILING)
    set(Graft_TARGET host)
endif()

# Beside the package, or where runtime/c/build puts it.
set(_graft_name libgraft.a)
if(Graft_SHARED AND _graft_hosted)
    set(_graft_name libgraft.so)
endif()
# Not find_file: the next configuration may ask for another library than one in the cache.
set(_graft_library "${_graft_root}/lib/${Graft_TARGET}/${_graft_name}")
if(NOT EXISTS "${_graft_library}")
    set(_graft_library "${_graft_root}/../../target/graft-c/lib/${Graft_TARGET}/${_graft_name}")
endif()
if(NOT Graft_TARGET OR NOT EXISTS "${_graft_library}")
    set(Graft_FOUND FALSE)
    set(Graft_NOT_FOUND_MESSAGE "no ${_graft_name} for Graft_TARGET \"${Graft_TARGET}\": run runtime/c/build with the name of a target, and set Graft_TARGET to it")
    return()
endif()

if(NOT TARGET Graft::Graft)
    add_library(Graft::Graft UNKNOWN IMPORTED)
    set_target_properties(Graft::Graft PROPERTIES
        IMPORTED_LOCATION "${_graft_library}"
        INTERFACE_INCLUDE_DIRECTORIES "${_graft_root}/include")
    if(_graft_hosted)
        include(CMakeFindDependencyMacro)
        find_dependency(Threads)
        set_target_properties(Graft::Graft PROPERTIES
            INTERFACE_COMPILE_DEFINITIONS "GRAFT_HOSTED;GRAFT_TRUST"
            INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
    endif()
endif()
