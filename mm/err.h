/* SPDX-License-Identifier: MIT */
/*
 * mm/err.h - the one error type
 *
 * Functions that can fail return err_t and write their results only on ERR_OK; a failure changes
 * nothing that the caller can see.
 */
#ifndef MM_ERR_H
#define MM_ERR_H

#include "mm/attr.h"

typedef enum err {
    ERR_OK = 0,
    ERR_NOMEM,     /* no frame, slot or range left that fits                             */
    ERR_INVAL,     /* an argument is out of its range or not aligned                     */
    ERR_EXISTS,    /* something is there already                                         */
    ERR_NOENT,     /* nothing is there                                                   */
    ERR_BUSY,      /* in use, cannot be taken now                                        */
    ERR_OUTSIDE,   /* free: the address is no memory of ours                             */
    ERR_RESERVED,  /* free: the frame is reserved, it was never up for allocation        */
    ERR_NOT_ALLOC, /* free: the block is free, or was never allocated                    */
    ERR_INSIDE,    /* free: the address lies inside a block, not at its start            */
    ERR_ORDER,     /* free: the block has another order (or size) than the caller claims */
    ERR_NOT_CANON, /* the virtual address is not canonical                               */
    ERR_PERM,      /* not permitted                                                      */
    ERR_ALIAS,     /* the frame is mapped elsewhere with another cache type              */
    ERR_IO,        /* a device failed                                                    */
    ERR_CORRUPT,   /* stored data is damaged                                             */
    ERR_NOSYS,     /* this machine cannot do it                                          */
    ERR_SYNTAX,    /* text that cannot be parsed                                         */
    ERR_COUNT
} err_t;

/* err_str - the name of an error in words, for people; never NULL, whatever `err` is */
const char *err_str(err_t err);

#endif
