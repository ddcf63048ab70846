/*
 * manager.c - the one file that knows every room of the manager process and wires them: start order, signals, orderly end.
 * Main thread; what it starts on the shards runs there.
 */
#include "manager.h"

#include "access.h"
#include "alerts.h"
#include "api/api.h"
#include "api/events.h"
#include "api/pages.h"
#include "api/herald.h"
#include "catalog.h"
#include "children.h"
#include "history.h"
#include "http/http.h"
#include "policy.h"
#include "restart.h"
#include "scheduler.h"
#include "sdnotify.h"
#include "shard.h"
#include "parked.h"
#include "store.h"
#include "secrets.h"
#include "supervisor.h"
#include "uids.h"
#include "lines.h"
#include "workflows.h"

#include "shm/err.h"
#include "shm/guard.h"
#include "shm/log.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

static struct {
    const struct hz_config *config;
    const struct hz_manager_options *options;
    _Atomic int exit_code; /* any thread sets it before it posts `stop`; the main thread reads it at the end */
    _Atomic bool stop_asked;
    uint32_t port;
    uv_signal_t terminate, interrupt, hangup;
    bool ending;
} manager;

struct stop_mail {
    struct hz_mail mail;
};

static void all_stopped(void *arg)
{
    (void)arg;
    hz_shard_stop_main();
}

