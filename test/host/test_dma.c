/* SPDX-License-Identifier: MIT */
/* test/host/test_dma.c - memory that devices read and write (mm/dma.c), with a device that checks what it is told */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "mm/dma.h"
#include "mm/frame.h"
#include "mm/port.h"
#include "test/host/frame_world.h"

#define LOW     0x2000  /* frames within reach of 28 bits ... */
#define HIGH    0x20000 /* ... and beyond it                  */
#define N       512
#define ROOM    64
#define REACH   ((uint64_t)0x0FFFFFFF)

static const struct mem_range ram[] = { FREE_RAM(LOW, N), FREE_RAM(HIGH, N) };

/* The guard: how often each frame is open to the device */
static struct {
    unsigned open[HIGH + N];
    unsigned total;
    unsigned allowed; /* openings until the guard has no memory left */
} guard;

static err_t guard_open(void *arg, pa_t start, uint64_t n_bytes, unsigned access)
{
    (void)arg;
    assert_true(access == DMA_READS || access == DMA_WRITES || access == (DMA_READS | DMA_WRITES));
    if (guard.allowed == 0)
        return ERR_NOMEM;
    guard.allowed--;
    for (uint64_t f = pa_to_pfn(start).idx; f <= (start.raw + n_bytes - 1) >> PAGE_SHIFT; f++, guard.total++)
        guard.open[f]++;
    return ERR_OK;
}

static void guard_close(void *arg, pa_t start, uint64_t n_bytes)
{
    (void)arg;
    for (uint64_t f = pa_to_pfn(start).idx; f <= (start.raw + n_bytes - 1) >> PAGE_SHIFT; f++, guard.total--)
        assert_true(guard.open[f]-- > 0);
}

static const struct dma_guard watched = { guard_open, guard_close };

static void open_world(void)
{
    world_open(ram, ARRAY_LEN(ram));
    memset(&guard, 0, sizeof guard);
    guard.allowed = UINT32_MAX;
}

static uint8_t *bytes_at(uint64_t address) { return port_ptr(pa(address)); }

/* The device moves its buffer from or to memory, and complains of everything that it can't do. */
static void device(const struct dma_transfer *t, uint8_t *buffer, bool writes)
{
    const struct dma_limits *l = &t->device->limits;

    for (unsigned i = 0; i < t->n; i++) {
        const struct dma_segment *s = &t->segment[i];

        assert_true(s->n_bytes > 0 && s->address.raw + s->n_bytes - 1 <= l->highest.raw);
        assert_true(l->segment_bytes == 0 || s->n_bytes <= l->segment_bytes);
        assert_true(l->align == 0 || (s->address.raw % l->align == 0 && s->n_bytes % l->align == 0));
        assert_true(l->boundary == 0 || s->address.raw / l->boundary == (s->address.raw + s->n_bytes - 1) / l->boundary);
        for (uint64_t f = pa_to_pfn(s->address).idx; f <= (s->address.raw + s->n_bytes - 1) >> PAGE_SHIFT; f++)
            assert_true(t->device->guard == NULL || guard.open[f] > 0);
        if (writes)
            memcpy(bytes_at(s->address.raw), buffer, s->n_bytes);
        else
            memcpy(buffer, bytes_at(s->address.raw), s->n_bytes);
        buffer += s->n_bytes;
    }
}

static void what_is_within_reach_is_told_as_it_is_and_neighbours_become_one(void **state)
{
    struct dma_device         d = { .limits = { .highest = { REACH } } };
    struct dma_segment        room[ROOM];
    struct dma_transfer       t = { .segment = room, .room = ROOM };
    const uint64_t            base = (LOW + 100) * PAGE_SIZE;
    const struct dma_piece    pieces[] = { { pa(base), 5000 }, { pa(base + 5000), 100 }, { pa(base + 9000), 7 } };

    (void)state;
    open_world();
    assert_int_equal(dma_map(&d, pieces, 3, DMA_READS, &t), ERR_OK);
    assert_int_equal(t.n, 2);
    assert_true(room[0].address.raw == base && room[0].n_bytes == 5100);
    assert_true(room[1].address.raw == base + 9000 && room[1].n_bytes == 7);
    assert_int_equal(dma_map(&d, pieces, 3, DMA_READS, &t), ERR_BUSY);
    dma_unmap(&t);
    assert_int_equal(t.n, 0);
    assert_true(d.transfers == 1 && d.bytes_direct == 5107 && d.bytes_bounced == 0);
    world_close();
}

