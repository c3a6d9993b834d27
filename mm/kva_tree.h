/* SPDX-License-Identifier: MIT */
/* mm/kva_tree.h - which pages of an area are taken; what mm/kva.c keeps in a span tree */
#ifndef MM_KVA_TREE_H
#define MM_KVA_TREE_H

#include "mm/node_pool.h"
#include "mm/span_tree.h"

/* It stays where it was started. */
struct kva_tree {
    struct span_tree spans;
    struct node_pool pool;
};

/* Taken pages [page, end) */
struct kva_span {
    uint64_t page, end;
    unsigned kind;
};

/* kva_tree_start - an area [first, end) with nothing taken */
void kva_tree_start(struct kva_tree *t, uint64_t first, uint64_t end);

/* kva_tree_place - take n pages at the lowest multiple of `align` that has room; ERR_NOMEM */
err_t kva_tree_place(struct kva_tree *t, uint64_t n, uint64_t align, unsigned kind, uint64_t *page) MUST_USE;

/* kva_tree_resize - the span that begins at `page` ends at `end` now; ERR_EXISTS if something is in the way */
err_t kva_tree_resize(struct kva_tree *t, uint64_t page, uint64_t end) MUST_USE;

/* kva_tree_remove - the span that begins at `page`, which exists, is free */
void kva_tree_remove(struct kva_tree *t, uint64_t page);

/* kva_tree_find - the span that holds `page` */
bool kva_tree_find(const struct kva_tree *t, uint64_t page, struct kva_span *out) MUST_USE;

/* kva_tree_each - every span, lowest first, until fn returns false */
void kva_tree_each(const struct kva_tree *t, bool (*fn)(void *arg, const struct kva_span *s), void *arg);

#endif
