/* SPDX-License-Identifier: MIT */
/*
 * core/dev/keymap.h - scan codes (set 1, which the keyboard controller translates to) into bytes
 *
 * Portable: the host tests feed it. US layout; cursor keys become the escape sequences that a
 * terminal sends, so that the line editor sees one kind of input.
 */
#ifndef CORE_DEV_KEYMAP_H
#define CORE_DEV_KEYMAP_H

#include "mm/types.h"

struct keymap {
    bool shift_left, shift_right, ctrl_left, ctrl_right, caps, num;
    bool extended; /* the last byte was 0xe0                                      */
    uint8_t skip;  /* bytes of the Pause key's sequence that are still to come    */
};

/* keymap_start - as after power-on: nothing held, Num Lock on */
void keymap_start(struct keymap *k);

/*
 * keymap_feed - one byte from the keyboard
 *
 *   Returns what the key types, "" for nothing; good until the next call.
 */
const char *keymap_feed(struct keymap *k, uint8_t code);

#endif
