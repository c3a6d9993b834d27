/* SPDX-License-Identifier: MIT */
/*
 * mm/shared.h - memory that several spaces map: by a name, or the contents of a file
 *
 * An object's frames come to exist when they are first touched, and go with the last reference.
 */
#ifndef MM_SHARED_H
#define MM_SHARED_H

#include "mm/region.h"

#define SHARED_NAME_BYTES 32
#define SHARED_PAGES_MAX  ((uint64_t)1 << 24) /* 64 GiB */

/*
 * shared_open - the object of this name, made if there is none: n_pages of zeroes
 *
 *   out     with one reference, for shared_put()
 *   Errors  ERR_INVAL  no name, or too long a one; no pages or too many; it exists with fewer pages
 *           ERR_NOMEM  nothing was made
 */
err_t shared_open(const char *name, uint64_t n_pages, struct shared **out) MUST_USE;

/* shared_open_file - the memory that all shared mappings of a file are of: its bytes, then zeroes to the page's end */
err_t shared_open_file(const struct image_file *file, struct shared **out) MUST_USE;

/* shared_put - one reference less */
void shared_put(struct shared *s);

/* shared_pages - how many it has */
uint64_t shared_pages(const struct shared *s);

#endif
