/* SPDX-License-Identifier: MIT */
/* core/machine.c - what start-up learned about this machine */
#include "core/machine.h"

struct machine machine;
