/* SPDX-License-Identifier: MIT */
/*
 * mm/kva_tree.c - the kernel's dynamic ranges in a span tree
 *
 * The theory is at the top of mm/kva.c and mm/span_tree.c.
 */
#include "mm/kva_tree.h"

#include "mm/port.h"

struct kva_node {
    struct span_node span;
    unsigned         kind;
};

void kva_tree_start(struct kva_tree *t, uint64_t first, uint64_t end)
{
    span_tree_start(&t->spans, first, end);
    t->pool = (struct node_pool){ .bytes = sizeof(struct kva_node) };
}

err_t kva_tree_place(struct kva_tree *t, uint64_t n, uint64_t align, unsigned kind, uint64_t *page)
{
    struct kva_node *node;
    uint64_t         at;
    void            *room;
    err_t            err = span_room_low(&t->spans, n, align, &at);

    if (err == ERR_OK)
        err = node_new(&t->pool, &room);
    if (err != ERR_OK)
        return err;
    node = room;
    node->span.page = at;
    node->span.end = at + n;
    node->kind = kind;
    err = span_insert(&t->spans, &node->span);
    ASSERT(err == ERR_OK);
    *page = at;
    return ERR_OK;
}

static struct span_node *must_find(const struct kva_tree *t, uint64_t page)
{
    struct span_node *n = span_find(&t->spans, page);

    ASSERT(n != NULL && n->page == page);
    return n;
}

err_t kva_tree_resize(struct kva_tree *t, uint64_t page, uint64_t end)
{
    return span_resize(&t->spans, must_find(t, page), page, end);
}

void kva_tree_remove(struct kva_tree *t, uint64_t page)
{
    struct span_node *n = must_find(t, page);

    span_remove(&t->spans, n);
    node_free(&t->pool, n);
}

static struct kva_span look(const struct span_node *n)
{
    return (struct kva_span){ n->page, n->end, ((const struct kva_node *)(const void *)n)->kind };
}

bool kva_tree_find(const struct kva_tree *t, uint64_t page, struct kva_span *out)
{
    const struct span_node *n = span_find(&t->spans, page);

    if (n != NULL)
        *out = look(n);
    return n != NULL;
}

void kva_tree_each(const struct kva_tree *t, bool (*fn)(void *arg, const struct kva_span *s), void *arg)
{
    for (const struct span_node *n = span_from(&t->spans, 0); n != NULL; n = span_from(&t->spans, n->end)) {
        struct kva_span s = look(n);

        if (!fn(arg, &s))
            break;
    }
}
