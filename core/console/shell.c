/* SPDX-License-Identifier: MIT */
/* core/console/shell.c - finding and running a command */
#include "core/console/shell.h"

#include "core/console/banner.h"
#include "core/console/commands.h"
#include "core/console/input.h"
#include "core/console/line.h"
#include "core/console/selftest.h"
#include "core/console/words.h"
#include "core/dev/fb.h"
#include "core/log.h"
#include "core/str.h"

#define PROMPT          "octavo> "
#define SERIAL_COLUMNS  80
#define COMMANDS_MAX    96
#define LINE_BYTES_MAX  1024 /* of a line that runs: octavo.conf's may be longer than a typed one */
#define ALTERNATIVE_MAX 24   /* a word in `args` that Tab offers                                  */

static const struct command *const tables[] = {
#define TABLE_ENTRY(table) table,
    COMMAND_TABLES(TABLE_ENTRY)
#undef TABLE_ENTRY
};

static struct {
    const struct command *sorted[COMMANDS_MAX]; /* by name; made at the first look */
    unsigned n;
    bool executing, exec_failed;
} sh;

static struct line line;

/* ---- the commands -------------------------------------------------------------------------- */

static void sort_in(const struct command *c)
{
    unsigned i = sh.n;

    ASSERT(sh.n < COMMANDS_MAX);
    for (; i > 0 && strcmp(c->name, sh.sorted[i - 1]->name) < 0; i--)
        sh.sorted[i] = sh.sorted[i - 1];
    sh.sorted[i] = c;
    sh.n++;
}

const struct command *shell_command(unsigned i)
{
    if (sh.n == 0)
        for (size_t t = 0; t < ARRAY_LEN(tables); t++)
            for (const struct command *c = tables[t]; c->name != NULL; c++)
                sort_in(c);
    return i < sh.n ? sh.sorted[i] : NULL;
}

const struct command *shell_find(const char *name)
{
    const struct command *c;

    for (unsigned i = 0; (c = shell_command(i)) != NULL; i++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

unsigned shell_columns(void) { return fb_columns() != 0 ? fb_columns() : SERIAL_COLUMNS; }

/* ---- running ------------------------------------------------------------------------------- */

static err_t run_command(const struct words *w)
{
    const struct command *c = shell_find(w->word[0]);
    char *argv[WORDS_MAX + 1];
    err_t err;

    if (c == NULL) {
        kprintf("%s: no such command, \"help\" lists them\n", w->word[0]);
        return ERR_NOENT;
    }
    memcpy(argv, w->word, sizeof argv);
    err = c->run(w->n, argv);
    if (err == ERR_SYNTAX)
        kprintf("usage: %s%s%s\n", c->name, *c->args != '\0' ? " " : "", c->args);
    else if (err != ERR_OK)
        kprintf("%s: %s\n", c->name, err_str(err));
    return err;
}

static void echo(const struct words *w)
{
    kprintf(LINE_TYPING PROMPT);
    for (unsigned i = 0; i < w->n; i++)
        kprintf("%s%s", w->word[i], i + 1 < w->n ? " " : LINE_TYPING_END "\n");
}

/* One command off the text and run; *text as words_split leaves it. */
static err_t run_next(char **text)
{
    struct words w;
    err_t err = words_split(text, &w);

    if (err == ERR_SYNTAX)
        kprintf("a quote is not closed\n");
    else if (err != ERR_OK)
        kprintf("more than %u words\n", WORDS_MAX);
    if (err == ERR_OK && w.n > 0) {
        if (sh.executing)
            echo(&w);
        err = run_command(&w);
    }
    sh.exec_failed |= sh.executing && err != ERR_OK; /* at once: the next command may be "poweroff" */
    return err;
}

err_t shell_run(const char *text)
{
    char copy[LINE_BYTES_MAX], *rest = copy;
    size_t n = strlen(text);
    err_t first = ERR_OK;

    if (n >= sizeof copy) {
        kprintf("the line is longer than %zu bytes\n", sizeof copy - 1);
        sh.exec_failed |= sh.executing;
        return ERR_INVAL;
    }
    memcpy(copy, text, n + 1);
    while (rest != NULL) {
        err_t err = run_next(&rest);

        first = first == ERR_OK ? err : first;
    }
    return first;
}

static void exec(const char *text)
{
    sh.executing = true;
    if (shell_run(text) != ERR_OK)
        log_warn("shell", "a command of octavo.conf failed");
    sh.executing = false;
}

void shell_failed(void) { sh.exec_failed |= sh.executing; }

int shell_exec_status(void) { return sh.exec_failed; }

/* ---- completion ---------------------------------------------------------------------------- */

/* The command that the word at text[start] is an argument of; NULL if it is the command's name itself */
static const struct command *command_before(const char *text, size_t start, bool *is_name)
{
    char name[ALTERNATIVE_MAX];
    size_t begin = start, n = 0;

    while (begin > 0 && text[begin - 1] != ';')
        begin--;
    while (text[begin] == ' ')
        begin++;
    *is_name = begin >= start;
    while (begin + n < start && text[begin + n] != ' ' && n < sizeof name - 1) {
        name[n] = text[begin + n];
        n++;
    }
    name[n] = '\0';
    return shell_find(name);
}

static bool is_small(char c) { return (c >= 'a' && c <= 'z') || c == '-' || c == '_'; }

/* The i-th word in small letters of a usage line */
static const char *alternative(const char *args, unsigned i)
{
    static char word[ALTERNATIVE_MAX];
    size_t n = 0;

    for (;; i--) {
        while (*args != '\0' && !is_small(*args))
            args++;
        if (*args == '\0')
            return NULL;
        for (n = 0; is_small(*args); args++)
            if (n < sizeof word - 1)
                word[n++] = *args;
        if (i == 0)
            break;
    }
    word[n] = '\0';
    return word;
}

static bool mentions(const char *args, const char *placeholder)
{
    size_t n = strlen(placeholder);

    for (; *args != '\0'; args++)
        if (strncmp(args, placeholder, n) == 0)
            return true;
    return false;
}

static const char *candidate(const char *text, size_t start, unsigned i)
{
    bool is_name;
    const struct command *c = command_before(text, start, &is_name), *named;
    const struct selftest *test;

    if (is_name || (c != NULL && mentions(c->args, "COMMAND"))) {
        named = shell_command(i);
        return named != NULL ? named->name : NULL;
    }
    if (c == NULL)
        return NULL;
    if (mentions(c->args, "TEST")) {
        test = selftest_at(i);
        return test != NULL ? test->name : NULL;
    }
    return alternative(c->args, i);
}

void shell_start(const char *exec_text)
{
    line_open(&line, PROMPT, SERIAL_COLUMNS, candidate, kwrite);
    line.page = fb_page;
    banner_print();
    kprintf("octavo: ready\n");
    exec(exec_text);
    for (;;) {
        line_begin(&line);
        while (!line_feed(&line, input_get()))
            ;
        (void)!shell_run(line.text); /* whoever types sees what failed */
    }
}
