/* SPDX-License-Identifier: MIT */
/*
 * core/proc/uaccess.c - the one way from ring 0 to ring 3's memory
 *
 * Nothing else in the kernel opens a uva_t. An address is judged twice: here, whether it lies in ring 3's part of
 * the address space at all (the kernel's image lies below it, and on machines of 512 GiB and more perhaps inside
 * it); and by the CPU, page by page, while user_copy() runs. A page fault there is asked of the space's
 * regions, with the rights of ring 3, like the program's own; if they refuse, the copy lands on its feet.
 *
 * There is nothing between check and use: a byte is copied once, and only the copy is looked at.
 */
#include "core/proc/uaccess.h"

#include "core/machine.h"
#include "core/proc/proc_inside.h"
#include "core/x86/cpuid.h"
#include "core/x86/insn.h"
#include "core/x86/paging.h"
#include "core/x86/user.h"

extern const uint8_t user_copy_begin[], user_copy_end[], user_copy_landing[];

uint64_t uaccess_user_end(void) { return (uint64_t)SLOT_KERNEL_HALF << slot_shift(kernel_pt.levels); }

/* Does [start, start + n_bytes) lie where only ring 3's pages can be? */
static bool is_user(uint64_t start, size_t n_bytes)
{
    uint64_t end, image = machine.boot->image.raw, image_end = image + machine.boot->image_bytes;

    if (__builtin_add_overflow(start, n_bytes, &end))
        return false;
    return start >= slot_base(SLOT_PROCESS, kernel_pt.levels).raw && end <= uaccess_user_end() &&
           (end <= image || start >= image_end);
}

static bool copy(void *to, const void *from, size_t n_bytes)
{
    return cpu_this()->smap ? user_copy_smap(to, from, n_bytes) : user_copy(to, from, n_bytes);
}

err_t copy_from_user(void *out, uva_t from, size_t n_bytes)
{
    return is_user(from.raw, n_bytes) && copy(out, (const void *)from.raw, n_bytes) ? ERR_OK : ERR_PERM;
}

err_t copy_to_user(uva_t to, const void *from, size_t n_bytes)
{
    return is_user(to.raw, n_bytes) && copy((void *)to.raw, from, n_bytes) ? ERR_OK : ERR_PERM;
}

/* Up to the end of each page: the next one may not be there, and need not be when the string ends before. */
err_t copy_string_from_user(char *out, size_t size_bytes, uva_t from)
{
    size_t done = 0;

    while (done < size_bytes) {
        uint64_t at = from.raw + done;
        size_t   n = (size_t)min_u64(size_bytes - done, PAGE_SIZE - at % PAGE_SIZE);
        err_t    err = copy_from_user(out + done, uva(at), n);

        if (err != ERR_OK)
            return err;
        for (size_t i = done; i < done + n; i++)
            if (out[i] == '\0')
                return ERR_OK;
        done += n;
    }
    return ERR_INVAL;
}

bool uaccess_fault(struct trap_frame *f)
{
    uint64_t address = read_cr2();

    if (f->rip < (uintptr_t)user_copy_begin || f->rip >= (uintptr_t)user_copy_end || proc_this() == NULL)
        return false;
    if (!is_user(address, 1)) /* the kernel's own pointer is wrong */
        return false;
    cpu_sti(); /* copies are made in thread context */
    err_t err = proc_page_fault(address, f->error | FAULT_ERR_U);
    cpu_cli();
    if (err != ERR_OK)
        f->rip = (uintptr_t)user_copy_landing;
    return true;
}
