/* SPDX-License-Identifier: MIT */
/*
 * core/proc/syscall.c - system calls: the table, and those about processes; memory's are in sys_memory.c
 *
 * Arguments lie in the frame: RDI, RSI, RDX, R10. What comes back goes to RAX: a result, or minus an err_t.
 * docs/syscalls.md tells what each one does.
 */
#include "core/proc/syscall.h"

#include "core/console/input.h"
#include "core/log.h"
#include "core/proc/proc_inside.h"
#include "core/proc/uaccess.h"
#include "core/x86/time.h"

#define PIECE_BYTES 256

static int64_t sys_exit(struct trap_frame *f)
{
    unsigned status = (unsigned)f->rdi & 0xFF;

    proc_exit(status, "exit %u", status);
}

static int64_t sys_write(struct trap_frame *f)
{
    char     piece[PIECE_BYTES];
    uint64_t done = 0;

    while (done < f->rsi && !thread_this()->killed) {
        size_t n = (size_t)min_u64(f->rsi - done, sizeof piece);
        err_t  err = copy_from_user(piece, uva(f->rdi + done), n);

        if (err != ERR_OK)
            return done != 0 ? (int64_t)done : -(int64_t)err;
        kwrite(piece, n);
        done += n;
    }
    return (int64_t)done;
}

static int64_t sys_read(struct trap_frame *f)
{
    char   piece[PIECE_BYTES];
    size_t n = 0;
    err_t  err = f->rsi == 0 ? ERR_OK : input_read(piece, (size_t)min_u64(f->rsi, sizeof piece), &n);

    if (err == ERR_OK)
        err = copy_to_user(uva(f->rdi), piece, n);
    return err == ERR_OK ? (int64_t)n : -(int64_t)err;
}

static int64_t sys_fork(struct trap_frame *f)
{
    unsigned pid;
    err_t    err = proc_fork(f, &pid);

    return err == ERR_OK ? (int64_t)pid : -(int64_t)err;
}

/* The names of all arguments, one behind the other, and where each begins */
struct spawn_words {
    char        name[PROC_NAME_BYTES];
    char        text[PROC_ARGS_BYTES];
    const char *argv[PROC_ARGS_MAX];
};

static err_t read_words(const struct trap_frame *f, struct spawn_words *w)
{
    size_t used = 0;
    err_t  err = f->rdx <= PROC_ARGS_MAX ? copy_string_from_user(w->name, sizeof w->name, uva(f->rdi)) : ERR_INVAL;

    for (uint64_t i = 0; i < f->rdx && err == ERR_OK; i++) {
        uint64_t at;

        err = copy_from_user(&at, uva(f->rsi + i * sizeof at), sizeof at);
        if (err == ERR_OK)
            err = copy_string_from_user(w->text + used, sizeof w->text - used, uva(at));
        w->argv[i] = w->text + used;
        while (err == ERR_OK && w->text[used++] != '\0')
            ;
    }
    return err;
}

static int64_t sys_spawn(struct trap_frame *f)
{
    struct spawn_words w; /* 2 KiB and more of a kernel stack of 16 */
    struct proc_want   want = { .name = w.name, .argc = (unsigned)f->rdx, .argv = w.argv, .parent = proc_this(),
                                .limit_pages = proc_this()->limit_pages };
    unsigned           pid;
    err_t              err = read_words(f, &w);

    if (err == ERR_OK)
        err = proc_spawn(&want, &pid, NULL);
    return err == ERR_OK ? (int64_t)pid : -(int64_t)err;
}

static int64_t sys_wait(struct trap_frame *f)
{
    struct proc_end end;
    int             status;
    err_t           err = f->rdi < PROC_MAX ? proc_wait(proc_this(), (unsigned)f->rdi, &end) : ERR_NOENT;

    status = err == ERR_OK ? (int)end.status : 0;
    if (err == ERR_OK && f->rsi != 0)
        err = copy_to_user(uva(f->rsi), &status, sizeof status);
    return err == ERR_OK ? (int64_t)end.pid : -(int64_t)err;
}

static int64_t sys_yield(struct trap_frame *f)
{
    (void)f;
    thread_yield();
    return 0;
}

static int64_t sys_sleep(struct trap_frame *f) { return -(int64_t)thread_sleep_ns(f->rdi); }

static int64_t sys_kill(struct trap_frame *f)
{
    return -(int64_t)(f->rdi < PROC_MAX ? proc_kill(proc_this(), (unsigned)f->rdi) : ERR_NOENT);
}

static int64_t sys_pid(struct trap_frame *f)
{
    (void)f;
    return proc_this()->pid;
}

static int64_t sys_clock(struct trap_frame *f)
{
    (void)f;
    return (int64_t)time_now_ns();
}

static int64_t sys_on_fault(struct trap_frame *f)
{
    struct process *p = proc_this();

    if (f->rdi >= uaccess_user_end() || f->rsi > uaccess_user_end())
        return -(int64_t)ERR_INVAL;
    p->handler = f->rdi;
    p->handler_stack = f->rsi;
    return 0;
}

int64_t syscall_unknown(struct trap_frame *f)
{
    (void)f;
    return -(int64_t)ERR_NOSYS;
}

syscall_fn *const syscall_table[SYS_CALLS] = {
    [SYS_EXIT] = sys_exit,         [SYS_WRITE] = sys_write,       [SYS_READ] = sys_read,
    [SYS_MAP] = sys_map,           [SYS_UNMAP] = sys_unmap,       [SYS_PROTECT] = sys_protect,
    [SYS_REMAP] = sys_remap,       [SYS_BRK] = sys_brk,           [SYS_FORK] = sys_fork,
    [SYS_SPAWN] = sys_spawn,       [SYS_WAIT] = sys_wait,         [SYS_YIELD] = sys_yield,
    [SYS_SLEEP] = sys_sleep,       [SYS_KILL] = sys_kill,         [SYS_PID] = sys_pid,
    [SYS_CLOCK] = sys_clock,       [SYS_SHARE] = sys_share,       [SYS_MAP_FILE] = sys_map_file,
    [SYS_ADVISE] = sys_advise,     [SYS_LOCK] = sys_lock,         [SYS_MEMORY] = sys_memory,
    [SYS_ON_FAULT] = sys_on_fault, [SYS_FAULT_RETURN] = user_fault_return,
    [SYS_SEGMENT] = sys_segment,
};
const uint64_t syscall_count = SYS_CALLS;
