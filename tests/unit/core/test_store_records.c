/* test_store_records.c - records with revisions and history, events, stored answers; a real store. */
#include "core/store.h"
#include "core/store_records.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

HZ_SETUP(store_records)
{
    hz_test_remove_tree("data");
    HZ_ASSERT_OK(mkdir("data", 0700));
    HZ_ASSERT_OK(hz_store_open("data", 100));
}

HZ_TEARDOWN(store_records)
{
    hz_store_close();
}

static struct hz_doc doc_of(const char *id, const char *parent, int64_t at, const char *name)
{
    struct hz_doc doc = {.kind = HZ_DOC_PROJECT, .status = "active", .created_ms = at, .updated_ms = at, .data = json_pack("{s:s}", "name", name)};
    snprintf(doc.id, sizeof doc.id, "%s", id);
    snprintf(doc.parent, sizeof doc.parent, "%s", parent);
    return doc;
}

HZ_TEST(store_records, a_record_is_read_as_it_was_written)
{
    struct hz_doc doc = doc_of("p1", "w1", 5, "uno"), read;
    HZ_ASSERT_OK(hz_store_record_put(&doc, NULL));
    HZ_ASSERT_EQ(doc.revision, 1);
    HZ_ASSERT_OK(hz_store_record_get(HZ_DOC_PROJECT, "p1", &read));
    HZ_ASSERT_STR_EQ(read.parent, "w1");
    HZ_ASSERT_STR_EQ(read.status, "active");
    HZ_ASSERT_EQ(read.revision, 1);
    HZ_ASSERT_EQ(read.created_ms, 5);
    HZ_ASSERT_TRUE(json_equal(read.data, doc.data));
    HZ_ASSERT_EQ(hz_store_record_get(HZ_DOC_WORKSPACE, "p1", &read), HZ_ENOTFOUND);
    json_decref(doc.data);
    hz_doc_fini(&read);
}

/* Printed without a fraction, which a reader may take for an integer that is too big. */
HZ_TEST(store_records, a_record_with_a_huge_number_is_read_again)
{
    struct hz_doc doc = doc_of("p1", "w1", 5, "uno"), read, *docs;
    size_t count;
    (void)json_object_set_new(doc.data, "n", json_real(9223372036854775808.0));
    (void)json_object_set_new(doc.data, "m", json_real(1e20));
    HZ_ASSERT_OK(hz_store_record_put(&doc, NULL));
    HZ_ASSERT_OK(hz_store_record_get(HZ_DOC_PROJECT, "p1", &read));
    HZ_ASSERT_TRUE(json_number_value(json_object_get(read.data, "m")) == 1e20);
    HZ_ASSERT_OK(hz_store_records(HZ_DOC_PROJECT, NULL, &docs, &count));
    HZ_ASSERT_EQ(count, 1);
    hz_store_records_free(&docs, count);
    hz_doc_fini(&read);
    json_decref(doc.data);
}

HZ_TEST(store_records, a_change_names_the_revision_it_has_seen)
{
    struct hz_doc doc = doc_of("p1", "w1", 5, "uno"), read;
    HZ_ASSERT_OK(hz_store_record_put(&doc, NULL));
    struct hz_doc other = doc_of("p1", "w1", 5, "otro");
    HZ_ASSERT_EQ(hz_store_record_put(&other, NULL), HZ_EEXISTS); /* says there is none */
    other.revision = 1;
    HZ_ASSERT_OK(hz_store_record_put(&other, NULL));
    HZ_ASSERT_EQ(other.revision, 2);
    HZ_ASSERT_EQ(hz_store_record_put(&doc, NULL), HZ_EEXISTS); /* still 1 */
    doc.revision = HZ_DOC_ANY;
    HZ_ASSERT_OK(hz_store_record_put(&doc, NULL));
    HZ_ASSERT_EQ(doc.revision, 3);
    struct hz_doc absent = doc_of("p2", "w1", 5, "no");
    absent.revision = 1;
    HZ_ASSERT_EQ(hz_store_record_put(&absent, NULL), HZ_ENOTFOUND);
    HZ_ASSERT_EQ(hz_store_record_get(HZ_DOC_PROJECT, "p2", &read), HZ_ENOTFOUND);
    hz_doc_fini(&doc);
    hz_doc_fini(&other);
    hz_doc_fini(&absent);
}

