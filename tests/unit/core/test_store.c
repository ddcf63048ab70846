/* test_store.c - rows survive, final states are final, acknowledged means committed; a real SQLite file, real kill -9. */
#include "core/store.h"
#include "tests/harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hz_store_execution row_of(const struct hz_uuid *id, enum hz_exec_state state)
{
    struct hz_store_execution row;
    memset(&row, 0, sizeof row);
    row.id = *id;
    row.state = state;
    snprintf(row.workflow_id, sizeof row.workflow_id, "hello");
    snprintf(row.version, sizeof row.version, "0.0.1");
    snprintf(row.trigger, sizeof row.trigger, "api");
    row.created_wall_ms = 1000;
    return row;
}

static _Atomic int acknowledged, refused;
static void count_done(int result, void *arg)
{
    (void)arg;
    atomic_fetch_add(result ? &refused : &acknowledged, 1);
}

static bool all_settled(void *arg)
{
    (void)arg;
    return hz_store_pending() == 0;
}

static bool refused_once(void *arg)
{
    (void)arg;
    return atomic_load(&refused) == 1;
}

HZ_SETUP(store)
{
    hz_test_remove_tree("db");
    HZ_ASSERT_EQ(mkdir("db", 0700), 0);
    acknowledged = refused = 0;
    HZ_ASSERT_OK(hz_store_open("db", 1000));
}

HZ_TEARDOWN(store)
{
    hz_store_close();
}

HZ_TEST(store, a_row_reads_back_as_it_was_handed_over)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_store_execution row = row_of(&id, HZ_EXEC_FAILED), back;
    row.input = strdup("{\"a\":1}");
    row.error = strdup("se rompió");
    row.error_node = strdup("Suma");
    row.node_runs = 7;
    row.cpu_ns = 123456789;
    HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    HZ_ASSERT_NULL(row.input);
    HZ_ASSERT_OK(hz_store_get(&id, &back));
    HZ_ASSERT_STR_EQ(back.workflow_id, "hello");
    HZ_ASSERT_STR_EQ(back.input, "{\"a\":1}");
    HZ_ASSERT_STR_EQ(back.error, "se rompió");
    HZ_ASSERT_STR_EQ(back.error_node, "Suma");
    HZ_ASSERT_NULL(back.result);
    HZ_ASSERT_EQ(back.state, HZ_EXEC_FAILED);
    HZ_ASSERT_EQ(back.node_runs, 7);
    HZ_ASSERT_EQ(back.cpu_ns, 123456789);
    hz_store_execution_fini(&back);
    struct hz_uuid other = hz_uuid_new();
    HZ_ASSERT_EQ(hz_store_get(&other, &back), HZ_ENOTFOUND);
}

HZ_TEST(store, a_final_state_never_changes)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_store_execution back;
    static const enum hz_exec_state order[] = {HZ_EXEC_QUEUED, HZ_EXEC_RUNNING, HZ_EXEC_SUCCESS, HZ_EXEC_CRASHED, HZ_EXEC_RUNNING};
    for (size_t i = 0; i < HZ_COUNT_OF(order); i++) {
        struct hz_store_execution row = row_of(&id, order[i]);
        row.result = strdup(order[i] == HZ_EXEC_SUCCESS ? "1" : "2");
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    }
    HZ_ASSERT_OK(hz_store_get(&id, &back));
    HZ_ASSERT_EQ(back.state, HZ_EXEC_SUCCESS);
    HZ_ASSERT_STR_EQ(back.result, "1");
    hz_store_execution_fini(&back);
}

HZ_TEST(store, an_older_attempt_does_not_overwrite_a_newer_one)
{
    struct hz_uuid id = hz_uuid_new();
    struct hz_store_execution first = row_of(&id, HZ_EXEC_QUEUED), late = row_of(&id, HZ_EXEC_FAILED), back;
    first.attempt = 2;
    late.attempt = 1;
    HZ_ASSERT_OK(hz_store_put(&first, false, NULL, NULL));
    HZ_ASSERT_OK(hz_store_put(&late, false, NULL, NULL));
    HZ_ASSERT_OK(hz_store_get(&id, &back));
    HZ_ASSERT_EQ(back.state, HZ_EXEC_QUEUED);
    hz_store_execution_fini(&back);
}

