/* SPDX-License-Identifier: MIT */
/*
 * mm/fault.c - what a page fault means
 *
 * Promise     Every fault gets one name: pure, write, permission, reserved bit or spurious, from the error
 *             code and a fresh walk of the tables. The walk counts as much as the code: the code says
 *             what the CPU believed, the tables what is true now.
 *
 * Table       rows are tried from the top; "-" is anything
 *
 *             RSVD P PK SS I W U   walk now                     kind        reason
 *   F1         1   - -  -  - - -   -                            reserved    -
 *   F2         0   - -  -  - - -   a reserved bit               reserved    -
 *   F3         0   0 -  -  - - -   nothing mapped               pure        -          level: where
 *   F4         0   0 -  -  - - -   mapped                       spurious    -          somebody mapped it
 *   F5         0   1 -  -  - - -   nothing mapped               spurious    -          somebody unmapped it
 *   F6         0   1 1  -  - - -   mapped                       permission  key
 *   F7         0   1 0  1  - - -   mapped                       permission  shadow stack
 *   F8         0   1 0  0  - - 1   no U on the path             permission  supervisor page
 *   F9         0   1 0  0  1 - -   NX on the path               permission  NX
 *   F10        0   1 0  0  1 - 0   U on the path, SMEP          permission  SMEP
 *   F11        0   1 0  0  0 1 -   no W, and U = 1 or WP        write       -
 *   F12        0   1 0  0  0 - 0   U on the path, SMAP, AC = 0  permission  SMAP
 *   F13        0   1 0  0  - - -   anything else                spurious    -
 *
 *             F1 stands before P is asked: the manual says that RSVD implies P, QEMU's TCG gives 8 where
 *             9 is right. F5 is no pure fault: retrying makes it one if it is. F8 and F9 stand before
 *             F11, F12: one access can be wrong in many ways; the one that no right of the page
 *             could cure comes first.
 *
 * Sources     SDM 3A "Page-Fault Exceptions", "Access Rights"; "Optional Invalidation" (spurious faults)
 */
#include "mm/fault.h"

static enum fault_reason refused(const struct fault *f, const struct pt_walk *walk, struct fault_cpu cpu)
{
    if (f->user && !walk->u)
        return FAULT_SUPERVISOR_PAGE; /* F8 */
    if (f->fetch && !walk->x)
        return FAULT_NX; /* F9 */
    if (f->fetch && !f->user && walk->u && cpu.smep)
        return FAULT_SMEP; /* F10 */
    return FAULT_NO_REASON;
}

struct fault fault_decode(va_t address, uint64_t error, const struct pt_walk *walk, struct fault_cpu cpu)
{
    struct fault f = { .address = address,
                       .kind = FAULT_PERMISSION,
                       .level = walk->last,
                       .write = (error & FAULT_ERR_W) != 0,
                       .fetch = (error & FAULT_ERR_I) != 0,
                       .user = (error & FAULT_ERR_U) != 0 };

    if ((error & FAULT_ERR_RSVD) != 0 || walk->reserved) /* F1, F2 */
        f.kind = FAULT_RESERVED;
    else if ((error & FAULT_ERR_P) == 0) /* F3, F4 */
        f.kind = walk->mapped ? FAULT_SPURIOUS : FAULT_PURE;
    else if (!walk->mapped) /* F5 */
        f.kind = FAULT_SPURIOUS;
    else if ((error & FAULT_ERR_PK) != 0) /* F6 */
        f.reason = FAULT_KEY;
    else if ((error & FAULT_ERR_SS) != 0) /* F7 */
        f.reason = FAULT_SHADOW_STACK;
    else if (refused(&f, walk, cpu) != FAULT_NO_REASON) /* F8 to F10 */
        f.reason = refused(&f, walk, cpu);
    else if (f.write && !walk->w && (f.user || cpu.wp)) /* F11 */
        f.kind = FAULT_WRITE;
    else if (!f.fetch && !f.user && walk->u && cpu.smap && !cpu.ac) /* F12 */
        f.reason = FAULT_SMAP;
    else /* F13 */
        f.kind = FAULT_SPURIOUS;
    return f;
}

const char *fault_kind_name(enum fault_kind kind)
{
    static const char *const names[FAULT_KINDS] = {
        [FAULT_PURE] = "pure",
        [FAULT_WRITE] = "write",
        [FAULT_PERMISSION] = "permission",
        [FAULT_RESERVED] = "reserved bit",
        [FAULT_SPURIOUS] = "spurious",
    };

    return (unsigned)kind < FAULT_KINDS ? names[kind] : "unknown";
}

const char *fault_reason_words(enum fault_reason reason)
{
    static const char *const words[FAULT_REASONS] = {
        [FAULT_NO_REASON] = "",
        [FAULT_SUPERVISOR_PAGE] = "ring 3 touched a page of the kernel's",
        [FAULT_NX] = "a fetch from a page that holds no code (NX)",
        [FAULT_SMEP] = "the kernel fetched from a user page (SMEP)",
        [FAULT_SMAP] = "the kernel touched a user page (SMAP)",
        [FAULT_KEY] = "the page's protection key is closed",
        [FAULT_SHADOW_STACK] = "an access to a shadow stack",
    };

    return (unsigned)reason < FAULT_REASONS ? words[reason] : "unknown";
}