/* Main thread. The second request does not wait for anybody: the workers follow the process. */
static void begin_end(void)
{
    if (manager.ending) {
        HZ_LOG(WARN, "asked to end twice: ending at once");
        _exit(EXIT_FAILURE);
    }
    manager.ending = true;
    hz_sdnotify_stopping();
    hz_restart_forbid();
    hz_supervisor_stop_all(all_stopped, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    begin_end();
}

static void tell_ready(void)
{
    char text[400];
    snprintf(text, sizeof text, "%s, %u shards", hz_http_url(), hz_shard_count());
    hz_sdnotify_ready(text);
}

/* With TLS, or under a service manager, whose word for reloading it is; else a hangup ends the process, as ever. Policy and alerts are read
 * anew by themselves. */
static void on_hangup(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    if (manager.ending)
        return;
    hz_sdnotify_reloading();
    if (hz_http_reload_tls())
        HZ_LOG(ERROR, "%s; the certificate of before stays in use", hz_err_last());
    else
        HZ_LOG(INFO, manager.config->tls_cert ? "TLS: the certificate was read anew" : "a hangup: there is no certificate to read anew");
    tell_ready();
}

static void run_stop(struct hz_mail *mail)
{
    free(HZ_CONTAINER_OF(mail, struct stop_mail, mail));
    if (!manager.ending)
        begin_end();
}

void hz_manager_stop(int exit_code)
{
    if (atomic_exchange(&manager.stop_asked, true))
        return;
    atomic_store(&manager.exit_code, exit_code);
    struct stop_mail *mail = calloc(1, sizeof *mail);
    HZ_ASSERT(mail != NULL); /* without it the process would never end */
    mail->mail.run = run_stop;
    hz_shard_post(hz_shard_main(), &mail->mail);
}

uint32_t hz_manager_port(void)
{
    return manager.port;
}

static int begin_shard(struct hz_shard *shard, void *arg)
{
    (void)arg;
    int err = hz_supervisor_begin(shard);
    if (!err)
        err = hz_scheduler_begin(shard);
    if (!err && manager.options->http)
        err = hz_http_begin(shard);
    if (!err)
        hz_history_begin(shard);
    return hz_restart_follows() ? hz_restart_adopt_http(shard, err) : err;
}

static void end_shard(struct hz_shard *shard, void *arg)
{
    (void)arg;
    if (manager.options->http)
        hz_http_end(shard);
    hz_scheduler_end(shard);
    hz_supervisor_end(shard);
    hz_history_end(shard);
}

/* Whom another machine would meet must have been said by a person. */
static int open_access(const struct hz_config *config)
{
    int err = hz_access_init();
    if (!err && config->remote)
        err = hz_access_remote(config->admin_password != NULL, config->seed_database);
    if (err && config->remote)
        return hz_err_prefix(err, "--listen %s is not loopback", config->listen_host);
    if (!err)
        err = hz_access_first_start(config->admin_password, config->seed_database);
    if (!err && config->remote && !config->tls_cert)
        HZ_LOG(WARN, "%s is not loopback and speaks no TLS: passwords, sessions and tokens travel in clear (--tls-cert, or a proxy with TLS)",
                config->listen_host);
    if (!err)
        err = hz_access_begin();
    return err;
}

static void say(const char *line)
{
    printf("%s\n", line);
    fflush(stdout);
}

static void show_access(struct hz_config *config)
{
    if (hz_access_first_show(hz_http_url(), say))
        HZ_LOG(ERROR, "the first account: %s", hz_err_last());
    hz_config_forget_password(config);
}

static int bind_http(const struct hz_config *config)
{
    char *socket_path = NULL;
    if (asprintf(&socket_path, "%s/horizon.sock", config->data_dir) < 0)
        return hz_err_set(HZ_ENOMEM, "opening the server");
    struct hz_http_options options = {.host = config->listen_host, .port = config->server_port, .socket_path = socket_path,
            .allowed_hosts = config->hosts, .allowed_origin = config->client_url, .tls_cert = config->tls_cert, .tls_key = config->tls_key,
            .trusted_proxies = config->trusted_proxies, .address_connections = config->address_connections, .address_rate = config->address_rate,
            .limit_loopback = config->limit_loopback != 0};
    if (hz_restart_follows()) {
        options.listeners = hz_restart_listeners(&options.listener_count);
        options.port = hz_restart_port();
    }
    int err = hz_http_bind(&options, &manager.port);
    free(socket_path);
    return err;
}

/* What must be there before the first shard runs, in this order. */
static int prepare(const struct hz_config *config)
{
    int err = hz_guard_install();
    if (!err)
        err = hz_catalog_refresh(config);
    if (!err)
        err = hz_policy_open(config, config->data_dir);
    if (!err)
        err = hz_uids_init(config);
    if (!err)
        err = hz_workflows_open_store(config);
    if (!err && manager.options->http) /* what `horizon run` does nobody asks for later */
        hz_history_open();
    if (!err)
        err = hz_secrets_init(config->data_dir);
    if (!err && manager.options->http)
        err = open_access(config);
    if (!err)
        err = hz_parked_init(config->data_dir);
    if (!err)
        err = hz_workflows_init(config);
    if (!err && manager.options->http)
        err = hz_pages_open();
    if (err)
        return err;
    int imported = hz_workflows_scan();
    if (imported > 0)
        HZ_LOG(INFO, "%d workflow files imported", imported);
    err = hz_shard_init(config->clusters);
    if (!err)
        err = hz_registry_init();
    if (!err && manager.options->http)
        err = bind_http(config); /* before the workers' ports, whose range it skips */
    if (manager.options->http)
        hz_supervisor_set_server_port(manager.port);
    if (!err)
        err = hz_supervisor_init(config);
    if (!err)
        err = hz_scheduler_init(config);
    if (!err)
        err = hz_api_init(config, manager.options->http);
    if (!err)
        err = hz_restart_init(config);
    if (!err && hz_restart_follows())
        hz_restart_prepare();
    if (!err && manager.options->http)
        err = hz_alerts_init(config);
    return err;
}

static int watch_signals(void)
{
    uv_loop_t *loop = hz_shard_loop(hz_shard_main());
    if (uv_signal_init(loop, &manager.terminate) || uv_signal_init(loop, &manager.interrupt) ||
            uv_signal_start(&manager.terminate, on_signal, SIGTERM) || uv_signal_start(&manager.interrupt, on_signal, SIGINT))
        return hz_err_set(HZ_EREFUSED, "cannot watch signals");
    if (manager.options->http && (manager.config->tls_cert || hz_sdnotify_wanted()) &&
            (uv_signal_init(loop, &manager.hangup) || uv_signal_start(&manager.hangup, on_hangup, SIGHUP)))
        return hz_err_set(HZ_EREFUSED, "cannot watch signals");
    return 0;
}

static void close_signals(void)
{
    uv_close((uv_handle_t *)&manager.terminate, NULL);
    uv_close((uv_handle_t *)&manager.interrupt, NULL);
    if (manager.hangup.loop)
        uv_close((uv_handle_t *)&manager.hangup, NULL);
}

static int start(const struct hz_config *config)
{
    int err = prepare(config);
    if (!err)
        err = watch_signals();
    if (!err)
        err = hz_shard_start(begin_shard, NULL);
    hz_restart_hold_signals(false);
    if (!err && manager.options->http)
        hz_alerts_begin();
    if (!err && manager.options->http)
        hz_events_begin();
    return err;
}

int hz_manager_run(struct hz_config *config, const struct hz_manager_options *options)
{
    memset(&manager, 0, sizeof manager);
    manager.config = config;
    manager.options = options;
    (void)signal(SIGPIPE, SIG_IGN);
    hz_restart_hold_signals(true); /* no other thread takes them */
    urcu_memb_register_thread();
    hz_lines_quiet(options->quiet);
    if (options->http)
        hz_sdnotify_init();
    bool follows = hz_restart_follows();
    if (follows)
        config->clusters = hz_restart_shards();
    int err = start(config);
    if (err) {
        /* Nothing that runs outlives this process: threads end with it, workers follow it, rows handed over are written. */
        (void)hz_err_prefix(err, follows ? "cannot go on after the restart" : "cannot start");
        fprintf(stderr, "horizon: %s\n", hz_err_last());
        hz_history_close();
        hz_access_fini();
        hz_store_close();
        return EXIT_FAILURE;
    }
    if (follows) {
        hz_restart_done();
        hz_children_end_inherited();
    } else if (options->http) {
        hz_lines_print(false, "Servidor corriendo en puerto %u", manager.port);
        hz_lines_print(false, "Socket.IO listo para conexiones");
        HZ_LOG(INFO, "instance %s, %u shards, data in %s", config->instance, hz_shard_count(), config->data_dir);
    }
    if (options->started && !follows)
        options->started(options->arg);
    if (options->http) {
        show_access(config);
        tell_ready();
    }
    hz_shard_run_main();
    close_signals();
    hz_restart_end();
    hz_alerts_fini();
    hz_events_end();
    hz_shard_stop(end_shard, NULL);
    if (options->http)
        hz_http_fini();
    hz_restart_fini();
    hz_scheduler_fini();
    hz_supervisor_fini();
    hz_registry_fini();
    hz_access_end(); /* its last answers are mail of the shards */
    hz_shard_fini();
    hz_sdnotify_fini();
    hz_access_fini();
    hz_workflows_fini();
    hz_policy_close();
    hz_secrets_fini();
    hz_catalog_fini();
    hz_parked_fini();
    hz_herald_fini();
    hz_events_fini();
    hz_history_close();
    hz_store_close();
    urcu_memb_unregister_thread();
    return atomic_load(&manager.exit_code);
}
