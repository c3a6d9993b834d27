/* SPDX-License-Identifier: MIT */
/* core/fmt.c - formatting and reading numbers; nothing here depends on the machine */
#include "core/fmt.h"

/* 64 bits are 22 digits in octal, which is the longest */
#define DIGITS_MAX 22

struct spec {
    bool left, zero, plus, space, alt;
    unsigned width;
    int precision; /* -1: none was given                      */
    char length;   /* '\0' h l z t j, 'H' for hh, 'L' for ll */
    char conversion;
};

struct sink {
    fmt_put_fn *put;
    void *arg;
    size_t n_bytes;
};

static void emit(struct sink *s, const char *text, size_t n)
{
    s->n_bytes += n;
    if (n > 0)
        s->put(s->arg, text, n);
}

static void emit_fill(struct sink *s, char c, size_t n)
{
    char run[16];

    for (size_t i = 0; i < sizeof run; i++)
        run[i] = c;
    for (; n > sizeof run; n -= sizeof run)
        emit(s, run, sizeof run);
    emit(s, run, n);
}

static size_t length_of(const char *s, int limit)
{
    size_t n = 0;

    while ((limit < 0 || n < (size_t)limit) && s[n] != '\0')
        n++;
    return n;
}

static void emit_text(struct sink *s, const struct spec *sp, const char *text, size_t n)
{
    size_t fill = sp->width > n ? sp->width - n : 0;

    if (!sp->left)
        emit_fill(s, ' ', fill);
    emit(s, text, n);
    if (sp->left)
        emit_fill(s, ' ', fill);
}

static unsigned base_of(char conversion)
{
    switch (conversion) {
    case 'o':
        return 8;
    case 'x':
    case 'X':
    case 'p':
        return 16;
    default:
        return 10;
    }
}

/* A number is blanks, prefix ("-", "+", " ", "0x"), zeroes, digits, blanks. */
static void emit_number(struct sink *s, const struct spec *sp, uint64_t value, const char *sign)
{
    const char *letters = sp->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    const char *prefix = sign;
    unsigned base = base_of(sp->conversion);
    char digits[DIGITS_MAX];
    size_t n = 0, n_prefix, zeroes = 0, fill;

    if (sp->conversion == 'p' || (sp->alt && base == 16 && value != 0))
        prefix = sp->conversion == 'X' ? "0X" : "0x";
    n_prefix = length_of(prefix, -1);

    for (uint64_t v = value; v != 0 || (n == 0 && sp->precision != 0); v /= base)
        digits[DIGITS_MAX - ++n] = letters[v % base];

    if (sp->precision >= 0 && (size_t)sp->precision > n)
        zeroes = (size_t)sp->precision - n;
    if (sp->alt && base == 8 && zeroes == 0 && (n == 0 || digits[DIGITS_MAX - n] != '0'))
        zeroes = 1;
    fill = n_prefix + zeroes + n;
    fill = sp->width > fill ? sp->width - fill : 0;
    if (sp->zero && !sp->left && sp->precision < 0) {
        zeroes += fill;
        fill = 0;
    }

    if (!sp->left)
        emit_fill(s, ' ', fill);
    emit(s, prefix, n_prefix);
    emit_fill(s, '0', zeroes);
    emit(s, digits + DIGITS_MAX - n, n);
    if (sp->left)
        emit_fill(s, ' ', fill);
}

/* va_list is an array on some targets and a pointer on others; in a struct it passes the same way. */
struct arguments {
    va_list list;
};

typedef __typeof__(0L) c_long; /* %ld means C's own type, 32 bits wide for the image, 64 on the host */
typedef __typeof__(0UL) c_ulong;

static int64_t signed_argument(struct arguments *a, char length)
{
    switch (length) {
    case 'H':
        return (signed char)va_arg(a->list, int);
    case 'h':
        return (short)va_arg(a->list, int);
    case 'l':
        return va_arg(a->list, c_long);
    case 'L':
    case 'j':
    case 'z':
    case 't':
        return va_arg(a->list, int64_t);
    default:
        return va_arg(a->list, int);
    }
}

static uint64_t unsigned_argument(struct arguments *a, char length)
{
    switch (length) {
    case 'H':
        return (unsigned char)va_arg(a->list, unsigned);
    case 'h':
        return (unsigned short)va_arg(a->list, unsigned);
    case 'l':
        return va_arg(a->list, c_ulong);
    case 'L':
    case 'j':
    case 'z':
    case 't':
        return va_arg(a->list, uint64_t);
    default:
        return va_arg(a->list, unsigned);
    }
}

static void emit_signed(struct sink *s, const struct spec *sp, int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    emit_number(s, sp, magnitude, value < 0 ? "-" : sp->plus ? "+" : sp->space ? " " : "");
}

/* Returns false for a conversion that we do not know; no argument was taken then. */
static bool convert(struct sink *s, const struct spec *sp, struct arguments *a)
{
    const char *text;
    char c;

    switch (sp->conversion) {
    case 'd':
    case 'i':
        emit_signed(s, sp, signed_argument(a, sp->length));
        return true;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        emit_number(s, sp, unsigned_argument(a, sp->length), "");
        return true;
    case 'p':
        emit_number(s, sp, (uintptr_t)va_arg(a->list, void *), "");
        return true;
    case 'c':
        c = (char)va_arg(a->list, int);
        emit_text(s, sp, &c, 1);
        return true;
    case 's':
        text = va_arg(a->list, const char *);
        text = text != NULL ? text : "(null)";
        emit_text(s, sp, text, length_of(text, sp->precision));
        return true;
    case '%':
        emit(s, "%", 1);
        return true;
    default:
        return false;
    }
}

