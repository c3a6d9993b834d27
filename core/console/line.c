/* SPDX-License-Identifier: MIT */
/*
 * core/console/line.c - editing one line of text
 *
 * Keys change only text and cursor; refresh() then finds the first character in which the window
 * that should be seen differs from the one that is, and sends just what is needed. So typing at the
 * end sends the character alone, and the prompt is printed once for each line.
 *
 *     text     |alloc 5; frames; buddy 0x100000 0x200000; walk 0xffff800000|
 *                      |<-------- window: left, n_shown --------->|
 */
#include "core/console/line.h"

#include "core/fmt.h"

#define KEY(c) ((c)&0x1f) /* with Control held */

#define WINDOW_MIN 8
#define LIST_GAP   2

/* struct line.state: after nothing, ESC, ESC [ , ESC O */
enum { PLAIN, ESCAPE, CONTROL, SINGLE };

static size_t length(const char *s)
{
    size_t n = 0;

    while (s[n] != '\0')
        n++;
    return n;
}

static void copy(char *to, const char *from, size_t n)
{
    __builtin_memmove(to, from, n);
    to[n] = '\0';
}

/* ---- what the terminal shows --------------------------------------------------------------- */

static size_t window_width(const struct line *l)
{
    size_t used = length(l->prompt) + 1; /* a column stays free: writing the last one may wrap */

    return l->columns > used + WINDOW_MIN ? l->columns - used : WINDOW_MIN;
}

static void move_to(struct line *l, size_t at)
{
    char sequence[16];
    size_t n = 0;

    if (at + 1 == l->at)
        n = fmt_string(sequence, sizeof sequence, "\b");
    else if (at < l->at)
        n = fmt_string(sequence, sizeof sequence, "\033[%uD", (unsigned)(l->at - at));
    else if (at > l->at)
        n = fmt_string(sequence, sizeof sequence, "\033[%uC", (unsigned)(at - l->at));
    if (n > 0)
        l->write(sequence, n);
    l->at = at;
}

static void choose_window(struct line *l)
{
    size_t width = window_width(l);

    if (l->cursor < l->left)
        l->left = l->cursor > width / 2 ? l->cursor - width / 2 : 0;
    if (l->cursor > l->left + width)
        l->left = l->cursor - width / 2;
    if (l->n <= width)
        l->left = 0;
}

static void refresh(struct line *l)
{
    size_t width = window_width(l), n, same = 0;
    const char *wanted;

    choose_window(l);
    wanted = l->text + l->left;
    n = l->n - l->left < width ? l->n - l->left : width;

    while (same < n && same < l->n_shown && wanted[same] == l->shown[same])
        same++;
    if (same < n || same < l->n_shown) {
        move_to(l, same);
        l->write(wanted + same, n - same);
        l->at = n;
        if (n < l->n_shown)
            l->write("\033[K", 3);
        copy(l->shown, wanted, n);
        l->n_shown = n;
    }
    move_to(l, l->cursor - l->left);
}

/* The cursor goes behind the text, and to a new line; `mark` is put at the end of the old one. */
static void leave_line(struct line *l, const char *mark)
{
    move_to(l, l->n_shown);
    l->write(mark, length(mark));
    l->write(LINE_TYPING_END "\n", sizeof(LINE_TYPING_END "\n") - 1);
}

static void show_prompt(struct line *l)
{
    l->write(LINE_TYPING, sizeof LINE_TYPING - 1);
    l->write(l->prompt, length(l->prompt));
    l->n_shown = l->at = 0;
}

/* ---- changing the text --------------------------------------------------------------------- */

static void insert(struct line *l, const char *text, size_t n)
{
    size_t room = LINE_BYTES - 1 - l->n;

    n = n < room ? n : room;
    __builtin_memmove(l->text + l->cursor + n, l->text + l->cursor, l->n - l->cursor);
    __builtin_memcpy(l->text + l->cursor, text, n);
    l->n += n;
    l->cursor += n;
    l->text[l->n] = '\0';
}

/* The cursor goes to where the text was taken out. */
static void erase(struct line *l, size_t from, size_t to)
{
    __builtin_memmove(l->text + from, l->text + to, l->n - to + 1);
    l->n -= to - from;
    l->cursor = from;
}

static void kill(struct line *l, size_t from, size_t to)
{
    if (from == to)
        return;
    copy(l->killed, l->text + from, to - from);
    erase(l, from, to);
}

