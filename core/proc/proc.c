/* SPDX-License-Identifier: MIT */
/*
 * core/proc/proc.c - processes: how they come to be, end, and are waited for
 *
 *   proc_new --> proc_go --> runs --> proc_exit: its memory goes back, by its own thread
 *                                        |
 *                                        v
 *                                      ended --> its parent's proc_wait: its stack and its number go back
 *
 * A process whose parent ends becomes the reaper's child, so that nothing is left when nobody waits.
 * Being killed is a mark: a thread ends by itself, on its way to ring 3, when it holds nothing.
 *
 * Locks  table.ends.lock (rank 56): the table, and whatever is marked [t]. It is a wait queue's: who waits for a
 *        process's end, or for the last look at its space, waits here.
 */
#include "core/proc/proc.h"

#include <stdarg.h>

#include "core/fmt.h"
#include "core/log.h"
#include "core/proc/segments.h"
#include "core/proc/proc_inside.h"
#include "core/x86/user.h"
#include "mm/heap_kernel.h"

struct process proc_console = { .name = "console" };

static struct {
    struct waitq    ends;
    struct process *at[PROC_MAX]; /* [t] by pid; NULL: free                 */
    unsigned        last_pid;     /* [t] numbers are used in turn           */
    unsigned        n;            /* [t]                                    */
} table = { .ends = WAITQ("processes") };

/* ---- birth --------------------------------------------------------------------------------------- */

static unsigned pid_take(struct process *p) REQUIRES(&table.ends.lock)
{
    for (unsigned i = 0; i < PROC_MAX; i++) {
        unsigned pid = (table.last_pid + 1 + i) % PROC_MAX;

        if (pid == 0 || table.at[pid] != NULL)
            continue;
        table.at[pid] = p;
        table.last_pid = pid;
        table.n++;
        return pid;
    }
    return 0;
}

static void pid_give(unsigned pid) REQUIRES(&table.ends.lock)
{
    table.at[pid] = NULL;
    table.n--;
}

err_t proc_new(const char *name, struct process *parent, struct process **out)
{
    struct process *p = heap_alloc(kernel_heap, sizeof *p);

    if (p == NULL)
        return ERR_NOMEM;
    *p = (struct process){ .parent = parent, .ending = true };
    fmt_string(p->name, sizeof p->name, "%s", name);
    uint64_t irq = irqlock_take(&table.ends.lock);

    p->pid = pid_take(p);
    irqlock_drop(&table.ends.lock, irq);
    if (p->pid == 0) {
        (void)!heap_free(kernel_heap, p);
        return ERR_NOMEM;
    }
    *out = p;
    return ERR_OK;
}

void proc_drop(struct process *p)
{
    uint64_t irq = irqlock_take(&table.ends.lock);

    pid_give(p->pid);
    irqlock_drop(&table.ends.lock, irq);
    if (heap_free(kernel_heap, p) != ERR_OK)
        PANIC("a process's memory is not the heap's");
}

err_t proc_go(struct process *p, void (*fn)(void *p))
{
    uint64_t irq = port_irq_save(); /* it may look at p->thread at once */
    err_t    err = thread_create(p->name, p, fn, p, &p->thread);

    p->ending = err != ERR_OK;
    port_irq_restore(irq);
    return err;
}

/* ---- death --------------------------------------------------------------------------------------- */

/* Nobody looks at the space any more, and nobody new will. */
static void await_users(struct process *p)
{
    uint64_t irq = irqlock_take(&table.ends.lock);

    p->ending = true;
    atomic_store_explicit(&p->thread->killed, false, memory_order_relaxed); /* or it could not wait */
    while (p->n_users != 0 && waitq_wait(&table.ends, 0) == ERR_OK)
        ;
    irqlock_drop(&table.ends.lock, irq);
}

static void leave_children(struct process *p) REQUIRES(&table.ends.lock)
{
    for (unsigned pid = 1; pid < PROC_MAX; pid++)
        if (table.at[pid] != NULL && table.at[pid]->parent == p)
            table.at[pid]->parent = PROC_REAPER;
}

void proc_exit(unsigned status, const char *fmt, ...)
{
    struct process *p = proc_this();
    va_list         args;

    await_users(p);
    uint64_t irq = port_irq_save();

    p->thread->process = NULL; /* a switch back to this thread must not load the space any more */
    if (p->segments != NULL)
        segments_leave(p->segments);
    as_switch(NULL);
    port_irq_restore(irq);
    segments_end(p->segments, &p->as);
    as_destroy(&p->as);
    if (p->args != NULL)
        (void)!heap_free(kernel_heap, p->args);
    (void)irqlock_take(&table.ends.lock); /* from here on nothing comes in between: who waits frees the stack */
    p->status = status;
    va_start(args, fmt);
    fmt_vstring(p->words, sizeof p->words, fmt, args);
    va_end(args);
    leave_children(p);
    p->ended = true;
    waitq_wake(&table.ends);
    irqlock_drop_off(&table.ends.lock);
    thread_exit();
}

/* ---- waiting ------------------------------------------------------------------------------------- */

