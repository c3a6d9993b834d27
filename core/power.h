/* SPDX-License-Identifier: MIT */
/* core/power.h - the end of a run */
#ifndef CORE_POWER_H
#define CORE_POWER_H

#include "core/boot_info.h"
#include "mm/range.h"

/* power_start - what ends a run: the firmware's reset service, ACPI's ports, QEMU's exit port */
void power_start(const struct boot_info *b, const struct mem_map *map);

/* power_off - say "octavo: exit status N" and switch the machine off; status 0 is success */
NORETURN void power_off(int status);

/* power_reboot - start the machine again */
NORETURN void power_reboot(void);

#endif
