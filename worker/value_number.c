/*
 * value_number.c - numbers to text and text to numbers by ECMAScript's rules (Number::toString, StringToNumber).
 * Pure functions, any thread; they expect the C locale's decimal point, which no part of the process changes.
 */
#include "value_internal.h"

#include "utf8.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Significant decimal digits and where the point is: 0.d1d2d3... * 10^point */
struct decimal {
    char digits[20];
    int count, point;
};

/*
 * Numbers with few decimals, which are nearly all: the smallest k for which v * 10^k rounds to a whole number r below
 * 10^15 with r / 10^k == v. Both are exact doubles, so the division is the correctly rounded value of that decimal; and
 * decimals of at most 15 digits are all told apart by a double, so no shorter one reads back as v.
 */
static bool number_short_decimal(double v, struct decimal *ret)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    if (!(v >= 1e-6 && v < 1e15))
        return false;
    for (int k = 0; k < (int)HZ_COUNT_OF(powers); k++) {
        double r = nearbyint(v * powers[k]);
        if (r >= 1e15)
            return false;
        double back = r / powers[k];
        if (!(back < v) && !(back > v)) {
            uint64_t whole = (uint64_t)r;
            while (k > 0 && whole % 10 == 0) { /* a product that was rounded badly hid a smaller k */
                whole /= 10;
                k--;
            }
            char text[20];
            int n = 0;
            for (; whole; whole /= 10)
                text[n++] = (char)('0' + whole % 10);
            for (int i = 0; i < n; i++)
                ret->digits[i] = text[n - 1 - i];
            ret->count = n;
            ret->point = n - k;
            return true;
        }
    }
    return false;
}

static bool number_try(double v, int precision, struct decimal *ret)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%.*e", precision - 1, v);
    double back = strtod(text, NULL);
    if (back < v || back > v)
        return false;
    int n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p != '.')
            ret->digits[n++] = *p;
    }
    while (n > 1 && ret->digits[n - 1] == '0')
        n--;
    ret->count = n;
    ret->point = (int)strtol(p + 1, NULL, 10) + 1;
    return true;
}

/*
 * At a power of two the doubles below lie twice as near as those above, so the nearest decimal of some length may miss
 * the short side while its neighbour on the long side reads back: one unit in the last place more is tried too.
 */
static bool number_try_above(double v, int precision, struct decimal *ret)
{
    char text[40];
    int exponent2;
    double half = frexp(v, &exponent2);
    if (half > 0.5)
        return false;
    (void)snprintf(text, sizeof text, "%.*e", precision - 1, v);
    char *e = strchr(text, 'e');
    HZ_ASSERT(e && e > text);
    char *last = e - 1;
    if (*last == '9') /* a carry would make a number of fewer digits, which was tried before */
        return false;
    ++*last;
    double back = strtod(text, NULL);
    if (back < v || back > v)
        return false;
    int n = 0;
    for (const char *p = text; p < e; p++) {
        if (*p != '.')
            ret->digits[n++] = *p;
    }
    ret->count = n;
    ret->point = (int)strtol(e + 1, NULL, 10) + 1;
    return true;
}

static void number_decimal(double v, struct decimal *ret)
{
    if (number_short_decimal(v, ret))
        return;
    /* Every decimal of 15 digits survives a normal double, so shorter ones are found by dropping zeros; subnormals have
     * fewer bits and must be tried from one digit on. */
    for (int precision = v < DBL_MIN ? 1 : DBL_DIG; precision < DBL_DECIMAL_DIG; precision++) {
        if (number_try(v, precision, ret) || number_try_above(v, precision, ret))
            return;
    }
    bool exact = number_try(v, DBL_DECIMAL_DIG, ret);
    HZ_ASSERT(exact);
}