HZ_TEST(store, unfinished_rows_are_found_again_after_a_restart)
{
    struct hz_uuid ids[3] = {hz_uuid_new(), hz_uuid_new(), hz_uuid_new()};
    static const enum hz_exec_state states[] = {HZ_EXEC_RUNNING, HZ_EXEC_SUCCESS, HZ_EXEC_QUEUED};
    for (int i = 0; i < 3; i++) {
        struct hz_store_execution row = row_of(&ids[i], states[i]);
        HZ_ASSERT_OK(hz_store_put(&row, true, count_done, NULL));
    }
    hz_store_close();
    HZ_ASSERT_EQ(acknowledged, 3);
    HZ_ASSERT_OK(hz_store_open("db", 1000));
    struct hz_store_execution *rows;
    size_t count;
    HZ_ASSERT_OK(hz_store_unfinished(&rows, &count));
    HZ_ASSERT_EQ(count, 2);
    HZ_ASSERT_TRUE(hz_uuid_equal(&rows[0].id, &ids[0]));
    HZ_ASSERT_TRUE(hz_uuid_equal(&rows[1].id, &ids[2]));
    for (size_t i = 0; i < count; i++)
        hz_store_execution_fini(&rows[i]);
    free(rows);
}

static void *hand_over(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        struct hz_uuid id = hz_uuid_new();
        struct hz_store_execution row = row_of(&id, HZ_EXEC_SUCCESS);
        if (hz_store_put(&row, i % 100 == 0, count_done, NULL))
            atomic_fetch_add(&refused, 1);
    }
    return NULL;
}

HZ_TEST(store, rows_of_many_threads_all_arrive_and_old_ones_are_pruned)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, hand_over, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 30000));
    HZ_ASSERT_EQ(acknowledged, 8000);
    HZ_ASSERT_EQ(refused, 0);
    struct hz_store_execution *rows;
    size_t count;
    HZ_ASSERT_OK(hz_store_list(&(struct hz_store_filter){.workflow_id = "hello", .limit = 10000}, &rows, &count));
    HZ_ASSERT_GE(count, 1000);
    HZ_ASSERT_LT(count, 8000);
    for (size_t i = 0; i < count; i++)
        hz_store_execution_fini(&rows[i]);
    free(rows);
}

HZ_TEST(store, sampled_rows_keep_every_failure_and_a_hundred_others)
{
    struct hz_uuid failed = hz_uuid_new();
    struct hz_store_execution back;
    for (int i = 0; i < 5000; i++) {
        struct hz_uuid id = i == 4000 ? failed : hz_uuid_new();
        struct hz_store_execution row = row_of(&id, i == 4000 ? HZ_EXEC_FAILED : HZ_EXEC_SUCCESS);
        row.history = HZ_HISTORY_SAMPLE;
        HZ_ASSERT_OK(hz_store_put(&row, false, NULL, NULL));
    }
    HZ_ASSERT_OK(hz_store_get(&failed, &back));
    hz_store_execution_fini(&back);
    struct hz_store_execution *rows;
    size_t count;
    HZ_ASSERT_OK(hz_store_list(&(struct hz_store_filter){.limit = 10000}, &rows, &count));
    HZ_ASSERT_GE(count, 101);
    HZ_ASSERT_LE(count, 1500); /* 100 a second, for as many seconds as a slow machine needs */
    for (size_t i = 0; i < count; i++)
        hz_store_execution_fini(&rows[i]);
    free(rows);
}

/* Rows of one page; what came last stands in *filter for the page behind it. */
static size_t page(struct hz_store_filter *filter, struct hz_uuid *ids)
{
    struct hz_store_execution *rows;
    size_t count;
    HZ_ASSERT_OK(hz_store_list(filter, &rows, &count));
    for (size_t i = 0; i < count; i++) {
        ids[i] = rows[i].id;
        filter->before_ms = rows[i].created_wall_ms;
        filter->before_sequence = rows[i].sequence;
        hz_store_execution_fini(&rows[i]);
    }
    free(rows);
    return count;
}

