/* test_ports.c - the ports workers own: unique, lowest free first, really bound, free again at once. */
#include "core/ports.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST 23500u

/* What a stranger does: no SO_REUSEADDR, so it fails if anybody still has the port. */
static int stranger(uint32_t port, bool any_address)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
            .sin_addr = {htonl(any_address ? INADDR_ANY : INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&address, sizeof address) || listen(fd, 1))) {
        close(fd);
        return -1;
    }
    return fd;
}

HZ_TEARDOWN(ports)
{
    hz_ports_fini();
}

HZ_TEST(ports, refuses_a_range_that_is_none)
{
    HZ_ASSERT_EQ(hz_ports_init(4000, 3999, 0), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "WORKER_PORT_START");
    HZ_ASSERT_EQ(hz_ports_init(0, 10, 0), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_ports_init(1, 65536, 0), HZ_EFORMAT);
}

HZ_TEST(ports, gives_the_lowest_free_one_and_skips_the_servers)
{
    uint32_t a, b, c;
    HZ_ASSERT_OK(hz_ports_init(FIRST, FIRST + 4, FIRST + 1));
    int fa = hz_ports_take(&a), fb = hz_ports_take(&b);
    HZ_ASSERT_GE(fa, 0);
    HZ_ASSERT_GE(fb, 0);
    HZ_ASSERT_EQ(a, FIRST);
    HZ_ASSERT_EQ(b, FIRST + 2);
    hz_ports_give(fa, a);
    int fc = hz_ports_take(&c);
    HZ_ASSERT_EQ(c, FIRST);
    hz_ports_give(fb, b);
    hz_ports_give(fc, c);
    HZ_ASSERT_EQ(hz_ports_taken(), 0);
}

HZ_TEST(ports, passes_over_what_strangers_hold_and_says_when_none_is_left)
{
    uint32_t port[3], none = 0;
    int fd[3], one = stranger(FIRST, false), two = stranger(FIRST + 2, true);
    HZ_ASSERT_GE(one, 0);
    HZ_ASSERT_GE(two, 0);
    HZ_ASSERT_OK(hz_ports_init(FIRST, FIRST + 4, 0));
    for (int i = 0; i < 3; i++) {
        fd[i] = hz_ports_take(&port[i]);
        HZ_ASSERT_GE(fd[i], 0);
    }
    HZ_ASSERT_EQ(port[0], FIRST + 1);
    HZ_ASSERT_EQ(port[1], FIRST + 3);
    HZ_ASSERT_EQ(port[2], FIRST + 4);
    HZ_ASSERT_EQ(hz_ports_take(&none), HZ_ELIMIT);
    HZ_ASSERT_EQ(none, 0);
    close(one); /* the stranger has gone: its port is tried again */
    int again = hz_ports_take(&none);
    HZ_ASSERT_GE(again, 0);
    HZ_ASSERT_EQ(none, FIRST);
    hz_ports_give(again, none);
    for (int i = 0; i < 3; i++)
        hz_ports_give(fd[i], port[i]);
    close(two);
}

HZ_TEST(ports, is_really_bound_while_taken_and_free_right_after)
{
    uint32_t port;
    HZ_ASSERT_OK(hz_ports_init(FIRST, FIRST + 4, 0));
    int fd = hz_ports_take(&port);
    HZ_ASSERT_GE(fd, 0);
    HZ_ASSERT_EQ(stranger(port, false), -1);
    hz_ports_give(fd, port);
    int other = stranger(port, false);
    HZ_ASSERT_GE(other, 0);
    close(other);
}

static void *take_many(void *arg)
{
    uint32_t *got = arg;
    for (int i = 0; i < 25; i++)
        if (hz_ports_take(&got[i]) < 0)
            got[i] = 0;
    return NULL;
}

HZ_TEST(ports, two_hundred_at_once_from_eight_threads_are_all_different)
{
    uint32_t got[8][25];
    bool seen[200] = {false};
    pthread_t threads[8];
    HZ_ASSERT_OK(hz_ports_init(FIRST, FIRST + 199, 0));
    for (int i = 0; i < 8; i++)
        HZ_ASSERT_EQ(pthread_create(&threads[i], NULL, take_many, got[i]), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 25; j++) {
            HZ_ASSERT_GE(got[i][j], FIRST);
            HZ_ASSERT_FALSE(seen[got[i][j] - FIRST]);
            seen[got[i][j] - FIRST] = true;
        }
    }
    HZ_ASSERT_EQ(hz_ports_taken(), 200);
}
