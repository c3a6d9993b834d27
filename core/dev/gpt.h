/* SPDX-License-Identifier: MIT */
/* core/dev/gpt.h - the partitions of a disk, as its GUID partition table says; portable */
#ifndef CORE_DEV_GPT_H
#define CORE_DEV_GPT_H

#include "mm/err.h"
#include "mm/types.h"

#define GPT_PARTITIONS_MAX 128

struct gpt_guid {
    uint8_t byte[16]; /* as on the disk */
};

struct gpt_partition {
    struct gpt_guid type, id;
    uint64_t        first, end; /* blocks, half-open                           */
    char            name[37];   /* ASCII; other characters have become a '?'   */
};

/* How to reach the disk */
struct gpt_disk {
    uint32_t block_bytes; /* 512 to 4096 */
    uint64_t n_blocks;
    /* one block; what it returns is good until the next call, NULL: it can't be read */
    const uint8_t *(*block)(void *arg, uint64_t number);
    void *arg;
};

struct gpt {
    struct gpt_partition partition[GPT_PARTITIONS_MAX];
    unsigned             n;
    bool                 backup; /* the first table is damaged, this is what the second one says */
};

/*
 * gpt_read - find the table, check all of it, and list what it says
 *
 *   why     what is wrong, in words; set with every error, and when only the backup is good
 *
 *   The table at the start of the disk, or else its backup at the end. One wrong thing, and it is not believed: who
 *   reads a table in order to write to the disk must be sure.
 *   Errors  ERR_NOENT    there is none: no protective MBR, or no table behind it
 *           ERR_CORRUPT  both are damaged     ERR_IO  the disk can't be read
 *   Source  UEFI Specification 2.10, 5 "GUID Partition Table (GPT) Disk Layout"
 */
err_t gpt_read(const struct gpt_disk *disk, struct gpt *out, const char **why) MUST_USE;

/* gpt_type_name - "EFI system", "Linux", ...; NULL for a type that is not known here */
const char *gpt_type_name(const struct gpt_guid *type);

#define GPT_GUID_CHARS 37

/* gpt_guid_text - "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"; returns `out` */
const char *gpt_guid_text(char out[GPT_GUID_CHARS], const struct gpt_guid *g);

#endif