HZ_TEST(store, pages_of_a_list_have_each_row_once_also_of_one_millisecond)
{
    enum { ROWS = 100, BAD_EACH = 4 };
    struct hz_uuid ids[ROWS], found[ROWS];
    for (int i = 0; i < ROWS; i++) {
        ids[i] = hz_uuid_new();
        struct hz_store_execution row = row_of(&ids[i], i % BAD_EACH ? HZ_EXEC_SUCCESS : HZ_EXEC_FAILED);
        row.created_wall_ms = 1000 + i / 50;
        row.dead = i % BAD_EACH == 0;
        HZ_ASSERT_OK(hz_store_put(&row, true, NULL, NULL));
    }
    const struct hz_store_filter lists[] = {{.limit = 7}, {.workflow_id = "hello", .limit = 7}, {.state = HZ_EXEC_FAILED, .limit = 7},
            {.workflow_id = "hello", .state = HZ_EXEC_FAILED, .limit = 7}, {.workflow_id = "hello", .state = HZ_EXEC_SUCCESS, .limit = 7},
            {.state = HZ_EXEC_SUCCESS, .limit = 7}, {.dead = true, .limit = 7}, {.workflow_id = "other", .limit = 7}};
    for (size_t l = 0; l < HZ_COUNT_OF(lists); l++) {
        struct hz_store_filter filter = lists[l];
        size_t count = 0, more;
        while ((more = page(&filter, &found[count])) > 0)
            count += more;
        size_t at = 0;
        for (int i = ROWS; i-- > 0;) {
            bool bad = i % BAD_EACH == 0, wanted = filter.dead ? bad : !filter.state || bad == (filter.state == HZ_EXEC_FAILED);
            if (!wanted || (filter.workflow_id && strcmp(filter.workflow_id, "hello") != 0))
                continue;
            HZ_ASSERT_LT(at, count);
            HZ_ASSERT_TRUE(hz_uuid_equal(&found[at++], &ids[i])); /* newest first */
        }
        HZ_ASSERT_EQ(at, count);
    }
}

HZ_TEST(store, workflows_keep_their_versions)
{
    char *text, version[32];
    size_t len;
    uint64_t hash;
    int64_t updated;
    HZ_ASSERT_EQ(hz_store_workflow_get("w", NULL, &text, &len, version, &hash, &updated), HZ_ENOTFOUND);
    HZ_ASSERT_OK(hz_store_workflow_put("w", "0.0.1", "{}", 2, "file", 11));
    HZ_ASSERT_OK(hz_store_workflow_put("w", "0.0.2", "{ }", 3, "file", UINT64_MAX));
    HZ_ASSERT_OK(hz_store_workflow_get("w", NULL, &text, &len, version, &hash, &updated));
    HZ_ASSERT_STR_EQ(version, "0.0.2");
    HZ_ASSERT_STR_EQ(text, "{ }");
    HZ_ASSERT_TRUE(hash == UINT64_MAX);
    free(text);
    HZ_ASSERT_OK(hz_store_workflow_get("w", "0.0.1", &text, &len, version, &hash, &updated));
    HZ_ASSERT_STR_EQ(text, "{}");
    free(text);
    json_t *versions = hz_store_workflow_versions("w");
    HZ_ASSERT_EQ(json_array_size(versions), 2);
    json_decref(versions);
}

