/* SPDX-License-Identifier: MIT */
/*
 * core/proc/sys_memory.c - system calls about memory
 *
 * Addresses here are not touched by the kernel: they name pages of the caller's regions, and mm/region.c refuses
 * what lies outside them. Sizes are in bytes, and rounded up to whole pages.
 */
#include "core/proc/proc_inside.h"
#include "core/proc/syscall.h"
#include "core/proc/uaccess.h"
#include "mm/frame.h"
#include "mm/shared.h"

_Static_assert(PROT_READ == REGION_R && PROT_WRITE == REGION_W && PROT_EXEC == REGION_X, "one number for both");
_Static_assert((int)ADVISE_NORMAL == (int)AS_NORMAL && (int)ADVISE_NO_HUGE == (int)AS_NO_HUGE, "one number for both");

#define PROT_ALL ((uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC))

static struct as *own(void) { return &proc_this()->as; }

/* Too many bytes are as many pages: no space has room for them, and none is 0 that wasn't */
static uint64_t pages(uint64_t n_bytes) { return (n_bytes >> PAGE_SHIFT) + (n_bytes % PAGE_SIZE != 0); }

static int64_t result(err_t err, va_t at) { return err == ERR_OK ? (int64_t)at.raw : -(int64_t)err; }

/* Where it shall be; if it need not be there, and can't, where there is room */
static int64_t add(struct region_want *want, uint64_t at, uint64_t flags)
{
    va_t  out;
    err_t err;

    want->start = va(at);
    want->prot = (unsigned)(flags & PROT_ALL);
    if ((flags & ~(PROT_ALL | MAP_FIXED | MAP_SHARED)) != 0 || (at == 0 && (flags & MAP_FIXED) != 0))
        return -(int64_t)ERR_INVAL;
    err = as_region_add(own(), want, &out);
    if (err != ERR_OK && at != 0 && (flags & MAP_FIXED) == 0) {
        want->start = va(0);
        err = as_region_add(own(), want, &out);
    }
    return result(err, out);
}

int64_t sys_map(struct trap_frame *f)
{
    struct region_want want = { .n_pages = pages(f->rsi), .kind = REGION_ANON };

    return (f->rdx & MAP_SHARED) != 0 ? -(int64_t)ERR_INVAL : add(&want, f->rdi, f->rdx);
}

int64_t sys_unmap(struct trap_frame *f) { return -(int64_t)as_region_remove(own(), va(f->rdi), pages(f->rsi)); }

int64_t sys_protect(struct trap_frame *f)
{
    if ((f->rdx & ~PROT_ALL) != 0)
        return -(int64_t)ERR_INVAL;
    return -(int64_t)as_region_protect(own(), va(f->rdi), pages(f->rsi), (unsigned)f->rdx);
}

int64_t sys_remap(struct trap_frame *f)
{
    va_t  at = va(0);
    err_t err = (f->r10 & ~(uint64_t)MAP_MOVE) != 0 ? ERR_INVAL : ERR_OK;

    if (err == ERR_OK)
        err = as_region_remap(own(), va(f->rdi), pages(f->rsi), pages(f->rdx), (f->r10 & MAP_MOVE) != 0, &at);
    return result(err, at);
}

int64_t sys_brk(struct trap_frame *f)
{
    va_t  end;
    err_t err = as_brk(own(), va(f->rdi), &end);

    return result(err, end);
}

int64_t sys_share(struct trap_frame *f)
{
    char               name[SHARED_NAME_BYTES];
    struct region_want want = { .n_pages = pages(f->rsi), .kind = REGION_SHARED };
    err_t              err = copy_string_from_user(name, sizeof name, uva(f->rdi));

    if (err == ERR_OK)
        err = shared_open(name, want.n_pages, &want.shared);
    if (err != ERR_OK)
        return -(int64_t)err;
    int64_t at = add(&want, f->r10, f->rdx);

    shared_put(want.shared);
    return at;
}

int64_t sys_map_file(struct trap_frame *f)
{
    char                  name[PROC_NAME_BYTES];
    struct region_want    want = { .n_pages = pages(f->rdx), .kind = REGION_IMAGE, .offset = f->rsi };
    const struct program *program;
    int64_t               at;
    err_t                 err = copy_string_from_user(name, sizeof name, uva(f->rdi));

    if (err != ERR_OK)
        return -(int64_t)err;
    program = program_find(name);
    err = program == NULL ? ERR_NOENT : f->rsi >= program->n_bytes ? ERR_INVAL : proc_file(program, &want.file);
    if (err == ERR_OK && (f->r10 & MAP_SHARED) != 0) {
        want.kind = REGION_SHARED;
        err = shared_open_file(want.file, &want.shared);
    }
    if (err != ERR_OK)
        return -(int64_t)err;
    want.file_bytes = min_u64(f->rdx, program->n_bytes - f->rsi);
    if (want.kind == REGION_SHARED)
        want.file = NULL, want.file_bytes = 0;
    at = add(&want, 0, f->r10);
    if (want.shared != NULL)
        shared_put(want.shared);
    return at;
}

int64_t sys_advise(struct trap_frame *f)
{
    if (f->rdx > ADVISE_NO_HUGE)
        return -(int64_t)ERR_INVAL;
    return -(int64_t)as_advise(own(), va(f->rdi), pages(f->rsi), (enum as_advice)f->rdx);
}

int64_t sys_lock(struct trap_frame *f)
{
    return -(int64_t)(f->rdx > 1 ? ERR_INVAL : as_lock(own(), va(f->rdi), pages(f->rsi), f->rdx == 1));
}

int64_t sys_memory(struct trap_frame *f)
{
    struct as_memory m;
    err_t            err;

    as_memory(own(), &m);
    const struct memory_info info = {
        .resident_pages = m.resident_pages,
        .shared_pages = m.shared_pages,
        .huge_pages = m.huge_pages,
        .table_pages = m.table_pages,
        .limit_pages = m.limit_pages,
        .free_pages = frame_totals().free,
        .faults_zero = m.faults[FAULT_MAP_ZERO],
        .faults_new = m.faults[FAULT_NEW_ZERO] + m.faults[FAULT_NEW_HUGE],
        .faults_copy = m.faults[FAULT_COPY],
        .faults_reuse = m.faults[FAULT_MAKE_WRITABLE],
        .faults_image = m.faults[FAULT_MAP_IMAGE] + m.faults[FAULT_NEW_IMAGE],
        .faults_grow = m.faults_grow,
    };
    err = copy_to_user(uva(f->rdi), &info, (size_t)min_u64(f->rsi, sizeof info));
    return -(int64_t)err;
}
