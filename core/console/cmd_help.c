/* SPDX-License-Identifier: MIT */
/* core/console/cmd_help.c - finding one's way: help, echo, clear */
#include "core/console/commands.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/str.h"

#define USAGE_BYTES   96
#define USAGE_COLUMNS 32 /* a longer usage gets a line of its own */

static const char *usage_of(const struct command *c, char out[USAGE_BYTES])
{
    fmt_string(out, USAGE_BYTES, "%s %s", c->name, c->args);
    return out;
}

static err_t list_all(void)
{
    const struct command *c;
    char usage[USAGE_BYTES];

    for (unsigned i = 0; (c = shell_command(i)) != NULL; i++) {
        usage_of(c, usage);
        if (strlen(usage) > USAGE_COLUMNS)
            kprintf("  %s\n  %*s  %s\n", usage, USAGE_COLUMNS, "", c->help);
        else
            kprintf("  %-*s  %s\n", USAGE_COLUMNS, usage, c->help);
    }
    kprintf("\nSeveral commands stand in a line with ';' between them. Numbers are decimal or 0x..., with\n"
            "K, M, G or T behind them. Tab completes, the up arrow brings lines back.\n");
    return ERR_OK;
}

static err_t help(unsigned argc, char *argv[])
{
    const struct command *c;

    if (argc > 2)
        return ERR_SYNTAX;
    if (argc == 1)
        return list_all();
    c = shell_find(argv[1]);
    if (c == NULL)
        return ERR_NOENT;
    kprintf("usage: %s %s\n  %s\n", c->name, c->args, c->help);
    return ERR_OK;
}

static err_t echo(unsigned argc, char *argv[])
{
    for (unsigned i = 1; i < argc; i++)
        kprintf("%s%s", argv[i], i + 1 < argc ? " " : "");
    kprintf("\n");
    return ERR_OK;
}

static err_t clear(unsigned argc, char *argv[])
{
    (void)argv;
    if (argc > 1)
        return ERR_SYNTAX;
    kprintf("\033[H\033[2J");
    return ERR_OK;
}

const struct command commands_help[] = {
    { "help", "[COMMAND]", "what there is, or how one command is used", help },
    { "echo", "[WORD ...]", "print the words", echo },
    { "clear", "", "an empty screen", clear },
    { NULL, NULL, NULL, NULL },
};