HZ_TEST(store, a_write_error_refuses_those_who_wait_and_keeps_the_rest)
{
    /* A file size limit makes each write fail like a full disk; it is lifted again afterwards. */
    struct rlimit old, small;
    HZ_ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct hz_uuid kept = hz_uuid_new();
    small = old;
    small.rlim_cur = 100;
    HZ_ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct hz_store_execution waits = row_of(&(struct hz_uuid){{1}}, HZ_EXEC_QUEUED), behind = row_of(&kept, HZ_EXEC_SUCCESS), back;
    int first = hz_store_put(&behind, false, NULL, NULL);
    int second = hz_store_put(&waits, true, count_done, NULL);
    bool told = hz_test_wait(refused_once, NULL, 10000), degraded = hz_store_degraded();
    HZ_ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    HZ_ASSERT_OK(first);
    HZ_ASSERT_OK(second);
    HZ_ASSERT_TRUE(told);
    HZ_ASSERT_TRUE(degraded);
    HZ_ASSERT_TRUE(hz_test_wait(all_settled, NULL, 10000));
    HZ_ASSERT_FALSE(hz_store_degraded());
    HZ_ASSERT_OK(hz_store_get(&kept, &back));
    hz_store_execution_fini(&back);
}

static bool writes_again(void *arg)
{
    (void)arg;
    return !hz_store_degraded();
}

HZ_TEST(store, the_store_finds_by_itself_that_the_disk_takes_writes_again)
{
    struct rlimit old, small;
    HZ_ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    small = old;
    small.rlim_cur = 100;
    HZ_ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct hz_store_execution waits = row_of(&(struct hz_uuid){{2}}, HZ_EXEC_QUEUED); /* refused: nothing is left to be tried */
    int put = hz_store_put(&waits, true, count_done, NULL);
    bool told = hz_test_wait(refused_once, NULL, 10000), still = hz_store_degraded();
    HZ_ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    HZ_ASSERT_OK(put);
    HZ_ASSERT_TRUE(told);
    HZ_ASSERT_TRUE(still);
    HZ_ASSERT_TRUE(hz_test_wait(writes_again, NULL, 10000));
}

/* What the child may have told before it was killed: in memory that outlives it. */
struct told {
    _Atomic uint32_t count;
    struct hz_uuid ids[200000];
};
static struct told *told;
static void tell(int result, void *arg)
{
    struct hz_uuid *id = arg;
    if (result == 0) {
        uint32_t n = atomic_load(&told->count);
        told->ids[n] = *id;
        atomic_store(&told->count, n + 1);
    }
    free(id);
}

HZ_TEST(store, what_was_acknowledged_survives_kill_9_at_any_moment)
{
    if (HZ_TEST_TSAN)
        HZ_SKIP("a threaded child after fork is not followed by ThreadSanitizer");
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    HZ_ASSERT_TRUE(told != MAP_FAILED);
    hz_store_close();
    uint32_t checked = 0;
    for (int round = 0; round < 10; round++) {
        atomic_store(&told->count, 0);
        pid_t pid = fork();
        if (pid == 0) {
            if (hz_store_open("db", 100000))
                _exit(3);
            for (int i = 0; i < 190000; i++) {
                struct hz_uuid *id = malloc(sizeof *id);
                if (!id)
                    _exit(4);
                *id = hz_uuid_new();
                struct hz_store_execution row = row_of(id, HZ_EXEC_QUEUED);
                while (hz_store_pending() > 500)
                    usleep(50);
                if (hz_store_put(&row, true, tell, id))
                    _exit(4);
            }
            _exit(0);
        }
        usleep((useconds_t)(20000 + round * 9000));
        kill(pid, SIGKILL);
        int status;
        HZ_ASSERT_EQ(waitpid(pid, &status, 0), pid);
        HZ_ASSERT_TRUE(WIFSIGNALED(status));
        HZ_ASSERT_OK(hz_store_open("db", 100000));
        uint32_t count = atomic_load(&told->count);
        for (uint32_t i = 0; i < count; i++) {
            struct hz_store_execution back;
            HZ_ASSERT_OK(hz_store_get(&told->ids[i], &back));
            hz_store_execution_fini(&back);
        }
        checked += count;
        hz_store_close();
    }
    munmap(told, sizeof *told);
    HZ_ASSERT_GT(checked, 100);
    HZ_ASSERT_OK(hz_store_open("db", 1000)); /* for the teardown */
}
