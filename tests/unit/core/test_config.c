/* test_config.c - settings from the environment, the listen address, the data directory's lock and instance. */
#include "core/config.h"
#include "shm/err.h"
#include "tests/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hz_config config;

HZ_SETUP(config)
{
    static const char *const names[] = {"SERVER_PORT", "WORKER_PORT_START", "WORKER_PORT_END", "SERVER_CLUSTERS", "HORIZON_SPAWN",
            "HORIZON_SANDBOX", "NODE_ENV", "PORT", "CLIENT_URL", "TRACKING_EXECUTE"};
    for (size_t i = 0; i < HZ_COUNT_OF(names); i++)
        unsetenv(names[i]);
    /* The test program stands elsewhere than horizon. */
    setenv("HORIZON_WORKER", "/bin/true", 1);
    setenv("HORIZON_BUILTIN_NODES", "/", 1);
}

HZ_TEARDOWN(config)
{
    hz_config_fini(&config);
}

HZ_TEST(config, defaults_are_those_of_the_table)
{
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_EQ(config.server_port, 3000);
    HZ_ASSERT_EQ(config.worker_port_start, 3001);
    HZ_ASSERT_EQ(config.worker_port_end, 4000);
    HZ_ASSERT_EQ(config.start_timeout_ms, 10000);
    HZ_ASSERT_EQ(config.stop_grace_ms, 5000);
    HZ_ASSERT_STR_EQ(config.listen_host, "127.0.0.1");
    HZ_ASSERT_TRUE(config.development);
    HZ_ASSERT_GE(config.clusters, 1);
}

HZ_TEST(config, a_wrong_value_names_variable_value_and_range)
{
    static const char *const wrong[] = {"65536", "-1", "3000x", "", " 1", "99999999999999999999"};
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++) {
        setenv("SERVER_PORT", wrong[i], 1);
        int err = hz_config_load(&config);
        if (!*wrong[i]) { /* empty is the same as absent */
            HZ_ASSERT_OK(err);
            hz_config_fini(&config);
            continue;
        }
        HZ_ASSERT_EQ(err, HZ_EFORMAT);
        HZ_ASSERT_STR_HAS(hz_err_last(), "SERVER_PORT");
        HZ_ASSERT_STR_HAS(hz_err_last(), wrong[i]);
        HZ_ASSERT_STR_HAS(hz_err_last(), "from 0 to 65535");
    }
}

HZ_TEST(config, a_word_that_is_not_offered_lists_those_that_are)
{
    setenv("HORIZON_SANDBOX", "sometimes", 1);
    HZ_ASSERT_EQ(hz_config_load(&config), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "try, require, off");
}

HZ_TEST(config, the_port_range_must_not_end_before_it_starts)
{
    setenv("WORKER_PORT_START", "4001", 1);
    HZ_ASSERT_EQ(hz_config_load(&config), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "WORKER_PORT_END 4000");
}

HZ_TEST(config, port_is_another_name_of_server_port)
{
    setenv("PORT", "8123", 1);
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_EQ(config.server_port, 8123);
    hz_config_fini(&config);
    setenv("SERVER_PORT", "8124", 1);
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_EQ(config.server_port, 8124);
    hz_config_fini(&config);
    unsetenv("SERVER_PORT");
    setenv("PORT", "many", 1);
    HZ_ASSERT_EQ(hz_config_load(&config), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "PORT is \"many\"");
    HZ_ASSERT_STR_HAS_NOT(hz_err_last(), "SERVER_PORT");
}

HZ_TEST(config, client_url_names_pages_without_a_path)
{
    static const char *const right[] = {"", "http://localhost:5173", " https://a.example/ , http://[::1]:80,", "tauri://localhost"};
    static const char *const wrong[] = {"*", "localhost:5173", "http://", "://a", "http://a/b", "http://a?b", "http://a, b", "http://*.example", "http:///"};
    for (size_t i = 0; i < HZ_COUNT_OF(right); i++) {
        setenv("CLIENT_URL", right[i], 1);
        HZ_ASSERT_OK(hz_config_load(&config));
        hz_config_fini(&config);
    }
    for (size_t i = 0; i < HZ_COUNT_OF(wrong); i++) {
        setenv("CLIENT_URL", wrong[i], 1);
        HZ_ASSERT_EQ(hz_config_load(&config), HZ_EFORMAT);
        HZ_ASSERT_STR_HAS(hz_err_last(), "CLIENT_URL names \"");
    }
}

