/* SPDX-License-Identifier: MIT */
/* core/console/words.c - a line into commands, a command into words */
#include "core/console/words.h"

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
static bool ends_command(char c) { return c == '\0' || c == ';' || c == '\n'; }

/* Moves over blanks and a comment; returns where a word or the command's end is. */
static char *next_word(char *p)
{
    while (is_blank(*p))
        p++;
    if (*p == '#')
        while (*p != '\0' && *p != '\n')
            p++;
    return p;
}

/*
 * Reads the word at *from, and closes it up to what is left when its quotes are gone. *from is moved
 * behind it; the byte there is *after (it may be the one that the word's '\0' overwrites).
 */
static err_t take_word(char **from, char *after)
{
    char *in = *from, *out = *from, quote = '\0';

    for (; quote != '\0' ? *in != '\0' : !is_blank(*in) && !ends_command(*in); in++) {
        if (*in == quote)
            quote = '\0';
        else if (quote == '\0' && (*in == '"' || *in == '\''))
            quote = *in;
        else
            *out++ = *in;
    }
    if (quote != '\0')
        return ERR_SYNTAX;
    *after = *in;
    *out = '\0';
    *from = in;
    return ERR_OK;
}

err_t words_split(char **line, struct words *out)
{
    char *p = next_word(*line), here = *p;
    err_t err = ERR_OK;

    out->n = 0;
    while (!ends_command(here)) {
        char *word = p;

        if (take_word(&p, &here) != ERR_OK) {
            out->n = 0;
            out->word[0] = NULL;
            *line = NULL;
            return ERR_SYNTAX;
        }
        if (out->n < WORDS_MAX)
            out->word[out->n++] = word;
        else
            err = ERR_NOMEM;
        if (is_blank(here)) {
            p = next_word(p + 1);
            here = *p;
        }
    }
    out->word[out->n] = NULL;
    *line = here == '\0' ? NULL : p + 1;
    return err;
}
