/* SPDX-License-Identifier: MIT */
/*
 * test/proof/acsl.h - what Frama-C reads before each file of mm/: words for the annotations, and all that it takes
 * on trust
 *
 * Annotations in the sources are proved; what stands here is not, by Frama-C. docs/proof.md says why each is so.
 */
#ifndef TEST_PROOF_ACSL_H
#define TEST_PROOF_ACSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frama-C 25 has no such type; no function that is proved uses one */
#define __int128 __INT64_TYPE__

/* Calls through a function pointer: the functions that take one are proved once for each they are given */
#ifdef LESS
#define less(a, b) LESS(a, b)
#endif

#endif
