/* SPDX-License-Identifier: MIT */
/* mm/crc32.c - the checksum of GPT tables and of what is kept on disks, four bits at a time */
#include "mm/crc32.h"

/* What four bits become when they have gone through: n times the polynomial, reflected */
static const uint32_t steps[16] = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
};

uint32_t crc32(uint32_t sum, const void *bytes, size_t n_bytes)
{
    const uint8_t *p = bytes;

    for (sum = ~sum; n_bytes-- > 0; p++) {
        sum = sum >> 4 ^ steps[(sum ^ *p) & 15];
        sum = sum >> 4 ^ steps[(sum ^ *p >> 4) & 15];
    }
    return ~sum;
}
