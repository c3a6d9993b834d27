/* SPDX-License-Identifier: MIT */
/* test/host/test_fault.c - mm/fault.c row by row, and every fault that the software MMU can raise */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mm/fault.h"
#include "test/host/sim_mmu.h"

/* One row of the table in mm/fault.c */
struct row {
    const char       *name;
    uint64_t          error;
    bool              mapped, reserved, w, u, x;
    struct fault_cpu  cpu;
    enum fault_kind   kind;
    enum fault_reason reason;
};

static const struct fault_cpu strict = { .wp = true, .smep = true, .smap = true };

static void every_row_of_the_table(void **state)
{
    const struct fault_cpu ac = { .wp = true, .smep = true, .smap = true, .ac = true }, lax = { 0 };
    const struct row       rows[] = {
        /*  name   error mapped reserved w      u      x      cpu     kind              reason */
        { "F1", 0x09, false, true, true, true, true, strict, FAULT_RESERVED, FAULT_NO_REASON },
        { "F1, as TCG has it", 0x08, false, true, true, true, true, strict, FAULT_RESERVED, FAULT_NO_REASON },
        { "F1, cured since", 0x0b, true, false, true, true, true, strict, FAULT_RESERVED, FAULT_NO_REASON },
        { "F2", 0x00, false, true, true, true, true, strict, FAULT_RESERVED, FAULT_NO_REASON },
        { "F3 read", 0x00, false, false, true, true, true, strict, FAULT_PURE, FAULT_NO_REASON },
        { "F3 user write", 0x06, false, false, true, true, true, strict, FAULT_PURE, FAULT_NO_REASON },
        { "F3 fetch", 0x10, false, false, true, true, true, strict, FAULT_PURE, FAULT_NO_REASON },
        { "F4", 0x02, true, false, true, false, false, strict, FAULT_SPURIOUS, FAULT_NO_REASON },
        { "F5", 0x03, false, false, true, false, false, strict, FAULT_SPURIOUS, FAULT_NO_REASON },
        { "F6", 0x25, true, false, true, true, true, strict, FAULT_PERMISSION, FAULT_KEY },
        { "F6, read-only too", 0x27, true, false, false, true, true, strict, FAULT_PERMISSION, FAULT_KEY },
        { "F7", 0x47, true, false, false, true, true, strict, FAULT_PERMISSION, FAULT_SHADOW_STACK },
        { "F8 read", 0x05, true, false, true, false, true, strict, FAULT_PERMISSION, FAULT_SUPERVISOR_PAGE },
        { "F8 write", 0x07, true, false, false, false, true, strict, FAULT_PERMISSION, FAULT_SUPERVISOR_PAGE },
        { "F8 fetch of NX", 0x15, true, false, true, false, false, strict, FAULT_PERMISSION, FAULT_SUPERVISOR_PAGE },
        { "F9", 0x11, true, false, true, false, false, strict, FAULT_PERMISSION, FAULT_NX },
        { "F9 user", 0x15, true, false, true, true, false, strict, FAULT_PERMISSION, FAULT_NX },
        { "F9 before F10", 0x11, true, false, true, true, false, strict, FAULT_PERMISSION, FAULT_NX },
        { "F10", 0x11, true, false, true, true, true, strict, FAULT_PERMISSION, FAULT_SMEP },
        { "F11 kernel", 0x03, true, false, false, false, false, strict, FAULT_WRITE, FAULT_NO_REASON },
        { "F11 user", 0x07, true, false, false, true, true, lax, FAULT_WRITE, FAULT_NO_REASON },
        { "F11 before F12", 0x03, true, false, false, true, true, strict, FAULT_WRITE, FAULT_NO_REASON },
        { "F12 read", 0x01, true, false, true, true, true, strict, FAULT_PERMISSION, FAULT_SMAP },
        { "F12 write", 0x03, true, false, true, true, true, strict, FAULT_PERMISSION, FAULT_SMAP },
        { "F13 AC is set", 0x03, true, false, true, true, true, ac, FAULT_SPURIOUS, FAULT_NO_REASON },
        { "F13 writable now", 0x03, true, false, true, false, true, strict, FAULT_SPURIOUS, FAULT_NO_REASON },
        { "F13 WP is off", 0x03, true, false, false, false, true, lax, FAULT_SPURIOUS, FAULT_NO_REASON },
        { "F13 no SMEP", 0x11, true, false, true, true, true, lax, FAULT_SPURIOUS, FAULT_NO_REASON },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct pt_walk    walk = { .levels = 4, .last = 2, .canonical = true, .mapped = r->mapped,
                                   .reserved = r->reserved, .w = r->w, .u = r->u, .x = r->x };
        struct fault      f = fault_decode(va(0x1234), r->error, &walk, r->cpu);

        if (f.kind != r->kind || f.reason != r->reason)
            fail_msg("%s: %s %s", r->name, fault_kind_name(f.kind), fault_reason_words(f.reason));
        assert_int_equal(f.level, 2);
        assert_int_equal(f.address.raw, 0x1234);
    }
}

