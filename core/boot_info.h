/* SPDX-License-Identifier: MIT */
/*
 * core/boot_info.h - all that efi/ hands to core/: plain data, no UEFI types
 *
 * It lies in the image's own .data. The two buffers it points to are loader data, below 4 GiB, and are
 * read through the firmware's identity mapping until stage 2 and through the direct map after it.
 */
#ifndef CORE_BOOT_INFO_H
#define CORE_BOOT_INFO_H

#include "mm/types.h"

#define BOOT_CONFIG_TEXT 1024

/* bits of boot_config.console */
#define BOOT_CONSOLE_SERIAL 1u
#define BOOT_CONSOLE_SCREEN 2u

/* octavo.conf and LoadOptions, read (efi/config_parse.c lists the keys) */
struct boot_config {
    char     exec[BOOT_CONFIG_TEXT];   /* console commands to run after boot, "" = none         */
    char     unknown[BOOT_CONFIG_TEXT];/* what was not understood, one complaint a line         */
    unsigned console;                  /* BOOT_CONSOLE_*                                        */
    unsigned paging;                   /* 4, 5, or 0 = as the firmware left it ("auto")         */
    unsigned log_level;                /* enum port_level: what is printed; the log keeps all   */
    unsigned debug_exit_port;          /* QEMU's isa-debug-exit, 0 = there is none: not touched */
    bool     heap_debug, tables_check, tlb_check;
    unsigned heap_policy;              /* enum heap_policy                                      */
    unsigned overcommit;               /* enum overcommit                                       */
};

struct boot_framebuffer {
    pa_t     base;             /* raw 0: no framebuffer                       */
    uint64_t size_bytes;
    uint32_t width, height;    /* [pixels]                                    */
    uint32_t stride;           /* [pixels from one line to the next]          */
    uint32_t red_mask, green_mask, blue_mask; /* of a 32-bit pixel            */
};

/* A file of \octavo\programs, as it was read: whole, at a page's start, zeros up to the next */
#define BOOT_PROGRAMS_MAX 32
#define BOOT_PROGRAM_NAME 24
struct boot_program {
    char     name[BOOT_PROGRAM_NAME]; /* without ".elf" */
    pa_t     at;
    uint64_t n_bytes;
};

enum boot_reset { BOOT_RESET_COLD, BOOT_RESET_POWER_OFF };

struct boot_info {
    struct boot_config      config;
    struct boot_framebuffer fb;

    /* The firmware's memory map as it was at ExitBootServices */
    pa_t     map;              /* descriptors of map_desc_bytes each          */
    uint64_t map_bytes, map_room;
    uint64_t map_desc_bytes;   /* as the firmware says: 40 and 48 are seen    */
    uint32_t map_desc_version;
    unsigned exit_tries;       /* calls of ExitBootServices, 1 = at once      */
    pa_t     ranges;           /* room for the normalised map                 */
    uint64_t ranges_bytes;

    pa_t     image;            /* where the firmware put us, page-aligned     */
    uint64_t image_bytes;
    pa_t     early;            /* block for the frame distributor             */
    uint64_t early_frames;
    pa_t     low;              /* real-mode start-up, below 1 MiB             */
    uint64_t low_frames;
    struct boot_program programs[BOOT_PROGRAMS_MAX];
    unsigned n_programs;
    char     program_notes[BOOT_CONFIG_TEXT]; /* what could not be read, one complaint a line */
    pa_t     rsdp;             /* ACPI root pointer, raw 0: none              */

    /* Runtime services that stay usable; NULL: the firmware has none. Call them with the runtime
     * regions mapped, and under trap_try: some firmware crashes here. */
    void (*reset)(enum boot_reset how);

    /* What the firmware left, before we changed it */
    uint64_t fw_cr0, fw_cr3, fw_cr4, fw_efer, fw_rsp;
    char     firmware[64];     /* vendor, ASCII                               */
    uint32_t firmware_revision;
    uint64_t tsc_entry, tsc_exit; /* at efi_main, and right after ExitBootServices */
};

/* ---- what efi/ asks of core/, while the firmware still runs the machine --------------------- */

/* boot_note_cpu - fill in what the firmware left in the control registers */
void boot_note_cpu(struct boot_info *b);

/* boot_refusal - why Octavo cannot run on this CPU, in one sentence; NULL when it can */
const char *boot_refusal(void);

/*
 * boot_early_frames - how many frames the frame distributor needs until stage 4
 *
 *   ram_bytes      all RAM in the map      n_descriptors  of the map, with room for growth
 */
uint64_t boot_early_frames(uint64_t ram_bytes, uint64_t n_descriptors);

/* kmain_enter - the point of no return; `b` lies in the image */
NORETURN void kmain_enter(struct boot_info *b);

#endif
