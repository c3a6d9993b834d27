/* SPDX-License-Identifier: MIT */
/*
 * mm/span_tree.h - which pages of an area are taken, by whom, and where there is room
 *
 * A tree of nodes that lie in their owners' structs (span_node first): the kernel's dynamic ranges, the
 * regions of a space. The owner locks.
 */
#ifndef MM_SPAN_TREE_H
#define MM_SPAN_TREE_H

#include "mm/err.h"
#include "mm/types.h"

/* Taken pages [page, end); the tree keeps the rest */
struct span_node {
    uint64_t          page, end;
    uint64_t          gap;     /* S1 */
    uint64_t          largest; /* S2 */
    uint64_t          hash;    /* S3 */
    struct span_node *left, *right;
};

/* It holds a node of its own: it stays where it was started. */
struct span_tree {
    struct span_node *root;
    struct span_node  bound; /* of no pages, at the area's end: the gap behind the last span */
    uint64_t          first;
};

/* span_tree_start - an area [first, end) with nothing taken */
void span_tree_start(struct span_tree *t, uint64_t first, uint64_t end);

/*
 * span_insert - take node->page to node->end
 *
 *   Errors  ERR_EXISTS  some of it is taken      ERR_INVAL  no pages, or not all in the area
 */
err_t span_insert(struct span_tree *t, struct span_node *node) MUST_USE;

/* span_remove - the node's pages are free */
void span_remove(struct span_tree *t, struct span_node *node);

/* span_resize - the node begins and ends elsewhere, not beyond its neighbours: ERR_EXISTS if they are in the way */
err_t span_resize(struct span_tree *t, struct span_node *node, uint64_t page, uint64_t end) MUST_USE;

/* span_find - the node that holds `page`; NULL: it is free */
struct span_node *span_find(const struct span_tree *t, uint64_t page);

/* span_from - the node that holds `page`, else the next one above; NULL: none */
struct span_node *span_from(const struct span_tree *t, uint64_t page);

/*
 * span_room_low, span_room_high - the lowest, the highest multiple of `align` with n free pages from there on
 *
 *   A gap is found that has n + align - 1 pages: there, it fits wherever the gap begins. ERR_NOMEM: none
 */
err_t span_room_low(const struct span_tree *t, uint64_t n, uint64_t align, uint64_t *page) MUST_USE;
err_t span_room_high(const struct span_tree *t, uint64_t n, uint64_t align, uint64_t *page) MUST_USE;

/* span_tree_check - NULL, or which of S1 to S3 is broken */
const char *span_tree_check(const struct span_tree *t);

#endif