/* A leaf of every kind, every access, every setting: the fault of the software MMU is never called spurious. */
static uint64_t tables[4][512] __attribute__((aligned(4096)));

static uint64_t *physical(uint64_t address) { return &tables[0][0] + address / 8; }

static void check_one(const struct sim_cpu *cpu, uint64_t entry, struct sim_access a)
{
    struct sim_result r = sim_access(cpu, 0, a, false);
    struct pt_walk    w = { .levels = 4, .last = 1, .canonical = true, .mapped = (entry & 1) != 0,
                            .w = (entry & 2) != 0, .u = (entry & 4) != 0, .x = (entry >> 63) == 0 };
    struct fault_cpu  how = { cpu->wp, cpu->smep, cpu->smap, a.ac };
    struct fault      f;

    if (r.outcome == SIM_OK)
        return;
    f = fault_decode(va(0), r.error_code, &w, how);
    if (f.kind == FAULT_SPURIOUS || (f.kind == FAULT_PURE) != ((entry & 1) == 0) ||
        (f.kind == FAULT_WRITE && (!a.write || (entry & 2) != 0)))
        fail_msg("entry %llx, error %x: %s %s", (unsigned long long)entry, r.error_code, fault_kind_name(f.kind),
                 fault_reason_words(f.reason));
}

static void every_fault_of_the_mmu_has_a_cause(void **state)
{
    struct sim_cpu cpu = { .cr3 = 0, .maxphyaddr = 46, .nxe = true, .pke = true, .pkru = 0xc, .physical = physical };

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        tables[i][0] = (uint64_t)(i + 1) * 4096 | 7;
    for (unsigned bits = 0; bits < 32; bits++) {
        uint64_t entry = (bits & 7) | (uint64_t)(bits >> 3 & 1) << 63 | (uint64_t)(bits >> 4) << 59;

        tables[3][0] = entry;
        for (unsigned how = 0; how < 8; how++)
            for (unsigned what = 0; what < 12; what++) {
                struct sim_access a = { .write = what % 3 == 1, .fetch = what % 3 == 2, .user = what / 3 == 1,
                                        .ac = what / 3 == 2 };

                cpu.wp = how & 1;
                cpu.smep = how & 2;
                cpu.smap = how & 4;
                check_one(&cpu, entry, a);
            }
    }
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(fault_kind_name(FAULT_PURE), "pure");
    assert_string_equal(fault_kind_name(FAULT_KINDS), "unknown");
    for (unsigned r = 0; r < FAULT_REASONS; r++)
        assert_non_null(fault_reason_words((enum fault_reason)r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table),
        cmocka_unit_test(every_fault_of_the_mmu_has_a_cause),
        cmocka_unit_test(every_kind_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
