/* SPDX-License-Identifier: MIT */
/*
 * core/proc/segments.c - segments of a process's own
 *
 *   SYS_SEGMENT    a page of memory with the caller's bytes in it, below 4 GiB, where a descriptor's 32 bits of base
 *                  reach, and a descriptor in the process's LDT with its base and limit
 *
 * The addresses below 4 GiB are the kernel's (its image runs there), so a process that makes a segment gets slot 0
 * for itself, with the kernel's mappings copied in (mm/as.h, as_own_low). Code is executable and not writable, data
 * writable and not executable, as everywhere.
 *
 * A switch between processes loads the other's LDT, DS, ES and FS; one without segments finds them null.
 */
#include "core/proc/segments.h"

#include "core/proc/proc_inside.h"
#include "core/proc/syscall.h"
#include "core/proc/uaccess.h"
#include "core/x86/gdt.h"
#include "core/x86/insn.h"
#include "core/x86/segment.h"
#include "mm/frame.h"
#include "mm/heap_kernel.h"

#define LOW_FIRST (4 * MIB)
#define LOW_STEP  (2 * MIB) /* where something is in the way, it is the kernel's image */
#define RING3     3u

void segments_leave(struct segments *s)
{
    s->ds = cpu_ds();
    s->es = cpu_es();
    s->fs = cpu_fs();
    cpu_load_segments(0, 0, 0);
    gdt_ldt_load(NULL, 0);
}

void segments_enter(const struct segments *s)
{
    gdt_ldt_load(s->ldt, s->n);
    cpu_load_segments(s->ds, s->es, s->fs);
}

void segments_end(struct segments *s, struct as *as)
{
    struct tlb_batch batch;
    err_t            err = ERR_OK;

    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n && err == ERR_OK; i++) {
        tlb_batch_open(&batch, &as->tlb);
        err = pt_unmap(&as->pt, s->at[i], 1, &batch);
        tlb_batch_close(&batch);
        if (err == ERR_OK)
            err = frame_free(s->frame[i]);
    }
    if (err != ERR_OK || heap_free(kernel_heap, s) != ERR_OK)
        PANIC("a process's segments: %s", err_str(err));
}

/* The process's struct, made when it is first asked for */
static err_t segments_of(struct process *p, struct segments **out)
{
    struct segments *s = p->segments;
    err_t            err = as_own_low(&p->as);

    if (err != ERR_OK)
        return err;
    if (s == NULL) {
        s = heap_alloc(kernel_heap, sizeof *s);
        if (s == NULL)
            return ERR_NOMEM;
        *s = (struct segments){ .n = 0 };
        p->segments = s;
    }
    *out = s;
    return s->n < SEGMENTS_MAX ? ERR_OK : ERR_NOMEM;
}

/* The lowest page that is free */
static err_t map_low(struct as *as, pfn_t frame, uint64_t flags, va_t *out)
{
    err_t err = ERR_EXISTS;

    for (uint64_t at = LOW_FIRST; at < 4 * GIB && err == ERR_EXISTS; at += LOW_STEP) {
        err = pt_map(&as->pt, va(at), frame, 1, flags, NULL);
        if (err == ERR_OK)
            *out = va(at);
    }
    return err;
}

static err_t fill(pfn_t frame, uva_t from, uint64_t n_bytes)
{
    uint8_t *page = port_ptr(pfn_to_pa(frame));

    __builtin_memset(page, 0, PAGE_SIZE);
    return copy_from_user(page, from, n_bytes);
}

static err_t make(struct process *p, bool code, uva_t from, uint64_t n_bytes, uint64_t limit, uint64_t *out)
{
    struct segments *s;
    struct segment   d = { .limit = (uint32_t)limit, .dpl = RING3, .s = true, .p = true, .db = true,
                           .type = SEGMENT_ACCESSED | SEGMENT_WRITABLE | (code ? SEGMENT_CODE : 0) };
    uint64_t         words[2], irq;
    pfn_t            frame;
    va_t             at;
    err_t            err = segments_of(p, &s);

    if (err == ERR_OK)
        err = frame_alloc(0, &frame);
    if (err != ERR_OK)
        return err;
    err = fill(frame, from, n_bytes);
    if (err == ERR_OK)
        err = map_low(&p->as, frame, code ? PTE_U : PTE_U | PTE_W | PTE_NX, &at);
    if (err != ERR_OK) {
        (void)!frame_free(frame);
        return err;
    }
    d.base = at.raw;
    err = segment_encode(&d, words);
    ASSERT(err == ERR_OK);
    irq = port_irq_save();
    s->frame[s->n] = frame;
    s->at[s->n] = at;
    s->ldt[s->n] = words[0];
    *out = at.raw << 16 | s->n << 3 | 4 | RING3;
    s->n++;
    gdt_ldt_load(s->ldt, s->n);
    port_irq_restore(irq);
    return ERR_OK;
}

int64_t sys_segment(struct trap_frame *f)
{
    uint64_t out;
    err_t    err;

    if (f->rdi > SEGMENT_OF_CODE || f->rdx > PAGE_SIZE || f->r10 >= PAGE_SIZE)
        return -(int64_t)ERR_INVAL;
    err = make(proc_this(), f->rdi == SEGMENT_OF_CODE, uva(f->rsi), f->rdx, f->r10, &out);
    return err == ERR_OK ? (int64_t)out : -(int64_t)err;
}