size_t hz_value_format_number(double v, char buf[32])
{
    char *to = buf;
    if (isnan(v))
        return (size_t)(stpcpy(buf, "NaN") - buf);
    if (v < 0) {
        *to++ = '-';
        v = -v;
    }
    if (isinf(v))
        return (size_t)(stpcpy(to, "Infinity") - buf);
    if (!(v > 0))
        return (size_t)(stpcpy(buf, "0") - buf);
    struct decimal d = {.count = 0};
    number_decimal(v, &d);
    size_t count = (size_t)d.count;
    if (d.point > 21 || d.point < -5) {
        *to++ = d.digits[0];
        if (d.count > 1) {
            *to++ = '.';
            to = (char *)mempcpy(to, d.digits + 1, count - 1);
        }
        to += sprintf(to, "e%+d", d.point - 1);
    } else if (d.point <= 0) {
        to = stpcpy(to, "0.");
        memset(to, '0', (size_t)-d.point);
        to = (char *)mempcpy(to - d.point, d.digits, count);
    } else if (d.count <= d.point) {
        to = (char *)mempcpy(to, d.digits, count);
        memset(to, '0', (size_t)(d.point - d.count));
        to += d.point - d.count;
    } else {
        to = (char *)mempcpy(to, d.digits, (size_t)d.point);
        *to++ = '.';
        to = (char *)mempcpy(to, d.digits + d.point, (size_t)(d.count - d.point));
    }
    *to = '\0';
    return (size_t)(to - buf);
}

static bool number_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000 || cp == 0xfeff;
}

static hz_str number_trim(hz_str text)
{
    size_t size;
    while (text.len && number_is_space(hz_utf8_get(text.data, text.len, &size))) {
        text.data += size;
        text.len -= size;
    }
    while (text.len) {
        size_t start = text.len - 1;
        while (start > 0 && ((unsigned char)text.data[start] & 0xc0) == 0x80)
            start--;
        if (!number_is_space(hz_utf8_get(text.data + start, text.len - start, &size)))
            break;
        text.len = start;
    }
    return text;
}

/* 0x, 0o, 0b: digits of that base only, no sign. */
static double number_radix(const char *p, size_t len, unsigned base)
{
    double v = 0;
    for (size_t i = 0; i < len; i++) {
        char c = p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
        if (digit >= base)
            return (double)NAN;
        v = v * base + digit;
    }
    return len ? v : (double)NAN;
}

static size_t number_digits(const char *p, size_t at, size_t len)
{
    while (at < len && p[at] >= '0' && p[at] <= '9')
        at++;
    return at;
}

static bool number_is_decimal(const char *p, size_t len)
{
    size_t at = len && (p[0] == '+' || p[0] == '-') ? 1 : 0;
    size_t end = number_digits(p, at, len), digits = end - at;
    at = end;
    if (at < len && p[at] == '.') {
        end = number_digits(p, at + 1, len);
        digits += end - at - 1;
        at = end;
    }
    if (digits == 0)
        return false;
    if (at < len && (p[at] == 'e' || p[at] == 'E')) {
        at++;
        if (at < len && (p[at] == '+' || p[at] == '-'))
            at++;
        end = number_digits(p, at, len);
        if (end == at)
            return false;
        at = end;
    }
    return at == len;
}

static double number_from_text(hz_str text)
{
    text = number_trim(text);
    if (text.len == 0)
        return 0;
    const char *p = text.data;
    if (text.len > 2 && p[0] == '0') {
        switch (p[1]) {
        case 'x':
        case 'X':
            return number_radix(p + 2, text.len - 2, 16);
        case 'o':
        case 'O':
            return number_radix(p + 2, text.len - 2, 8);
        case 'b':
        case 'B':
            return number_radix(p + 2, text.len - 2, 2);
        default:
            break;
        }
    }
    size_t sign = *p == '+' || *p == '-' ? 1 : 0;
    if (text.len - sign == 8 && memcmp(p + sign, "Infinity", 8) == 0)
        return *p == '-' ? -(double)INFINITY : (double)INFINITY;
    if (!number_is_decimal(p, text.len))
        return (double)NAN;
    return strtod(p, NULL); /* stops by itself: what follows the number is white space or the NUL */
}

double hz_value_to_number(const hz_value *value)
{
    const hz_value *at = value;
    for (unsigned depth = 0; depth < HZ_VALUE_DEPTH; depth++) {
        switch (hz_value_type(at)) {
        case HZ_UNDEFINED:
            return depth ? 0 : (double)NAN; /* inside an array it prints as nothing */
        case HZ_NULL:
            return 0;
        case HZ_BOOL:
            return depth ? (double)NAN : hz_value_truthy(at) ? 1 : 0; /* [true] reads as "true" */
        case HZ_NUMBER:
            return hz_value_num(at);
        case HZ_STRING:
            return number_from_text(hz_value_str(at));
        case HZ_ARRAY:
            if (hz_value_length(at) == 0)
                return 0;
            if (hz_value_length(at) > 1)
                return (double)NAN;
            at = hz_value_at(at, 0); /* [x] reads as the text of x */
            continue;
        case HZ_OBJECT:
            return (double)NAN;
        }
    }
    return (double)NAN;
}
