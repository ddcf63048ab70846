/*
 * upgrade.c - connections that stop being HTTP: the library sends 101 and hands out the descriptor. Ours is a
 * duplicate, so that it can move to another shard and live as long as it likes, while the library forgets the
 * connection at once. Below TLS it cannot: it goes on carrying bytes, and the duplicate is of a socket pair; then there
 * is a lease, which its last user ends.
 */
#include "internal.h"

#include "shm/err.h"
#include "shm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct hz_http_lease {
    struct hz_mail mail;
    struct hz_shard *shard; /* the server's; all below is for its thread */
    struct hz_http_lease *next, *prev;
    struct hz_http_server *server; /* NULL: it is over */
    struct MHD_UpgradeResponseHandle *below;
    struct hz_http_request *request; /* until it is upgraded */
    hz_http_upgraded_fn *fn;
    void *arg;
};

HZ_KEEPS_WHAT_IS_ALLOCATED /* leases are owned by the server's lists */

        static void
        link_lease(struct hz_http_lease **list, struct hz_http_lease *lease)
{
    lease->prev = NULL;
    lease->next = *list;
    if (lease->next)
        lease->next->prev = lease;
    *list = lease;
}

static void unlink_lease(struct hz_http_lease **list, struct hz_http_lease *lease)
{
    if (lease->prev)
        lease->prev->next = lease->next;
    else
        *list = lease->next;
    if (lease->next)
        lease->next->prev = lease->prev;
}

bool hz_http_can_upgrade(const struct hz_http_request *request)
{
    unsigned major = 0, minor = 0, patch = 0;
    if (!request->conn || !request->conn->tls)
        return true;
    /* Until then no memory of the connection is left for the bytes in between, and a large message takes minutes. */
    return sscanf(MHD_get_version(), "%u.%u.%u", &major, &minor, &patch) == 3 &&
           major * 1000000 + minor * 1000 + patch >= 9076;
}

static void on_upgrade(void *cls, struct MHD_Connection *mhd, void *context, const char *data, size_t len,
        MHD_socket fd, struct MHD_UpgradeResponseHandle *below)
{
    struct hz_http_lease *lease = cls;
    struct hz_http_request *request = lease->request;
    struct hz_http_server *server = request->server;
    struct hz_http_conn *conn = request->conn;
    (void)mhd;
    (void)context;
    bool kept = conn->tls;
    int one = 1; /* the connection's own socket, where bytes would wait for more to come */
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    hz_http_upgraded_fn *fn = lease->fn;
    void *arg = lease->arg;
    conn->upgraded = true;
    conn->deadline_ns = 0;
    request->upgrade = NULL;
    hz_request_free(request);
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        HZ_LOG(WARN, "http: an upgraded connection is lost: %s", strerror(errno));
    else
        (void)fcntl(own, F_SETFL, O_NONBLOCK);
    lease->request = NULL;
    lease->below = below;
    kept &= own >= 0;
    struct hz_address address = conn->address; /* goes with the descriptor: counted once, without a moment of twice or not at all */
    bool moves = own >= 0 && !kept;
    conn->address.counted &= !moves;
    link_lease(kept ? &server->leases : &server->given_up, lease);
    fn(arg, &(struct hz_http_upgraded){.fd = own, .data = data, .len = own < 0 ? 0 : len, .lease = kept ? lease : NULL,
                    .address = moves ? &address : NULL});
}

void hz_http_upgrade(
        struct hz_http_request *request, const char *protocol, const char *headers, hz_http_upgraded_fn *fn, void *arg)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    if (request->state == HZ_HTTP_LOST) {
        hz_request_free(request);
        fn(arg, &(struct hz_http_upgraded){.fd = -1});
        return;
    }
    HZ_ASSERT(request->state == HZ_HTTP_PENDING);
    struct hz_http_lease *lease = calloc(1, sizeof *lease);
    struct MHD_Response *response = lease ? MHD_create_response_for_upgrade(on_upgrade, lease) : NULL;
    request->state = response ? HZ_HTTP_ANSWERED : HZ_HTTP_FAILED;
    if (!response) {
        free(lease);
        fn(arg, &(struct hz_http_upgraded){.fd = -1});
    } else {
        *lease = (struct hz_http_lease){
                .shard = request->server->shard, .server = request->server, .request = request, .fn = fn, .arg = arg};
        MHD_add_response_header(response, "Upgrade", protocol);
        hz_respond_lines(response, headers, strlen(headers));
        request->response = response;
        request->upgrade = lease;
        request->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    }
    hz_respond_answered(request);
}

void hz_upgrade_lost(struct hz_http_lease *lease)
{
    lease->fn(lease->arg, &(struct hz_http_upgraded){.fd = -1});
    free(lease);
}

bool hz_upgrade_give_up(struct hz_http_server *server, bool all)
{
    bool any = server->given_up;
    while (server->given_up) {
        struct hz_http_lease *lease = server->given_up;
        unlink_lease(&server->given_up, lease);
        MHD_upgrade_action(lease->below, MHD_UPGRADE_ACTION_CLOSE);
        free(lease);
    }
    while (all && server->leases) { /* freed by those who have them */
        struct hz_http_lease *lease = server->leases;
        unlink_lease(&server->leases, lease);
        MHD_upgrade_action(lease->below, MHD_UPGRADE_ACTION_CLOSE);
        lease->server = NULL;
        any = true;
    }
    return any;
}

static void run_end(struct hz_mail *mail)
{
    struct hz_http_lease *lease = HZ_CONTAINER_OF(mail, struct hz_http_lease, mail);
    struct hz_http_server *server = lease->server;
    if (!server) {
        free(lease);
        return;
    }
    unlink_lease(&server->leases, lease);
    link_lease(&server->given_up, lease);
    hz_server_kick(server);
}

void hz_http_lease_end(struct hz_http_lease *lease)
{
    if (!lease)
        return;
    lease->mail.run = run_end;
    if (lease->shard == hz_shard_self())
        run_end(&lease->mail);
    else
        hz_shard_post(lease->shard, &lease->mail);
}
