/* SPDX-License-Identifier: MIT */
/* core/console/shell.h - finding and running a command */
#ifndef CORE_CONSOLE_SHELL_H
#define CORE_CONSOLE_SHELL_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * One command. Tables of them stand in core/console/cmd_<subject>.c, end with a NULL name, and are
 * listed in core/console/commands.h.
 */
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
 * In `args`, words in capitals stand for something, [ ] for what may be left out, | for a choice;
 * words in small letters are typed as they are, and Tab completes them. COMMAND and TEST are
 * completed with the names there are.
 */

/*
 * shell_run - run a line of text: commands separated by ';', words by blanks, "#" starts a comment
 *
 *   Returns ERR_OK if every command succeeded, else the first error; all commands run in any case.
 */
err_t shell_run(const char *text) MUST_USE;

/* shell_failed - what a command of octavo.conf did has failed, though the command itself has not: no more words about it */
void shell_failed(void);

/* shell_exec_status - 1 if a command of octavo.conf failed, else 0 */
int shell_exec_status(void);

/* shell_find - the command of that name, NULL if there is none */
const struct command *shell_find(const char *name);

/* shell_command - the i-th of all commands in the order of their names, NULL after the last */
const struct command *shell_command(unsigned i);

/* A table's heading is quieter than its rows: kprintf(HEADING("%8s %8s\n"), "frames", "size") */
#define HEADING_ON    "\033[90m"
#define HEADING_OFF   "\033[0m"
#define HEADING(text) HEADING_ON text HEADING_OFF

/* shell_columns - characters that fit in a line of output */
unsigned shell_columns(void);

/* shell_start - greet, run the commands of octavo.conf, then read lines from the console for ever */
NORETURN void shell_start(const char *exec);

#endif
