/* SPDX-License-Identifier: MIT */
/* core/user/ulib.c - start, system calls, printing */
#include "core/user/ulib.h"

int           main(int argc, char **argv);
NORETURN void ulib_start(int argc, char **argv);

static const char    *own_name = "?";
static fault_handler *own_handler;

void ulib_start(int argc, char **argv)
{
    if (argc > 0)
        own_name = argv[0];
    sys_exit(main(argc, argv));
}

/* ---- system calls ------------------------------------------------------------------------------ */

#define CALL0(n)                cpu_syscall(n, 0, 0, 0, 0, 0)
#define CALL1(n, a)             cpu_syscall(n, (uint64_t)(a), 0, 0, 0, 0)
#define CALL2(n, a, b)          cpu_syscall(n, (uint64_t)(a), (uint64_t)(b), 0, 0, 0)
#define CALL3(n, a, b, c)       cpu_syscall(n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0, 0)
#define CALL4(n, a, b, c, d)    cpu_syscall(n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), 0)

void sys_exit(int status)
{
    for (;;)
        (void)CALL1(SYS_EXIT, status);
}

int64_t sys_write(const char *text, size_t n_bytes) { return CALL2(SYS_WRITE, uaddr(text), n_bytes); }
int64_t sys_read(char *out, size_t n_bytes) { return CALL2(SYS_READ, uaddr(out), n_bytes); }
int64_t sys_map(void *at, size_t n_bytes, unsigned prot) { return CALL3(SYS_MAP, uaddr(at), n_bytes, prot); }
int64_t sys_unmap(void *at, size_t n_bytes) { return CALL2(SYS_UNMAP, uaddr(at), n_bytes); }
int64_t sys_protect(void *at, size_t n_bytes, unsigned prot) { return CALL3(SYS_PROTECT, uaddr(at), n_bytes, prot); }
int64_t sys_remap(void *at, size_t old_bytes, size_t new_bytes, unsigned map)
{
    return CALL4(SYS_REMAP, uaddr(at), old_bytes, new_bytes, map);
}
int64_t sys_brk(void *end) { return CALL1(SYS_BRK, uaddr(end)); }
int64_t sys_fork(void) { return CALL0(SYS_FORK); }
int64_t sys_spawn(const char *name, char *const arguments[], size_t n_arguments)
{
    return CALL3(SYS_SPAWN, uaddr(name), uaddr(arguments), n_arguments);
}
int64_t sys_wait(int64_t pid, int *status) { return CALL2(SYS_WAIT, pid, uaddr(status)); }
int64_t sys_yield(void) { return CALL0(SYS_YIELD); }
int64_t sys_sleep(uint64_t nanoseconds) { return CALL1(SYS_SLEEP, nanoseconds); }
int64_t sys_kill(int64_t pid) { return CALL1(SYS_KILL, pid); }
int64_t sys_pid(void) { return CALL0(SYS_PID); }
int64_t sys_clock(void) { return CALL0(SYS_CLOCK); }
int64_t sys_share(const char *name, size_t n_bytes, unsigned prot, void *at)
{
    return CALL4(SYS_SHARE, uaddr(name), n_bytes, prot, uaddr(at));
}
int64_t sys_map_file(const char *name, uint64_t offset, size_t n_bytes, unsigned prot)
{
    return CALL4(SYS_MAP_FILE, uaddr(name), offset, n_bytes, prot);
}
int64_t sys_advise(void *at, size_t n_bytes, enum advice advice) { return CALL3(SYS_ADVISE, uaddr(at), n_bytes, advice); }
int64_t sys_lock(void *at, size_t n_bytes, bool lock) { return CALL3(SYS_LOCK, uaddr(at), n_bytes, lock); }
int64_t sys_memory(struct memory_info *out) { return CALL2(SYS_MEMORY, uaddr(out), sizeof *out); }

int64_t sys_segment(enum segment_of what, const void *bytes, size_t n_bytes, uint64_t limit)
{
    return CALL4(SYS_SEGMENT, what, uaddr(bytes), n_bytes, limit);
}

/* Where the kernel enters: nobody called us, so there is nothing to return to */
static void fault_entry(struct fault_info *fault)
{
    own_handler(fault);
    fail("fault return", CALL1(SYS_FAULT_RETURN, uaddr(fault)));
}

int64_t on_fault(fault_handler *handler, void *stack_top)
{
    own_handler = handler;
    return CALL2(SYS_ON_FAULT, handler != NULL ? (uintptr_t)fault_entry : 0, uaddr(stack_top));
}

/* ---- printing ---------------------------------------------------------------------------------- */

struct buffer {
    size_t n_bytes;
    char   text[256];
};

static void flush(struct buffer *b)
{
    if (b->n_bytes > 0)
        (void)sys_write(b->text, b->n_bytes);
    b->n_bytes = 0;
}

static void put(void *arg, const char *piece, size_t n_bytes)
{
    struct buffer *b = arg;

    for (size_t i = 0; i < n_bytes; i++) {
        if (b->n_bytes == sizeof b->text)
            flush(b);
        b->text[b->n_bytes++] = piece[i];
    }
}

void print(const char *fmt, ...)
{
    struct buffer b = { .n_bytes = 0 };
    va_list       args;

    va_start(args, fmt);
    (void)fmt_emit(put, &b, fmt, args);
    va_end(args);
    flush(&b);
}

void fail(const char *what, int64_t result)
{
    print("%s: %s: %s\n", own_name, what, err_str((err_t)-result));
    sys_exit(1);
}

int64_t must(const char *what, int64_t result)
{
    if (result < 0)
        fail(what, result);
    return result;
}
