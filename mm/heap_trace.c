/* SPDX-License-Identifier: MIT */
/*
 * mm/heap_trace.c - every call of a heap, told to a listener
 *
 * Promise     From heap_trace_on to heap_trace_off the listener hears of each block that came and went, in
 *             order, and nothing else changes. A realloc is heard as what it is: a block that comes, one that goes.
 *
 * Picture     call -> trace -> (debug ->) (list | bitmap | core)
 *                       '-> listener
 *
 * Locks       none of its own. It is put in and taken out while no other CPU is in the heap; the listener is
 *             called without locks and must not use the heap.
 * Failure     a call that fails is not told
 */
#include "mm/heap_core.h"

struct trace {
    struct heap_way way; /* first */
    heap_listener_t listener;
};

static struct trace *trace_of(struct heap_way *w) { return (struct trace *)(void *)w; }

static void *trace_alloc(struct heap_way *w, struct heap *h, size_t size, size_t align, const void *caller)
{
    void *p = w->next->ops->alloc(w->next, h, size, align, caller);

    if (p != NULL)
        trace_of(w)->listener(&(struct heap_event){ .block = p, .size = size, .align = align });
    return p;
}

/* Told before it happens: afterwards the address may be somebody else's already. */
static err_t trace_free(struct heap_way *w, struct heap *h, void *p, const void *caller)
{
    if (w->next->ops->usable(w->next, h, p) != 0)
        trace_of(w)->listener(&(struct heap_event){ .block = p });
    return w->next->ops->free(w->next, h, p, caller);
}

static size_t   trace_usable(struct heap_way *w, struct heap *h, const void *p) { return w->next->ops->usable(w->next, h, p); }
static uint64_t trace_trim(struct heap_way *w, struct heap *h) { return w->next->ops->trim(w->next, h); }
static err_t    trace_check(struct heap_way *w, struct heap *h) { return w->next->ops->check(w->next, h); }
static void     trace_close(struct heap_way *w, struct heap *h) { w->next->ops->close(w->next, h); }

static const struct heap_way_ops trace_ops = { .alloc = trace_alloc, .free = trace_free,   .usable = trace_usable,
                                               .trim = trace_trim,   .check = trace_check, .close = trace_close };

err_t heap_trace_on(struct heap *h, heap_listener_t listener)
{
    uint64_t      flags = heap_lock(h);
    struct trace *t = h->trace != NULL ? (struct trace *)(void *)h->trace : heap_private(h, sizeof *t);

    if (t != NULL && h->ways != &t->way) {
        t->way = (struct heap_way){ .ops = &trace_ops, .next = h->ways != NULL ? h->ways : &heap_way_core };
        t->listener = listener;
        h->trace = h->ways = &t->way;
        heap_gates(h);
    }
    heap_unlock(h, flags);
    return t != NULL ? ERR_OK : ERR_NOMEM;
}

void heap_trace_off(struct heap *h)
{
    uint64_t flags = heap_lock(h);

    if (h->ways != NULL && h->ways == h->trace) {
        h->ways = h->trace->next != &heap_way_core ? h->trace->next : NULL;
        heap_gates(h);
    }
    heap_unlock(h, flags);
}
