/* SPDX-License-Identifier: MIT */
/*
 * core/x86/trap.c - exceptions and interrupts, sorted
 *
 *   vector     who              what happens
 *   14         a page fault     the kernel's first touch of lazy memory: mm/ maps it, the access is repeated
 *   0 .. 31    an exception     of a process: core/proc/user_trap.c sees to it; in a copy from or to ring 3: so
 *                               does core/proc/uaccess.c; under trap_try: fn ends there; else a panic
 *                               with the whole story
 *   32 .. 254  an interrupt     the handler that was set; the local APIC is told that it is done
 *   255        spurious         nothing (SDM 3A "Spurious Interrupt")
 *
 * On the way back, if the code that was interrupted could be (IF = 1), another thread may get its turn.
 */
#include "core/x86/trap.h"

#include "core/cpu.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/proc/proc_inside.h"
#include "core/proc/sched.h"
#include "core/proc/uaccess.h"
#include "core/x86/apic.h"
#include "core/x86/gdt.h"
#include "core/x86/unwind.h"
#include "core/x86/user.h"
#include "mm/kva.h"

#define VECTOR_SPURIOUS 255

/* bits of a page fault's error code: SDM 3A "Page-Fault Exceptions" */
#define PF_P    0x01u
#define PF_W    0x02u
#define PF_U    0x04u
#define PF_RSVD 0x08u
#define PF_I    0x10u
#define PF_PK   0x20u
#define PF_SS   0x40u

#define RFLAGS_TF ((uint64_t)1 << 8)
#define RFLAGS_DF ((uint64_t)1 << 10)
#define RFLAGS_AC ((uint64_t)1 << 18)

extern const uint8_t trap_entries[TRAP_VECTORS][16];
extern const uint8_t trap_try_abort[];
bool trap_try_run(void (*fn)(void *arg), void *arg, uint64_t *rsp_out);
void trap_dispatch(struct trap_frame *f);

struct __attribute__((packed)) gate {
    uint16_t offset_low, selector;
    uint8_t  ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "SDM 3A \"64-Bit IDT Gate Descriptors\"");

static struct {
    struct gate idt[TRAP_VECTORS];
    struct {
        void (*fn)(void *arg);
        void *arg;
    } handler[TRAP_VECTORS];
} tr;

static const char *const names[TRAP_EXCEPTIONS] = {
    "#DE divide error", "#DB debug", "NMI", "#BP breakpoint", "#OF overflow", "#BR bound range exceeded",
    "#UD invalid opcode", "#NM no math coprocessor", "#DF double fault", "coprocessor overrun", "#TS invalid TSS",
    "#NP segment not present", "#SS stack fault", "#GP general protection", "#PF page fault", NULL,
    "#MF x87 error", "#AC alignment check", "#MC machine check", "#XM SIMD error", "#VE virtualization",
    "#CP control protection", NULL, NULL, NULL, NULL, NULL, NULL, "#HV hypervisor injection",
    "#VC VMM communication", "#SX security", NULL,
};

const char *trap_name(unsigned vector)
{
    if (vector >= TRAP_EXCEPTIONS)
        return "interrupt";
    return names[vector] != NULL ? names[vector] : "reserved exception";
}

void idt_start(void)
{
    struct table_register r = { sizeof tr.idt - 1, (uintptr_t)tr.idt };

    for (unsigned v = 0; v < TRAP_VECTORS; v++) {
        uint64_t to = (uintptr_t)trap_entries[v];

        tr.idt[v] = (struct gate){
            .offset_low = (uint16_t)to,
            .offset_mid = (uint16_t)(to >> 16),
            .offset_high = (uint32_t)(to >> 32),
            .selector = SEL_KERNEL_CODE,
            .ist = v == TRAP_DF    ? IST_DOUBLE_FAULT
                   : v == TRAP_NMI ? IST_NMI
                   : v == TRAP_MC  ? IST_MACHINE_CHECK
                   : v == TRAP_DB  ? IST_DEBUG
                                   : IST_NONE,
            .type = v == TRAP_BP ? 0xEE : 0x8E, /* present, interrupt gate; INT3 from ring 3 too */
        };
    }
    cpu_lidt(&r);
}

void trap_handler_set(unsigned vector, void (*fn)(void *arg), void *arg)
{
    ASSERT(vector >= TRAP_EXCEPTIONS && vector < TRAP_VECTORS);
    uint64_t flags = port_irq_save();

    tr.handler[vector].fn = fn;
    tr.handler[vector].arg = arg;
    port_irq_restore(flags);
}

bool trap_try(void (*fn)(void *arg), void *arg, struct trap_caught *caught)
{
    struct thread      *me = thread_this();
    uint64_t            outer_rsp = me->try_rsp;
    struct trap_caught *outer_caught = me->try_caught;

    me->try_caught = caught;
    bool whole = trap_try_run(fn, arg, &me->try_rsp);
    me->try_rsp = outer_rsp;
    me->try_caught = outer_caught;
    return whole;
}

static void end_try(struct trap_frame *f, const struct thread *me)
{
    *me->try_caught = (struct trap_caught){ f->vector, f->error, f->vector == TRAP_PF ? read_cr2() : 0, f->rip };
    f->rip = (uintptr_t)trap_try_abort;
    f->rsp = me->try_rsp;
    f->cs = SEL_KERNEL_CODE;
    f->ss = SEL_KERNEL_DATA;
    f->rflags &= ~(RFLAGS_TF | RFLAGS_DF | RFLAGS_AC);
}

