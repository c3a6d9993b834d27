/* SPDX-License-Identifier: MIT */
/*
 * octavo-map FILE.csv - normalise a firmware memory map as the kernel does
 *
 * Reads lines `type,physical_start,pages,attribute`; prints lines `kind,physical_start,pages,attribute`
 * and what became of the pages. Status 1 for a file that cannot be used, 2 for wrong usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/range.h"
#include "test/host/map_csv.h"

#define DESC_BYTES 48 /* what most firmware uses */

static void print_sum(mem_sum_t sum)
{
    char digits[40], *p = digits + sizeof digits;

    *--p = '\0';
    do
        *--p = (char)('0' + (int)(sum % 10));
    while ((sum /= 10) != 0);
    fputs(p, stdout);
}

static void print_map(const struct mem_map *m)
{
    bool any = false;

    for (size_t i = 0; i < m->n; i++) {
        const struct mem_range *r = &m->ranges[i];

        printf("%s,0x%" PRIx64 ",%" PRIu64 ",0x%" PRIx64 "\n", mem_kind_name(r->kind),
               pfn_to_pa(r->start).raw, r->end.idx - r->start.idx, r->attr);
    }
    fputs("# pages in ", stdout);
    print_sum(m->pages_in);
    printf(", out %" PRIu64, m->pages_out);
    for (unsigned rule = 0; rule < MEM_RULES; rule++) {
        if (m->hits[rule] == 0)
            continue;
        fputs(", dropped ", stdout);
        print_sum(m->dropped[rule]);
        printf(" by %s", mem_rule_name(rule));
        any = true;
    }
    puts(any ? "" : ", dropped 0 by any rule");
}

int main(int argc, char **argv)
{
    struct map_csv csv;
    struct mem_map map;
    struct mem_range *store;
    FILE *file;
    err_t err;

    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: octavo-map FILE.csv\n");
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    file = fopen(argv[1], "r");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    err = map_csv_read(&csv, file, argv[1], DESC_BYTES, stderr);
    fclose(file);
    if (err != ERR_OK)
        return 1;
    store = calloc(MEM_MAP_CAPACITY(csv.n), sizeof *store);
    if (store == NULL)
        abort();
    err = mem_map_read(&map, store, MEM_MAP_CAPACITY(csv.n), csv.descriptors, csv.n * DESC_BYTES, DESC_BYTES);
    if (err == ERR_OK)
        print_map(&map);
    else
        fprintf(stderr, "%s: %s\n", argv[1], err_str(err));
    free(store);
    map_csv_free(&csv);
    return err == ERR_OK && fflush(stdout) == 0 ? 0 : 1;
}
