/* test_alerts_book.c - thresholds, times and silence of alerts on a clock of the test's own. */
#include "core/alerts_book.h"
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#define WALL 1700000000000

static struct hz_alert_book book;
static struct hz_alert_now now;
static struct { /* of what the book told, in order: R raised, C cleared, T told, S silence over; small: nobody is to
                   hear of it */
    char events[64], text[HZ_ALERT_TEXT];
    int64_t raised_ms, cleared_ms;
} said;

static void on_event(void *arg, enum hz_alert_event event, const struct hz_alert *alert,
        const struct hz_alert_silence *silence, bool tell)
{
    (void)arg;
    (void)silence;
    char letter = tell ? "RCTS"[event] : "rcts"[event];
    size_t n = strlen(said.events);
    HZ_ASSERT_TRUE(n + 1 < sizeof said.events);
    said.events[n] = letter;
    if (!alert)
        return;
    memcpy(said.text, alert->text, sizeof said.text);
    said.raised_ms = alert->raised_ms;
    said.cleared_ms = alert->cleared_ms;
}

HZ_SETUP(alerts_book)
{
    hz_alert_book_fini(&book);
    memset(&said, 0, sizeof said);
    hz_alert_book_init(&book, on_event, NULL);
    now = (struct hz_alert_now){.ms = 5000, .wall_ms = WALL};
}

static void after(unsigned seconds)
{
    now.ms += seconds * 1000u;
    now.wall_ms += seconds * 1000;
}

/* A second with this figure of the disk; below 0: nobody saw any. */
static void second(double value)
{
    char text[32];
    after(1);
    snprintf(text, sizeof text, "%.0f percent", value);
    if (value >= 0)
        hz_alert_see(&book, HZ_ALERT_DISK, "data", value, text);
    hz_alert_round(&book, &now);
}

static void seconds(unsigned count, double value)
{
    while (count--)
        second(value);
}

static void use(double raise, double clear, uint32_t for_s, uint32_t clear_for_s)
{
    struct hz_alert_settings *s = &book.settings[HZ_ALERT_DISK];
    s->raise = raise;
    s->clear = clear;
    s->for_s = for_s;
    s->clear_for_s = clear_for_s;
}

HZ_TEST(alerts_book, every_rule_has_a_name_a_sentence_and_settings_that_hold_together)
{
    for (unsigned i = 0; i < HZ_ALERT_RULES; i++) {
        const struct hz_alert_known *known = hz_alert_known((enum hz_alert_rule)i);
        HZ_ASSERT_EQ(hz_alert_by_name(known->name), i);
        HZ_ASSERT_TRUE(strlen(known->look) > 20);
        HZ_ASSERT_TRUE(known->initial.enabled && known->initial.clear <= known->initial.raise);
        HZ_ASSERT_TRUE(!known->unit || known->initial.raise <= known->most);
    }
    HZ_ASSERT_EQ(hz_alert_by_name("disc"), HZ_ALERT_RULES);
}

HZ_TEST(alerts_book, is_raised_when_the_figure_has_held_for_its_time_and_not_before)
{
    use(90, 80, 5, 0);
    seconds(5, 90); /* the first of them began it: 4 s so far */
    HZ_ASSERT_STR_EQ(said.events, "");
    second(95);
    HZ_ASSERT_STR_EQ(said.events, "R");
    HZ_ASSERT_STR_EQ(said.text, "95 percent");
    HZ_ASSERT_EQ(said.raised_ms, now.wall_ms);
}

HZ_TEST(alerts_book, a_dip_below_the_threshold_begins_the_time_anew)
{
    use(90, 80, 3, 0);
    seconds(3, 91);
    second(89.9);
    seconds(3, 91);
    HZ_ASSERT_STR_EQ(said.events, "");
    second(91);
    HZ_ASSERT_STR_EQ(said.events, "R");
}

HZ_TEST(alerts_book, between_the_thresholds_it_stays_as_it_is)
{
    use(90, 80, 0, 0);
    seconds(20, 85);
    HZ_ASSERT_STR_EQ(said.events, "");
    second(90);
    seconds(20, 80);
    HZ_ASSERT_STR_EQ(said.events, "R");
    second(79.9);
    HZ_ASSERT_STR_EQ(said.events, "RC");
    HZ_ASSERT_EQ(said.cleared_ms, now.wall_ms);
    HZ_ASSERT_TRUE(book.alerts == NULL);
}

HZ_TEST(alerts_book, is_cleared_when_it_was_below_for_its_time_and_not_seen_counts_as_below)
{
    use(90, 80, 0, 4);
    second(92);
    seconds(4, 10);
    second(85); /* back above: the time begins anew */
    seconds(4, -1);
    HZ_ASSERT_STR_EQ(said.events, "R");
    second(-1);
    HZ_ASSERT_STR_EQ(said.events, "RC");
    second(92);
    HZ_ASSERT_STR_EQ(said.events, "RCR");
}

HZ_TEST(alerts_book, of_several_figures_for_a_subject_the_largest_counts)
{
    use(90, 80, 0, 0);
    after(1);
    hz_alert_see(&book, HZ_ALERT_DISK, "data", 91, "low");
    hz_alert_see(&book, HZ_ALERT_DISK, "data", 99, "high");
    hz_alert_see(&book, HZ_ALERT_DISK, "data", 95, "middle");
    hz_alert_see(&book, HZ_ALERT_DISK, "other", 50, "other");
    hz_alert_round(&book, &now);
    HZ_ASSERT_STR_EQ(said.events, "R");
    HZ_ASSERT_STR_EQ(said.text, "high");
}

