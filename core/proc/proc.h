/* SPDX-License-Identifier: MIT */
/* core/proc/proc.h - processes: a program in ring 3, its memory, and how it ended */
#ifndef CORE_PROC_PROC_H
#define CORE_PROC_PROC_H

#include "core/proc/abi.h"
#include "core/proc/thread.h"
#include "mm/as.h"

#define PROC_MAX        256 /* processes at a time; pids are 1..PROC_MAX - 1 */
#define PROC_ARGS_MAX   32
#define PROC_ARGS_BYTES 2048 /* all arguments of a program, their zeros included */
#define PROC_NAME_BYTES 24
#define PROC_WORDS      112

/* How a process ended: 0..255 what it gave to SYS_EXIT, else one of these */
#define PROC_STATUS_FAULT 0x100u /* | vector: an exception it didn't handle */
#define PROC_STATUS_KILL  0x200u
#define PROC_STATUS_NOMEM 0x300u

struct fault_handler { uint64_t entry, stack_top; }; /* entry 0: none */

struct process {
    unsigned             pid;      /* [c]                                                          */
    struct process      *parent;   /* [t] NULL: the kernel                                         */
    struct thread       *thread;   /* [c]                                                          */
    struct as            as;       /* has its own lock                                             */
    struct fault_handler on_fault; /* own: only its thread looks                                   */
    bool                 ended;    /* [t] only pid, parent, status and words are still meant       */
    bool                 awaited;  /* [t] somebody has begun to take it down                       */
    unsigned             status;   /* [t] valid when ended                                         */
    char                 name[PROC_NAME_BYTES]; /* [c] */
    char                 words[PROC_WORDS];     /* [t] how it ended: "exit 0", "#PF write at 0x..." */
};

/*
 * proc_spawn - a new process that runs a program (core/proc/program.h) from its entry
 *
 *   argv    argv[argc]; argv[0] is what the program sees as its name
 *   parent  who may wait for it; NULL: the kernel
 *   Errors  ERR_NOENT  no such program      ERR_SYNTAX  a malformed ELF file
 *           ERR_INVAL  too many arguments   ERR_NOMEM   frames, or PROC_MAX; nothing was created
 */
err_t proc_spawn(const char *name, unsigned argc, const char *const argv[], struct process *parent,
                 unsigned *pid) MUST_USE;

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
 *   Errors  ERR_NOENT  no such process, or it has ended
 */
err_t proc_kill(unsigned pid) MUST_USE;

/* proc_this - whose thread runs; NULL for a kernel thread */
struct process *proc_this(void);

/* What `ps` shows */
struct proc_info {
    unsigned  pid, parent; /* parent 0: the kernel */
    bool      ended;
    uint64_t  cpu_ticks;
    char      name[PROC_NAME_BYTES];
    struct memory_info memory;
};

/* proc_info - of the first process with this pid or a higher one; ERR_NOENT: there is none */
err_t proc_info(unsigned pid, struct proc_info *out) MUST_USE;

/*
 * proc_with_space - call fn(arg, as) with the space of a process, which doesn't end meanwhile
 *
 *   Errors  ERR_NOENT  no such process, or it has ended      and those of fn
 */
err_t proc_with_space(unsigned pid, err_t (*fn)(void *arg, struct as *as), void *arg) MUST_USE;

#endif
