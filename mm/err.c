/* SPDX-License-Identifier: MIT */
/* mm/err.c - errors in words */
#include "mm/err.h"

#include <stddef.h>

static const char *const words[ERR_COUNT] = {
    [ERR_OK] = "ok",
    [ERR_NOMEM] = "no memory left that fits",
    [ERR_INVAL] = "invalid argument",
    [ERR_EXISTS] = "something is there already",
    [ERR_NOENT] = "nothing is there",
    [ERR_BUSY] = "in use",
    [ERR_OUTSIDE] = "outside memory",
    [ERR_RESERVED] = "reserved memory",
    [ERR_NOT_ALLOC] = "not allocated",
    [ERR_INSIDE] = "inside a block, not at its start",
    [ERR_ORDER] = "the block has another order",
    [ERR_NOT_CANON] = "address is not canonical",
    [ERR_PERM] = "not permitted",
    [ERR_ALIAS] = "mapped elsewhere with another cache type",
    [ERR_IO] = "device error",
    [ERR_CORRUPT] = "damaged data",
    [ERR_NOSYS] = "this machine cannot do that",
    [ERR_SYNTAX] = "not understood",
};

const char *err_str(err_t err)
{
    if ((unsigned)err >= ERR_COUNT || words[err] == NULL)
        return "unknown error";
    return words[err];
}
