/*
 * logs.c - the last lines of each worker in memory, bounded in lines and bytes; the dead ones' for a while. Any thread.
 *
 * Synchronisation: books by worker id in stripes, a few locks around them; a line is built before the lock is taken and copied out
 * under it. The order of burials is kept under a lock of its own, taken before a stripe's.
 */
#include "logs.h"

#include "carry.h"
#include "lines.h"
#include "shm/err.h"
#include "shm/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HZ_KEEPS_WHAT_IS_ALLOCATED /* lines are owned by the array that ends at NULL */

#define STRIPES 256u
#define LOCKS 4u
#define CARRIED   ((size_t)64 << 10)
#define LONGEST ((size_t)16 << 10)
#define LISTENERS 4

struct line {
    struct line *next;
    uint64_t sequence;
    int64_t wall_ms;
    size_t len;
    char text[];
};

struct book {
    struct book *next;
    uint64_t second; /* the history's budget of this one */
    unsigned second_lines;
    size_t second_bytes;
    bool complained;
    struct hz_uuid worker;
    struct line *first, *last;
    size_t lines, bytes;
    uint64_t sequence;
};

static struct {
    pthread_mutex_t locks[LOCKS];
    struct book *books[STRIPES];
    pthread_mutex_t burials;
    struct hz_uuid buried[HZ_LOGS_BURIED];
    uint64_t buried_count;
    _Atomic uint64_t dropped;
    struct {
        hz_worker_line_fn *fn;
        void *arg;
    } listeners[LISTENERS]; /* before the shards run, read-only afterwards */
    int listener_count;
    hz_logs_history_fn *history; /* before the shards run, read-only afterwards */
} logs = {.burials = PTHREAD_MUTEX_INITIALIZER,
        .locks = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER}};

static unsigned stripe_of(const struct hz_uuid *id)
{
    return id->bytes[15] % STRIPES;
}

static struct book **find(const struct hz_uuid *id)
{
    struct book **link = &logs.books[stripe_of(id)];
    while (*link && !hz_uuid_equal(&(*link)->worker, id))
        link = &(*link)->next;
    return link;
}

static void drop_first(struct book *book)
{
    struct line *line = book->first;
    book->first = line->next;
    if (!book->first)
        book->last = NULL;
    book->lines--;
    book->bytes -= line->len + sizeof *line;
    free(line);
}

enum verdict { HISTORY_NO, HISTORY_YES, HISTORY_COMPLAIN };

/* May the history have this line of the book? Under the stripe's lock. */
static enum verdict charge(struct book *book, size_t len)
{
    uint64_t now = hz_base_now_ns() / 1000000000u;
    if (book->second != now) {
        book->second = now;
        book->second_lines = 0;
        book->second_bytes = 0;
    }
    if (book->second_lines < HZ_LOGS_SECOND_LINES && book->second_bytes + len <= HZ_LOGS_SECOND_BYTES) {
        book->second_lines++;
        book->second_bytes += len;
        return HISTORY_YES;
    }
    bool first = !book->complained;
    book->complained = true;
    return first ? HISTORY_COMPLAIN : HISTORY_NO;
}

/* sequence: at least this; 0 the next. */
static enum verdict add(const struct hz_uuid *worker, uint64_t sequence, int64_t wall_ms, const char *text, size_t len)
{
    enum verdict verdict = HISTORY_NO;
    len = HZ_MIN(len, LONGEST);
    struct line *line = malloc(sizeof *line + len + 1);
    if (!line) {
        atomic_fetch_add_explicit(&logs.dropped, 1, memory_order_relaxed);
        return verdict;
    }
    *line = (struct line){.wall_ms = wall_ms, .len = len};
    memcpy(line->text, text, len);
    line->text[len] = 0;
    hz_lines_clean(line->text, len);
    pthread_mutex_t *lock = &logs.locks[stripe_of(worker) % LOCKS];
    pthread_mutex_lock(lock);
    struct book **link = find(worker), *book = *link;
    if (!book) {
        book = *link = calloc(1, sizeof *book);
        if (book)
            book->worker = *worker;
    }
    if (book) {
        book->sequence = HZ_MAX(book->sequence + 1, sequence);
        line->sequence = book->sequence;
        if (book->last)
            book->last->next = line;
        else
            book->first = line;
        book->last = line;
        book->lines++;
        book->bytes += len + sizeof *line;
        while (book->lines > HZ_LOGS_LINES || (book->bytes > HZ_LOGS_BYTES && book->lines > 1))
            drop_first(book);
        line = NULL;
        if (logs.history)
            verdict = charge(book, len);
    }
    pthread_mutex_unlock(lock);
    if (line) {
        free(line);
        atomic_fetch_add_explicit(&logs.dropped, 1, memory_order_relaxed);
    }
    return verdict;
}

