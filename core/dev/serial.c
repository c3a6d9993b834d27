/* SPDX-License-Identifier: MIT */
/*
 * core/dev/serial.c - the first serial port
 *
 * Source: National Semiconductor PC16550D data sheet, "Registers". Most PCs have no port, and some
 * have one whose transmitter never gets ready: every wait is bounded, and a port that stays busy is
 * only written when it happens to be ready.
 */
#include "core/dev/serial.h"

#include "core/log.h"
#include "core/x86/insn.h"
#include "core/x86/irq.h"

#define COM1     0x3f8
#define COM1_IRQ 4

enum {
    DATA = COM1, /* receive and transmit; with LCR_DLAB the divisor's low byte */
    IER = COM1 + 1,
    FCR = COM1 + 2,
    LCR = COM1 + 3,
    MCR = COM1 + 4,
    LSR = COM1 + 5,
};

#define IER_RECEIVED 0x01 /* interrupt on received data                                */
#define FCR_START    0x87 /* FIFOs on and emptied, interrupt at 8 bytes or when idle   */
#define LCR_8N1      0x03
#define LCR_DLAB     0x80
#define MCR_NORMAL   0x0b /* DTR, RTS, and OUT2, which lets the interrupt out of the chip */
#define MCR_LOOPBACK 0x1e
#define LSR_RECEIVED 0x01
#define LSR_EMPTY    0x20 /* the transmitter takes a byte                           */
#define LSR_SILENT   0x40 /* the last bit has left the wire                            */

#define DIVISOR_115200 1
#define FIFO_BYTES     16
#define PROBE_BYTE     0xae
/* A port read takes about a microsecond, a byte 87 of them on the line */
#define WAIT_READS     20000
#define WAITS_LOST     4 /* that many in a row were in vain: do not wait again until it is ready */

static struct {
    bool present;
    unsigned waits_lost;
    void (*got)(char byte);
} serial;

static bool wait_for(uint8_t bit)
{
    for (unsigned i = 0; i < WAIT_READS; i++)
        if ((inb(LSR) & bit) != 0)
            return true;
    return false;
}

static bool ready_to_send(void)
{
    bool ready = serial.waits_lost < WAITS_LOST ? wait_for(LSR_EMPTY) : (inb(LSR) & LSR_EMPTY) != 0;

    serial.waits_lost = ready ? 0 : serial.waits_lost + (serial.waits_lost < WAITS_LOST);
    return ready;
}

/* A byte each time the transmitter says so. Its FIFO would take 16, but what a 16550 in an emulator
 * does with them is not always what went in (Bochs 2.7 drops some), and the line is as fast this way. */
static void send(char byte)
{
    if (ready_to_send())
        outb(DATA, (uint8_t)byte);
}

void serial_write(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes && serial.present; i++) {
        if (text[i] == '\n')
            send('\r');
        send(text[i]);
    }
}

void serial_drain(void)
{
    if (serial.present)
        wait_for(LSR_SILENT);
}

static struct out_sink serial_sink = { .write = serial_write };

static void program(void)
{
    outb(IER, 0);
    outb(LCR, LCR_DLAB);
    outb(DATA, DIVISOR_115200);
    outb(IER, DIVISOR_115200 >> 8);
    outb(LCR, LCR_8N1);
    outb(FCR, FCR_START);
}

/*
 * What is sent in loopback comes back; where there is no port, all bits read as 1. The firmware's last
 * words may still be on their way out, and would come back first.
 */
static bool probe(void)
{
    if (inb(LSR) == 0xff)
        return false;
    wait_for(LSR_SILENT);
    program();
    outb(MCR, MCR_LOOPBACK);
    outb(DATA, PROBE_BYTE);
    return wait_for(LSR_RECEIVED) && inb(DATA) == PROBE_BYTE;
}

err_t serial_start(void)
{
    if (!probe())
        return ERR_NOENT;
    outb(MCR, MCR_NORMAL);
    serial.present = true;
    out_attach(&serial_sink);
    return ERR_OK;
}

/* Bounded by what a FIFO can hold: a port that always claims to have data must not keep us here. */
void serial_poll(void)
{
    for (unsigned i = 0; serial.present && i < 2 * FIFO_BYTES && (inb(LSR) & LSR_RECEIVED) != 0; i++)
        serial.got((char)inb(DATA));
}

static void on_interrupt(void *arg)
{
    (void)arg;
    serial_poll();
}

err_t serial_listen(void (*got)(char byte))
{
    if (!serial.present)
        return ERR_NOENT;
    serial.got = got;
    if (irq_attach_isa(COM1_IRQ, on_interrupt, NULL) != ERR_OK)
        return ERR_NOSYS;
    outb(IER, IER_RECEIVED);
    serial_poll(); /* a byte that came before would keep the line up, and no edge would follow */
    return ERR_OK;
}
