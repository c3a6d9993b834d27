/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/isolation.c - programs that misbehave on purpose (test/user/), each stopped for the right reason
 *
 * Each row is a process: it must end in time and as the row says, which is by the exception that its deed
 * deserves, out of memory, or, where the deed is a system call that is refused, by itself with 0. After all of
 * them no process is left, and as many frames are free as before.
 */
#include "core/console/selftest.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/proc.h"
#include "core/selftest/emulator.h"
#include "core/str.h"
#include "core/x86/paging.h"
#include "core/x86/time.h"
#include "mm/frame.h"
#include "mm/heap_kernel.h"

#define TAG         "isolation"
#define LOOK_NS     ((uint64_t)2 * 1000 * 1000)
#define PATIENCE_NS ((uint64_t)60 * 1000 * 1000 * 1000)
#define LIMIT_PAGES 4096 /* of the greedy: 16 MiB */
#define WORDS_MAX   4

#define FAULT(vector) (PROC_STATUS_FAULT | (vector))
#define ANY           0xFFFFu /* however it ends */

/*
 * What is special about a row
 *
 *   GREEDY       gets a limit; then it may also end out of memory
 *   AMD          its CPUs, and QEMU's, do not know SYSENTER in long mode: #UD
 *   TCG_SAYS_GP  where the manual has #SS for an address that is not canonical
 *   TCG_CANNOT   TCG 7.2 pops what IRET and far returns take in ring 3 as the kernel would, which SMAP refuses
 *   BOCHS_CANNOT GREEDY, and Bochs 2.7 raises #DB behind a SYSCALL with TF set, though SFMASK has cleared it: in
 *                ring 0, on ring 3's stack
 *   ALL_MEMORY   touches every frame that is free: where there are more than 2 GiB, that takes long, and a machine under us may not have them
 */
enum special { PLAIN, GREEDY, AMD, TCG_SAYS_GP, TCG_CANNOT, BOCHS_CANNOT, ALL_MEMORY };

#define ALL_MEMORY_PAGES (2 * GIB / PAGE_SIZE)