void hz_logs_add(const struct hz_uuid *worker, int64_t wall_ms, const char *text, size_t len)
{
    (void)add(worker, 0, wall_ms, text, len);
}

/* ours: the worker has no say in it, so its budget does not keep it out. */
static void note(const struct hz_worker_info *info, int64_t wall_ms, int level, const struct hz_uuid *execution,
        const char *text, size_t len, bool ours)
{
    enum verdict verdict = add(&info->id, 0, wall_ms, text, len);
    if (logs.history && (ours || verdict == HISTORY_YES))
        logs.history(info, wall_ms, level, execution, text, HZ_MIN(len, LONGEST));
    if (verdict != HISTORY_COMPLAIN)
        return;
    char line[160];
    int n = snprintf(line, sizeof line,
            "it says more than %u lines or %u bytes in a second: the rest of such seconds is not kept in the history",
            HZ_LOGS_SECOND_LINES, HZ_LOGS_SECOND_BYTES);
    logs.history(info, hz_base_wall_ms(), HZ_LOG_WARN, NULL, line, (size_t)n);
    HZ_LOG(WARN, "worker %s of %s: %s", info->id_text, info->workflow_id, line);
}

void hz_logs_note(const struct hz_worker_info *info, int64_t wall_ms, int level, const struct hz_uuid *execution,
        const char *text, size_t len)
{
    note(info, wall_ms, level, execution, text, len, true);
}

void hz_logs_set_history(hz_logs_history_fn *fn)
{
    logs.history = fn;
}

void hz_logs_carry(const struct hz_uuid *worker, struct hz_carry_out *out)
{
    pthread_mutex_t *lock = &logs.locks[stripe_of(worker) % LOCKS];
    pthread_mutex_lock(lock);
    const struct book *book = *find(worker);
    const struct line *line = book ? book->first : NULL;
    uint64_t count = book ? book->lines : 0;
    for (size_t bytes = book ? book->bytes : 0; line && bytes > CARRIED; line = line->next) {
        bytes -= line->len + sizeof *line;
        count--;
    }
    hz_carry_put(out, count);
    for (; line; line = line->next) {
        hz_carry_put(out, line->sequence);
        hz_carry_put(out, (uint64_t)line->wall_ms);
        hz_carry_put_bytes(out, line->text, line->len);
    }
    pthread_mutex_unlock(lock);
}

void hz_logs_adopt(const struct hz_uuid *worker, struct hz_carry_in *in)
{
    size_t count = hz_carry_take_count(in, HZ_LOGS_LINES), len;
    for (size_t i = 0; i < count && !in->bad; i++) {
        uint64_t sequence = hz_carry_take(in);
        int64_t wall_ms = (int64_t)hz_carry_take(in);
        const char *text = hz_carry_take_bytes(in, LONGEST, &len);
        if (!in->bad)
            (void)add(worker, sequence, wall_ms, text, len);
    }
}

void hz_logs_forget(const struct hz_uuid *worker)
{
    pthread_mutex_t *lock = &logs.locks[stripe_of(worker) % LOCKS];
    pthread_mutex_lock(lock);
    struct book **link = find(worker), *book = *link;
    if (book)
        *link = book->next;
    pthread_mutex_unlock(lock);
    while (book && book->first)
        drop_first(book);
    free(book);
}

void hz_logs_bury(const struct hz_uuid *worker)
{
    struct hz_uuid oldest;
    pthread_mutex_lock(&logs.burials);
    struct hz_uuid *place = &logs.buried[logs.buried_count % HZ_LOGS_BURIED];
    bool full = logs.buried_count++ >= HZ_LOGS_BURIED;
    oldest = *place;
    *place = *worker;
    pthread_mutex_unlock(&logs.burials);
    if (full)
        hz_logs_forget(&oldest);
}

