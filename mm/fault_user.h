/* SPDX-License-Identifier: MIT */
/* mm/fault_user.h - page faults in a process: what is done about them, and why they are refused */
#ifndef MM_FAULT_USER_H
#define MM_FAULT_USER_H

/* What is done; mm/fault_user.c has the table */
enum fault_plan {
    FAULT_DENY,          /* refused: see enum fault_denial                        */
    FAULT_RETRY,         /* nothing: the tables allow it by now                   */
    FAULT_WAIT,          /* nothing now: the space is being changed; yield, then retry */
    FAULT_MAP_ZERO,      /* the frame of zeroes that all share, read-only         */
    FAULT_NEW_ZERO,      /* a frame of zeroes                                     */
    FAULT_NEW_HUGE,      /* 2 MiB of them                                         */
    FAULT_MAP_IMAGE,     /* the file's own frame, read-only                       */
    FAULT_NEW_IMAGE,     /* a frame with the file's bytes                         */
    FAULT_MAP_SHARED,    /* the shared object's frame                             */
    FAULT_MAP_PHYS,      /* the device's                                          */
    FAULT_COPY,          /* a copy of what was shared                             */
    FAULT_MAKE_WRITABLE, /* nobody shares it any more                             */
    FAULT_PLANS
};

enum fault_denial {
    FAULT_NOT_DENIED,
    FAULT_NO_REGION,  /* nothing is there                                  */
    FAULT_GUARD,      /* the guard page below a stack                      */
    FAULT_NO_READ,    /* the region's rights                               */
    FAULT_NO_WRITE,
    FAULT_NO_FETCH,
    FAULT_NOT_USERS,  /* an address of the kernel's, or no canonical one   */
    FAULT_BROKEN,     /* a reserved bit is set in the tables               */
    FAULT_OVER_LIMIT, /* with ERR_NOMEM: as_limit()                        */
    FAULT_NO_FRAME,   /* with ERR_NOMEM: the machine has none left         */
    FAULT_ALIAS,      /* with ERR_ALIAS: a device's frame is mapped elsewhere with another cache type */
    FAULT_DENIALS
};

/* fault_plan_name - "new frame of zeroes"; fault_denial_words - "guard page below the stack" */
const char *fault_plan_name(enum fault_plan plan);
const char *fault_denial_words(enum fault_denial denial);

#endif
