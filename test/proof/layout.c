/* SPDX-License-Identifier: MIT */
/*
 * test/proof/layout.c - where members lie, as the compiler sees it, for the specifications in spec_*.py
 */
#include "mm/frame_in.h"
#include "mm/pt.h"

#define MEMBER(type, member) const uint64_t at_##type##_##member = offsetof(struct type, member)
#define SIZE(type)           const uint64_t size_##type = sizeof(struct type)

MEMBER(pt, levels);
MEMBER(pt, root);
SIZE(pt);
MEMBER(pte_cpu, phys_bits);
MEMBER(pte_cpu, nx);
MEMBER(pte_cpu, gib_pages);
MEMBER(bits, n);
MEMBER(bits, levels);
MEMBER(bits, level);
SIZE(bits);
MEMBER(chunk, any);
MEMBER(chunk, rows);
MEMBER(chunk, cut);
MEMBER(chunk, built);
MEMBER(chunk, maps);
MEMBER(chunk, n_free);
MEMBER(chunk, moved);
SIZE(chunk);
MEMBER(chunk_maps, row);
MEMBER(chunk_maps, word);
SIZE(chunk_maps);
MEMBER(chunk_row, any);
MEMBER(chunk_row, words);
SIZE(chunk_row);
MEMBER(frames, chunk);
SIZE(frames);
SIZE(fchunk);
