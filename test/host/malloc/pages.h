/* SPDX-License-Identifier: MIT */
/* test/host/malloc/pages.h - the page source under malloc: frames of the buddy manager over one reserved range */
#ifndef TEST_HOST_MALLOC_PAGES_H
#define TEST_HOST_MALLOC_PAGES_H

#include "mm/heap_pages.h"

/* malloc_pages_open - reserve the range, start the frame manager over it; the one source of the process */
struct heap_pages *malloc_pages_open(void);

/* malloc_pages_freeze, malloc_pages_thaw - hold its lock around fork() */
void malloc_pages_freeze(void);
void malloc_pages_thaw(void);

#endif
