/* SPDX-License-Identifier: MIT */
/*
 * efi/config_parse.c - the text of octavo.conf and of LoadOptions
 *
 *   key            values                                  meaning
 *   exec           console commands, separated by ';'      run after boot
 *   console        serial, screen, or both with a comma    where text goes
 *   paging         4, 5, auto                              levels of page tables
 *   log            error, warn, info, debug                what is printed of the log
 *   debug_exit     a port number, 0 = none                 QEMU's isa-debug-exit
 *   heap           default, list, bitmap                   the kernel heap's policy
 *   heap.debug     0, 1                                    red zones, fill patterns, quarantine
 *   overcommit     strict, heuristic                       what memory programs are promised
 *   tables.check   0, 1                                    page tables through both ways, compared
 *   tlb.check      0, 1                                    every missing flush is named
 */
#include "efi/config_parse.h"

#include "mm/port.h"
#include "mm/region.h"

struct word { const char *start; size_t n; };

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static struct word trim(struct word w)
{
    while (w.n > 0 && is_blank(w.start[0]))
        w.start++, w.n--;
    while (w.n > 0 && is_blank(w.start[w.n - 1]))
        w.n--;
    return w;
}

static bool same(struct word w, const char *text)
{
    size_t n = __builtin_strlen(text);

    return w.n == n && __builtin_memcmp(w.start, text, n) == 0;
}

/* append - as much of w as there is room for; the text always ends in '\0' */
static void append(char out[BOOT_CONFIG_TEXT], struct word w)
{
    size_t at = __builtin_strlen(out);

    for (size_t i = 0; i < w.n && at < BOOT_CONFIG_TEXT - 1; i++)
        out[at++] = w.start[i] >= ' ' && w.start[i] <= '~' ? w.start[i] : '?';
    out[at] = '\0';
}

static void complain(struct boot_config *c, struct word key, struct word value)
{
    append(c->unknown, key);
    append(c->unknown, (struct word){ "=", 1 });
    append(c->unknown, value);

    size_t at = __builtin_strlen(c->unknown);

    if (at < BOOT_CONFIG_TEXT - 1)
        c->unknown[at] = '\n', c->unknown[at + 1] = '\0';
}

static bool parse_bool(struct word v, bool *out)
{
    if (!same(v, "0") && !same(v, "1"))
        return false;
    *out = v.start[0] == '1';
    return true;
}

static bool parse_number(struct word v, unsigned most, unsigned *out)
{
    unsigned base = 10, number = 0;

    if (v.n > 2 && v.start[0] == '0' && v.start[1] == 'x')
        base = 16, v.start += 2, v.n -= 2;
    if (v.n == 0)
        return false;
    for (size_t i = 0; i < v.n; i++) {
        char     d = v.start[i];
        unsigned digit = d >= '0' && d <= '9'   ? (unsigned)(d - '0')
                         : d >= 'a' && d <= 'f' ? (unsigned)(d - 'a') + 10
                         : d >= 'A' && d <= 'F' ? (unsigned)(d - 'A') + 10
                                                : 16;
        if (digit >= base || number > (most - digit) / base)
            return false;
        number = number * base + digit;
    }
    *out = number;
    return true;
}

static bool parse_console(struct word v, unsigned *out)
{
    unsigned where = 0;

    while (v.n > 0) {
        struct word part = { v.start, 0 };

        while (part.n < v.n && v.start[part.n] != ',')
            part.n++;
        v.start += part.n, v.n -= part.n;
        if (v.n > 0)
            v.start++, v.n--;
        part = trim(part);
        if (same(part, "serial"))
            where |= BOOT_CONSOLE_SERIAL;
        else if (same(part, "screen"))
            where |= BOOT_CONSOLE_SCREEN;
        else
            return false;
    }
    if (where != 0)
        *out = where;
    return where != 0;
}

static bool parse_paging(struct word v, unsigned *out)
{
    if (same(v, "auto"))
        *out = 0;
    else if (same(v, "4") || same(v, "5"))
        *out = (unsigned)(v.start[0] - '0');
    else
        return false;
    return true;
}

