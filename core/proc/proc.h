/* SPDX-License-Identifier: MIT */
/* core/proc/proc.h - processes: a program in ring 3, its memory, and how it ended */
#ifndef CORE_PROC_PROC_H
#define CORE_PROC_PROC_H

#include "core/proc/abi.h"
#include "core/proc/thread.h"
#include "core/x86/trap.h"
#include "mm/region.h"

#define PROC_MAX        256 /* processes at a time; pids are 1..PROC_MAX - 1             */
#define PROC_ARGS_MAX   32
#define PROC_ARGS_BYTES 2048 /* all arguments of a program, their zeros included        */
#define PROC_NAME_BYTES 24
#define PROC_WORDS      128

/* How a process ended: 0..255 what it gave to SYS_EXIT, else one of these */
#define PROC_STATUS_FAULT 0x100u /* | vector: an exception that it didn't handle */
#define PROC_STATUS_KILL  0x200u
#define PROC_STATUS_NOMEM 0x300u

/* What a program is started with: argument i begins at text[start[i]] */
struct proc_args {
    unsigned n;
    uint16_t start[PROC_ARGS_MAX];
    size_t   n_bytes;
    char     text[PROC_ARGS_BYTES];
};

struct process {
    unsigned          pid;     /* [c]                                                          */
    struct process   *parent;  /* [t] NULL: the reaper                                         */
    struct thread    *thread;  /* [c]                                                          */
    struct as         as;      /* has its own lock                                             */
    struct trap_frame start;   /* [c] the registers it begins with                             */
    struct proc_args *args;    /* own: what its stack begins with; NULL after that, and after a fork */
    uint64_t          handler, handler_stack; /* own: SYS_ON_FAULT; 0: none, the stack in use  */
    bool              in_handler; /* own                                                       */
    struct segments  *segments; /* own: SYS_SEGMENT; NULL: none. Looked at under proc_with()      */
    unsigned          n_users; /* [t] who looks at the space: it stays meanwhile               */
    bool              ending;  /* [t] nobody new may look, or kill it                          */
    bool              ended;   /* [t] only pid, parent, status, name and words are still meant */
    unsigned          status;  /* [t]                                                          */
    uint64_t          limit_pages;            /* [c] 0: none; children have it, too            */
    char              name[PROC_NAME_BYTES];  /* [c]                                           */
    char              words[PROC_WORDS];      /* [t] how it ended: "exit 0", "#PF write at 0x..." */
};

/* proc_start - the reaper runs, which buries processes that nobody waits for; system calls work */
err_t proc_start(void) MUST_USE;

/* Parents that are no processes: for whom the console waits, and for whom nobody does but the reaper, which says
 * how they ended */
extern struct process proc_console;
#define PROC_REAPER ((struct process *)NULL)

struct proc_want {
    const char        *name; /* of the program (core/proc/program.h) */
    unsigned           argc;
    const char *const *argv; /* argv[argc]; argv[0] is what the program sees as its name */
    struct process    *parent;
    uint64_t           limit_pages; /* of frames and tables, 0: none */
};

/*
 * proc_spawn - a new process that runs a program from its entry
 *
 *   why     if the file is malformed: what is wrong with it, in words
 *   Errors  ERR_NOENT  no such program           ERR_CORRUPT, ERR_NOSYS  as elf_read()
 *           ERR_INVAL  arguments: too many, or too long
 *           ERR_NOMEM  frames, or PROC_MAX; nothing was created
 */
err_t proc_spawn(const struct proc_want *want, unsigned *pid, const char **why) MUST_USE;

/* How a process ended, for who waited for it */
struct proc_end {
    unsigned pid, status;
    char     name[PROC_NAME_BYTES], words[PROC_WORDS];
};

/*
 * proc_wait - until a child of `parent` has ended and nothing is left of it
 *
 *   pid     which one, 0: any
 *   Errors  ERR_NOENT  no such child      ERR_BUSY  the thread that waits is killed
 */
err_t proc_wait(struct process *parent, unsigned pid, struct proc_end *out) MUST_USE;

/*
 * proc_kill - end a process with PROC_STATUS_KILL
 *
 *   by      who asks: only itself and its descendants; the kernel (&proc_console): anybody
 *   Errors  ERR_NOENT  no such process, or it is ending      ERR_PERM
 */
err_t proc_kill(const struct process *by, unsigned pid) MUST_USE;

/* proc_this - whose thread runs; NULL for a kernel thread */
static inline struct process *proc_this(void) { return thread_this()->process; }

/* What `ps` shows */
struct proc_info {
    unsigned         pid, parent; /* parent 0: the kernel                 */
    bool             ended;       /* then nothing below but the name counts */
    uint64_t         cpu_ticks;
    char             name[PROC_NAME_BYTES];
    struct as_memory memory;
};

/* proc_info - of the first process with this pid or a higher one; ERR_NOENT: there is none */
err_t proc_info(unsigned pid, struct proc_info *out) MUST_USE;

/*
 * proc_with - call fn(arg, p) with a process, whose space stays meanwhile
 *
 *   Errors  ERR_NOENT  no such process, or it is ending      and those of fn
 */
err_t proc_with(unsigned pid, err_t (*fn)(void *arg, struct process *p), void *arg) MUST_USE;

/* proc_count - how many there are, those included that have ended and that nobody has waited for yet */
unsigned proc_count(void);

#endif