static void what_lies_out_of_reach_goes_there_and_back_by_a_bounce(void **state)
{
    struct dma_device      d = { .limits = { .highest = { REACH } } };
    struct dma_segment     room[ROOM];
    struct dma_transfer    t = { .segment = room, .room = ROOM };
    const uint64_t         base = (HIGH + 3) * PAGE_SIZE + 17;
    const struct dma_piece piece = { pa(base), 6000 };
    uint8_t                buffer[6000];
    uint64_t               before;

    (void)state;
    open_world();
    before = frame_totals().free;
    for (unsigned i = 0; i < 6000; i++)
        bytes_at(base)[i] = (uint8_t)(i * 7);
    assert_int_equal(dma_map(&d, &piece, 1, DMA_READS | DMA_WRITES, &t), ERR_OK);
    assert_int_equal(t.n, 2);
    device(&t, buffer, false);
    assert_memory_equal(buffer, bytes_at(base), 6000);
    memset(buffer, 0x3c, sizeof buffer);
    device(&t, buffer, true);
    assert_int_equal(bytes_at(base)[100], (uint8_t)700); /* not yet */
    dma_unmap(&t);
    assert_memory_equal(buffer, bytes_at(base), 6000);
    assert_int_equal(frame_totals().free, before);
    assert_true(d.bytes_bounced == 6000 && d.bytes_direct == 0);
    world_close();
}

static void a_device_that_writes_less_leaves_the_rest_as_it_was(void **state)
{
    struct dma_device      d = { .limits = { .highest = { REACH } } };
    struct dma_segment     room[ROOM];
    struct dma_transfer    t = { .segment = room, .room = ROOM };
    const struct dma_piece piece = { pfn_to_pa((pfn_t){ HIGH }), 512 };

    (void)state;
    open_world();
    memset(port_ptr(piece.start), 0x11, 512);
    assert_int_equal(dma_map(&d, &piece, 1, DMA_WRITES, &t), ERR_OK);
    memset(port_ptr(room[0].address), 0x22, 100);
    dma_unmap(&t);
    assert_int_equal(bytes_at(piece.start.raw)[99], 0x22);
    assert_int_equal(bytes_at(piece.start.raw)[100], 0x11);
    world_close();
}

static void wrong_requests_are_refused_and_hand_nothing_over(void **state)
{
    struct dma_device      d = { .limits = { .highest = { REACH }, .align = 512 }, .guard = &watched };
    struct dma_segment     room[2];
    struct dma_transfer    t = { .segment = room, .room = 2 };
    const struct dma_piece good = { pa(LOW * PAGE_SIZE), 512 }, odd = { pa(LOW * PAGE_SIZE), 500 },
                           none = { pa(LOW * PAGE_SIZE), 0 }, wraps = { pa(UINT64_MAX - 511), 1024 },
                           many[] = { { pa((HIGH + 1) * PAGE_SIZE), PAGE_SIZE }, { pa((HIGH + 5) * PAGE_SIZE), 2 * PAGE_SIZE } };
    struct dma_buffer      b;
    uint64_t               before;

    (void)state;
    open_world();
    before = frame_totals().free;
    assert_int_equal(dma_map(&d, &good, 0, DMA_READS, &t), ERR_INVAL);
    assert_int_equal(dma_map(&d, &good, 1, 0, &t), ERR_INVAL);
    assert_int_equal(dma_map(&d, &odd, 1, DMA_READS, &t), ERR_INVAL);
    assert_int_equal(dma_map(&d, &none, 1, DMA_READS, &t), ERR_INVAL);
    assert_int_equal(dma_map(&d, &wraps, 1, DMA_READS, &t), ERR_INVAL);
    assert_int_equal(dma_map(&d, many, 2, DMA_READS, &t), ERR_NOMEM); /* three segments, room for two */
    assert_int_equal(dma_buffer_alloc(&d, 0, &b), ERR_INVAL);
    assert_int_equal(dma_buffer_alloc(&d, UINT64_MAX, &b), ERR_INVAL);
    assert_true(t.n == 0 && guard.total == 0 && frame_totals().free == before);
    assert_int_equal(dma_map(&d, &good, 1, DMA_READS, &t), ERR_OK);
    dma_unmap(&t);
    world_close();
}

