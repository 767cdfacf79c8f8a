# A toolchain for QEMU's mps2-an386.
set(board an386)
set(cpu "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16")
set(Graft_TARGET thumbv7em-none-eabihf)
include("${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake")