static size_t word_start(const struct line *l)
{
    size_t i = l->cursor;

    while (i > 0 && l->text[i - 1] == ' ')
        i--;
    while (i > 0 && l->text[i - 1] != ' ')
        i--;
    return i;
}

/* ---- history ------------------------------------------------------------------------------- */

static char *remembered(struct line *l, unsigned back)
{
    return l->history[(l->n_history - back) % LINE_HISTORY];
}

static bool equal(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        a++, b++;
    return *a == *b;
}

static void remember(struct line *l)
{
    size_t i = 0;

    while (l->text[i] == ' ')
        i++;
    if (l->text[i] == '\0' || (l->n_history > 0 && equal(remembered(l, 1), l->text)))
        return;
    l->n_history++;
    copy(remembered(l, 1), l->text, l->n);
}

static void recall(struct line *l, unsigned back)
{
    unsigned n_kept = l->n_history < LINE_HISTORY ? l->n_history : LINE_HISTORY;
    const char *text = back == 0 ? l->typed : remembered(l, back);

    if (back > n_kept)
        return;
    if (l->back == 0)
        copy(l->typed, l->text, l->n);
    l->back = back;
    l->n = l->cursor = length(text);
    copy(l->text, text, l->n);
}

/* ---- completion ---------------------------------------------------------------------------- */

/* Words end at blanks and at the ';' between commands. */
static size_t completed_word(const struct line *l)
{
    size_t i = l->cursor;

    while (i > 0 && l->text[i - 1] != ' ' && l->text[i - 1] != ';')
        i--;
    return i;
}

/* How many characters both have in common from the start */
static size_t common(const char *a, const char *b, size_t limit)
{
    size_t n = 0;

    while (n < limit && a[n] != '\0' && a[n] == b[n])
        n++;
    return n;
}

/* The i-th candidate, if it begins with the n characters at word; "" if not; NULL after the last */
static const char *fitting(struct line *l, const char *text, size_t start, size_t n, unsigned i)
{
    const char *word = l->candidate(text, start, i);

    return word == NULL || common(word, text + start, n) == n ? word : "";
}

static void list_candidates(struct line *l, const char *text, size_t start, size_t n, size_t widest)
{
    static const char blanks[] = "                                ";
    size_t column = 0, cell = widest + LIST_GAP;
    const char *word;

    leave_line(l, "");
    for (unsigned i = 0; (word = fitting(l, text, start, n, i)) != NULL; i++) {
        if (*word == '\0')
            continue;
        if (column > 0 && column + cell > l->columns) {
            l->write("\n", 1);
            column = 0;
        }
        l->write(word, length(word));
        for (size_t fill = cell - length(word); fill > 0;) {
            size_t part = fill < sizeof blanks - 1 ? fill : sizeof blanks - 1;

            l->write(blanks, part);
            fill -= part;
        }
        column += cell;
    }
    l->write("\n", 1);
    show_prompt(l);
}

/*
 *   candidates that fit   they share more   Tab
 *   none                                    nothing
 *   one                                     completes the word, and a blank
 *   several               yes               completes as far as they agree
 *   several               no                first time nothing, second time lists them
 */
