/* SPDX-License-Identifier: MIT */
/* core/selftest/emulator.h - which emulator this is, for what each is known to do otherwise than a CPU */
#ifndef CORE_SELFTEST_EMULATOR_H
#define CORE_SELFTEST_EMULATOR_H

#include <stdbool.h>

bool emulator_is_tcg(void);   /* QEMU without KVM */
bool emulator_is_bochs(void);

#endif
