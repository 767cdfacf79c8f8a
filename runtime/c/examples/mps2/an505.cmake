# A toolchain for QEMU's mps2-an505.
set(board an505)
set(cpu "-mcpu=cortex-m33 -mfpu=fpv5-sp-d16")
set(Graft_TARGET thumbv8m.main-none-eabihf)
include("${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake")