HZ_TEST(store_records, lists_are_of_one_parent_and_oldest_first)
{
    static const struct {
        const char *id, *parent;
        int64_t at;
    } all[] = {{"b", "w1", 2}, {"a", "w1", 1}, {"c", "w2", 3}};
    for (size_t i = 0; i < HZ_COUNT_OF(all); i++) {
        struct hz_doc doc = doc_of(all[i].id, all[i].parent, all[i].at, "x");
        HZ_ASSERT_OK(hz_store_record_put(&doc, NULL));
        hz_doc_fini(&doc);
    }
    struct hz_doc *docs;
    size_t count;
    HZ_ASSERT_OK(hz_store_records(HZ_DOC_PROJECT, "w1", &docs, &count));
    HZ_ASSERT_EQ(count, 2);
    HZ_ASSERT_STR_EQ(docs[0].id, "a");
    HZ_ASSERT_STR_EQ(docs[1].id, "b");
    hz_store_records_free(&docs, count);
    HZ_ASSERT_OK(hz_store_records(HZ_DOC_PROJECT, NULL, &docs, &count));
    HZ_ASSERT_EQ(count, 3);
    hz_store_records_free(&docs, count);
}

HZ_TEST(store_records, history_has_the_record_of_each_version)
{
    struct hz_doc doc = doc_of("f", "p", 1, "uno");
    HZ_ASSERT_OK(hz_store_record_put(&doc, &(struct hz_doc_change){"0.0.1", "created", "Workflow creado", "ana"}));
    json_object_set_new(doc.data, "name", json_string("dos"));
    HZ_ASSERT_OK(hz_store_record_put(&doc, &(struct hz_doc_change){"0.0.2", "updated", "x", "ana"}));
    json_t *old = NULL, *lines = hz_store_record_history("f");
    HZ_ASSERT_EQ(json_array_size(lines), 2);
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(json_array_get(lines, 0), "version")), "0.0.2");
    HZ_ASSERT_OK(hz_store_record_version("f", "0.0.1", &old));
    HZ_ASSERT_STR_EQ(json_string_value(json_object_get(old, "name")), "uno");
    HZ_ASSERT_EQ(hz_store_record_version("f", "0.0.9", &old), HZ_ENOTFOUND);
    /* A refused change leaves no line. */
    doc.revision = 7;
    HZ_ASSERT_EQ(hz_store_record_put(&doc, &(struct hz_doc_change){"0.0.3", "updated", "x", "ana"}), HZ_EEXISTS);
    json_t *again = hz_store_record_history("f");
    HZ_ASSERT_EQ(json_array_size(again), 2);
    json_decref(again);
    json_decref(lines);
    json_decref(old);
    hz_doc_fini(&doc);
}

static uint64_t first_sequence(json_t *list)
{
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(json_array_get(list, 0), "sequence"));
    json_decref(list);
    return sequence;
}

HZ_TEST(store_records, events_are_found_by_kind_place_and_page_and_forgotten_by_age)
{
    int64_t now = hz_base_wall_ms();
    const struct hz_store_event events[] = {{1, now - 5000, "created", "a", "{\"sequence\":1}"}, {2, now, "stopped", "a", "{\"sequence\":2}"},
            {3, now, "created", "b", "{\"sequence\":3}"}};
    HZ_ASSERT_OK(hz_store_events_put(events, 3, 60000));
    HZ_ASSERT_EQ(first_sequence(hz_store_events(NULL, NULL, 0, 0, 10)), 3);
    HZ_ASSERT_EQ(first_sequence(hz_store_events("stopped", NULL, 0, 0, 10)), 2);
    HZ_ASSERT_EQ(first_sequence(hz_store_events("stop", NULL, 0, 0, 10)), 0); /* a whole kind */
    HZ_ASSERT_EQ(first_sequence(hz_store_events("created,stopped", "a", 2, 0, 10)), 1);
    HZ_ASSERT_EQ(first_sequence(hz_store_events(NULL, NULL, 0, 1, 10)), 2);
    HZ_ASSERT_OK(hz_store_events_put(&(struct hz_store_event){4, now, "ready", "a", "{\"sequence\":4}"}, 1, 1000));
    HZ_ASSERT_EQ(first_sequence(hz_store_events("created", "a", 0, 0, 10)), 0);
}

HZ_TEST(store_records, an_answer_is_kept_for_its_owner_and_key)
{
    uint64_t request;
    uint32_t status;
    char *body;
    HZ_ASSERT_EQ(hz_store_answer_get("ana", "k", &request, &status, &body), HZ_ENOTFOUND);
    HZ_ASSERT_OK(hz_store_answer_put("ana", "k", 77, 202, "{\"x\":1}", 60000));
    HZ_ASSERT_EQ(hz_store_answer_get("eva", "k", &request, &status, &body), HZ_ENOTFOUND);
    HZ_ASSERT_OK(hz_store_answer_get("ana", "k", &request, &status, &body));
    HZ_ASSERT_EQ(request, 77);
    HZ_ASSERT_EQ(status, 202);
    HZ_ASSERT_STR_EQ(body, "{\"x\":1}");
    free(body);
}
