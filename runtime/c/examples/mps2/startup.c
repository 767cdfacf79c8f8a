/* The start of a program on QEMU's mps2 boards, before that of newlib, which reaches files by semihosting. */
#include <stdint.h>

extern uint32_t stack_top;
void _start(void);

/* The FPU is off when a Cortex-M starts. */
static void reset(void) {
    volatile uint32_t *cpacr = (volatile uint32_t *)0xE000ED88u;
    *cpacr |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
    _start();
}

static void fault(void) {
    for (;;) {
    }
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler handlers[15];
} vectors = {&stack_top, {reset, fault, fault, fault, fault, fault}};
