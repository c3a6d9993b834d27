/* SPDX-License-Identifier: MIT */
/* core/machine.h - what start-up learned about this machine, for the console and the self-tests */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include "core/boot_info.h"
#include "mm/range.h"

struct machine {
    const struct boot_info *boot;
    struct mem_map          map;                 /* the firmware's memory map, normalised  */
    uint64_t                stage_ticks[4];      /* what each stage took                   */
    uint64_t                exit_ticks;          /* from ExitBootServices to the end of stage 4 */
    uint64_t                boot_services_bytes; /* that came back with stage 4            */
};

/* Complete after stage 4; only kmain writes it */
extern struct machine machine;

/* machine_info - the machine, for all who only look */
static inline const struct machine *machine_info(void) { return &machine; }

#endif
