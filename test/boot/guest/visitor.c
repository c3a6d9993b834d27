/* SPDX-License-Identifier: MIT */
/* test/boot/guest/visitor.c - a program that is not in the image: the boot tests bring it on the ESP */
#include "core/user/ulib.h"

int main(int argc, char **argv)
{
    print("visitor: brought on the ESP, with %d argument%s\n", argc - 1, argc == 2 ? "" : "s");
    for (int i = 1; i < argc; i++)
        print("visitor: %s\n", argv[i]);
    return 7;
}
