/* SPDX-License-Identifier: MIT */
/* mm/crc32.h - the checksum of GPT tables and of what is kept on disks */
#ifndef MM_CRC32_H
#define MM_CRC32_H

#include "mm/types.h"

/*
 * crc32 - of n_bytes that follow what `sum` is of; 0 to begin with
 *
 *   Source  IEEE 802.3, 3.2.9: polynomial 0x04C11DB7, bits reflected; UEFI 2.10, 4.2 asks for it
 */
uint32_t crc32(uint32_t sum, const void *bytes, size_t n_bytes);

#endif
