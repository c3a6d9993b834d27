/* SPDX-License-Identifier: MIT */
/*
 * core/boot_info.h - all that efi/ hands to core/: plain data, no UEFI types
 *
 * Lives in the image's own .data; what its pointers name lies in loader data, below early_start or in
 * the image, and stays readable through the identity mapping until stage 2 and the direct map after.
 */
#ifndef CORE_BOOT_INFO_H
#define CORE_BOOT_INFO_H

#include "mm/types.h"

#define BOOT_CONFIG_TEXT 1024

/* bits of boot_config.console */
#define BOOT_CONSOLE_SERIAL 1u
#define BOOT_CONSOLE_SCREEN 2u

/* octavo.conf and LoadOptions, read (docs/config.md lists the keys) */
struct boot_config {
    char     exec[BOOT_CONFIG_TEXT];   /* console commands to run after boot, "" = none         */
    char     unknown[BOOT_CONFIG_TEXT];/* what was not understood, one complaint a line         */
    unsigned console;                  /* BOOT_CONSOLE_*                                        */
    unsigned paging;                   /* 4, 5, or 0 = as good as the CPU allows ("auto")       */
    unsigned log_level;                /* enum port_level: what is printed; the log keeps all   */
    unsigned debug_exit_port;          /* QEMU's isa-debug-exit, 0 = there is none: not touched */
    bool     heap_debug, tables_check, tlb_check;
};

struct boot_framebuffer {
    pa_t     base;             /* raw 0: no framebuffer                       */
    uint64_t size_bytes;
    uint32_t width, height;    /* [pixels]                                    */
    uint32_t stride;           /* [pixels from one line to the next]          */
    uint32_t red_mask, green_mask, blue_mask; /* of a 32-bit pixel            */
};

struct boot_info {
    struct boot_config      config;
    struct boot_framebuffer fb;

    /* The firmware's memory map as it was at ExitBootServices */
    const void *map;           /* n descriptors of map_desc_bytes each        */
    uint64_t    map_bytes;
    uint64_t    map_desc_bytes;
    uint32_t    map_desc_version;
    unsigned    exit_tries;    /* calls of ExitBootServices, 1 = at once      */

    pa_t     image;            /* where the firmware put us, page-aligned     */
    uint64_t image_bytes;
    pa_t     early;            /* block for the frame distributor             */
    uint64_t early_frames;
    pa_t     low;              /* real-mode start-up, below 1 MiB             */
    uint64_t low_frames;
    pa_t     rsdp;             /* ACPI root pointer, raw 0: none              */
    void    *system_table;     /* EFI_SYSTEM_TABLE, for runtime services only */

    /* What the firmware left, before we changed it */
    uint64_t fw_cr0, fw_cr3, fw_cr4, fw_efer, fw_rsp;
    char     firmware[64];     /* vendor and revision, ASCII                  */
    uint64_t tsc_entry, tsc_exit; /* at efi_main, and right after ExitBootServices */
};

#endif
