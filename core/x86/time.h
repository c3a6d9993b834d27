/* SPDX-License-Identifier: MIT */
/* core/x86/time.h - the time stamp counter as a clock */
#ifndef CORE_X86_TIME_H
#define CORE_X86_TIME_H

#include "mm/types.h"

/* time_start - find out how fast the TSC runs; acpi_start() comes before */
void time_start(void);

/* time_now_ns - since the TSC was 0, which is about when the machine was switched on */
uint64_t time_now_ns(void);

/* time_ns - how long so many ticks of the TSC take */
uint64_t time_ns(uint64_t ticks);

/* time_ticks - how many ticks of the TSC so many nanoseconds are, rounded up; more than 36 years are cut to that */
uint64_t time_ticks(uint64_t ns);

/* time_tsc_khz, time_source - ticks a millisecond, and what they were measured by */
uint32_t    time_tsc_khz(void);
const char *time_source(void);

#endif
