/* SPDX-License-Identifier: MIT */
/*
 * test/user/badmem.c - touches memory that is not its own, or in a way that is not allowed: badmem WHAT [ADDRESS]
 *
 * Each ends by an exception; who gets to the end of main() was stopped by nobody.
 */
#include "core/user/ulib.h"

#define OP_RET 0xC3

static volatile uint8_t sink;
static volatile uint8_t code_in_data[16];

static void read_at(volatile uint8_t *at) { sink = *at; }
static void write_at(volatile uint8_t *at) { *at = OP_RET; }
static void run_at(volatile uint8_t *at) { ((void (*)(void))(uintptr_t)at)(); }

static void run_stack(volatile uint8_t *at)
{
    volatile uint8_t code[16];

    (void)at;
    code[0] = OP_RET;
    run_at(code);
}

static void run_heap(volatile uint8_t *at)
{
    uint8_t *code = malloc(16);

    (void)at;
    if (code == NULL)
        fail("malloc", -ERR_NOMEM);
    code[0] = OP_RET;
    run_at(code);
}

static void run_map(volatile uint8_t *at)
{
    uint8_t *code = uptr(must("map", sys_map(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE)));

    (void)at;
    code[0] = OP_RET;
    run_at(code);
}

static void run_data(volatile uint8_t *at)
{
    (void)at;
    code_in_data[0] = OP_RET;
    run_at(code_in_data);
}

static void write_text(volatile uint8_t *at)
{
    (void)at;
    write_at((volatile uint8_t *)(uintptr_t)write_text);
}

static void write_constant(volatile uint8_t *at)
{
    static const uint8_t constant[8] = { 1, 2, 3 };

    (void)at;
    write_at((volatile uint8_t *)(uintptr_t)constant);
}

static uint64_t dig(volatile uint64_t *outer)
{
    volatile uint64_t inner[64];

    inner[0] = *outer + 1;
    return inner[0] == 0 ? 0 : dig(inner) + inner[0];
}

static void overflow(volatile uint8_t *at)
{
    volatile uint64_t bottom = 0;

    (void)at;
    sink = (uint8_t)dig(&bottom);
}

static void after_unmap(volatile uint8_t *at)
{
    at = uptr(must("map", sys_map(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE)));
    *at = 1;
    must("unmap", sys_unmap((void *)(uintptr_t)at, PAGE_SIZE));
    read_at(at);
}

static void read_only(volatile uint8_t *at)
{
    at = uptr(must("map", sys_map(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE)));
    *at = 1;
    must("protect", sys_protect((void *)(uintptr_t)at, PAGE_SIZE, PROT_READ));
    write_at(at);
}

static const struct {
    const char *name;
    void (*act)(volatile uint8_t *at);
} deeds[] = {
    { "read", read_at },           { "write", write_at },       { "run", run_at },         { "run-stack", run_stack },
    { "run-heap", run_heap },      { "run-map", run_map },      { "run-data", run_data },  { "write-text", write_text },
    { "write-constant", write_constant }, { "overflow", overflow }, { "after-unmap", after_unmap }, { "read-only", read_only },
};

int main(int argc, char **argv)
{
    uint64_t at = 0;

    if (argc > 2 && fmt_read_u64(argv[2], &at) != ERR_OK)
        fail("ADDRESS", -ERR_SYNTAX);
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(deeds); i++)
        if (strcmp(argv[1], deeds[i].name) == 0) {
            deeds[i].act(uptr((int64_t)at));
            print("badmem %s: nobody stopped me\n", argv[1]);
            return 1;
        }
    fail("WHAT", -ERR_SYNTAX);
}
