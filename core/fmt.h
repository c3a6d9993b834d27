/* SPDX-License-Identifier: MIT */
/* core/fmt.h - formatting and reading numbers */
#ifndef CORE_FMT_H
#define CORE_FMT_H

#include <stdarg.h>

#include "mm/attr.h"
#include "mm/err.h"
#include "mm/types.h"

/*
 * fmt_string - snprintf for kernels: d i u x X o p c s %, flags - 0 + space #, width and precision
 * (also *), lengths hh h l ll z t j
 *
 *   Returns the length that the whole text would have had; what is written always ends in '\0'
 *   when size_bytes > 0. A conversion that is not in the list is copied as it stands.
 */
size_t fmt_string(char *out, size_t size_bytes, const char *fmt, ...) PRINTF(3, 4);
size_t fmt_vstring(char *out, size_t size_bytes, const char *fmt, va_list args) PRINTF(3, 0);

/*
 * fmt_emit - the same text, of any length, given piece by piece to put(arg, piece, n_bytes)
 *
 *   Returns the length of the text. No piece ends in '\0'; pieces are never empty.
 */
typedef void fmt_put_fn(void *arg, const char *piece, size_t n_bytes);
size_t fmt_emit(fmt_put_fn *put, void *arg, const char *fmt, va_list args) PRINTF(3, 0);

/*
 * fmt_read_u64 - a whole word as a number: decimal, 0x hexadecimal, with an optional K, M, G or T
 * (powers of 1024); letters in either case
 *
 *   Errors  ERR_SYNTAX  empty, a stray character     ERR_INVAL  more than 64 bits
 */
err_t fmt_read_u64(const char *text, uint64_t *out) MUST_USE;

/* fmt_size - "512 B", "4 KiB", "1.5 GiB": exact where it can be, else one decimal; returns out */
#define FMT_SIZE_BYTES 16
char *fmt_size(char out[FMT_SIZE_BYTES], uint64_t n_bytes);

#endif