HZ_TEST(alerts_book, a_moment_between_two_rounds_is_raised_at_once)
{
    book.settings[HZ_ALERT_MEMORY].clear_for_s = 2;
    hz_alert_pulse(&book, HZ_ALERT_MEMORY, "workflow:a", 79, "79", &now);
    HZ_ASSERT_STR_EQ(said.events, "");
    hz_alert_pulse(&book, HZ_ALERT_MEMORY, "workflow:a", 81, "81", &now);
    HZ_ASSERT_STR_EQ(said.events, "R");
    hz_alert_pulse(&book, HZ_ALERT_MEMORY, "workflow:a", 99, "99", &now);
    for (unsigned i = 0; i < 3; i++, after(1))
        hz_alert_round(&book, &now);
    HZ_ASSERT_STR_EQ(said.events, "R");
    hz_alert_round(&book, &now);
    HZ_ASSERT_STR_EQ(said.events, "RC");
    HZ_ASSERT_STR_EQ(said.text, "99");
}

HZ_TEST(alerts_book, each_recovery_is_news_also_while_the_one_before_is_raised)
{
    HZ_ASSERT_OK(hz_alert_restore(&book, HZ_ALERT_RECOVERY, "manager", "first", WALL - 1000, true));
    hz_alert_pulse(&book, HZ_ALERT_RECOVERY, "manager", 1, "second", &now);
    hz_alert_round(&book, &now);
    HZ_ASSERT_STR_EQ(said.events, "T");
    HZ_ASSERT_STR_EQ(said.text, "second");
    after(1);
    hz_alert_round(&book, &now);
    HZ_ASSERT_STR_EQ(said.events, "T");
}

HZ_TEST(alerts_book, what_is_silent_is_kept_and_told_when_the_silence_is_over)
{
    use(90, 80, 0, 0);
    HZ_ASSERT_OK(hz_alert_silence(&book, HZ_ALERT_DISK, "", now.wall_ms, now.wall_ms + 10000));
    second(95);
    HZ_ASSERT_STR_EQ(said.events, "r");
    HZ_ASSERT_EQ(hz_alert_silent_until(&book, HZ_ALERT_DISK, "data", now.wall_ms), WALL + 10000);
    HZ_ASSERT_EQ(hz_alert_silent_until(&book, HZ_ALERT_MEMORY, "data", now.wall_ms), 0);
    seconds(8, 95);
    HZ_ASSERT_STR_EQ(said.events, "r");
    second(95);
    HZ_ASSERT_STR_EQ(said.events, "rsT");
    second(10);
    HZ_ASSERT_STR_EQ(said.events, "rsTC");
}

HZ_TEST(alerts_book, who_never_heard_of_it_does_not_hear_of_its_end_and_who_did_does)
{
    use(90, 80, 0, 0);
    HZ_ASSERT_OK(hz_alert_silence(&book, HZ_ALERT_DISK, "data", now.wall_ms, now.wall_ms + 3600000));
    second(95);
    second(10);
    HZ_ASSERT_STR_EQ(said.events, "rc");
    HZ_ASSERT_TRUE(hz_alert_unsilence(&book, HZ_ALERT_DISK, "data"));
    HZ_ASSERT_TRUE(!hz_alert_unsilence(&book, HZ_ALERT_DISK, "data"));
    second(95);
    HZ_ASSERT_OK(hz_alert_silence(&book, HZ_ALERT_DISK, "data", now.wall_ms, now.wall_ms + 3600000));
    second(10);
    HZ_ASSERT_STR_EQ(said.events, "rcRC");
}

HZ_TEST(alerts_book, a_silence_of_one_subject_leaves_the_others_loud)
{
    use(90, 80, 0, 0);
    HZ_ASSERT_OK(hz_alert_silence(&book, HZ_ALERT_DISK, "/dev/shm", now.wall_ms, now.wall_ms + 3600000));
    second(95);
    HZ_ASSERT_STR_EQ(said.events, "R");
}

HZ_TEST(alerts_book, a_rule_that_is_switched_off_is_cleared_at_once_and_not_raised)
{
    use(90, 80, 0, 60);
    second(95);
    book.settings[HZ_ALERT_DISK].enabled = false;
    seconds(3, 99);
    HZ_ASSERT_STR_EQ(said.events, "RC");
}

HZ_TEST(alerts_book, what_was_open_before_is_not_told_again_and_is_cleared)
{
    use(90, 80, 0, 2);
    HZ_ASSERT_OK(hz_alert_restore(&book, HZ_ALERT_DISK, "data", "before", WALL - 60000, true));
    HZ_ASSERT_OK(hz_alert_restore(&book, HZ_ALERT_DISK, "/dev/shm", "silent", WALL - 60000, false));
    second(95);
    HZ_ASSERT_STR_EQ(said.events, "T"); /* the one that nobody had heard of */
    HZ_ASSERT_EQ(said.raised_ms, WALL - 60000);
    seconds(3, -1);
    HZ_ASSERT_STR_EQ(said.events, "TCC");
}
