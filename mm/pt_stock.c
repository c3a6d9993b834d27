/* SPDX-License-Identifier: MIT */
/*
 * mm/pt_stock.c - page tables: frames for tables, taken before anything is changed
 *
 * Promise     An operation that has its stock can't run out of frames in the middle, so it has nothing to undo.
 *
 * Picture     head --> [frame| -]--> [frame| -]--> [frame| 0]     linked through their first words
 *
 * Locks       the tables' (rank 30) is held by who owns the stock; frames (rank 40) are taken under it.
 *
 * Failure     ERR_NOMEM, and the stock is empty.
 */
#include "mm/frame.h"
#include "mm/pt_inside.h"

static void stock_push(struct stock *s, pfn_t f)
{
    *(pfn_t *)port_ptr(pfn_to_pa(f)) = s->head;
    s->head = f;
    s->n++;
}

err_t stock_fill(struct stock *s, uint64_t n)
{
    for (; n > 0; n--) {
        pfn_t f;
        err_t err = frame_alloc(0, &f);

        if (err != ERR_OK) {
            stock_drain(s);
            return err;
        }
        stock_push(s, f);
    }
    return ERR_OK;
}

static pfn_t stock_pop(struct stock *s)
{
    pfn_t f = s->head;

    ASSERT(s->n > 0);
    s->head = *(const pfn_t *)port_ptr(pfn_to_pa(f));
    s->n--;
    return f;
}

pfn_t stock_take(struct pt *pt, struct stock *s)
{
    pt->n_tables++;
    return stock_pop(s);
}

void stock_put(struct pt *pt, struct stock *s, pfn_t frame)
{
    pt->n_tables--;
    stock_push(s, frame);
}

void stock_drain(struct stock *s)
{
    while (s->n > 0) {
        err_t err = frame_free(stock_pop(s));

        ASSERT(err == ERR_OK);
    }
}
