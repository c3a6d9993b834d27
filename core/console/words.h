/* SPDX-License-Identifier: MIT */
/* core/console/words.h - a line into commands, a command into words; portable */
#ifndef CORE_CONSOLE_WORDS_H
#define CORE_CONSOLE_WORDS_H

#include "mm/err.h"
#include "mm/types.h"

#define WORDS_MAX 24

struct words {
    unsigned n;
    char *word[WORDS_MAX + 1]; /* they lie in the line that was split; NULL after the last */
};

/*
 * words_split - take the next command off a line
 *
 *   line   where to go on; moved behind the command, NULL after the last. The text is changed: words
 *          are put together and ended in it
 *   out    its words, perhaps none
 *
 *   Blanks part words; ';' and the end of a line part commands; '#' at the start of a word begins a
 *   comment, up to the end of the line. 'quoted' and "quoted" text is part of a word as it stands.
 *
 *   Errors  ERR_SYNTAX  a quote is not closed (*line is NULL then: the rest cannot be understood)
 *           ERR_NOMEM   more than WORDS_MAX words; *line has moved on
 */
err_t words_split(char **line, struct words *out) MUST_USE;

#endif
