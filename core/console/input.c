/* SPDX-License-Identifier: MIT */
/* core/console/input.c - bytes typed on any keyboard, in the order they came */
#include "core/console/input.h"

#include "core/dev/kbd.h"
#include "core/dev/serial.h"
#include "core/log.h"
#include "core/x86/irq.h"

#define INPUT_BYTES 1024 /* a power of two */

static struct {
    struct irqlock lock;
    char           bytes[INPUT_BYTES]; /* [lock]                                              */
    unsigned       head, tail;         /* [lock] they only grow; head - tail bytes are waiting */
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
    bool     any = in.head != in.tail;

    if (any)
        *out = in.bytes[in.tail++ % INPUT_BYTES];
    irqlock_drop(&in.lock, flags);
    return any;
}

/* Interrupts are off from the look until the CPU halts: a byte in between would not wake it. */
char input_get(void)
{
    char byte;

    for (;;) {
        uint64_t flags = port_irq_save();
        bool     any = input_try(&byte);

        if (!any)
            cpu_idle_wait();
        port_irq_restore(flags);
        if (any)
            return byte;
    }
}

void input_start(void)
{
    err_t serial = serial_listen(put), keyboard = kbd_start(put);

    log_info("input", "serial line: %s, keyboard: %s", err_str(serial), err_str(keyboard));
}