static const struct row {
    const char *words;  /* program and arguments; "@place" stands for an address of the kernel's */
    unsigned    status; /* as proc_wait() says                                                   */
    enum special special;
} rows[] = {
    /* the kernel's memory */
    { "badmem read @image", FAULT(TRAP_PF), PLAIN },
    { "badmem write @image", FAULT(TRAP_PF), PLAIN },
    { "badmem run @image", FAULT(TRAP_PF), PLAIN },
    { "badmem read @direct", FAULT(TRAP_PF), PLAIN },
    { "badmem write @direct", FAULT(TRAP_PF), PLAIN },
    { "badmem run @direct", FAULT(TRAP_PF), PLAIN },
    { "badmem read @heap", FAULT(TRAP_PF), PLAIN },
    { "badmem write @heap", FAULT(TRAP_PF), PLAIN },
    { "badmem read @tables", FAULT(TRAP_PF), PLAIN },
    { "badmem write @tables", FAULT(TRAP_PF), PLAIN },
    { "badmem write @stack", FAULT(TRAP_PF), PLAIN },
    { "badmem read @hole", FAULT(TRAP_GP), PLAIN },
    { "badmem write @hole", FAULT(TRAP_GP), PLAIN },
    { "badmem run @hole", FAULT(TRAP_GP), PLAIN },
    /* nobody's, another's, and its own the wrong way */
    { "badmem read 0", FAULT(TRAP_PF), PLAIN },
    { "badmem write 0", FAULT(TRAP_PF), PLAIN },
    { "badmem run 0", FAULT(TRAP_PF), PLAIN },
    { "badcall other", 0, PLAIN },
    { "badmem after-unmap", FAULT(TRAP_PF), PLAIN },
    { "badmem read-only", FAULT(TRAP_PF), PLAIN },
    { "badmem write-text", FAULT(TRAP_PF), PLAIN },
    { "badmem write-constant", FAULT(TRAP_PF), PLAIN },
    { "badmem run-stack", FAULT(TRAP_PF), PLAIN },
    { "badmem run-heap", FAULT(TRAP_PF), PLAIN },
    { "badmem run-map", FAULT(TRAP_PF), PLAIN },
    { "badmem run-data", FAULT(TRAP_PF), PLAIN },
    { "badmem overflow", FAULT(TRAP_PF), PLAIN },
    /* instructions of ring 0, and ports */
    { "badcpu hlt", FAULT(TRAP_GP), PLAIN },
    { "badcpu cli", FAULT(TRAP_GP), PLAIN },
    { "badcpu sti", FAULT(TRAP_GP), PLAIN },
    { "badcpu from-cr0", FAULT(TRAP_GP), PLAIN },
    { "badcpu cr0", FAULT(TRAP_GP), PLAIN },
    { "badcpu cr3", FAULT(TRAP_GP), PLAIN },
    { "badcpu cr4", FAULT(TRAP_GP), PLAIN },
    { "badcpu dr7", FAULT(TRAP_GP), PLAIN },
    { "badcpu rdmsr", FAULT(TRAP_GP), PLAIN },
    { "badcpu wrmsr", FAULT(TRAP_GP), PLAIN },
    { "badcpu lgdt", FAULT(TRAP_GP), PLAIN },
    { "badcpu lidt", FAULT(TRAP_GP), PLAIN },
    { "badcpu lldt", FAULT(TRAP_GP), PLAIN },
    { "badcpu ltr", FAULT(TRAP_GP), PLAIN },
    { "badcpu invlpg", FAULT(TRAP_GP), PLAIN },
    { "badcpu wbinvd", FAULT(TRAP_GP), PLAIN },
    { "badcpu swapgs", FAULT(TRAP_GP), PLAIN },
    { "badcpu sysret", FAULT(TRAP_GP), PLAIN },
    { "badcpu in", FAULT(TRAP_GP), PLAIN },
    { "badcpu out", FAULT(TRAP_GP), PLAIN },
    { "badcpu out-word", FAULT(TRAP_GP), PLAIN },
    { "badcpu int-pf", FAULT(TRAP_GP), PLAIN },
    { "badcpu int-timer", FAULT(TRAP_GP), PLAIN },
    { "badcpu int-df", FAULT(TRAP_GP), PLAIN },
    { "badcpu sysenter", FAULT(TRAP_GP), AMD },
    { "badcpu iret-ring0", FAULT(TRAP_GP), TCG_CANNOT },
    { "badcpu lret-ring0", FAULT(TRAP_GP), TCG_CANNOT },
    { "badcpu jump-wild", FAULT(TRAP_GP), PLAIN },
    { "badcpu stack-wild", FAULT(TRAP_SS), TCG_SAYS_GP },
    { "badcpu stac", FAULT(TRAP_UD), PLAIN },
    { "badcpu wrgsbase", FAULT(TRAP_UD), PLAIN },
    { "badcpu ud2", FAULT(TRAP_UD), PLAIN },
    { "badcpu int3", FAULT(TRAP_BP), PLAIN },
    { "badcpu step", FAULT(TRAP_DB), PLAIN },
    { "badcpu divide", FAULT(TRAP_DE), PLAIN },
    { "badcpu fpu", FAULT(TRAP_NM), PLAIN },
    { "badcpu sse", FAULT(TRAP_NM), PLAIN },
    /* what the kernel must not mind */
    { "badcpu nt", 0, PLAIN },
    { "badcpu df", 0, PLAIN },
    { "badcpu ac", 0, PLAIN },
    { "badcpu if", 0, PLAIN },
    { "badcpu gs", 0, PLAIN },
    { "badcpu rsp", 0, PLAIN },
    /* system calls */
    { "badcall numbers", 0, PLAIN },
    { "badcall pointers", 0, PLAIN },
    { "badcall map", 0, PLAIN },
    { "badcall wx", 0, PLAIN },
    { "badcall return", 0, PLAIN },
    { "badcall edge", 0, PLAIN },
    { "badcall random 1 2000", 0, GREEDY },
    /* too much of everything */
    { "greedy forks", 0, GREEDY },
    { "greedy heap", 0, GREEDY },
    { "greedy tables", 0, GREEDY },
    { "greedy regions", 0, GREEDY },
    { "greedy shares", 0, GREEDY },
    { "greedy locks", 0, GREEDY },
    { "greedy memory", PROC_STATUS_NOMEM, GREEDY },
    { "greedy memory", PROC_STATUS_NOMEM, ALL_MEMORY },
    { "randcode 1 3000", 0, BOCHS_CANNOT },
};

/* ---- one program ------------------------------------------------------------------------------- */

static uint64_t place(const char *name)
{
    switch (name[1]) {
    case 'i': return (uintptr_t)place;
    case 'd': return slot_base(SLOT_DIRECT, kernel_pt.levels).raw + MIB;
    case 'h': return name[2] == 'e' ? slot_base(SLOT_HEAP, kernel_pt.levels).raw : (uint64_t)1 << 63;
    case 't': return pt_entry_address(&kernel_pt, va((uintptr_t)place), LEVEL_4K).raw;
    default: return (uintptr_t)__builtin_frame_address(0);
    }
}

