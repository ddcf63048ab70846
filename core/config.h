/* config.h - what an operator can set: environment variables and options, from one table (config_table.h). */
#ifndef HZ_CORE_CONFIG_H
#define HZ_CORE_CONFIG_H

#include "shm/base.h"

struct hz_config {
    char *data_dir;       /* absolute */
    char *listen_host;    /* 127.0.0.1 (also ::1), localhost */
    uint32_t server_port; /* SERVER_PORT, or of --listen; 0: any free one (tests) */
    uint32_t worker_port_start, worker_port_end;
    uint32_t clusters;    /* shards, SERVER_CLUSTERS */
    uint32_t spares;      /* per shard */
    uint32_t threads;     /* of a resident worker */
    uint32_t start_timeout_ms, stop_grace_ms, request_timeout_ms, execution_timeout_ms;
    uint32_t stuck_after_ms;
    uint32_t strays_every_ms;
    uint32_t restart_after_ms;
    uint32_t max_executions; /* admitted at once, all workflows */
    uint32_t concurrency;    /* running at once, all workflows; each shard has its part */
    uint32_t input_bytes;    /* of what is admitted */
    uint32_t queue_bytes;    /* backlog of one worker */
    uint32_t history;        /* finished executions kept in the store */
    uint32_t history_days, store_mb;
    bool safe;            /* --safe: nothing is started by itself */
    int held_lock;        /* descriptor of the data directory's lock, if this process holds it already; 0 none */
    bool follows;         /* another image of this process served until now (restart.h) */
    bool development;     /* NODE_ENV=development */
    bool tracking;        /* TRACKING_EXECUTE */
    enum { HZ_SPAWN_ZYGOTE, HZ_SPAWN_EXEC } spawn; /* HORIZON_SPAWN */
    enum { HZ_SANDBOX_TRY, HZ_SANDBOX_REQUIRE, HZ_SANDBOX_OFF } sandbox; /* HORIZON_SANDBOX */
    char *worker_id;      /* WORKER_ID or NULL: name given to the only worker of `horizon run` */
    char *worker_path;    /* horizon-worker */
    char *nodes_path;     /* built-in nodes' folder; further folders by HORIZON_NODES (colon-separated) */
    char *extra_nodes_path;
    char *hosts;          /* HORIZON_HOSTS: further allowed Host names, comma-separated */
    enum { HZ_WORKER_UIDS_AUTO, HZ_WORKER_UIDS_OFF, HZ_WORKER_UIDS_RANGE } worker_uids; /* HORIZON_WORKER_UID */
    uint32_t worker_uid_first, worker_uid_last;
    char *policy_path;    /* HORIZON_POLICY, or NULL: DIR/policy.json */
    char *cgroup;         /* HORIZON_CGROUP, or NULL: auto (cgroup.h) */
    char *client_url;     /* CLIENT_URL: further allowed Origins */
    char *trusted_proxies; /* --trusted-proxy or HORIZON_TRUSTED_PROXIES: addresses and networks, comma-separated; or NULL */
    char *admin_password; /* HORIZON_ADMIN_PASSWORD or NULL: of the first start; wiped when it was used */
    bool seed_database;   /* SEED_DATABASE: demo accounts */
    char *tls_cert, *tls_key; /* --tls-cert, --tls-key, or HORIZON_TLS_CERT, HORIZON_TLS_KEY; absolute paths; both or none */
    uint32_t address_connections, address_rate, limit_loopback;
    bool remote;          /* listen_host is not loopback */
    char instance[9];     /* 8 hex digits, kept in the data directory */
};

/* Defaults, then the environment. 0, or HZ_EFORMAT: hz_err_last() names the variable, its value and the range. */
HZ_MUST_CHECK int hz_config_load(struct hz_config *ret_config);
/* Option `--listen`: HOST:PORT. Whether an address that is not loopback may be served is decided when the accounts are known. */
HZ_MUST_CHECK int hz_config_listen(struct hz_config *config, const char *text);
/* Options `--tls-cert` and `--tls-key`, each NULL: what the environment said. HZ_EFORMAT: one without the other, or no such file. */
HZ_MUST_CHECK int hz_config_tls(struct hz_config *config, const char *cert, const char *key);
/* Option `--trusted-proxy`, NULL: what the environment said. */
HZ_MUST_CHECK int hz_config_trust(struct hz_config *config, const char *list);
/* Makes the data directory (0700), takes its lock (flock; HZ_EREFUSED if another manager holds it), reads or draws the
 * instance. *ret_lock_fd stays open for the process's life; it is config->held_lock if that is given. */
HZ_MUST_CHECK int hz_config_open_data(struct hz_config *config, const char *dir, int *ret_lock_fd);
void hz_config_fini(struct hz_config *config);
void hz_config_forget_password(struct hz_config *config); /* wipes admin_password */
/* Prints the table (name, default, range, unit, meaning) for --help and the manual. */
void hz_config_help(void);

#endif