HZ_TEST(config, switches_are_true_in_any_letter_case)
{
    static const struct {
        const char *text;
        bool on;
    } cases[] = {{"true", true}, {"TRUE", true}, {"True", true}, {"1", true}, {"false", false}, {"yes", false}, {"", false}};
    for (size_t i = 0; i < HZ_COUNT_OF(cases); i++) {
        setenv("TRACKING_EXECUTE", cases[i].text, 1);
        HZ_ASSERT_OK(hz_config_load(&config));
        HZ_ASSERT_EQ(config.tracking, cases[i].on);
        hz_config_fini(&config);
    }
}

HZ_TEST(config, listen_tells_loopback_from_other_addresses)
{
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_OK(hz_config_listen(&config, "[::1]:0"));
    HZ_ASSERT_STR_EQ(config.listen_host, "::1");
    HZ_ASSERT_EQ(config.server_port, 0);
    HZ_ASSERT_OK(hz_config_listen(&config, "localhost:8080"));
    HZ_ASSERT_EQ(config.server_port, 8080);
    HZ_ASSERT_FALSE(config.remote);
    HZ_ASSERT_OK(hz_config_listen(&config, "0.0.0.0:3000"));
    HZ_ASSERT_TRUE(config.remote);
    HZ_ASSERT_OK(hz_config_listen(&config, "127.0.0.1:8080"));
    HZ_ASSERT_FALSE(config.remote);
    HZ_ASSERT_EQ(hz_config_listen(&config, "127.0.0.1"), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_config_listen(&config, "127.0.0.1:99999"), HZ_EFORMAT);
    HZ_ASSERT_EQ(hz_config_listen(&config, ":80"), HZ_EFORMAT);
    HZ_ASSERT_EQ(config.server_port, 8080);
}

HZ_TEST(config, the_data_directory_is_private_and_keeps_its_instance)
{
    struct stat st;
    int fd;
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_OK(hz_config_open_data(&config, "a/b/data", &fd));
    HZ_ASSERT_EQ(stat("a/b/data", &st), 0);
    HZ_ASSERT_EQ(st.st_mode & 0777, 0700);
    char first[9];
    memcpy(first, config.instance, sizeof first);
    HZ_ASSERT_EQ(strspn(first, "0123456789abcdef"), 8);
    close(fd);
    HZ_ASSERT_OK(hz_config_open_data(&config, "a/b/data", &fd));
    HZ_ASSERT_STR_EQ(config.instance, first);
    close(fd);
}

HZ_TEST(config, a_second_manager_is_refused_until_the_first_has_gone)
{
    int fd, second, ready[2];
    char byte;
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_EQ(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        byte = hz_config_open_data(&config, "shared", &fd) ? 'e' : 'k';
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    HZ_ASSERT_EQ(read(ready[0], &byte, 1), 1);
    HZ_ASSERT_EQ(byte, 'k');
    HZ_ASSERT_EQ(hz_config_open_data(&config, "shared", &second), HZ_EREFUSED);
    HZ_ASSERT_STR_HAS(hz_err_last(), "in use by another manager");
    kill(pid, SIGKILL);
    HZ_ASSERT_EQ(waitpid(pid, NULL, 0), pid);
    HZ_ASSERT_OK(hz_config_open_data(&config, "shared", &second));
    close(second);
    close(ready[0]);
    close(ready[1]);
}

HZ_TEST(config, a_broken_instance_file_is_an_error_with_the_cure)
{
    int fd;
    HZ_ASSERT_OK(hz_config_load(&config));
    HZ_ASSERT_EQ(mkdir("broken", 0700), 0);
    hz_test_write_file("broken/instance", "not hex!", 8);
    HZ_ASSERT_EQ(hz_config_open_data(&config, "broken", &fd), HZ_EFORMAT);
    HZ_ASSERT_STR_HAS(hz_err_last(), "remove it");
}
