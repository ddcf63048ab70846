/*
 * gate.c - in front of every REST route: who calls, and may he. Asked when the headers are complete; afterwards what changed something, or
 * was refused to somebody, goes to the audit log. Shard's thread.
 */
#include "internal.h"

#include "core/access.h"
#include "core/audit.h"
#include "core/http/http.h"
#include "rest.h"

#include "shm/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What goes along with a request. */
struct guarded {
    struct hz_caller caller;
    char made[HZ_ACCESS_EMAIL];
};

static const char how[] = "WWW-Authenticate: Bearer realm=\"horizon\"\n";

const struct hz_caller *hz_rest_caller(const struct hz_http_request *request)
{
    static const struct hz_caller nobody = {.name = HZ_API_USER};
    const struct guarded *guarded = hz_http_kept(request);
    return guarded ? &guarded->caller : &nobody; /* only where no gate stands in front, as in tests */
}

void hz_rest_made(struct hz_http_request *request, const char *what)
{
    struct guarded *guarded = hz_http_kept(request);
    if (guarded)
        (void)hz_text_copy(guarded->made, sizeof guarded->made, what);
}

static void refuse_unknown(struct hz_http_request *request, bool shown)
{
    if (shown)
        hz_http_refuse(request, 401, "the token or session shown is not valid: it has expired, was revoked, or never was one", how);
    else
        hz_http_refuse(request, 401,
                "log in first: send `Authorization: Bearer TOKEN` (`horizon token create NAME --role ROLE` makes one), or the session "
                "cookie of POST /api/v1/login", how);
}

static bool guard(struct hz_http_request *request, const char *permission)
{
    struct guarded *guarded = calloc(1, sizeof *guarded);
    if (!guarded) {
        hz_http_refuse(request, 503, "out of memory", "");
        return false;
    }
    hz_http_keep(request, guarded);
    struct hz_caller *caller = &guarded->caller;
    if (hz_http_over_socket(request)) {
        hz_access_unix_caller(caller);
        return true;
    }
    const char *authorization = hz_http_header(request, "Authorization");
    if (!hz_access_resolve_request(authorization, hz_http_header(request, "Cookie"), hz_http_peer(request), caller)) {
        refuse_unknown(request, true);
        return false;
    }
    if (caller->kind == HZ_CALLER_NONE) {
        refuse_unknown(request, false);
        return false;
    }
    bool allowed = !permission ? caller->role == HZ_ROLE_SUPERADMIN : !*permission || hz_access_allows(caller, permission);
    if (!allowed) {
        char detail[256];
        snprintf(detail, sizeof detail, "%s (%s) lacks the permission %s%s", caller->kind == HZ_CALLER_TOKEN ? "this token" : "this account",
                hz_role_name(caller->role), permission ? permission : "of a SuperAdmin",
                caller->kind == HZ_CALLER_TOKEN ? ", by its role or its scope" : "");
        hz_http_refuse(request, 403, detail, "");
    }
    return allowed;
}

/* Looking is not noted, being refused is. */
static void after(struct hz_http_request *request, const char *permission, uint32_t status)
{
    const struct guarded *guarded = hz_http_kept(request);
    const char *method = hz_http_method(request);
    char target[512];
    bool looks = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!guarded || guarded->caller.kind == HZ_CALLER_NONE || (looks && status != 403))
        return;
    snprintf(target, sizeof target, "%s%s%s", hz_http_path(request), guarded->made[0] ? "/" : "", guarded->made);
    hz_text_mend(target); /* it may be cut */
    hz_audit_note(&guarded->caller, permission && *permission ? permission : method, target, status);
}

void hz_gate_open(void)
{
    hz_http_guard(guard, after);
}