/* A child that has ended, NULL: none yet; *any: is there a child at all? */
static struct process *find_ended(const struct process *parent, unsigned pid, bool *any) REQUIRES(&table.ends.lock)
{
    *any = false;
    for (unsigned i = 1; i < PROC_MAX; i++) {
        struct process *p = table.at[i];

        if (p == NULL || p->parent != parent || (pid != 0 && i != pid))
            continue;
        *any = true;
        if (p->ended)
            return p;
    }
    return NULL;
}

static void bury(struct process *p, struct proc_end *out)
{
    *out = (struct proc_end){ .pid = p->pid, .status = p->status };
    fmt_string(out->name, sizeof out->name, "%s", p->name);
    fmt_string(out->words, sizeof out->words, "%s", p->words);
    thread_free(p->thread);
    if (heap_free(kernel_heap, p) != ERR_OK)
        PANIC("a process's memory is not the heap's");
}

err_t proc_wait(struct process *parent, unsigned pid, struct proc_end *out)
{
    struct process *p;
    bool            any;
    uint64_t        irq = irqlock_take(&table.ends.lock);
    err_t           err = ERR_OK;

    while ((p = find_ended(parent, pid, &any)) == NULL && err == ERR_OK)
        err = any || parent == PROC_REAPER ? waitq_wait(&table.ends, 0) : ERR_NOENT;
    if (p != NULL)
        pid_give(p->pid);
    irqlock_drop(&table.ends.lock, irq);
    if (p == NULL)
        return err;
    bury(p, out);
    return ERR_OK;
}

static void reap(void *arg)
{
    struct proc_end end;

    (void)arg;
    for (;;)
        if (proc_wait(PROC_REAPER, 0, &end) == ERR_OK)
            log_info("proc", "%s (%u): %s", end.name, end.pid, end.words);
}

err_t proc_start(void)
{
    struct thread *t;

    user_start();
    return thread_create("reaper", NULL, reap, NULL, &t);
}

/* ---- from outside -------------------------------------------------------------------------------- */

static bool may_kill(const struct process *by, const struct process *p) REQUIRES(&table.ends.lock)
{
    for (; by != &proc_console && p != by; p = p->parent)
        if (p == PROC_REAPER || p == &proc_console)
            return false;
    return true;
}

static struct process *find(unsigned pid) REQUIRES(&table.ends.lock)
{
    return pid < PROC_MAX && table.at[pid] != NULL && !table.at[pid]->ending ? table.at[pid] : NULL;
}

/* The reason is what the first one says. */
static void mark(struct process *p, unsigned status, const char *words) REQUIRES(&table.ends.lock)
{
    if (p->words[0] == '\0') {
        p->status = status;
        fmt_string(p->words, sizeof p->words, "%s", words);
    }
    thread_kill(p->thread);
}

void proc_end_other(struct process *p, unsigned status, const char *words)
{
    uint64_t irq = irqlock_take(&table.ends.lock);

    if (!p->ending)
        mark(p, status, words);
    irqlock_drop(&table.ends.lock, irq);
}

err_t proc_kill(const struct process *by, unsigned pid)
{
    uint64_t        irq = irqlock_take(&table.ends.lock);
    struct process *p = find(pid);
    err_t           err = p == NULL ? ERR_NOENT : may_kill(by, p) ? ERR_OK : ERR_PERM;

    if (err == ERR_OK)
        mark(p, PROC_STATUS_KILL, "killed");
    irqlock_drop(&table.ends.lock, irq);
    return err;
}

static void stop_looking(struct process *p)
{
    uint64_t irq = irqlock_take(&table.ends.lock);

    if (--p->n_users == 0)
        waitq_wake(&table.ends);
    irqlock_drop(&table.ends.lock, irq);
}

err_t proc_with(unsigned pid, err_t (*fn)(void *arg, struct process *p), void *arg)
{
    uint64_t        irq = irqlock_take(&table.ends.lock);
    struct process *p = find(pid);

    if (p != NULL)
        p->n_users++;
    irqlock_drop(&table.ends.lock, irq);
    if (p == NULL)
        return ERR_NOENT;
    err_t err = fn(arg, p);

    stop_looking(p);
    return err;
}

err_t proc_info(unsigned pid, struct proc_info *out)
{
    struct process *p = NULL;
    uint64_t        irq = irqlock_take(&table.ends.lock);

    for (; pid < PROC_MAX && p == NULL; pid++)
        p = table.at[pid];
    if (p != NULL) {
        *out = (struct proc_info){ .pid = p->pid, .ended = p->ending,
                                   .parent = p->parent == PROC_REAPER ? 0 : p->parent->pid };
        out->cpu_ticks = p->thread == NULL ? 0 : p->thread->cpu_ticks;
        fmt_string(out->name, sizeof out->name, "%s", p->name);
        p->n_users += !p->ending;
    }
    irqlock_drop(&table.ends.lock, irq);
    if (p == NULL)
        return ERR_NOENT;
    if (!out->ended) {
        as_memory(&p->as, &out->memory);
        stop_looking(p);
    }
    return ERR_OK;
}

unsigned proc_count(void)
{
    uint64_t irq = irqlock_take(&table.ends.lock);
    unsigned n = table.n;

    irqlock_drop(&table.ends.lock, irq);
    return n;
}
