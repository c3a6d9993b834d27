/* SPDX-License-Identifier: MIT */
/* core/console/input.c - bytes typed on any keyboard, in the order they came */
#include "core/console/input.h"

#include "core/dev/kbd.h"
#include "core/dev/serial.h"
#include "core/log.h"
#include "core/x86/irq.h"
#include "mm/zero.h"

#define INPUT_BYTES 1024 /* a power of two */

static struct {
    struct irqlock lock;
    char bytes[INPUT_BYTES]; /* [lock]                                              */
    unsigned head, tail;     /* [lock] they only grow; head - tail bytes are waiting */
    bool polled;             /* [c] a device gives no interrupts: ask it             */
} in = { .lock = IRQLOCK("input", 80) };

/* For interrupt handlers. When nobody reads, the newest bytes are dropped. */
static void put(char byte)
{
    uint64_t flags = irqlock_take(&in.lock);

    if (in.head - in.tail < INPUT_BYTES)
        in.bytes[in.head++ % INPUT_BYTES] = byte;
    irqlock_drop(&in.lock, flags);
}

bool input_try(char *out)
{
    uint64_t flags = irqlock_take(&in.lock);
    bool any = in.head != in.tail;

    if (any)
        *out = in.bytes[in.tail++ % INPUT_BYTES];
    irqlock_drop(&in.lock, flags);
    return any;
}

/*
 * Nothing was typed: prepare a frame of zeroes, or, when enough are there, halt. Interrupts are off when this
 * is called: a byte that came after the last look would not wake a CPU.
 */
static void idle(void)
{
    if (frame_zero_idle())
        return; /* it took microseconds: look again */
    if (!in.polled) {
        cpu_idle_wait();
        return;
    }
    port_relax();
    serial_poll();
    kbd_poll();
}

char input_get(void)
{
    char byte;

    for (;;) {
        uint64_t flags = port_irq_save();
        bool any = input_try(&byte);

        if (!any)
            idle();
        port_irq_restore(flags);
        if (any)
            return byte;
    }
}

static const char *how(err_t err)
{
    return err == ERR_OK ? "by interrupt" : err == ERR_NOSYS ? "polled" : "none";
}

void input_start(void)
{
    err_t serial = serial_listen(put), keyboard = kbd_start(put);

    in.polled = serial == ERR_NOSYS || keyboard == ERR_NOSYS;
    log_info("input", "serial line: %s, keyboard: %s", how(serial), how(keyboard));
}
