/* SPDX-License-Identifier: MIT */
/* core/user/hello.c - the smallest program: its arguments, and where it finds itself */
#include "core/user/ulib.h"

static const char *const greetings[] = { "hello", "world" }; /* pointers in data: crt0.S made them true */

int main(int argc, char **argv)
{
    int on_stack = argc;

    print("%s, %s: I am process %lld\n", greetings[0], greetings[1], (long long)sys_pid());
    for (int i = 1; i < argc; i++)
        print("  argument %d: %s\n", i, argv[i]);
    print("  text %#llx, data %#llx, stack %#llx\n", ULL((uintptr_t)main), ULL(uaddr(greetings)), ULL(uaddr(&on_stack)));
    return 0;
}
