/* SPDX-License-Identifier: MIT */
/* core/console/input.c - bytes typed on any keyboard, in the order they came */
#include "core/console/input.h"

#include "core/dev/kbd.h"
#include "core/dev/serial.h"
#include "core/log.h"
#include "core/proc/thread.h"
#include "core/x86/time.h"

#define INPUT_BYTES 1024 /* a power of two */
#define CTRL_C      3
#define POLL_NS     ((uint64_t)2 * 1000 * 1000)

static struct {
    struct waitq typed;      /* who wants to read                                    */
    char bytes[INPUT_BYTES]; /* [typed.lock]                                         */
    unsigned head, tail;     /* [typed.lock] they only grow; head - tail bytes wait  */
    bool polled;             /* [c] a device gives no interrupts: ask it             */
    void (*on_break)(void);  /* [typed.lock] Ctrl-C calls it, NULL: it is a byte like others */
} in = { .typed = WAITQ("input") };

/* For interrupt handlers. When nobody reads, the newest bytes are dropped. */
static void put(char byte)
{
    uint64_t flags = irqlock_take(&in.typed.lock);
    void (*on_break)(void) = byte == CTRL_C ? in.on_break : NULL;

    if (on_break == NULL && in.head - in.tail < INPUT_BYTES)
        in.bytes[in.head++ % INPUT_BYTES] = byte;
    waitq_wake(&in.typed);
    irqlock_drop(&in.typed.lock, flags);
    if (on_break != NULL)
        on_break();
}

void input_on_break(void (*fn)(void))
{
    uint64_t flags = irqlock_take(&in.typed.lock);

    in.on_break = fn;
    irqlock_drop(&in.typed.lock, flags);
}

static void poll(void)
{
    serial_poll();
    kbd_poll();
}

/* A polled device is looked at now and then. */
err_t input_read(char *out, size_t room, size_t *n)
{
    err_t err = ERR_OK;

    for (;;) {
        if (in.polled)
            poll();
        uint64_t flags = irqlock_take(&in.typed.lock);
        bool     any = in.head != in.tail;

        for (*n = 0; *n < room && in.head != in.tail; (*n)++)
            out[*n] = in.bytes[in.tail++ % INPUT_BYTES];
        if (!any)
            err = waitq_wait(&in.typed, in.polled ? cpu_rdtsc() + time_ticks(POLL_NS) : 0);
        irqlock_drop(&in.typed.lock, flags);
        if (any)
            return ERR_OK;
        if (err == ERR_BUSY)
            return err;
    }
}

char input_get(void)
{
    char   byte = 0;
    size_t n;

    while (input_read(&byte, 1, &n) != ERR_OK) /* nobody kills a kernel thread */
        ;
    return byte;
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
