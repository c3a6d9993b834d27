/* SPDX-License-Identifier: MIT */
/*
 * test/boot/hostile/hostile.h - firmware that behaves badly, in one named way at a time
 *
 * HOSTILE.EFI stands between the firmware and Octavo. It loads Octavo, hands it copies of the system
 * table and its services in which some functions are its own, and starts it. What it does to the machine
 * or to the truth is one row of the table in entry.c; everything it says goes to the serial port in
 * lines that start with "hostile:".
 */
#ifndef TEST_BOOT_HOSTILE_HOSTILE_H
#define TEST_BOOT_HOSTILE_HOSTILE_H

#include <efi.h>

#include "mm/attr.h"
#include "mm/types.h"

/* One bad firmware: a name, and what it does; what a field leaves empty stays as the firmware has it */
struct distortion {
    const char *name;
    void (*shape)(void);  /* map.c: changes `map` each time it is asked for            */
    void (*tables)(void); /* services.c, screen.c: changes the copies in `h`           */
    void (*cpu)(void);    /* cpu.c: before Octavo is started                           */
    void (*exited)(void); /* cpu.c: right after ExitBootServices                       */
    UINTN desc_bytes;     /* of a memory descriptor; 0: 48                             */
    unsigned refusals;    /* how many calls of ExitBootServices fail                   */
};

struct hostile {
    EFI_SYSTEM_TABLE *real;
    const struct distortion *is;
    EFI_LOADED_IMAGE *self, *octavo;
    /* Octavo's copies; in runtime memory, because it uses them after the exit */
    EFI_SYSTEM_TABLE *st;
    EFI_BOOT_SERVICES *bs;
    EFI_RUNTIME_SERVICES *rt;
};
extern struct hostile h;

/* hostile_say - a line on the serial port, whoever owns the console */
void hostile_say(const char *fmt, ...) PRINTF(1, 2);

/*
 * hostile_expect - tell the test what Octavo's own map must say of an address: "hostile: expect
 * 0x123000 nvs"
 */
void hostile_expect(UINT64 address, const char *kind);

/* hostile_pages - memory of the firmware's, for good; ends the shim when there is none */
void *hostile_pages(UINTN n_pages, EFI_MEMORY_TYPE type, UINTN align_pages);

/* hostile_give_up - this machine cannot play the part: say why and return to the firmware */
NORETURN void hostile_give_up(const char *why);

/* hostile_file - up to `room` bytes of a file in the boot volume's root; ends the shim when it is missing */
UINTN hostile_file(const CHAR16 *path, char *out, UINTN room);

/* hostile_protocol - a protocol of the firmware's; ends the shim when it is missing */
void *hostile_protocol(EFI_HANDLE handle, EFI_GUID *guid);

/* ---- map.c ----------------------------------------------------------------------------------- */

void map_start(void); /* GetMemoryMap of the copy becomes ours */
void map_unsorted(void);
void map_overlapping(void);
void map_nested(void);
void map_zero_length(void);
void map_overflowing(void);
void map_boundless(void);
void map_many(void);
void map_growing(void);
void map_types(void);
void map_attributes(void);
void map_conventional(void);
void map_bursting(void);
void map_outgrown(void);
void map_unreadable(void);

/* map_hide - report these pages as conventional memory, whatever they are */
void map_hide(UINT64 start, UINT64 pages);

/* map_each - call f for each of the firmware's own descriptors */
void map_each(void (*f)(const EFI_MEMORY_DESCRIPTOR *d));

/* ---- services.c ------------------------------------------------------------------------------ */

void exit_start(void); /* ExitBootServices of the copy becomes ours */

/* exit_was_called - even in vain; then the caller may do next to nothing */
bool exit_was_called(void);

/*
 * protocol_replace - whoever asks the copy for this protocol gets `with`; NULL: it does not exist
 *
 *   only   on this handle; NULL: on all
 */
void protocol_replace(const EFI_GUID *guid, void *with, EFI_HANDLE only);

void runtime_missing(void);
void runtime_unsupported(void);
void runtime_crashing(void);
void acpi_missing(void);
void acpi_broken(void);
void memory_none(void);
void memory_no_low(void);
void memory_page_zero(void);
void vendor_missing(void);
void bss_dirty(void);
void console_missing(void);
void files_missing(void);

/* ---- screen.c -------------------------------------------------------------------------------- */

void screen_missing(void);
void screen_blt_only(void);
void screen_modeless(void);
void screen_phantom(void);
void screen_wide_stride(void);
void screen_narrow_stride(void);

/* ---- cpu.c ----------------------------------------------------------------------------------- */

void cpu_wp_off(void);
void cpu_nxe_off(void);
void cpu_bare(void);
void cpu_full(void);
void cpu_readonly_tables(void);
void cpu_nx_data(void);
void cpu_4g_only(void);
void cpu_la57(void);
void cpu_x2apic(void);
void cpu_interrupts(void);
void cpu_flags_set(void);

#endif
