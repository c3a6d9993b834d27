// SPDX-License-Identifier: MIT
// test/host/malloc/forms.cpp - every way of C and C++ to ask for memory, from many threads, across fork and exceptions
//
// Prints the same lines on any allocator that keeps its promises; what breaks one is named on standard error, status 1.
// `forms threads` only works, in four threads: not every allocator keeps every promise.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <malloc.h>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t absurd = SIZE_MAX / 2 - 4096;

void must(bool holds, const char *what)
{
    if (holds)
        return;
    std::fprintf(stderr, "forms: %s\n", what);
    std::exit(1);
}

bool is_aligned(const void *p, size_t to) { return reinterpret_cast<uintptr_t>(p) % to == 0; }

// ---- C ------------------------------------------------------------------------------------------------

void c_block(void *p, size_t size, size_t align, const char *call)
{
    must(p != nullptr && is_aligned(p, align), call);
    must(malloc_usable_size(p) >= size, "usable size is smaller than what was asked for");
    std::memset(p, 0x33, size);
    std::free(p);
}

void c_calls()
{
    for (size_t size = 1; size < 600000; size = size * 2 + 13) {
        c_block(std::malloc(size), size, 16, "malloc");
        c_block(valloc(size), size, 4096, "valloc");
        c_block(pvalloc(size), (size + 4095) / 4096 * 4096, 4096, "pvalloc");
        c_block(reallocarray(nullptr, size, 3), size * 3, 16, "reallocarray");
        for (size_t align = 16; align <= 4 << 20; align *= 4) {
            void *p = nullptr;

            must(posix_memalign(&p, align, size) == 0, "posix_memalign");
            c_block(p, size, align, "posix_memalign");
            c_block(std::aligned_alloc(align, size), size, align, "aligned_alloc");
            c_block(memalign(align, size), size, align, "memalign");
        }
        char *zero = static_cast<char *>(std::calloc(size, 2));
        must(zero != nullptr && zero[0] == 0 && std::memcmp(zero, zero + 1, size * 2 - 1) == 0, "calloc");
        std::free(zero);
    }
    std::puts("C calls");
}

int mark;

void c_edges()
{
    volatile size_t huge = absurd; // the compiler would warn of what is meant
    void *const untouched = &mark;
    void *p = untouched;

    errno = 0;
    must(std::malloc(huge) == nullptr && errno == ENOMEM, "malloc of an absurd size");
    must(std::calloc(huge, 4) == nullptr && reallocarray(nullptr, huge, 4) == nullptr, "a product that wraps");
    must(posix_memalign(&p, 24, 8) == EINVAL && posix_memalign(&p, 4, 8) == EINVAL && p == untouched, "alignment of 24 or 4");
    must(posix_memalign(&p, 64, huge) == ENOMEM && p == untouched, "posix_memalign of an absurd size");
    must(std::realloc(std::malloc(10), 0) == nullptr, "realloc to nothing frees");

    char *text = static_cast<char *>(std::malloc(6));
    std::strcpy(text, "small");
    must(std::realloc(text, huge) == nullptr && std::strcmp(text, "small") == 0, "a failed realloc keeps the block");
    for (size_t size = 10; size < 30000000; size = size * 3 / 2)
        must((text = static_cast<char *>(std::realloc(text, size))) != nullptr && std::strcmp(text, "small") == 0, "realloc lost the contents");
    errno = 77;
    std::free(text);
    must(errno == 77, "free changed errno");
    std::free(nullptr);
    std::puts("C edges");
}

// ---- C++ ----------------------------------------------------------------------------------------------

struct alignas(256) Wide {
    char bytes[700] = {};
};

template <class T> void new_forms()
{
    T *one = new T, *some = new T[5];
    T *one_quiet = new (std::nothrow) T, *some_quiet = new (std::nothrow) T[5];

    for (T *p : { one, some, one_quiet, some_quiet })
        must(p != nullptr && is_aligned(p, alignof(T)), "new");
    delete one;
    delete[] some;
    delete one_quiet;
    delete[] some_quiet;
}

