/* SPDX-License-Identifier: MIT */
/* core/console/shell.h - finding and running a command */
#ifndef CORE_CONSOLE_SHELL_H
#define CORE_CONSOLE_SHELL_H

#include "mm/err.h"

/* One command. Tables of them stand in core/console/cmd_<subject>.c and end with a NULL name. */
struct command {
    const char *name;
    const char *args; /* for the usage line: "ADDRESS", "[START END]", "" */
    const char *help; /* one line                                         */

    /*
     * argv[0] is the name; argc >= 1. Returns ERR_OK when it did what was asked; ERR_SYNTAX makes the
     * shell print the usage line; any other error is printed in words by the shell. Never panics on
     * wrong input.
     */
    err_t (*run)(unsigned argc, char *argv[]);
};

/*
 * shell_run - run a line: commands separated by ';', words by blanks, "#" starts a comment
 *
 *   Returns ERR_OK if every command succeeded, else the first error; all commands run in any case.
 */
err_t shell_run(const char *line) MUST_USE;

/* shell_loop - read lines from the console for ever */
NORETURN void shell_loop(void);

#endif