static void every_failure_in_the_middle_leaves_all_as_it_was(void **state)
{
    struct dma_device      d = { .limits = { .highest = { REACH } }, .guard = &watched };
    struct dma_segment     room[ROOM];
    struct dma_transfer    t = { .segment = room, .room = ROOM };
    const struct dma_piece piece = { pfn_to_pa((pfn_t){ HIGH + 1 }), 10 * PAGE_SIZE };
    static pfn_t           low[N];
    unsigned               n = 0, left = 0;

    (void)state;
    open_world();
    for (unsigned allowed = 0; allowed < 10; allowed++) {
        guard.allowed = allowed;
        assert_int_equal(dma_map(&d, &piece, 1, DMA_READS, &t), ERR_NOMEM);
        assert_int_equal(guard.total, 0);
    }
    guard.allowed = UINT32_MAX;
    while (n < N && frame_alloc_with(&(struct frame_request){ .n = 1, .highest = pa(REACH) }, &low[n]) == ERR_OK)
        n++;
    do { /* with 0, 1, 2 ... frames within reach */
        uint64_t before = frame_totals().free;
        err_t    err = dma_map(&d, &piece, 1, DMA_READS, &t);

        assert_int_equal(err, left < 10 ? ERR_NOMEM : ERR_OK);
        dma_unmap(&t);
        assert_true(guard.total == 0 && frame_totals().free == before);
        assert_int_equal(frame_free(low[--n]), ERR_OK);
    } while (left++ < 10);
    while (n > 0)
        assert_int_equal(frame_free(low[--n]), ERR_OK);
    world_close();
}

static void a_buffer_is_zero_in_one_piece_and_within_the_limits(void **state)
{
    struct dma_device d = { .limits = { .highest = { REACH }, .boundary = 65536, .align = 8192 }, .guard = &watched };
    struct dma_buffer b, c;
    uint64_t          before;

    (void)state;
    open_world();
    memset(bytes_at((LOW + 32) * PAGE_SIZE), 0xee, (N - 32) * PAGE_SIZE); /* below, the manager keeps its own */
    before = frame_totals().free;
    assert_int_equal(dma_buffer_alloc(&d, 20000, &b), ERR_OK);
    assert_int_equal(dma_buffer_alloc(&d, 60000, &c), ERR_OK);
    assert_int_equal(dma_buffer_alloc(&d, 65537, &c), ERR_INVAL);
    for (unsigned i = 0; i < 60000; i++)
        assert_true(((uint8_t *)c.ptr)[i] == 0 && (i >= 20000 || ((uint8_t *)b.ptr)[i] == 0));
    assert_true(b.address.raw % 8192 == 0 && c.address.raw % 8192 == 0 && c.address.raw / 65536 == (c.address.raw + 59999) / 65536);
    assert_true(c.address.raw + 59999 <= REACH && guard.total == b.n_frames + c.n_frames);
    dma_buffer_free(&d, &b);
    dma_buffer_free(&d, &c);
    guard.allowed = 0;
    assert_int_equal(dma_buffer_alloc(&d, 1, &b), ERR_NOMEM);
    assert_true(guard.total == 0 && frame_totals().free == before);
    world_close();
}

/* ---- random transfers, against plain copies ---------------------------------------------------------- */

static struct dma_limits random_limits(void)
{
    static const uint32_t aligns[] = { 0, 1, 4, 512, 4096 };
    uint32_t              align = aligns[rand() % 5];

