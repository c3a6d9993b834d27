/* SPDX-License-Identifier: MIT */
/* core/console/banner.c - the first words on the console */
#include "core/console/banner.h"

#include "core/dev/fb.h"
#include "core/fmt.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/x86/paging.h"
#include "mm/port.h"

#define HEADER_BYTES 80

void banner_print(void)
{
    const struct machine *m = machine_info();
    char text[HEADER_BYTES], ram[FMT_SIZE_BYTES];

    fmt_size(ram, mem_map_pages(&m->map, MEM_SET_RAM, 0) * PAGE_SIZE);
    fmt_string(text, sizeof text, "%s of memory   %u levels   %u CPU%s", ram, kernel_pt.levels, port_cpus(),
               port_cpus() == 1 ? "" : "s");
    fb_header("Octavo", text);
    kprintf("\nOctavo: a sheet of memory, folded. \"help\" lists the commands.\n");
}
