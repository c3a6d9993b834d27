/* SPDX-License-Identifier: MIT */
/* test/host/map_csv.c - firmware memory maps as text */
#include "test/host/map_csv.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 4

static const char *const field_names[FIELDS] = { "type", "physical_start", "pages", "attribute" };

void map_desc_put(void *descriptors, size_t desc_bytes, size_t i, struct mem_desc d)
{
    unsigned char *p = (unsigned char *)descriptors + i * desc_bytes;

    memset(p, 0xEE, desc_bytes);
    memcpy(p, &d.type, 4);
    memcpy(p + 8, &d.start, 8);
    memcpy(p + 24, &d.pages, 8);
    memcpy(p + 32, &d.attr, 8);
}

/* A whole field as a number up to max; NULL, or what is wrong with it */
static const char *parse_number(const char *s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    unsigned base = 10;

    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        base = 16;
        s += 2;
    }
    if (*s == '\0')
        return "is missing";
    for (; *s != '\0'; s++) {
        unsigned digit = isdigit((unsigned char)*s)    ? (unsigned)(*s - '0')
                         : isxdigit((unsigned char)*s) ? (unsigned)(tolower((unsigned char)*s) - 'a' + 10)
                                                       : base;

        if (digit >= base)
            return "is not a number";
        if (value > (max - digit) / base)
            return "is too large";
        value = value * base + digit;
    }
    *out = value;
    return NULL;
}

static char *trim(char *s)
{
    char *end = s + strlen(s);

    while (end > s && isspace((unsigned char)end[-1]))
        *--end = '\0';
    while (isspace((unsigned char)*s))
        s++;
    return s;
}

/* Cut a line at its commas; the number of fields, of which the first FIELDS are stored */
static unsigned split(char *line, char *fields[FIELDS])
{
    unsigned n = 0;

    for (char *next; line != NULL; line = next, n++) {
        next = strchr(line, ',');
        if (next != NULL)
            *next++ = '\0';
        if (n < FIELDS)
            fields[n] = trim(line);
    }
    return n;
}

static bool is_header(char *const fields[FIELDS])
{
    for (unsigned i = 0; i < FIELDS; i++)
        if (strcmp(fields[i], field_names[i]) != 0)
            return false;
    return true;
}

/* One line that is not blank: a descriptor, or what is wrong in `reason` */
static bool parse_fields(char *const fields[FIELDS], unsigned n, struct mem_desc *d, char *reason,
                         size_t size)
{
    uint64_t value[FIELDS];

    if (n != FIELDS) {
        snprintf(reason, size, "expected 4 fields (type,physical_start,pages,attribute), found %u", n);
        return false;
    }
    for (unsigned i = 0; i < FIELDS; i++) {
        const char *wrong = parse_number(fields[i], i == 0 ? UINT32_MAX : UINT64_MAX, &value[i]);

        if (wrong != NULL) {
            snprintf(reason, size, "%s %s: '%.40s'", field_names[i], wrong, fields[i]);
            return false;
        }
    }
    *d = (struct mem_desc){ (uint32_t)value[0], value[1], value[2], value[3] };
    return true;
}

static void add(struct map_csv *map, struct mem_desc d)
{
    if ((map->n & (map->n - 1)) == 0) { /* at 0 and at each power of two: double */
        size_t room = map->n == 0 ? 1 : 2 * map->n;

        map->descriptors = realloc(map->descriptors, room * map->desc_bytes);
        if (map->descriptors == NULL)
            abort();
    }
    map_desc_put(map->descriptors, map->desc_bytes, map->n++, d);
}

err_t map_csv_read(struct map_csv *map, FILE *file, const char *name, size_t desc_bytes, FILE *errors)
{
    char *line = NULL, reason[128] = "";
    size_t room = 0;
    ssize_t length;
    size_t number = 0;

    *map = (struct map_csv){ .desc_bytes = desc_bytes };
    while (reason[0] == '\0' && (length = getline(&line, &room, file)) >= 0) {
        char *text, *fields[FIELDS];
        struct mem_desc d;
        unsigned n;

        number++;
        if (strlen(line) != (size_t)length) {
            snprintf(reason, sizeof reason, "not text: a zero byte");
            break;
        }
        text = trim(line);
        if (*text == '\0' || *text == '#')
            continue;
        n = split(text, fields);
        if (n == FIELDS && number == 1 && is_header(fields))
            continue;
        if (parse_fields(fields, n, &d, reason, sizeof reason))
            add(map, d);
    }
    free(line);
    if (reason[0] == '\0' && ferror(file))
        snprintf(reason, sizeof reason, "cannot be read");
    if (reason[0] == '\0' && map->n == 0)
        snprintf(reason, sizeof reason, "no descriptor");
    if (reason[0] == '\0')
        return ERR_OK;
    if (errors != NULL)
        fprintf(errors, "%s:%zu: %s\n", name, number > 0 ? number : 1, reason);
    map_csv_free(map);
    return ERR_SYNTAX;
}

void map_csv_free(struct map_csv *map)
{
    free(map->descriptors);
    *map = (struct map_csv){ 0 };
}
