/* SPDX-License-Identifier: MIT */
/*
 * mm/attr.h - what functions and fields promise, said to the compiler too
 *
 * The lock attributes are Clang's "Thread Safety Analysis"; other compilers see nothing.
 */
#ifndef MM_ATTR_H
#define MM_ATTR_H

#define MUST_USE         __attribute__((warn_unused_result))
#define NORETURN         __attribute__((noreturn))
#define PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define LIKELY(x)        __builtin_expect(!!(x), 1)
#define UNLIKELY(x)      __builtin_expect(!!(x), 0)
#define NOINLINE         __attribute__((noinline))
#define ALWAYS_INLINE    __attribute__((always_inline))
#define ARRAY_LEN(a)     (sizeof(a) / sizeof((a)[0]))

#ifdef __clang__
#define CAPABILITY(name)   __attribute__((capability(name)))
#define GUARDED_BY(lock)   __attribute__((guarded_by(lock)))
#define REQUIRES(...)      __attribute__((requires_capability(__VA_ARGS__)))
#define ACQUIRES(...)      __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASES(...)      __attribute__((release_capability(__VA_ARGS__)))
#define TRY_ACQUIRES(...)  __attribute__((try_acquire_capability(__VA_ARGS__)))
#define NO_LOCK_ANALYSIS   __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(name)
#define GUARDED_BY(lock)
#define REQUIRES(...)
#define ACQUIRES(...)
#define RELEASES(...)
#define TRY_ACQUIRES(...)
#define NO_LOCK_ANALYSIS
#endif

#endif
