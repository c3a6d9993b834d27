/* SPDX-License-Identifier: MIT */
/*
 * core/selftest/text.c - memory and string functions, formatting, and the log, as compiled for the
 * machine: another compiler and another ABI than the host's tests use
 */
#include "core/console/selftest.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/str.h"

#define TAG      "selftest"
#define AREA     96
#define COPY_MAX 40

#define EXPECT(cond)                                                                                         \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            log_error(TAG, "%s:%d: %s does not hold", __FILE__, __LINE__, #cond);                            \
            return ERR_CORRUPT;                                                                              \
        }                                                                                                    \
    } while (0)

static unsigned char area[AREA], twin[AREA];

static void number_both(void)
{
    for (unsigned i = 0; i < AREA; i++)
        area[i] = twin[i] = (unsigned char)(i + 1);
}

static bool same(void)
{
    for (unsigned i = 0; i < AREA; i++)
        if (area[i] != twin[i])
            return false;
    return true;
}

/* Bytes one at a time, by way of a third place, so that an overlap does not matter */
static void plain_move(unsigned char *to, const unsigned char *from, size_t n)
{
    unsigned char copy[COPY_MAX];

    for (size_t i = 0; i < n; i++)
        copy[i] = from[i];
    for (size_t i = 0; i < n; i++)
        to[i] = copy[i];
}

/* All lengths, alignments and overlaps, against the plain way */
static err_t check_copies(void)
{
    for (size_t n = 0; n <= COPY_MAX; n++) {
        for (size_t to = 24; to < 56; to++) {
            number_both();
            memmove(area + to, area + 40, n);
            plain_move(twin + to, twin + 40, n);
            EXPECT(same());
            number_both();
            EXPECT(memset(area + to, 0xa5, n) == area + to);
            for (size_t i = 0; i < n; i++)
                twin[to + i] = 0xa5;
            EXPECT(same());
        }
        number_both();
        EXPECT(memcpy(area + 51, twin + 3, n) == area + 51);
        plain_move(twin + 51, twin + 3, n);
        EXPECT(same() && memcmp(area, twin, AREA) == 0);
    }
    return ERR_OK;
}

static err_t run_str(void)
{
    err_t err = check_copies();

    if (err != ERR_OK)
        return err;
    number_both();
    twin[AREA - 1] = 0;
    EXPECT(memcmp(area, twin, AREA) > 0 && memcmp(twin, area, AREA) < 0 && memcmp(area, twin, AREA - 1) == 0);
    EXPECT(strlen("") == 0 && strlen("octavo") == 6);
    EXPECT(strcmp("a", "b") < 0 && strcmp("ab", "a") > 0 && strcmp("a\x80", "a\x01") > 0 &&
           strcmp("x", "x") == 0);
    EXPECT(strncmp("abc", "abd", 2) == 0 && strncmp("abc", "abd", 3) < 0 && strncmp("", "x", 0) == 0);
    EXPECT(*strchr("frame", 'm') == 'm' && strchr("frame", 'x') == NULL && *strchr("frame", '\0') == '\0');
    return ERR_OK;
}

static err_t run_fmt(void)
{
    char text[96], size[FMT_SIZE_BYTES];
    uint64_t value = 0;

    fmt_string(text, sizeof text, "%5d|%-5u|%#llx|%016llx|%c%s|%zu|%hd|%.2s|%*d", -42, 7u,
               0xffffffffffffffffULL, 0x123456789abcULL, 'x', "yz", (size_t)1 << 40, (short)-2, "abcdef", 4,
               5);
    EXPECT(strcmp(text, "  -42|7    |0xffffffffffffffff|0000123456789abc|xyz|1099511627776|-2|ab|   5") == 0);
    EXPECT(fmt_read_u64("0x10M", &value) == ERR_OK && value == 16 * MIB);
    EXPECT(fmt_read_u64("12q", &value) == ERR_SYNTAX && value == 16 * MIB);
    EXPECT(strcmp(fmt_size(size, 3 * GIB / 2), "1.5 GiB") == 0);
    return ERR_OK;
}

static struct {
    char last[96];
    size_t n;
    unsigned n_lines;
} seen;

static void look(const char *text, size_t n)
{
    seen.n = n < sizeof seen.last - 1 ? n : sizeof seen.last - 1;
    memcpy(seen.last, text, seen.n);
    seen.last[seen.n] = '\0';
    seen.n_lines++;
}

/* A line comes back as it was logged, as one line, even one that is not printed. */
static err_t run_log(void)
{
    log_debug(TAG, "one event,\none line");
    seen.n_lines = 0;
    log_replay(look, 3);
    EXPECT(seen.n_lines == 3);
    EXPECT(seen.last[0] == '[' && strchr(seen.last, 'D') != NULL);
    EXPECT(strcmp(strchr(seen.last, 'D'), "D selftest: one event, one line\n") == 0);
    return ERR_OK;
}

const struct selftest selftest_str = { "str", run_str };
const struct selftest selftest_fmt = { "fmt", run_fmt };
const struct selftest selftest_log = { "log", run_log };
