/* SPDX-License-Identifier: MIT */
/* test/bench/frame_rivals.c - allocators of C libraries, found when the benchmark runs */
#include "test/bench/frame_rivals.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

int (*jemalloc_alloc_at)(void **out, size_t align, size_t bytes);
void (*jemalloc_free_at)(void *p);
int (*mimalloc_alloc_at)(void **out, size_t align, size_t bytes);
void (*mimalloc_free_at)(void *p);

/* How ISO C may get a function from dlsym */
static void symbol(void *library, const char *name, void *to)
{
    void *p = dlsym(library, name);

    memcpy(to, &p, sizeof p);
}

static void load(const char *file, const char *alloc, const char *release, int (**alloc_at)(void **, size_t, size_t),
                 void (**free_at)(void *))
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

    if (library != NULL) {
        symbol(library, release, free_at);
        symbol(library, alloc, alloc_at);
    }
    if (library == NULL || *alloc_at == NULL || *free_at == NULL) {
        *alloc_at = NULL;
        fprintf(stderr, "bench: without %s: %s\n", file, library == NULL ? dlerror() : "its functions are missing");
    }
}

void rivals_load(char *argv[])
{
    if (getenv("GLIBC_TUNABLES") == NULL) {
        setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=32768", 1);
        execv("/proc/self/exe", argv);
    }
    load("libjemalloc.so.2", "posix_memalign", "free", &jemalloc_alloc_at, &jemalloc_free_at);
    load("libmimalloc.so.2", "mi_posix_memalign", "mi_free", &mimalloc_alloc_at, &mimalloc_free_at);
}

err_t glibc_alloc(unsigned order, pfn_t *out)
{
    void *p;

    if (posix_memalign(&p, PAGE_SIZE << order, PAGE_SIZE << order) != 0)
        return ERR_NOMEM;
    *out = pfn((uintptr_t)p >> PAGE_SHIFT);
    return ERR_OK;
}

err_t glibc_free(pfn_t f, unsigned order)
{
    (void)order;
    free((void *)(uintptr_t)(f.idx << PAGE_SHIFT)); /* NOLINT(performance-no-int-to-ptr) */
    return ERR_OK;
}
