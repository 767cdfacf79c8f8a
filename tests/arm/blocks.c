/* A plugin of QEMU that counts how often each block of a program's instructions is executed. At the program's end it
 * writes a line a block to the file of its argument, out=FILE:
 *
 *   FUNCTION ADDRESS COUNT WORD...      numbers but COUNT in hexadecimal, FUNCTION is ? where there is no symbol
 *
 * API is the version of QEMU's plugin interface: 1 up to QEMU 8, 2 from 9 on; what is used here is the same in both. It is
 * declared here because Debian has no package of its header. For programs of one thread. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum registers { NO_REGISTERS };
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *, void (*)(unsigned, void *), enum registers, void *);
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = API;

struct block {
    struct block *next;
    const char *function;
    uint64_t address, count;
    size_t length;
    uint32_t words[];
};

/* Translations so far. QEMU may translate a block again: whoever reads the file adds them up. */
static struct block *blocks;
static const char *path;

static void count(unsigned cpu, void *block)
{
    (void)cpu;
    ((struct block *)block)->count++;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t length = qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof *block + length * sizeof *block->words);
    const struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0);

    (void)id;
    block->next = blocks;
    block->function = qemu_plugin_insn_symbol(first);
    block->address = qemu_plugin_insn_vaddr(first);
    block->length = length;
    for (size_t i = 0; i < length; i++)
        memcpy(&block->words[i], qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, i)), sizeof *block->words);
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, count, NO_REGISTERS, block);
}

static void ended(plugin_id id, void *unused)
{
    FILE *file = fopen(path, "w");

    (void)id, (void)unused;
    if (!file)
        return;
    for (const struct block *block = blocks; block; block = block->next) {
        if (!block->count)
            continue;
        fprintf(file, "%s %llx %llu", block->function ? block->function : "?", (unsigned long long)block->address,
                (unsigned long long)block->count);
        for (size_t i = 0; i < block->length; i++)
            fprintf(file, " %08x", block->words[i]);
        fputc('\n', file);
    }
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4))
        return 1;
    path = strdup(argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