static void complete(struct line *l)
{
    static char text[LINE_BYTES]; /* the line up to the cursor */
    size_t start = completed_word(l), n = l->cursor - start, shared = 0, widest = 0;
    const char *word, *first = NULL;
    unsigned n_fit = 0;

    if (l->candidate == NULL)
        return;
    copy(text, l->text, l->cursor);
    for (unsigned i = 0; (word = fitting(l, text, start, n, i)) != NULL; i++) {
        if (*word == '\0')
            continue;
        shared = n_fit == 0 ? length(word) : common(word, first, shared);
        first = n_fit == 0 ? word : first;
        widest = length(word) > widest ? length(word) : widest;
        n_fit++;
    }
    if (n_fit == 0)
        return;
    if (shared > n)
        insert(l, first + n, shared - n);
    if (n_fit == 1)
        insert(l, " ", 1);
    else if (shared == n && l->tabbed)
        list_candidates(l, text, start, n, widest);
    else
        l->tabbed = shared == n;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void go_to(struct line *l, size_t cursor) { l->cursor = cursor; }

static void left(struct line *l) { go_to(l, l->cursor - (l->cursor > 0)); }
static void right(struct line *l) { go_to(l, l->cursor + (l->cursor < l->n)); }
static void up(struct line *l) { recall(l, l->back + 1); }

static void down(struct line *l)
{
    if (l->back > 0)
        recall(l, l->back - 1);
}

static void delete_here(struct line *l)
{
    if (l->cursor < l->n)
        erase(l, l->cursor, l->cursor + 1);
}

static void delete_before(struct line *l)
{
    if (l->cursor > 0)
        erase(l, l->cursor - 1, l->cursor);
}

static void control_key(struct line *l, char c)
{
    switch (c) {
    case KEY('A'):
        go_to(l, 0);
        break;
    case KEY('B'):
        left(l);
        break;
    case KEY('D'):
        delete_here(l);
        break;
    case KEY('E'):
        go_to(l, l->n);
        break;
    case KEY('F'):
        right(l);
        break;
    case KEY('H'):
    case 0x7f:
        delete_before(l);
        break;
    case KEY('I'):
        complete(l);
        break;
    case KEY('K'):
        kill(l, l->cursor, l->n);
        break;
    case KEY('L'):
        l->write("\033[H\033[2J", 7);
        show_prompt(l);
        break;
    case KEY('N'):
        down(l);
        break;
    case KEY('P'):
        up(l);
        break;
    case KEY('U'):
        kill(l, 0, l->cursor);
        break;
    case KEY('W'):
        kill(l, word_start(l), l->cursor);
        break;
    case KEY('Y'):
        insert(l, l->killed, length(l->killed));
        break;
    default:
        break;
    }
}

/* ESC [ letter, or ESC [ number ~ with the numbers 1 to 8 */
static void sequence_key(struct line *l, char final)
{
    switch (final != '~' ? (unsigned char) final : l->param < 10 ? l->param : 0) {
    case 'A':
        up(l);
        break;
    case 'B':
        down(l);
        break;
    case 'C':
        right(l);
        break;
    case 'D':
        left(l);
        break;
    case 'H':
    case 1:
    case 7:
        go_to(l, 0);
        break;
    case 'F':
    case 4:
    case 8:
        go_to(l, l->n);
        break;
    case 3:
        delete_here(l);
        break;
    case 5:
    case 6:
        if (l->page != NULL)
            l->page(l->param == 5 ? -1 : 1);
        break;
    default: /* Insert, function keys and the like mean nothing here */
        break;
    }
}

/* Returns false when the byte is not part of an escape sequence; a control character ends one. */
static bool in_sequence(struct line *l, char c)
{
    if (c >= 0 && c < 0x20) {
        l->state = PLAIN;
        return false;
    }
    switch (l->state) {
    case ESCAPE:
        l->state = c == '[' ? CONTROL : c == 'O' ? SINGLE : PLAIN;
        l->param = 0;
        return true;
    case CONTROL:
        if (c >= '0' && c <= '9')
            l->param = l->param < 100 ? l->param * 10 + (unsigned)(c - '0') : l->param;
        if (c >= 0x40) { /* not a parameter: the last byte */
            l->state = PLAIN;
            sequence_key(l, c);
        }
        return true;
    case SINGLE:
        l->state = PLAIN;
        sequence_key(l, c);
        return true;
    default:
        return false;
    }
}

void line_open(struct line *l, const char *prompt, unsigned columns, line_candidate_fn *candidate,
               void (*write)(const char *text, size_t n_bytes))
{
    __builtin_memset(l, 0, sizeof *l);
    l->prompt = prompt;
    l->columns = columns;
    l->candidate = candidate;
    l->write = write;
}

void line_begin(struct line *l)
{
    l->text[0] = '\0';
    l->n = l->cursor = l->left = 0;
    l->back = 0;
    l->state = PLAIN;
    show_prompt(l);
}

static void drop_line(struct line *l)
{
    leave_line(l, "^C");
    line_begin(l);
}

static bool finish(struct line *l)
{
    l->cursor = l->n;
    refresh(l);
    leave_line(l, "");
    remember(l);
    return true;
}

bool line_feed(struct line *l, char byte)
{
    if (byte != '\t')
        l->tabbed = false;
    if (in_sequence(l, byte))
        refresh(l);
    else if (byte == 0x1b)
        l->state = ESCAPE;
    else if (byte == '\r' || byte == '\n')
        return finish(l);
    else if (byte == KEY('C'))
        drop_line(l);
    else {
        if (byte >= 0x20 && byte < 0x7f)
            insert(l, &byte, 1);
        else
            control_key(l, byte);
        refresh(l);
    }
    return false;
}