static char *print_line(const struct line *line)
{
    char iso[HZ_ISO_TEXT];
    hz_base_iso(line->wall_ms, iso);
    char *text = NULL;
    return asprintf(&text, "[%s] %s", iso, line->text) < 0 ? NULL : text;
}

/* Under the stripe's lock. Returns how many were printed, or SIZE_MAX. */
static size_t print_tail(const struct book *book, size_t lines, uint64_t after, char **ret_lines)
{
    size_t wanted = 0, skip, n = 0;
    for (const struct line *line = book->first; line; line = line->next)
        wanted += line->sequence > after;
    skip = wanted > lines ? wanted - lines : 0;
    for (const struct line *line = book->first; line; line = line->next) {
        if (line->sequence <= after || skip > 0) {
            skip -= line->sequence > after;
            continue;
        }
        ret_lines[n] = print_line(line);
        if (!ret_lines[n++])
            return SIZE_MAX;
    }
    return n;
}

int hz_logs_tail(const struct hz_uuid *id, size_t lines, uint64_t after, char ***ret_lines, size_t *ret_count, uint64_t *ret_last)
{
    lines = HZ_MAX((size_t)1, HZ_MIN(lines, (size_t)HZ_LOGS_LINES));
    char **texts = NULL;
    size_t count = 0;
    int err = HZ_ENOTFOUND;
    uint64_t last = 0;
    pthread_mutex_t *lock = &logs.locks[stripe_of(id) % LOCKS];
    pthread_mutex_lock(lock);
    const struct book *book = *find(id);
    if (book) {
        texts = calloc(HZ_MIN(lines, book->lines) + 1, sizeof *texts);
        count = texts ? print_tail(book, lines, after, texts) : SIZE_MAX;
        last = book->sequence;
        err = count == SIZE_MAX ? HZ_ENOMEM : 0;
    }
    pthread_mutex_unlock(lock);
    struct hz_worker_info info;
    if (err == HZ_ENOTFOUND && hz_registry_get(id, &info)) {
        /* Alive and silent so far. */
        texts = calloc(1, sizeof *texts);
        err = texts ? 0 : HZ_ENOMEM;
    }
    if (err) {
        for (size_t i = 0; texts && texts[i]; i++)
            free(texts[i]);
        free(texts);
        return hz_err_set(err, "log of a worker");
    }
    *ret_lines = texts;
    *ret_count = count;
    if (ret_last)
        *ret_last = last;
    return 0;
}

int hz_supervisor_listen_lines(hz_worker_line_fn *fn, void *arg)
{
    if (logs.listener_count == LISTENERS)
        return hz_err_set(HZ_ELIMIT, "more than %d listeners of lines", LISTENERS);
    logs.listeners[logs.listener_count].fn = fn;
    logs.listeners[logs.listener_count++].arg = arg;
    return 0;
}

void hz_logs_say(const struct hz_worker_info *info, int64_t wall_ms, int level, bool console,
        const struct hz_uuid *execution, const char *text, size_t len)
{
    static const char mark[] = "[console] ";
    char *marked = NULL;
    if (console && (len < sizeof mark - 1 || memcmp(text, mark, sizeof mark - 1) != 0)) {
        marked = malloc(sizeof mark + len);
        if (marked) {
            memcpy(marked, mark, sizeof mark - 1);
            memcpy(marked + sizeof mark - 1, text, len);
            text = marked;
            len += sizeof mark - 1;
        }
    }
    note(info, wall_ms, level, execution, text, len, false);
    for (int i = 0; i < logs.listener_count; i++)
        logs.listeners[i].fn(logs.listeners[i].arg, info, level, console, text, len);
    if (logs.listener_count == 0)
        hz_lines_text(level >= HZ_LOG_ERROR && !console, text, HZ_MIN(len, (size_t)1 << 20));
    free(marked);
}

void hz_logs_fini(void)
{
    for (unsigned i = 0; i < STRIPES; i++)
        while (logs.books[i])
            hz_logs_forget(&logs.books[i]->worker);
    logs.buried_count = 0;
    logs.listener_count = 0;
    logs.history = NULL;
}

uint64_t hz_logs_dropped(void)
{
    return atomic_load_explicit(&logs.dropped, memory_order_relaxed);
}
