/*
 * form.c - walks a multipart/form-data body with the library's own parser. The body is complete in memory; nothing is
 * kept.
 */
#include "internal.h"

#include "shm/err.h"

enum { POST_BUFFER = 65536 };

struct walk {
    hz_http_part_fn *fn;
    void *arg;
    bool stopped;
};

static enum MHD_Result on_part(void *cls, enum MHD_ValueKind kind, const char *name, const char *file, const char *type,
        const char *encoding, const char *data, uint64_t offset, size_t len)
{
    (void)kind;
    (void)encoding;
    struct walk *walk = cls;
    if (!name)
        return MHD_YES;
    walk->stopped = !walk->fn(walk->arg, name, file, type, data, offset, len);
    return walk->stopped ? MHD_NO : MHD_YES;
}

int hz_http_multipart(const struct hz_http_request *request, hz_http_part_fn *fn, void *arg)
{
    HZ_CHECK_OBJ(request, HZ_HTTP_REQUEST_MAGIC);
    if (!request->mhd)
        return hz_err_set(HZ_ECLOSED, "reading a form");
    struct walk walk = {fn, arg, false};
    struct MHD_PostProcessor *processor = MHD_create_post_processor(request->mhd, POST_BUFFER, on_part, &walk);
    if (!processor)
        return hz_err_set(HZ_EFORMAT, "the form has no boundary");
    bool ok = request->body_len == 0 || MHD_post_process(processor, request->body, request->body_len) == MHD_YES;
    ok = MHD_destroy_post_processor(processor) == MHD_YES && ok;
    return ok || walk.stopped ? 0 : hz_err_set(HZ_EFORMAT, "the form does not end with its boundary");
}