static void dump_error_code(const struct trap_frame *f)
{
    uint64_t e = f->error;

    switch (f->vector) {
    case TRAP_PF:
        kprintf("  error %#llx: %s by %s: %s\n", ULL(e),
                e & PF_I ? "execute" : e & PF_W ? "write" : "read", e & PF_U ? "ring 3" : "the kernel",
                e & PF_RSVD ? "a reserved bit is set in an entry"
                : !(e & PF_P) ? "nothing is mapped there"
                : e & PF_PK   ? "the protection key forbids it"
                : e & PF_SS   ? "shadow stack"
                              : "the mapping forbids it");
        break;
    case TRAP_TS: case TRAP_NP: case TRAP_SS: case TRAP_GP:
        if (e != 0)
            kprintf("  error %#llx: selector %#llx of the %s%s\n", ULL(e), ULL(e & 0xFFF8),
                    e & 2 ? "IDT" : e & 4 ? "LDT" : "GDT", e & 1 ? ", external event" : "");
        break;
    default:
        if (e != 0)
            kprintf("  error %#llx\n", ULL(e));
    }
}

void trap_dump(const struct trap_frame *f)
{
    uint64_t    cr2 = read_cr2();
    const char *stack = stack_owner(cr2);

    kprintf("%s (vector %llu) at %#llx\n", trap_name((unsigned)f->vector), ULL(f->vector), ULL(f->rip));
    dump_error_code(f);
    if (f->vector == TRAP_DF && stack != NULL)
        kprintf("  the %s stack ran into its guard page\n", stack);
    else if (f->vector == TRAP_DF && thread_overran(cr2))
        kprintf("  the stack of thread %s ran into its guard page\n", thread_this()->name);
    kprintf("  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n", ULL(f->rax), ULL(f->rbx), ULL(f->rcx), ULL(f->rdx));
    kprintf("  rsi %016llx  rdi %016llx  rbp %016llx  rsp %016llx\n", ULL(f->rsi), ULL(f->rdi), ULL(f->rbp), ULL(f->rsp));
    kprintf("  r8  %016llx  r9  %016llx  r10 %016llx  r11 %016llx\n", ULL(f->r8), ULL(f->r9), ULL(f->r10), ULL(f->r11));
    kprintf("  r12 %016llx  r13 %016llx  r14 %016llx  r15 %016llx\n", ULL(f->r12), ULL(f->r13), ULL(f->r14), ULL(f->r15));
    kprintf("  rip %016llx  cs %04llx  ss %04llx  rflags %08llx\n", ULL(f->rip), ULL(f->cs), ULL(f->ss), ULL(f->rflags));
    kprintf("  cr0 %08llx  cr2 %016llx  cr3 %012llx  cr4 %08llx\n", ULL(read_cr0()), ULL(cr2), ULL(read_cr3()), ULL(read_cr4()));
    if (f->vector == TRAP_PF || f->vector == TRAP_DF)
        panic_walk(f);
    unwind_print(&(struct unwind_start){ f->rip, f->rsp, f->rbp, f->rbx, f->rsi, f->rdi,
                                         { f->r12, f->r13, f->r14, f->r15 } });
}

/* An exception inside a handler is nobody's but the handler's: trap_try does not reach into it. */
static void interrupt(const struct trap_frame *f, struct cpu *cpu)
{
    unsigned       vector = (unsigned)f->vector;
    struct thread *me = cpu->thread;
    uint64_t       outer_rsp = me->try_rsp;

    if (vector == VECTOR_SPURIOUS)
        return;
    me->try_rsp = 0;
    if (tr.handler[vector].fn != NULL)
        tr.handler[vector].fn(tr.handler[vector].arg);
    me->try_rsp = outer_rsp;
    apic_eoi();
    if ((cpu->attention & ATTENTION_RESCHED) != 0 && (f->rflags & RFLAGS_IF) != 0)
        thread_yield();
}

/* Only what a read or write of the kernel's can be that found nothing mapped */
static bool first_touch(const struct trap_frame *f)
{
    return (f->error & ~(uint64_t)PF_W) == 0 && kva_fault(va(read_cr2())) == ERR_OK;
}

void trap_dispatch(struct trap_frame *f)
{
    struct cpu *cpu = cpu_this();
    bool        ring3 = (f->cs & 3) != 0 && cpu->thread->process != NULL;

    if (f->vector >= TRAP_EXCEPTIONS)
        interrupt(f, cpu);
    else if (ring3 && f->vector != TRAP_NMI && f->vector != TRAP_MC)
        user_trap(f);
    else if (f->vector == TRAP_PF && (first_touch(f) || uaccess_fault(f)))
        return;
    else if (f->vector == TRAP_DB && cpu->thread->process != NULL)
        f->rflags &= ~RFLAGS_TF; /* ring 3's last single step, a SYSCALL: the kernel takes none */
    else if (cpu->thread->try_rsp != 0 && !ring3)
        end_try(f, cpu->thread);
    else
        panic_trap(f);
    if (ring3 && cpu->attention != 0)
        user_attention();
}
