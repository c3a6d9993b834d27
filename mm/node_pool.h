/* SPDX-License-Identifier: MIT */
/* mm/node_pool.h - nodes of one size, in frames: for structures that must work before, or without, a heap */
#ifndef MM_NODE_POOL_H
#define MM_NODE_POOL_H

#include "mm/err.h"
#include "mm/types.h"

struct node_page;

/* The owner locks. */
struct node_pool {
    size_t            bytes; /* of a node, a multiple of 8, at most 2 KiB */
    struct node_page *pages; /* with a free node                          */
};

/* node_new - a node, contents undefined; ERR_NOMEM: no frame */
err_t node_new(struct node_pool *p, void **out) MUST_USE;

/* node_free - give it back; its frame goes with the last one */
void node_free(struct node_pool *p, void *node);

#endif
