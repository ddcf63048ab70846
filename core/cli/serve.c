/* serve.c - `horizon serve`: the manager in the foreground. */
#include "command.h"

#include "core/http/http.h"
#include "core/http/proxy.h"
#include "core/restart.h"
#include "shm/err.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void started(void *arg)
{
    (void)arg;
    printf("%s/\n", hz_http_url());
    fflush(stdout);
}

static int run(const struct hz_args *args)
{
    struct hz_config config;
    if (hz_restart_open())
        return hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    int lock = -1, code = hz_cli_config(&config);
    if (code)
        return code;
    config.held_lock = HZ_MAX(0, hz_restart_lock_fd());
    const char *listen = hz_args_value(args, "--listen");
    if (listen && hz_config_listen(&config, listen))
        code = hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
    else if (hz_config_tls(&config, hz_args_value(args, "--tls-cert"), hz_args_value(args, "--tls-key")))
        code = hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
    else if (hz_config_trust(&config, hz_args_value(args, "--trusted-proxy")) || hz_proxy_trust(config.trusted_proxies))
        code = hz_cli_error(HZ_EXIT_USAGE, "%s", hz_err_last());
    else if (hz_config_open_data(&config, hz_args_data(args), &lock))
        code = hz_cli_error(HZ_EXIT_FAILED, "%s", hz_err_last());
    else {
        hz_restart_set_lock(lock);
        config.follows = hz_restart_follows();
        config.safe = hz_args_has(args, "--safe");
        hz_cli_raise_limits();
        code = hz_cli_host->run(&config, true, false, started, NULL);
    }
    if (lock >= 0)
        close(lock);
    hz_config_fini(&config);
    return code;
}

const struct hz_command hz_command_serve = {.name = "serve",
        .words = "[--data DIR] [--listen HOST:PORT] [--tls-cert FILE --tls-key FILE] [--trusted-proxy ADDRESSES] [--safe]",
        .summary = "Runs the server",
        .text = "Flows are those of DIR/workflows/<id>/flow.json. Serves REST under /api/v1, GET /health and the "
                "flows' webhooks on\n"
                "HOST:PORT (default 127.0.0.1:3000; another address than loopback once an administrator has set a password), each worker's webhooks on its own port, and the "
                "commands on\n"
                "DIR/horizon.sock. SIGTERM or SIGINT stops all workers and ends it.",
        .options = {{"--data", 0, "DIR", "data directory, made if it is not there (default ./data)"},
                {"--listen", 0, "HOST:PORT", "address of the server; port 0: any free one"},
                {"--tls-cert", 0, "FILE", "certificate chain (PEM): the server's port speaks TLS; read anew on SIGHUP"},
                {"--tls-key", 0, "FILE", "its key (PEM)"},
                {"--trusted-proxy", 0, "ADDRESSES", "proxies whose X-Forwarded-For is believed: addresses and networks, with commas between"},
                {"--safe", 0, NULL, "start no flow and no open execution by itself; what was open stays open for the next start"}},
        .least = 0,
        .most = 0,
        .run = run};
