/* SPDX-License-Identifier: MIT */
/*
 * core/user/segments.c - a 32-bit program with an LDT of its own: segments [beyond|wait]
 *
 *   64-bit code ---- far jump, CS = LDT ----> 32-bit code: adds numbers up through DS, whose base and limit count
 *               <--- far jump, CS = 0x2b ---- its last instructions are 64-bit ones, below 4 GiB, too
 *
 *   beyond   it reads one byte behind its data segment's limit, too: #GP
 *   wait     two seconds, for a look at its LDT by `ldt PID`
 *
 * Far jumps alone: QEMU's TCG has trouble with far returns in ring 3 (docs/decisions.md).
 */
#include "core/user/ulib.h"

#define USER_CODE 0x2B

/* The data segment; the 32-bit code knows the offsets */
struct data {
    uint32_t n, number[8];
    uint32_t sum, cs;
    uint32_t beyond; /* an offset to read at, 0: none            */
    uint32_t base;   /* of this segment                          */
    uint32_t to;     /* far pointer to the 64-bit part           */
    uint16_t to_cs, unused[3];
    uint64_t rip, rsp; /* where that goes on                     */
};
_Static_assert(offsetof(struct data, sum) == 36 && offsetof(struct data, cs) == 40 && offsetof(struct data, beyond) == 44 &&
                   offsetof(struct data, base) == 48 && offsetof(struct data, to) == 52 && offsetof(struct data, rip) == 64,
               "the numbers below");

extern const uint8_t narrow[], narrow_wide[], narrow_end[];
__asm__("        .section .rodata\n"
        "narrow: .code32\n"
        "        movw %cs, 40\n"
        "        xorl %eax, %eax\n"
        "        xorl %ecx, %ecx\n"
        "1:      addl 4(,%ecx,4), %eax\n"
        "        incl %ecx\n"
        "        cmpl 0, %ecx\n"
        "        jb 1b\n"
        "        movl %eax, 36\n"
        "        movl 44, %esi\n"
        "        testl %esi, %esi\n"
        "        jz 2f\n"
        "        movb (%esi), %al\n"
        "2:      movl 48, %ebx\n"
        "        ljmpl *52\n"
        "narrow_wide: .code64\n"
        "        movl %ebx, %ebx\n"
        "        movq 72(%rbx), %rsp\n"
        "        jmpq *64(%rbx)\n"
        "narrow_end:\n"
        "        .text\n");

struct far_pointer {
    uint32_t offset;
    uint16_t selector;
};

/* Of the registers' upper halves nothing survives 32-bit code. 128: the red zone. */
static void run_narrow(struct data *d, const struct far_pointer *to, uint64_t ds)
{
    __asm__ volatile("subq $128, %%rsp\n\tpushq %%rbp\n\tmovq %%rsp, 72(%%rbx)\n\tleaq 1f(%%rip), %%rax\n\tmovq %%rax, 64(%%rbx)\n\t"
                     "movw %%cx, %%ds\n\tljmpl *(%%rdx)\n1:\tpopq %%rbp\n\taddq $128, %%rsp"
                     : "+b"(d), "+d"(to), "+c"(ds)
                     :
                     : "rax", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
}

int main(int argc, char **argv)
{
    static const struct data numbers = { .n = 8, .number = { 1, 2, 3, 5, 8, 13, 21, 34 }, .to_cs = USER_CODE };
    size_t                   n_code = (size_t)(uaddr(narrow_end) - uaddr(narrow));
    uint64_t code = (uint64_t)must("segment", sys_segment(SEGMENT_OF_CODE, narrow, n_code, n_code - 1));
    uint64_t data = (uint64_t)must("segment", sys_segment(SEGMENT_OF_DATA, &numbers, sizeof numbers, sizeof numbers - 1));
    struct data             *d = uptr((int64_t)(data >> 16));
    const struct far_pointer to = { 0, (uint16_t)code };

    d->base = (uint32_t)(data >> 16);
    d->to = (uint32_t)((code >> 16) + (uaddr(narrow_wide) - uaddr(narrow)));
    d->beyond = argc > 1 && strcmp(argv[1], "beyond") == 0 ? sizeof *d : 0;
    if (argc > 1 && strcmp(argv[1], "wait") == 0)
        must("sleep", sys_sleep((uint64_t)2000 * 1000 * 1000));
    run_narrow(d, &to, data & 0xFFFF);
    print("segments: code %#llx at %#llx, data %#llx at %#llx\n", ULL(code & 0xFFFF), ULL(code >> 16), ULL(data & 0xFFFF),
          ULL(data >> 16));
    print("segments: 32-bit code ran with CS = %#x, and the sum is %u\n", d->cs, d->sum);
    if (d->beyond != 0)
        print("segments: nobody minded the limit: QEMU's TCG does not check it\n");
    return d->sum != 87 || d->cs != (code & 0xFFFF);
}
