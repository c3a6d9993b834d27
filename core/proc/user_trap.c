/* SPDX-License-Identifier: MIT */
/*
 * core/proc/user_trap.c - exceptions in ring 3
 *
 *   exception            then
 *   page fault           the space's regions are asked; they answer it, and the program knows nothing of it
 *   refused, or another  the program's own handler, if it has one and isn't in it
 *   else                 the process ends, and its last words say why
 *   no frame is left     the process over its limit ends; else the largest one of all, and the access is tried again
 *
 * A handler gets the registers in a struct fault_info on its stack, and SYS_FAULT_RETURN loads them from there: by
 * then they are the program's word, so what ring 3 could not have by itself is not taken over.
 */
#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/proc_inside.h"
#include "core/proc/uaccess.h"
#include "core/x86/gdt.h"
#include "core/x86/insn.h"
#include "core/x86/user.h"

#define RFLAGS_ALWAYS ((uint64_t)1 << 9 | 2)  /* IF, and the bit that is always 1                       */
#define RFLAGS_USER   ((uint64_t)0x250DD5)    /* ID, AC, RF, OF, DF, TF, SF, ZF, AF, PF, CF: ring 3's own */
#define RFLAGS_ENTRY  ((uint64_t)0x40500)     /* AC, DF, TF: clear where a handler begins               */
#define RING3         3u
#define RED_ZONE      128 /* below RSP, a compiler may keep something: System V ABI, AMD64 */
#define RETRY_NS      ((uint64_t)1000 * 1000)
#define REGISTERS     15 /* that struct fault_info and struct trap_frame begin with, in the same order */

_Static_assert(offsetof(struct trap_frame, vector) == REGISTERS * 8 && offsetof(struct fault_info, rip) == REGISTERS * 8,
               "one memcpy for both");

/* ---- no memory ----------------------------------------------------------------------------------- */

struct largest {
    struct process *p;
    unsigned        pid;
    uint64_t        pages;
};

static struct largest find_largest(void)
{
    struct largest   l = { .pages = 0 };
    struct proc_info info;

    for (unsigned pid = 1; proc_info(pid, &info) == ERR_OK; pid = info.pid + 1) {
        uint64_t pages = info.memory.owned_pages + info.memory.table_pages;

        if (!info.ended && pages > l.pages)
            l = (struct largest){ .pid = info.pid, .pages = pages };
    }
    return l;
}

static err_t end_it(void *arg, struct process *p)
{
    proc_end_other(p, PROC_STATUS_NOMEM, arg);
    return ERR_OK;
}

/* ERR_OK: somebody else goes, try again; ERR_NOMEM: this process does */
static NOINLINE err_t out_of_memory(struct process *me, uint64_t address, uint64_t error)
{
    char                   words[PROC_WORDS], size[FMT_SIZE_BYTES];
    struct as_fault_report report;
    struct largest         l;

    if (as_fault(&me->as, va(address), error, &report) != ERR_NOMEM)
        return ERR_OK; /* there is some by now; or the access says what it is */
    if (report.denial == FAULT_OVER_LIMIT) {
        fmt_string(words, sizeof words, "out of memory: over its limit of %s", fmt_size(size, me->limit_pages * PAGE_SIZE));
        proc_end_other(me, PROC_STATUS_NOMEM, words);
        return ERR_NOMEM;
    }
    l = find_largest();
    fmt_string(words, sizeof words, "out of memory: it was the largest, with %s", fmt_size(size, l.pages * PAGE_SIZE));
    if (l.pid == 0 || proc_with(l.pid, end_it, words) != ERR_OK)
        return thread_sleep_ns(RETRY_NS) == ERR_OK ? ERR_OK : ERR_NOMEM; /* one is ending just now */
    log_warn("memory", "no frame is left: process %u is ended, it is the largest with %s", l.pid, size);
    return l.pid == me->pid || thread_sleep_ns(RETRY_NS) != ERR_OK ? ERR_NOMEM : ERR_OK;
}