    return (struct dma_limits){
        .highest = pa(rand() % 2 ? REACH : rand() % 2 ? UINT64_MAX : (LOW + 200) * PAGE_SIZE - 1),
        .boundary = rand() % 2 ? 0 : (uint64_t)4096 << (rand() % 5),
        .segment_bytes = rand() % 2 ? 0 : 4096u * (1u + (unsigned)rand() % 4),
        .align = align,
    };
}

/* Pieces that don't overlap: each has a part of memory for itself. */
static size_t random_pieces(struct dma_piece *p, uint32_t align)
{
    size_t n = 1 + (size_t)rand() % 6;

    for (size_t i = 0; i < n; i++) {
        uint64_t slot = (uint64_t)(rand() % 2 ? LOW + 256 : HIGH + 256) + 8 * i;
        uint64_t start = slot * PAGE_SIZE + (uint64_t)(rand() % 3 ? 0 : rand() % 4096), unit = align > 1 ? align : 1;

        p[i] = (struct dma_piece){ pa(start), unit * (1 + (uint64_t)rand() % (4 * PAGE_SIZE / unit)) };
    }
    return n;
}

static void gather(const struct dma_piece *p, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; out += p[i].n_bytes, i++)
        memcpy(out, port_ptr(p[i].start), p[i].n_bytes);
}

static void random_transfers_carry_the_bytes_that_were_meant(void **state)
{
    static uint8_t     seen[6 * 4 * PAGE_SIZE], want[6 * 4 * PAGE_SIZE];
    struct dma_segment room[256];
    unsigned           seed = (unsigned)time(NULL), done = 0;
    pfn_t              kept[2];

    (void)state;
    if (getenv("OCTAVO_SEED") != NULL)
        seed = (unsigned)strtoul(getenv("OCTAVO_SEED"), NULL, 0);
    printf("seed %u\n", seed);
    srand(seed);
    open_world();
    kept[0] = (pfn_t){ LOW + 256 }, kept[1] = (pfn_t){ HIGH + 256 }; /* the pieces' memory is not the bounces' */
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(frame_reserve(kept[i], 64), ERR_OK);
    uint64_t before = frame_totals().free;

    for (unsigned round = 0; round < 3000; round++) {
        struct dma_device   d = { .limits = random_limits(), .guard = rand() % 2 ? &watched : NULL };
        struct dma_transfer t = { .segment = room, .room = 256 };
        struct dma_piece    p[6];
        size_t              n = random_pieces(p, d.limits.align), total = 0;

        for (size_t i = 0; i < n; total += p[i].n_bytes, i++)
            for (uint64_t b = 0; b < p[i].n_bytes; b++)
                bytes_at(p[i].start.raw)[b] = (uint8_t)rand();
        assert_int_equal(dma_map(&d, p, n, DMA_READS | DMA_WRITES, &t), ERR_OK);
        gather(p, n, want);
        device(&t, seen, false);
        assert_memory_equal(seen, want, total);
        for (size_t b = 0; b < total; b++)
            want[b] = (uint8_t)rand();
        device(&t, want, true);
        dma_unmap(&t);
        gather(p, n, seen);
        assert_memory_equal(seen, want, total);
        assert_true(guard.total == 0 && frame_totals().free == before);
        done += d.bytes_bounced != 0;
    }
    assert_true(done > 500);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(frame_release(kept[i], 64), ERR_OK);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_within_reach_is_told_as_it_is_and_neighbours_become_one),
        cmocka_unit_test(what_lies_out_of_reach_goes_there_and_back_by_a_bounce),
        cmocka_unit_test(a_device_that_writes_less_leaves_the_rest_as_it_was),
        cmocka_unit_test(wrong_requests_are_refused_and_hand_nothing_over),
        cmocka_unit_test(every_failure_in_the_middle_leaves_all_as_it_was),
        cmocka_unit_test(a_buffer_is_zero_in_one_piece_and_within_the_limits),
        cmocka_unit_test(random_transfers_carry_the_bytes_that_were_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
