/*
 * store_payload.c - payloads on their way into the file and back: above 4 KiB a zstd frame with zstd's own checksum, below it the
 * bytes as they are with a checksum of ours. A payload that fails its checksum is an error with a sentence, never silently wrong.
 * Any thread.
 */
#include "store_db.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL 1                        /* speed first: this runs on the writer thread */
#define LARGEST ((uint64_t)1 << 30)    /* of one payload, whatever a frame's header says */
#define RAW_HEAD (1 + sizeof(uint64_t)) /* 'r', checksum */

static int compress(const void *data, size_t len, size_t head, void **ret, size_t *ret_len)
{
    size_t room = ZSTD_compressBound(len);
    char *frame = malloc(head + room);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!frame || !context) {
        free(frame);
        ZSTD_freeCCtx(context);
        return hz_err_set(HZ_ENOMEM, "store: compressing a payload");
    }
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t n = ZSTD_compress2(context, frame + head, room, data, len);
    ZSTD_freeCCtx(context);
    if (ZSTD_isError(n)) {
        free(frame);
        return hz_err_set(HZ_ENOMEM, "store: compressing a payload: %s", ZSTD_getErrorName(n));
    }
    char *fitting = realloc(frame, head + n);
    *ret = fitting ? fitting : frame;
    *ret_len = head + n;
    return 0;
}

static int decompress(const void *frame, size_t frame_len, char **ret, size_t *ret_len)
{
    unsigned long long size = ZSTD_getFrameContentSize(frame, frame_len);
    if (size > LARGEST) /* also what says "unknown" and "no frame" */
        return hz_err_set(HZ_EFORMAT, "store: a payload is damaged: its head is none of ours");
    char *data = malloc((size_t)size + 1);
    if (!data)
        return hz_err_set(HZ_ENOMEM, "store: reading a payload");
    size_t n = ZSTD_decompress(data, (size_t)size, frame, frame_len);
    if (ZSTD_isError(n) || n != size) {
        free(data);
        return hz_err_set(HZ_EFORMAT, "store: a payload is damaged: %s", ZSTD_isError(n) ? ZSTD_getErrorName(n) : "it is too short");
    }
    data[n] = 0;
    *ret = data;
    *ret_len = n;
    return 0;
}

int hz_store_bind_payload(sqlite3_stmt *statement, int index, const char *text, void **ret_owned)
{
    *ret_owned = NULL;
    if (!text)
        return 0; /* bindings are clear */
    size_t len = strlen(text), frame_len;
    if (len <= HZ_STORE_PACK_FROM) {
        sqlite3_bind_text64(statement, index, text, len, SQLITE_STATIC, SQLITE_UTF8);
        sqlite3_bind_int64(statement, index + 1, (sqlite3_int64)hz_store_sum(text, len));
        return 0;
    }
    int err = compress(text, len, 0, ret_owned, &frame_len);
    if (!err)
        sqlite3_bind_blob64(statement, index, *ret_owned, frame_len, SQLITE_STATIC);
    return err;
}

int hz_store_column_payload(sqlite3_stmt *statement, int column, char **ret_text)
{
    size_t len;
    *ret_text = NULL;
    int type = sqlite3_column_type(statement, column);
    if (type == SQLITE_NULL)
        return 0;
    if (type == SQLITE_BLOB) {
        const void *frame = sqlite3_column_blob(statement, column);
        return decompress(frame, (size_t)sqlite3_column_bytes(statement, column), ret_text, &len);
    }
    int err = hz_store_column_dup(statement, column, ret_text);
    if (err || sqlite3_column_type(statement, column + 1) == SQLITE_NULL)
        return err;
    len = (size_t)sqlite3_column_bytes(statement, column);
    if ((uint64_t)sqlite3_column_int64(statement, column + 1) == hz_store_sum(*ret_text, strlen(*ret_text)) && len == strlen(*ret_text))
        return 0;
    free(*ret_text);
    *ret_text = NULL;
    return hz_err_set(HZ_EFORMAT, "store: a payload is damaged: its checksum is another one");
}

int hz_store_pack(const void *data, size_t len, void **ret_blob, size_t *ret_blob_len)
{
    if (len > HZ_STORE_PACK_FROM) {
        int err = compress(data, len, 1, ret_blob, ret_blob_len);
        if (!err)
            *(char *)*ret_blob = 'z';
        return err;
    }
    char *blob = malloc(RAW_HEAD + len);
    if (!blob)
        return hz_err_set(HZ_ENOMEM, "store: packing");
    uint64_t sum = hz_store_sum(data, len);
    blob[0] = 'r';
    memcpy(blob + 1, &sum, sizeof sum);
    if (len)
        memcpy(blob + RAW_HEAD, data, len);
    *ret_blob = blob;
    *ret_blob_len = RAW_HEAD + len;
    return 0;
}

int hz_store_unpack(const void *blob, size_t blob_len, void **ret_data, size_t *ret_len)
{
    const char *bytes = blob;
    if (blob_len > 0 && bytes[0] == 'z') {
        char *data;
        int err = decompress(bytes + 1, blob_len - 1, &data, ret_len);
        if (!err)
            *ret_data = data;
        return err;
    }
    uint64_t sum;
    if (blob_len < RAW_HEAD || bytes[0] != 'r')
        return hz_err_set(HZ_EFORMAT, "store: a stored piece is damaged: its head is none of ours");
    memcpy(&sum, bytes + 1, sizeof sum);
    size_t len = blob_len - RAW_HEAD;
    if (sum != hz_store_sum(bytes + RAW_HEAD, len))
        return hz_err_set(HZ_EFORMAT, "store: a stored piece is damaged: its checksum is another one");
    char *data = malloc(len + 1);
    if (!data)
        return hz_err_set(HZ_ENOMEM, "store: reading a stored piece");
    memcpy(data, bytes + RAW_HEAD, len);
    data[len] = 0;
    *ret_data = data;
    *ret_len = len;
    return 0;
}
