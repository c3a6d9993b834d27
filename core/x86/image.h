/* SPDX-License-Identifier: MIT */
/* core/x86/image.h - our own PE image as it lies in memory */
#ifndef CORE_X86_IMAGE_H
#define CORE_X86_IMAGE_H

#include "mm/types.h"

/* image_base, image_bytes - where the firmware put us, and how much of it */
uint64_t image_base(void);
uint64_t image_bytes(void);

/* A section of the image: page-aligned, [start, end) */
struct image_part {
    uint64_t start, end;
    bool     writable, executable;
    char     name[9];
};

/* image_part_at - the headers (0) and the sections (1..); false when there is no such part */
bool image_part_at(unsigned i, struct image_part *out);

/* image_part_of - the part that holds an address; start == end when none does */
struct image_part image_part_of(uint64_t address);

enum image_directory { IMAGE_EXCEPTIONS = 3 };

/* image_directory - one of the header's data directories; n_bytes 0 when it is empty */
const void *image_directory(enum image_directory which, size_t *n_bytes);

#endif