// The functions behind the expressions, each with its own kind of delete
void operators()
{
    const std::align_val_t wide{ 512 };

    ::operator delete(::operator new(100));
    ::operator delete(::operator new(100), size_t{ 100 });
    ::operator delete(::operator new(100, std::nothrow), std::nothrow);
    ::operator delete(::operator new(100, wide), wide);
    ::operator delete(::operator new(100, wide), size_t{ 100 }, wide);
    ::operator delete(::operator new(100, wide, std::nothrow), wide, std::nothrow);
    ::operator delete[](::operator new[](100));
    ::operator delete[](::operator new[](100), size_t{ 100 });
    ::operator delete[](::operator new[](100, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](100, wide), wide);
    ::operator delete[](::operator new[](100, wide), size_t{ 100 }, wide);
    ::operator delete[](::operator new[](100, wide, std::nothrow), wide, std::nothrow);
    must(is_aligned(std::unique_ptr<Wide>(new Wide).get(), 256), "alignas(256)");
    std::puts("C++ forms");
}

int handler_calls;

void handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

bool throws(void (*fn)())
{
    try {
        fn();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void no_memory()
{
    static volatile size_t huge = absurd;
    static void *volatile  p;

    std::set_new_handler(handler);
    must(throws([] { p = ::operator new(huge); }), "new of an absurd size does not throw");
    must(handler_calls == 3, "new does not ask the new-handler until it gives up");
    must(throws([] { p = ::operator new[](huge, std::align_val_t{ 64 }); }), "aligned new of an absurd size does not throw");
    must(::operator new(huge, std::nothrow) == nullptr, "new (nothrow) of an absurd size");
    must(::operator new[](huge, std::align_val_t{ 64 }, std::nothrow) == nullptr, "aligned new (nothrow) of an absurd size");
    must(p == nullptr, "new gave something after all");
    std::puts("C++ without memory");
}

// ---- threads --------------------------------------------------------------------------------------------

struct Shelf { // what one thread makes and another takes apart
    std::mutex                                         lock;
    std::deque<std::unique_ptr<std::vector<uint32_t>>> boxes;
};

uint64_t hash(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

uint64_t containers(uint64_t seed, Shelf &shelf)
{
    std::unordered_map<uint64_t, std::string> words;
    std::map<uint32_t, std::vector<uint32_t>> tree;
    uint64_t                                  sum = 0;

    for (uint64_t i = 0; i < 400; i++) {
        uint64_t r = hash(seed * 1000 + i);

        words[r % 97] += std::string(r % 90, static_cast<char>('a' + r % 26));
        tree[static_cast<uint32_t>(r % 31)].push_back(static_cast<uint32_t>(r));
        if (i % 7 == 0)
            tree.erase(tree.begin());

        auto                        box = std::make_unique<std::vector<uint32_t>>(r % 300, static_cast<uint32_t>(r));
        std::lock_guard<std::mutex> held(shelf.lock);
        shelf.boxes.push_back(std::move(box));
        if (shelf.boxes.size() > 50)
            shelf.boxes.pop_front(); // mostly somebody else's
    }
    for (const auto &[key, word] : words)
        sum += hash(key + word.size());
    for (const auto &[key, numbers] : tree)
        sum += hash(key + numbers.size());
    return sum;
}

void threads(unsigned n)
{
    Shelf                    shelf;
    std::atomic<uint64_t>    sum{ 0 };
    std::vector<std::thread> all;

    for (unsigned i = 0; i < n; i++)
        all.emplace_back([i, &shelf, &sum] { sum += containers(i + 1, shelf); });
    for (auto &t : all)
        t.join();
    std::printf("%u threads: %016llx\n", n, static_cast<unsigned long long>(sum)); // long long: what printf wants
}

// fork while other threads are inside the allocator: the child can allocate, free what was there, and make threads
void forks()
{
    std::atomic<bool>        stop{ false };
    std::vector<std::thread> busy;
    std::vector<std::string> before(1000, std::string(200, 'x'));

    for (int i = 0; i < 3; i++)
        busy.emplace_back([&stop] {
            while (!stop)
                std::free(std::malloc(1 + hash(reinterpret_cast<uintptr_t>(&stop)) % 5000));
        });
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();

        if (child == 0) {
            Shelf shelf;

            before.clear();
            before.shrink_to_fit();
            (void)containers(7, shelf);
            std::thread([&shelf] { (void)containers(8, shelf); }).join();
            _exit(0);
        }
        int status = -1;
        must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child process failed");
    }
    stop = true;
    for (auto &t : busy)
        t.join();
    std::puts("40 forks");
}

} // namespace

int main(int argc, char *[])
{
    if (argc > 1) {
        for (int i = 0; i < 1000; i++)
            threads(4);
        return 0;
    }
    c_calls();
    c_edges();
    new_forms<char>();
    new_forms<std::string>();
    new_forms<Wide>();
    operators();
    no_memory();
    for (unsigned n : { 1u, 4u, 16u, 100u })
        threads(n);
    forks();
    threads(4);
}
