# What the toolchains of QEMU's boards share: arm-none-eabi-gcc and newlib, files by semihosting. They set `board` and `cpu` before.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_CXX_COMPILER arm-none-eabi-g++)
set(CMAKE_C_FLAGS_INIT "-mthumb ${cpu} -mfloat-abi=hard -Os")
set(CMAKE_CXX_FLAGS_INIT "${CMAKE_C_FLAGS_INIT} -fno-exceptions -fno-rtti")
set(CMAKE_EXE_LINKER_FLAGS_INIT "--specs=rdimon.specs -L${CMAKE_CURRENT_LIST_DIR} -T ${board}.ld -Wl,--gc-sections")
