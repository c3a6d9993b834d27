/* SPDX-License-Identifier: MIT */
/*
 * core/dev/kbd.c - the PS/2 keyboard behind an 8042 controller
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller". Machines
 * without one answer 0xff everywhere; firmware may emulate one badly. So each wait is bounded, and a
 * keyboard that does not answer commands is used as the firmware left it.
 */
#include "core/dev/kbd.h"

#include "core/dev/keymap.h"
#include "core/log.h"
#include "core/x86/insn.h"
#include "core/x86/irq.h"

#define KBD_IRQ 1

enum { DATA = 0x60, STATUS = 0x64, COMMAND = 0x64 };

#define STATUS_OUTPUT 0x01 /* a byte for us to read             */
#define STATUS_INPUT  0x02 /* the controller has not taken ours */
#define STATUS_MOUSE  0x20 /* the byte is from the second port  */

/* controller commands */
enum {
    CTL_READ_CONFIG = 0x20,
    CTL_WRITE_CONFIG = 0x60,
    CTL_MOUSE_OFF = 0xa7,
    CTL_SELF_TEST = 0xaa,
    CTL_KBD_OFF = 0xad,
    CTL_KBD_ON = 0xae,
};
#define SELF_TEST_PASSED 0x55

/* the configuration byte */
#define CONFIG_KBD_IRQ   0x01
#define CONFIG_MOUSE_IRQ 0x02
#define CONFIG_KBD_OFF   0x10
#define CONFIG_TRANSLATE 0x40 /* scan code set 2, which the keyboard speaks, into set 1 */

#define KBD_SCAN_ON 0xf4
#define KBD_ACK     0xfa

#define WAIT_READS  50000 /* about as many microseconds */
#define FLUSH_BYTES 64    /* more than any controller holds */

static struct {
    struct keymap map;
    void (*got)(char byte);
} kbd;

static bool wait_status(uint8_t bit, bool set)
{
    for (unsigned i = 0; i < WAIT_READS; i++)
        if (((inb(STATUS) & bit) != 0) == set)
            return true;
    return false;
}

static bool send(uint16_t port, uint8_t byte)
{
    if (!wait_status(STATUS_INPUT, false))
        return false;
    outb(port, byte);
    return true;
}

static bool receive(uint8_t *out)
{
    if (!wait_status(STATUS_OUTPUT, true))
        return false;
    *out = inb(DATA);
    return true;
}

static void flush(void)
{
    for (unsigned i = 0; i < FLUSH_BYTES && (inb(STATUS) & STATUS_OUTPUT) != 0; i++)
        (void)inb(DATA);
}

static bool read_config(uint8_t *out) { return send(COMMAND, CTL_READ_CONFIG) && receive(out); }
static bool write_config(uint8_t config) { return send(COMMAND, CTL_WRITE_CONFIG) && send(DATA, config); }

/* The self-test resets some controllers, so the configuration is written after it. */
static bool controller_works(uint8_t config)
{
    uint8_t result;

    return send(COMMAND, CTL_SELF_TEST) && receive(&result) && result == SELF_TEST_PASSED &&
           write_config(config);
}

static bool scanning_on(void)
{
    uint8_t answer;

    return send(DATA, KBD_SCAN_ON) && receive(&answer) && answer == KBD_ACK;
}

void kbd_poll(void)
{
    for (unsigned i = 0; kbd.got != NULL && i < FLUSH_BYTES; i++) {
        uint8_t status = inb(STATUS), byte;

        if ((status & STATUS_OUTPUT) == 0)
            return;
        byte = inb(DATA);
        if ((status & STATUS_MOUSE) != 0)
            continue;
        for (const char *c = keymap_feed(&kbd.map, byte); *c != '\0'; c++)
            kbd.got(*c);
    }
}

static void on_interrupt(void *arg)
{
    (void)arg;
    kbd_poll();
}

err_t kbd_start(void (*got)(char byte))
{
    uint8_t config;

    if (inb(STATUS) == 0xff || !send(COMMAND, CTL_KBD_OFF) || !send(COMMAND, CTL_MOUSE_OFF))
        return ERR_NOENT;
    flush();
    if (!read_config(&config))
        return ERR_NOENT;
    config &= (uint8_t) ~(CONFIG_KBD_IRQ | CONFIG_MOUSE_IRQ | CONFIG_KBD_OFF);
    config |= CONFIG_TRANSLATE;
    if (!controller_works(config) || !send(COMMAND, CTL_KBD_ON))
        return ERR_IO;
    if (!scanning_on())
        log_warn("kbd", "the keyboard does not answer, it is used as the firmware left it");
    flush();

    keymap_start(&kbd.map);
    kbd.got = got;
    if (irq_attach_isa(KBD_IRQ, on_interrupt, NULL) != ERR_OK)
        return ERR_NOSYS;
    if (!write_config(config | CONFIG_KBD_IRQ))
        return ERR_IO;
    kbd_poll(); /* what was typed meanwhile gave no edge */
    return ERR_OK;
}