static bool parse_log(struct word v, unsigned *out)
{
    static const char *const levels[] = { "error", "warn", "info", "debug" };

    for (unsigned i = 0; i < ARRAY_LEN(levels); i++)
        if (same(v, levels[i])) {
            *out = i;
            return true;
        }
    return false;
}

static bool parse_heap(struct word v, unsigned *out)
{
    static const char *const policies[] = { "default", "list", "bitmap" };

    for (unsigned i = 0; i < ARRAY_LEN(policies); i++)
        if (same(v, policies[i])) {
            *out = i;
            return true;
        }
    return false;
}

static bool parse_overcommit(struct word v, unsigned *out)
{
    bool strict = same(v, "strict");

    if (!strict && !same(v, "heuristic"))
        return false;
    *out = strict ? OVERCOMMIT_STRICT : OVERCOMMIT_HEURISTIC;
    return true;
}

static bool parse_exec(struct word v, char out[BOOT_CONFIG_TEXT])
{
    if (v.n >= BOOT_CONFIG_TEXT)
        return false; /* half a list of commands is worse than none */
    out[0] = '\0';
    append(out, v);
    return true;
}

static void apply(struct boot_config *c, struct word key, struct word value)
{
    bool ok = same(key, "exec")           ? parse_exec(value, c->exec)
              : same(key, "console")      ? parse_console(value, &c->console)
              : same(key, "paging")       ? parse_paging(value, &c->paging)
              : same(key, "log")          ? parse_log(value, &c->log_level)
              : same(key, "debug_exit")   ? parse_number(value, 0xFFFF, &c->debug_exit_port)
              : same(key, "heap")         ? parse_heap(value, &c->heap_policy)
              : same(key, "heap.debug")   ? parse_bool(value, &c->heap_debug)
              : same(key, "overcommit")   ? parse_overcommit(value, &c->overcommit)
              : same(key, "tables.check") ? parse_bool(value, &c->tables_check)
              : same(key, "tlb.check")    ? parse_bool(value, &c->tlb_check)
                                          : false;

    if (!ok)
        complain(c, key, value);
}

void config_defaults(struct boot_config *c)
{
    *c = (struct boot_config){
        .console = BOOT_CONSOLE_SERIAL | BOOT_CONSOLE_SCREEN,
        .log_level = PORT_INFO,
    };
}

/* split - cut "key=value" at the first '='; a word without one is all key */
static bool split(struct word w, struct word *key, struct word *value)
{
    size_t n = 0;

    while (n < w.n && w.start[n] != '=')
        n++;
    *key = trim((struct word){ w.start, n });
    *value = n < w.n ? trim((struct word){ w.start + n + 1, w.n - n - 1 }) : (struct word){ w.start + n, 0 };
    return n < w.n;
}

void config_parse_file(struct boot_config *c, const char *text, size_t n_bytes)
{
    for (size_t at = 0; at < n_bytes; at++) {
        struct word line = { text + at, 0 }, key, value;

        while (at < n_bytes && text[at] != '\n')
            at++, line.n++;
        line = trim(line);
        if (line.n == 0 || line.start[0] == '#')
            continue;
        if (split(line, &key, &value))
            apply(c, key, value);
        else
            complain(c, key, value);
    }
}

void config_parse_options(struct boot_config *c, const char *text, size_t n_bytes)
{
    for (size_t at = 0; at < n_bytes;) {
        struct word word = { text + at, 0 }, key, value;
        bool        quoted = false;

        while (at < n_bytes && (quoted || !is_blank(text[at]))) {
            quoted ^= text[at] == '"';
            at++, word.n++;
        }
        at++;
        if (!split(word, &key, &value))
            continue;
        if (value.n >= 2 && value.start[0] == '"' && value.start[value.n - 1] == '"')
            value.start++, value.n -= 2;
        apply(c, key, value);
    }
}
