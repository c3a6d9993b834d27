/* SPDX-License-Identifier: MIT */
/* mm/kva_tree.h - which pages of an area are taken; the tree behind mm/kva.c */
#ifndef MM_KVA_TREE_H
#define MM_KVA_TREE_H

#include "mm/err.h"
#include "mm/types.h"

struct kva_node;
struct kva_slab;

struct kva_tree {
    struct kva_node *root;
    struct kva_slab *slabs; /* pages of nodes with a free one */
};

/* Taken pages [page, end) */
struct kva_span {
    uint64_t page, end;
    unsigned kind;
};

/* kva_tree_start - an area [first, end) with nothing taken; ERR_NOMEM: no frame for the first nodes */
err_t kva_tree_start(struct kva_tree *t, uint64_t first, uint64_t end) MUST_USE;

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

/* kva_tree_check - NULL, or which of K1 to K3 is broken */
const char *kva_tree_check(const struct kva_tree *t);

/* kva_tree_end - give the node pages back; nothing is taken */
void kva_tree_end(struct kva_tree *t);

#endif
