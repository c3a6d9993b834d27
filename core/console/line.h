/* SPDX-License-Identifier: MIT */
/*
 * core/console/line.h - editing one line of text
 *
 * Portable: bytes go in one at a time, as a terminal sends them; bytes for the terminal come out
 * through a function. The machine's console and the host tests both drive it.
 */
#ifndef CORE_CONSOLE_LINE_H
#define CORE_CONSOLE_LINE_H

#include "mm/types.h"

#define LINE_BYTES   512 /* with the '\0' */
#define LINE_HISTORY 16

/* What a person types looks different from what comes back. Nothing is sent between prompt and text. */
#define LINE_TYPING     "\033[36m"
#define LINE_TYPING_END "\033[0m"

/*
 * line_candidate_fn - the i-th word that Tab could put in place of text[start..], or NULL after the
 * last; only those that begin like text[start..] are used, so more may be offered
 *
 *   text   the line up to the cursor
 */
typedef const char *line_candidate_fn(const char *text, size_t start, unsigned i);

struct line {
    /* set by line_open and constant after */
    const char *prompt;
    unsigned columns;
    line_candidate_fn *candidate;
    void (*write)(const char *text, size_t n_bytes);
    void (*page)(int pages); /* Page Up (-1) and Page Down (1) are not the line's; may be NULL */

    char text[LINE_BYTES]; /* always ends in '\0'                                          */
    size_t n, cursor;      /* cursor <= n < LINE_BYTES                                     */

    char shown[LINE_BYTES]; /* what stands right of the prompt: a window of the text       */
    size_t n_shown, at;     /* its length; the terminal's cursor in it                     */
    size_t left;            /* the window's first character in the text                    */

    uint8_t state;  /* enum in line.c: inside an escape sequence                   */
    unsigned param; /* its number                                                  */
    bool tabbed;    /* the last key was Tab and changed nothing                    */

    char history[LINE_HISTORY][LINE_BYTES]; /* a ring                                    */
    unsigned n_history;                     /* lines ever put in                         */
    unsigned back;                          /* how far up we are, 0: the line being typed */
    char typed[LINE_BYTES];                 /* that line, while we are up                 */
    char killed[LINE_BYTES];                /* what ^K ^U ^W took last, for ^Y            */
};

/*
 * line_open - an editor with an empty history
 *
 *   columns    width of the narrowest terminal; longer lines scroll sideways   [characters]
 *   candidate  for Tab, may be NULL
 */
void line_open(struct line *l, const char *prompt, unsigned columns, line_candidate_fn *candidate,
               void (*write)(const char *text, size_t n_bytes));

/* line_begin - print the prompt and start with an empty line */
void line_begin(struct line *l);

/*
 * line_feed - one byte from the terminal
 *
 *   Returns true when the line was finished by Enter: it is in l->text then, and, if not blank, in
 *   the history. Call line_begin for the next.
 *
 *   Keys: ^A Home, ^E End, ^B ^F and arrows, ^D Delete, ^H Backspace, ^K ^U ^W to the end, to the
 *   start, back a word; ^Y brings that back; ^P ^N up and down, ^L clears the screen, ^C drops the
 *   line, Tab completes, a second one lists.
 */
bool line_feed(struct line *l, char byte);

#endif
