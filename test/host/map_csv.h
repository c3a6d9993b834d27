/* SPDX-License-Identifier: MIT */
/*
 * test/host/map_csv.h - firmware memory maps as text: type,physical_start,pages,attribute
 *
 * Numbers are decimal, or hexadecimal after 0x. Blank lines, lines that start with '#' and the header
 * line are skipped; lines may end in LF or CRLF.
 */
#ifndef TEST_HOST_MAP_CSV_H
#define TEST_HOST_MAP_CSV_H

#include <stdio.h>

#include "mm/range.h"

struct map_csv {
    unsigned char *descriptors; /* raw descriptors, as GetMemoryMap returns them */
    size_t n;
    size_t desc_bytes;
};

/*
 * map_csv_read - read a map from a text file into raw descriptors of desc_bytes each
 *
 *   name    for the complaint
 *   errors  where the complaint goes, one line `NAME:LINE: reason`; NULL: nowhere
 *
 *   Errors  ERR_SYNTAX  malformed, or no descriptor in it
 */
err_t map_csv_read(struct map_csv *map, FILE *file, const char *name, size_t desc_bytes,
                   FILE *errors) MUST_USE;

void map_csv_free(struct map_csv *map);

/* map_desc_put - write descriptor number i into a raw map; what lies between its fields becomes 0xEE */
void map_desc_put(void *descriptors, size_t desc_bytes, size_t i, struct mem_desc d);

#endif
