/* test_cgroup.c - what is found without a tree of one's own, and how the kernel's files are read. A real tree: tests/e2e/test_cgroup.py. */
#include "core/cgroup.h"
#include "tests/harness.h"

#include "shm/err.h"

HZ_TEST(cgroup, a_number_is_found_by_its_whole_key)
{
    static const char text[] = "low 1\noom 2\noom_kill 3\noom_group_kill 4\n";
    HZ_ASSERT_EQ(hz_cgroup_number(text, "oom"), 2);
    HZ_ASSERT_EQ(hz_cgroup_number(text, "oom_kill"), 3);
    HZ_ASSERT_EQ(hz_cgroup_number(text, "low"), 1);
    HZ_ASSERT_EQ(hz_cgroup_number(text, "kill"), 0);
    HZ_ASSERT_EQ(hz_cgroup_number("", "oom"), 0);
}

HZ_TEST(cgroup, off_is_off_and_says_what_is_used_instead)
{
    struct hz_cgroup_place place;
    HZ_ASSERT_EQ(hz_cgroup_find("off", &place), 0);
    HZ_ASSERT_FALSE(place.on);
    HZ_ASSERT_STR_HAS(place.text, "HORIZON_CGROUP=off");
    HZ_ASSERT_STR_HAS(place.text, "sampling");
}

HZ_TEST(cgroup, a_folder_that_is_no_group_is_refused_by_name)
{
    struct hz_cgroup_place place;
    HZ_ASSERT_EQ(hz_cgroup_find("/tmp", &place), HZ_EREFUSED);
    HZ_ASSERT_FALSE(place.on);
    HZ_ASSERT_STR_HAS(hz_err_last(), "HORIZON_CGROUP is /tmp");
}

HZ_TEST(cgroup, without_a_tree_there_is_no_group_for_a_worker)
{
    HZ_ASSERT_EQ(hz_cgroup_init("off", true), 0);
    HZ_ASSERT_FALSE(hz_cgroup_make(&(struct hz_uuid){{1}}, 1u << 24, 0));
    hz_cgroup_fini();
}