err_t proc_page_fault(uint64_t address, uint64_t error)
{
    struct process *me = proc_this();
    err_t           err = as_fault(&me->as, va(address), error, NULL);

    if (UNLIKELY(err == ERR_NOMEM))
        return out_of_memory(me, address, error);
    if (UNLIKELY(me->as.busy)) /* somebody is changing the space: it will fault again until that is done */
        thread_yield();
    return err;
}

/* ---- the program's own handler ---------------------------------------------------------------------- */

static bool call_handler(struct process *p, struct trap_frame *f, uint64_t address)
{
    struct fault_info info;
    uint64_t          top = p->handler_stack != 0 ? p->handler_stack : f->rsp - RED_ZONE;
    uint64_t          at = align_down(top - sizeof info, 16);

    if (p->handler == 0 || p->in_handler || f->cs != (SEL_USER_CODE | RING3))
        return false;
    __builtin_memcpy(&info, f, REGISTERS * sizeof(uint64_t));
    info.rip = f->rip;
    info.rflags = f->rflags;
    info.rsp = f->rsp;
    info.vector = f->vector;
    info.error = f->error;
    info.address = address;
    if (copy_to_user(uva(at), &info, sizeof info) != ERR_OK)
        return false;
    p->in_handler = true;
    f->rip = p->handler;
    f->rdi = at;
    f->rsp = at - 8; /* as after a call; there is nothing to return to */
    f->rflags &= ~RFLAGS_ENTRY;
    return true;
}

int64_t user_fault_return(struct trap_frame *f)
{
    struct process   *p = proc_this();
    struct fault_info info;
    err_t             err = copy_from_user(&info, uva(f->rdi), sizeof info);

    if (err != ERR_OK)
        return -(int64_t)err;
    if (info.rip >= uaccess_user_end())
        return -(int64_t)ERR_INVAL;
    __builtin_memcpy(f, &info, REGISTERS * sizeof(uint64_t));
    f->rip = info.rip;
    f->rsp = info.rsp;
    f->rflags = (info.rflags & RFLAGS_USER) | RFLAGS_ALWAYS;
    p->in_handler = false;
    cpu_cli();
    user_attention();
    trap_return(f);
}

/* ---- sorting them ------------------------------------------------------------------------------------ */

static NORETURN void end_by_fault(const struct trap_frame *f, uint64_t address, enum fault_denial denial)
{
    unsigned status = PROC_STATUS_FAULT | (unsigned)f->vector;

    if (f->vector != TRAP_PF)
        proc_exit(status, "%s at %#llx", trap_name((unsigned)f->vector), ULL(f->rip));
    proc_exit(status, "#PF %s at %#llx (%s), by %#llx",
              f->error & FAULT_ERR_I ? "execute" : f->error & FAULT_ERR_W ? "write" : "read", ULL(address),
              fault_denial_words(denial), ULL(f->rip));
}

/* The program's handler, or its end, and why */
static NOINLINE void refuse(struct process *p, struct trap_frame *f, uint64_t address)
{
    struct as_fault_report report = { .denial = FAULT_NOT_DENIED };

    if (call_handler(p, f, address))
        return;
    if (f->vector == TRAP_PF && as_fault(&p->as, va(address), f->error, &report) == ERR_OK)
        return; /* now it is there */
    end_by_fault(f, address, report.denial);
}

void user_trap(struct trap_frame *f)
{
    uint64_t address = 0;
    err_t    err = ERR_PERM;

    if (LIKELY(f->vector == TRAP_PF)) {
        address = read_cr2(); /* before anybody else's fault changes it */
        cpu_sti();
        err = proc_page_fault(address, f->error);
    } else {
        cpu_sti();
    }
    if (UNLIKELY(err != ERR_OK && err != ERR_NOMEM)) /* without memory it is marked to end */
        refuse(proc_this(), f, address);
    cpu_cli();
}

void user_attention(void)
{
    struct thread *me = thread_this();
    char           words[PROC_WORDS];

    while (cpu_this()->attention != 0) {
        if (me->killed) {
            cpu_sti();
            fmt_string(words, sizeof words, "%s", me->process->words);
            proc_exit(me->process->status, "%s", words);
        }
        thread_yield();
    }
}
