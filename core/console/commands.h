/* SPDX-License-Identifier: MIT */
/*
 * core/console/commands.h - the tables of commands that there are; a new cmd_<subject>.c adds a line
 */
#ifndef CORE_CONSOLE_COMMANDS_H
#define CORE_CONSOLE_COMMANDS_H

#include "core/console/shell.h"

#define COMMAND_TABLES(X)                                                                                    \
    X(commands_bench)                                                                                        \
    X(commands_buddy)                                                                                        \
    X(commands_devices)                                                                                      \
    X(commands_frames)                                                                                       \
    X(commands_heap)                                                                                         \
    X(commands_help)                                                                                         \
    X(commands_machine)                                                                                      \
    X(commands_map)                                                                                          \
    X(commands_pages)                                                                                        \
    X(commands_proc)                                                                                         \
    X(commands_programs)                                                                                     \
    X(commands_segments)                                                                                     \
    X(commands_fault)                                                                                        \
    X(commands_selftest)

#define DECLARE_COMMANDS(table) extern const struct command table[];
COMMAND_TABLES(DECLARE_COMMANDS)
#undef DECLARE_COMMANDS

#endif
