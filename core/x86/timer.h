/* SPDX-License-Identifier: MIT */
/* core/x86/timer.h - one interrupt on this CPU, when it is wanted */
#ifndef CORE_X86_TIMER_H
#define CORE_X86_TIMER_H

#include "mm/err.h"
#include "mm/types.h"

/*
 * timer_start - fn(arg) will be called with interrupts off whenever the time set by timer_set() has come
 *
 *   apic_start() and time_start() come before.
 *   Errors  ERR_NOSYS  the local APIC's timer stands still
 */
err_t timer_start(void (*fn)(void *arg), void *arg) MUST_USE;

/*
 * timer_set - interrupt once, when the TSC has reached `deadline`; forgets what was set before
 *
 *   It may come earlier: after 2^32 turns of the APIC's clock, or by an error of 1 in 1000.
 */
void timer_set(uint64_t deadline);

/* timer_source - "TSC deadline" or "APIC count" */
const char *timer_source(void);

#endif
