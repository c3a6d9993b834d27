/* SPDX-License-Identifier: MIT */
/* test/host/model_frame.c - the simplest correct frame allocator */
#include "test/host/model_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_open(struct model *m, unsigned n, unsigned order_max, uint8_t state)
{
    *m = (struct model){ malloc(n), n, order_max };
    if (m->frame == NULL)
        abort();
    model_fill(m, 0, n, state);
}

void model_close(struct model *m) { free(m->frame); }

bool model_all(const struct model *m, unsigned at, unsigned n, uint8_t state)
{
    for (unsigned i = 0; i < n; i++)
        if (at + i >= m->n || m->frame[at + i] != state)
            return false;
    return true;
}

void model_fill(struct model *m, unsigned at, unsigned n, uint8_t state) { memset(m->frame + at, state, n); }

bool model_find(const struct model *m, unsigned order, unsigned lo, unsigned hi, unsigned *at)
{
    unsigned size = 1u << order;

    for (unsigned i = (lo + size - 1) / size * size; i + size <= hi; i += size)
        if (model_all(m, i, size, MODEL_FREE)) {
            *at = i;
            return true;
        }
    return false;
}

bool model_find_run(const struct model *m, unsigned n, unsigned align, unsigned boundary, unsigned lo, unsigned hi,
                    unsigned *at)
{
    for (unsigned i = (lo + align - 1) / align * align; i + n <= hi; i += align)
        if (i / boundary == (i + n - 1) / boundary && model_all(m, i, n, MODEL_FREE)) {
            *at = i;
            return true;
        }
    return false;
}

void model_take(struct model *m, unsigned at, unsigned order)
{
    model_fill(m, at, 1u << order, MODEL_INSIDE);
    m->frame[at] = (uint8_t)(MODEL_HEAD + order);
}

void model_take_run(struct model *m, unsigned at, unsigned n)
{
    while (n > 0) {
        unsigned order = m->order_max;

        while (at % (1u << order) != 0 || 1u << order > n)
            order--;
        model_take(m, at, order);
        at += 1u << order;
        n -= 1u << order;
    }
}

err_t model_block(const struct model *m, unsigned at, unsigned *order)
{
    switch (m->frame[at]) {
    case MODEL_FREE:
        return ERR_NOT_ALLOC;
    case MODEL_RESERVED:
        return ERR_RESERVED;
    case MODEL_INSIDE:
        return ERR_INSIDE;
    default:
        *order = m->frame[at] - MODEL_HEAD;
        return ERR_OK;
    }
}

void model_give(struct model *m, unsigned at) { model_fill(m, at, 1u << (m->frame[at] - MODEL_HEAD), MODEL_FREE); }

err_t model_check_run(const struct model *m, unsigned at, unsigned n)
{
    unsigned order = 0;

    for (unsigned end = at + n; at < end; at += 1u << order) {
        err_t err = model_block(m, at, &order);

        if (err != ERR_OK)
            return err;
        if (at + (1u << order) > end)
            return ERR_ORDER;
    }
    return ERR_OK;
}

struct chunk_look model_look(const struct model *m, unsigned at)
{
    struct chunk_look look = { FRAME_RESERVED, at, 0 };

    if (m->frame[at] == MODEL_FREE) {
        look.state = FRAME_FREE;
        for (unsigned k = 1; k <= m->order_max && model_all(m, at >> k << k, 1u << k, MODEL_FREE); k++)
            look = (struct chunk_look){ FRAME_FREE, at >> k << k, k };
    } else if (m->frame[at] != MODEL_RESERVED) {
        look.state = m->frame[at] == MODEL_INSIDE ? FRAME_INSIDE : FRAME_BLOCK;
        while (m->frame[look.first] == MODEL_INSIDE)
            look.first--;
        look.order = m->frame[look.first] - MODEL_HEAD;
    }
    return look;
}

unsigned model_count(const struct model *m, uint8_t state)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->n; i++)
        n += m->frame[i] == state;
    return n;
}

void model_blocks(const struct model *m, uint64_t blocks[])
{
    for (unsigned k = 0; k <= m->order_max; k++)
        blocks[k] = 0;
    for (unsigned at = 0; at < m->n;) {
        struct chunk_look look = model_look(m, at);

        if (look.state == FRAME_FREE)
            blocks[look.order]++;
        at += look.state == FRAME_FREE ? 1u << look.order : 1;
    }
}

/* ---- random numbers ------------------------------------------------------------------------------------- */

static uint64_t rnd_state = 88172645463325252u;

static const uint8_t *rnd_data;
static size_t         rnd_size;

void rnd_feed(const uint8_t *data, size_t n)
{
    rnd_data = data;
    rnd_size = n;
}

bool rnd_left(void) { return rnd_size >= 2; }

uint64_t rnd(void)
{
    if (rnd_data != NULL) {
        if (!rnd_left())
            return 0;
        rnd_size -= 2;
        rnd_data += 2;
        return (uint64_t)(rnd_data[-2] | rnd_data[-1] << 8);
    }
    rnd_state ^= rnd_state >> 12;
    rnd_state ^= rnd_state << 25;
    rnd_state ^= rnd_state >> 27;
    return rnd_state * 2685821657736338717u;
}

uint64_t rnd_below(uint64_t n) { return rnd() % n; }

void rnd_seed(uint64_t seed) { rnd_state = seed * 0x9e3779b97f4a7c15u | 1; }

uint64_t rnd_seed_from(const char *test)
{
    const char *given = getenv("OCTAVO_SEED");
    uint64_t    seed = given != NULL ? strtoull(given, NULL, 0) : 1;

    printf("%s: OCTAVO_SEED=%llu\n", test, (unsigned long long)seed);
    rnd_seed(seed);
    return seed;
}