/* The row's words as arguments; `text` and `address` hold them */
static unsigned split(const char *words, char text[64], char address[24], const char *argv[WORDS_MAX])
{
    unsigned n = 0;

    (void)fmt_string(text, 64, "%s", words);
    for (char *p = text, *blank = text; n < WORDS_MAX && blank != NULL; n++) {
        argv[n] = p;
        blank = strchr(p, ' ');
        if (blank != NULL) {
            *blank = '\0';
            p = blank + 1;
        }
        if (argv[n][0] == '@') {
            (void)fmt_string(address, 24, "%#llx", ULL(place(argv[n])));
            argv[n] = address;
        }
    }
    return n;
}

/* Waits for a process; ends it when it takes too long */
static err_t await(unsigned pid, struct proc_end *end)
{
    uint64_t         deadline = time_now_ns() + PATIENCE_NS;
    struct proc_info info;

    while (proc_info(pid, &info) == ERR_OK && info.pid == pid && !info.ended) {
        if (time_now_ns() > deadline) {
            log_error(TAG, "process %u (%s) does not end", pid, info.name);
            (void)!proc_kill(&proc_console, pid);
            break;
        }
        (void)!thread_sleep_ns(LOOK_NS);
    }
    return proc_wait(&proc_console, pid, end);
}

static bool as_expected(const struct row *r, unsigned status)
{
    return r->status == ANY || status == r->status || (r->special == GREEDY && status == PROC_STATUS_NOMEM) ||
           (r->special == AMD && status == FAULT(TRAP_UD)) ||
           (r->special == TCG_SAYS_GP && emulator_is_tcg() && status == FAULT(TRAP_GP));
}

static err_t try_row(const struct row *r)
{
    const char      *argv[WORDS_MAX];
    char             text[64], address[24];
    struct proc_want want = { .argc = split(r->words, text, address, argv), .argv = argv, .parent = &proc_console,
                              .limit_pages = r->special == GREEDY || r->special == BOCHS_CANNOT ? LIMIT_PAGES : 0 };
    struct proc_end  end;
    unsigned         pid;
    err_t            err;

    want.name = argv[0];
    err = proc_spawn(&want, &pid, NULL);
    if (err == ERR_OK)
        err = await(pid, &end);
    if (err != ERR_OK) {
        log_error(TAG, "%s: %s", r->words, err_str(err));
        return err;
    }
    kprintf("  %-24s %s\n", r->words, end.words);
    if (as_expected(r, end.status))
        return ERR_OK;
    log_error(TAG, "%s ended with %#x, expected %#x", r->words, end.status, r->status);
    return ERR_CORRUPT;
}

/* ---- all of them ------------------------------------------------------------------------------- */

/* Children of children are buried by somebody else: until then, and no longer than patience lasts */
static err_t await_none_left(unsigned n_before)
{
    uint64_t deadline = time_now_ns() + PATIENCE_NS;

    while (proc_count() > n_before && time_now_ns() < deadline)
        (void)!thread_sleep_ns(LOOK_NS);
    if (proc_count() <= n_before)
        return ERR_OK;
    log_error(TAG, "%u processes are left", proc_count() - n_before);
    return ERR_CORRUPT;
}

/* Frames that nobody has. What the kernel's heap keeps for later is nobody's, and given back first; so are the frames
 * of a gigabyte that hold its bitmaps: they stay while a single frame of it is reserved for the CPU's next request. */
static uint64_t census(void)
{
    struct frame_stats s;

    (void)heap_trim(kernel_heap);
    frame_stats(&s);
    return s.free + s.bitmaps;
}

static err_t check_census(uint64_t before)
{
    uint64_t after = census();

    kprintf("  %llu frames were nobody's before, %llu are now\n", ULL(before), ULL(after));
    if (after == before)
        return ERR_OK;
    log_error(TAG, "%lld frames are missing", (long long)(before - after));
    return ERR_CORRUPT;
}

static err_t run(void)
{
    unsigned n_before = proc_count();
    bool     in_tcg = emulator_is_tcg(), in_bochs = emulator_is_bochs();
    uint64_t free;
    err_t    err = try_row(&rows[0]); /* the first process of all leaves behind what all later ones share */

    free = census();
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        bool  excused = (rows[i].special == TCG_CANNOT && in_tcg) || (rows[i].special == BOCHS_CANNOT && in_bochs) ||
                       (rows[i].special == ALL_MEMORY && free > ALL_MEMORY_PAGES);
        err_t one = excused ? ERR_OK : try_row(&rows[i]);

        err = err == ERR_OK ? one : err;
    }
    if (err == ERR_OK)
        err = await_none_left(n_before);
    return err == ERR_OK ? check_census(free) : err;
}

const struct selftest selftest_isolation = { "isolation", run };
