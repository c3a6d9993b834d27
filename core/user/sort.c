/* SPDX-License-Identifier: MIT */
/* core/user/sort.c - N random numbers from the heap, sorted in place: sort [N], 100,000 by default */
#include "core/user/ulib.h"

static void sift(uint64_t *a, size_t from, size_t n)
{
    for (size_t child; (child = 2 * from + 1) < n; from = child) {
        uint64_t held = a[from];

        if (child + 1 < n && a[child + 1] > a[child])
            child++;
        if (held >= a[child])
            return;
        a[from] = a[child];
        a[child] = held;
    }
}

static void heap_sort(uint64_t *a, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(a, i, n);
    while (n-- > 1) {
        uint64_t largest = a[0];

        a[0] = a[n];
        a[n] = largest;
        sift(a, 0, n);
    }
}

int main(int argc, char **argv)
{
    uint64_t  n = 100000, seed = 1, sum = 0, wrong = 0;
    uint64_t *a;

    if (argc > 1 && fmt_read_u64(argv[1], &n) != ERR_OK)
        fail("sort [N]", -ERR_SYNTAX);
    a = calloc(n, sizeof *a);
    if (a == NULL)
        fail("calloc", -ERR_NOMEM);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        a[i] = seed >> 16;
        sum += a[i];
    }
    heap_sort(a, n);
    for (size_t i = 0; i < n; i++) {
        sum -= a[i];
        wrong += i > 0 && a[i - 1] > a[i];
    }
    print("sort: %llu numbers, %llu out of order, %s\n", ULL(n), ULL(wrong), sum == 0 ? "all there" : "SOME LOST");
    free(a);
    return wrong != 0 || sum != 0;
}
