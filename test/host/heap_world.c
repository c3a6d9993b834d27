/* SPDX-License-Identifier: MIT */
/* test/host/heap_world.c - a page source for tests, over reserved addresses of the process */
#include "test/host/heap_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static err_t world_commit(struct heap_window *window, void *start, size_t n_pages, bool *zeroed)
{
    struct heap_world *w = (struct heap_world *)(void *)window;

    w->commits++;
    if (w->fail_in != 0 && --w->fail_in == 0)
        return ERR_NOMEM;
    if (w->limit != 0 && window->n_committed + n_pages > w->limit)
        return ERR_NOMEM;
    if (window->n_committed + n_pages > w->peak)
        w->peak = window->n_committed + n_pages;
#ifdef OCTAVO_DEBUG /* the sanitized build: what was not committed faults */
    if (mprotect(start, n_pages * PAGE_SIZE, PROT_READ | PROT_WRITE) != 0)
        return ERR_NOMEM;
    *zeroed = false;
    __builtin_memset(start, 0xc3, n_pages * PAGE_SIZE);
#else
    (void)start;
    *zeroed = false;
#endif
    return ERR_OK;
}

static void world_decommit(struct heap_window *window, void *start, size_t n_pages)
{
    (void)window;
#ifdef OCTAVO_DEBUG
    mprotect(start, n_pages * PAGE_SIZE, PROT_NONE);
#else
    (void)start;
    (void)n_pages;
#endif
}

void heap_world_open(struct heap_world *w, uint64_t n_pages)
{
    static const struct heap_window_ops ops = { .commit = world_commit, .decommit = world_decommit };
#ifdef OCTAVO_DEBUG
    int protection = PROT_NONE;
#else
    int protection = PROT_READ | PROT_WRITE;
#endif

    *w = (struct heap_world){ .bytes = heap_window_bytes(n_pages) };
    w->start = mmap(NULL, w->bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w->start == MAP_FAILED || heap_window_open(&w->window, w->start, n_pages, &ops) != ERR_OK ||
        heap_map_open(&w->map, &w->window.pages) != ERR_OK) {
        perror("heap_world: cannot reserve addresses");
        exit(1);
    }
}

uint64_t heap_world_close(struct heap_world *w)
{
    heap_map_close(&w->map);
    heap_window_close(&w->window);

    uint64_t left = w->window.n_committed;

    munmap(w->start, w->bytes);
    return left;
}
