/* SPDX-License-Identifier: MIT */
/* core/x86/pcid.h - numbers for address spaces in the TLB */
#ifndef CORE_X86_PCID_H
#define CORE_X86_PCID_H

#include <stdbool.h>

/* pcid_start - use PCIDs if the CPU has them; CR3 holds the kernel's tables */
void pcid_start(void);

/* pcid_pause - off while paging itself is off; pcid_resume puts back what it returned */
bool pcid_pause(void);
void pcid_resume(bool was_on);

#endif
