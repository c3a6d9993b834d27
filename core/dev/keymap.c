/* SPDX-License-Identifier: MIT */
/*
 * core/dev/keymap.c - scan codes into bytes
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard", scan code set 1. A code with bit 7
 * is a key going up. Extended keys (0xe0 first) are those that a PC/XT did not have; Print Screen and
 * the cursor block wrap their codes in invented shift keys (0xe0 0x2a ...), which mean nothing to us.
 */
#include "core/dev/keymap.h"

#define CODE_UP       0x80
#define CODE_EXTENDED 0xe0
#define CODE_PAUSE    0xe1 /* then 1d 45 e1 9d c5 */
#define PAUSE_REST    5

enum { KEY_CTRL = 0x1d, KEY_SHIFT_L = 0x2a, KEY_SHIFT_R = 0x36, KEY_CAPS = 0x3a, KEY_NUM = 0x45 };
enum { PAD_FIRST = 0x47, PAD_LAST = 0x53, PAD_SLASH = 0x35, PAD_ENTER = 0x1c };

/* by scan code; 0: types nothing */
static const char plain[] = "\0\0331234567890-=\b\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
_Static_assert(sizeof plain == 0x3b && sizeof shifted == 0x3b, "one character for each code up to the blank");

static const char pad_digits[] = "789-456+1230.";
static const char *const pad_moves[] = { "\033[H",  "\033[A",  "\033[5~", "-",      "\033[D",
                                         "",        "\033[C",  "+",       "\033[F", "\033[B",
                                         "\033[6~", "\033[2~", "\033[3~" };
_Static_assert(sizeof pad_digits - 1 == PAD_LAST - PAD_FIRST + 1, "the whole pad");
_Static_assert(ARRAY_LEN(pad_moves) == PAD_LAST - PAD_FIRST + 1, "the whole pad");

void keymap_start(struct keymap *k) { *k = (struct keymap){ .num = true }; }

/* Characters are returned through here; [c] is the string of the one character c. */
static const char *one(char c)
{
    static char text[2];

    text[0] = c;
    return text;
}

static void modifier(struct keymap *k, uint8_t key, bool extended, bool down)
{
    switch (key) {
    case KEY_CTRL:
        *(extended ? &k->ctrl_right : &k->ctrl_left) = down;
        break;
    case KEY_SHIFT_L:
        k->shift_left = extended ? k->shift_left : down;
        break;
    case KEY_SHIFT_R:
        k->shift_right = extended ? k->shift_right : down;
        break;
    case KEY_CAPS:
        k->caps ^= down;
        break;
    case KEY_NUM:
        k->num ^= down && !extended;
        break;
    default:
        break;
    }
}

static const char *extended_key(uint8_t key)
{
    if (key == PAD_ENTER)
        return "\r";
    if (key == PAD_SLASH)
        return "/";
    if (key >= PAD_FIRST && key <= PAD_LAST)
        return pad_moves[key - PAD_FIRST];
    return "";
}

/* Control turns @, letters and [ \ ] ^ _ into 0 .. 31; a zero byte would end the string, so no Ctrl-@. */
static const char *character(const struct keymap *k, uint8_t key)
{
    bool shift = k->shift_left || k->shift_right;
    char c = plain[key];

    if (c >= 'a' && c <= 'z')
        shift ^= k->caps;
    c = shift ? shifted[key] : c;
    if ((k->ctrl_left || k->ctrl_right) && c > '@' && c <= '~')
        c &= 0x1f;
    return one(c);
}

const char *keymap_feed(struct keymap *k, uint8_t code)
{
    uint8_t key = code & (uint8_t)~CODE_UP;
    bool extended = k->extended;

    if (k->skip > 0) {
        k->skip--;
        return "";
    }
    k->extended = code == CODE_EXTENDED;
    if (code == CODE_PAUSE)
        k->skip = PAUSE_REST;
    if (code == CODE_EXTENDED || code == CODE_PAUSE)
        return "";

    modifier(k, key, extended, code == key);
    if (code != key)
        return "";
    if (extended)
        return extended_key(key);
    if (key >= PAD_FIRST && key <= PAD_LAST)
        return k->num ? one(pad_digits[key - PAD_FIRST]) : pad_moves[key - PAD_FIRST];
    return key < sizeof plain - 1 ? character(k, key) : "";
}