static const char *read_count(const char *p, unsigned *out)
{
    for (*out = 0; *p >= '0' && *p <= '9'; p++)
        *out = *out < 10000 ? *out * 10 + (unsigned)(*p - '0') : *out;
    return p;
}

static const char *read_flags(const char *p, struct spec *sp)
{
    for (;; p++) {
        switch (*p) {
        case '-':
            sp->left = true;
            break;
        case '0':
            sp->zero = true;
            break;
        case '+':
            sp->plus = true;
            break;
        case ' ':
            sp->space = true;
            break;
        case '#':
            sp->alt = true;
            break;
        default:
            return p;
        }
    }
}

static const char *read_width(const char *p, struct spec *sp, struct arguments *a)
{
    int n;

    if (*p != '*')
        return read_count(p, &sp->width);
    n = va_arg(a->list, int);
    sp->left |= n < 0;
    sp->width = n < 0 ? 0 - (unsigned)n : (unsigned)n;
    return p + 1;
}

static const char *read_precision(const char *p, struct spec *sp, struct arguments *a)
{
    unsigned n;

    sp->precision = -1;
    if (*p != '.')
        return p;
    if (p[1] == '*') {
        sp->precision = va_arg(a->list, int);
        return p + 2;
    }
    p = read_count(p + 1, &n);
    sp->precision = (int)n;
    return p;
}

static const char *read_length(const char *p, struct spec *sp)
{
    if (*p != 'h' && *p != 'l' && *p != 'z' && *p != 't' && *p != 'j')
        return p;
    sp->length = *p++;
    if (sp->length == 'h' && *p == 'h')
        sp->length = 'H', p++;
    else if (sp->length == 'l' && *p == 'l')
        sp->length = 'L', p++;
    return p;
}

size_t fmt_emit(fmt_put_fn *put, void *arg, const char *fmt, va_list args)
{
    struct sink s = { put, arg, 0 };
    struct arguments a;

    va_copy(a.list, args);
    while (*fmt != '\0') {
        const char *p = fmt;
        struct spec sp = { 0 };

        while (*p != '\0' && *p != '%')
            p++;
        emit(&s, fmt, (size_t)(p - fmt));
        fmt = p;
        if (*p == '\0')
            break;
        p = read_flags(p + 1, &sp);
        p = read_width(p, &sp, &a);
        p = read_precision(p, &sp, &a);
        p = read_length(p, &sp);
        sp.conversion = *p;
        p += *p != '\0';
        if (!convert(&s, &sp, &a))
            emit(&s, fmt, (size_t)(p - fmt));
        fmt = p;
    }
    va_end(a.list);
    return s.n_bytes;
}

struct buffer {
    char *text;
    size_t room, n; /* room leaves a byte for the '\0' */
};

static void put_in_buffer(void *arg, const char *piece, size_t n)
{
    struct buffer *b = arg;

    for (size_t i = 0; i < n && b->n < b->room; i++)
        b->text[b->n++] = piece[i];
}

size_t fmt_vstring(char *out, size_t size_bytes, const char *fmt, va_list args)
{
    struct buffer b = { out, size_bytes > 0 ? size_bytes - 1 : 0, 0 };
    size_t n = fmt_emit(put_in_buffer, &b, fmt, args);

    if (size_bytes > 0)
        out[b.n] = '\0';
    return n;
}

size_t fmt_string(char *out, size_t size_bytes, const char *fmt, ...)
{
    va_list args;
    size_t n;

    va_start(args, fmt);
    n = fmt_vstring(out, size_bytes, fmt, args);
    va_end(args);
    return n;
}

static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

static unsigned suffix_shift(char c)
{
    switch (c | 0x20) {
    case 'k':
        return 10;
    case 'm':
        return 20;
    case 'g':
        return 30;
    case 't':
        return 40;
    default:
        return 0;
    }
}

err_t fmt_read_u64(const char *text, uint64_t *out)
{
    unsigned base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10, shift;
    uint64_t value = 0;
    bool overflow = false;
    size_t first = base == 16 ? 2 : 0, i = first;

    for (; digit_value(text[i]) < base; i++) {
        overflow |= __builtin_mul_overflow(value, (uint64_t)base, &value);
        overflow |= __builtin_add_overflow(value, (uint64_t)digit_value(text[i]), &value);
    }
    shift = suffix_shift(text[i]);
    if (i == first || text[i + (shift > 0)] != '\0')
        return ERR_SYNTAX;
    if (overflow || (value << shift) >> shift != value)
        return ERR_INVAL;
    *out = value << shift;
    return ERR_OK;
}

char *fmt_size(char out[FMT_SIZE_BYTES], uint64_t n_bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned u = 0;
    uint64_t unit, whole, tenths;

    while (u + 1 < ARRAY_LEN(units) && n_bytes >> (10 * (u + 1)) != 0)
        u++;
    unit = (uint64_t)1 << (10 * u);
    whole = n_bytes / unit;
    if (n_bytes % unit == 0) {
        fmt_string(out, FMT_SIZE_BYTES, "%llu %s", ULL(whole), units[u]);
        return out;
    }
    tenths = whole * 10 + (n_bytes % unit * 10 + unit / 2) / unit;
    fmt_string(out, FMT_SIZE_BYTES, "%llu.%llu %s", ULL(tenths / 10), ULL(tenths % 10), units[u]);
    return out;
}
