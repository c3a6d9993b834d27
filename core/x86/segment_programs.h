/* SPDX-License-Identifier: MIT */
/*
 * core/x86/segment_programs.h - programs for ring 3 that change segments; C and assembly read it
 *
 * They are copied, as a whole, to a page below 4 GiB and started in 64-bit mode with RDI = where their
 * parameters lie, below 4 GiB too. The 32-bit part finds them through DS, at offset 0. Each ends in INT3.
 */
#ifndef CORE_X86_SEGMENT_PROGRAMS_H
#define CORE_X86_SEGMENT_PROGRAMS_H

/* Offsets in the parameters, 4 bytes each but where it says otherwise */
#define SEGPAR_CODE     0  /* selector of 32-bit code whose base is where the programs are   */
#define SEGPAR_DATA     4  /* selector of data whose base is where the parameters are        */
#define SEGPAR_HERE     8  /* linear address of the programs                                 */
#define SEGPAR_SELECTOR 12 /* what the program is to use ...                                 */
#define SEGPAR_OFFSET   16 /* ... and the offset in it                                       */
#define SEGPAR_JUMP     20 /* 6 bytes: a far pointer, offset and selector                    */
#define SEGPAR_SEEN     28 /* 5 words: what the program saw                                  */
#define SEGPAR_BYTES    48

/* Numbers of the programs, and what they do */
#define SEGPROG_TOUR    0 /* far return, far jump, IRET, far return: each CS is noted in SEEN          */
#define SEGPROG_JUMP    1 /* 32-bit: far jump to JUMP                                                  */
#define SEGPROG_READ    2 /* 32-bit: DS = SELECTOR, read at OFFSET                                     */
#define SEGPROG_WRITE   3 /* 32-bit: DS = SELECTOR, write at OFFSET                                    */
#define SEGPROG_STACK   4 /* 32-bit: SS = SELECTOR, read at OFFSET                                     */
#define SEGPROG_TEXT    5 /* 32-bit: write at OFFSET in CS                                             */
#define SEGPROG_WIDE_FS 6 /* 64-bit: FS = SELECTOR, read at OFFSET into SEEN                           */
#define SEGPROG_WIDE_DS 7 /* 64-bit: DS = SELECTOR, read at OFFSET                                     */
#define SEGPROGS        8

#ifndef __ASSEMBLER__
#include "mm/types.h"

extern const uint8_t  segment_programs[], segment_programs_end[];
extern const uint32_t segment_program_at[SEGPROGS]; /* bytes from segment_programs */
#endif

#endif
