/*
 * webhook_auth.c - see webhook_auth.h. Hashes are libsodium's: it is small enough for the process that spares are
 * forked from (OpenSSL there made a fork a third slower). It has SHA-512 but not SHA-384, which is the same function
 * begun with other words and cut off (FIPS 180-4, 5.3.4 and 6.5).
 */
#include "webhook_auth.h"
#include "text.h"
#include <sodium.h>
#include <strings.h>
#include <time.h>

#define SHA384_BYTES 48u
#define BLOCK        128u /* of SHA-512 and SHA-384, for HMAC */

static const char *const refused_texts[] = {"Basic realm=\"horizon\", charset=\"UTF-8\"", "Bearer realm=\"horizon\""};

/* Equal texts? By their hashes, so that neither length nor first difference shows in the time. */
static bool same_text(hz_str given, hz_str expected)
{
    unsigned char a[crypto_hash_sha256_BYTES], b[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(a, (const unsigned char *)(given.len ? given.data : ""), given.len);
    crypto_hash_sha256(b, (const unsigned char *)(expected.len ? expected.data : ""), expected.len);
    return sodium_memcmp(a, b, sizeof a) == 0;
}

/* ---- HMAC-SHA-384 ---- */

static void sha384_begin(crypto_hash_sha512_state *state)
{
    static const uint64_t first[8] = {0xcbbb9d5dc1059ed8u, 0x629a292a367cd507u, 0x9159015a3070dd17u,
            0x152fecd8f70e5939u, 0x67332667ffc00b31u, 0x8eb44a8768581511u, 0xdb0c2e0d64f98fa7u, 0x47b5481dbefa4fa4u};
    crypto_hash_sha512_init(state);
    memcpy(state->state, first, sizeof first);
}

static void sha384_end(crypto_hash_sha512_state *state, unsigned char ret_hash[SHA384_BYTES])
{
    unsigned char full[crypto_hash_sha512_BYTES];
    crypto_hash_sha512_final(state, full);
    memcpy(ret_hash, full, SHA384_BYTES);
}

/* RFC 2104 */
static void hmac_sha384(hz_str key, hz_str text, unsigned char ret_mac[SHA384_BYTES])
{
    crypto_hash_sha512_state state;
    unsigned char block[BLOCK] = {0}, pad[BLOCK], inner[SHA384_BYTES];
    if (key.len > BLOCK) {
        sha384_begin(&state);
        crypto_hash_sha512_update(&state, (const unsigned char *)key.data, key.len);
        sha384_end(&state, block);
    } else if (key.len) {
        memcpy(block, key.data, key.len);
    }
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] = block[i] ^ 0x36u;
    sha384_begin(&state);
    crypto_hash_sha512_update(&state, pad, BLOCK);
    crypto_hash_sha512_update(&state, (const unsigned char *)text.data, text.len);
    sha384_end(&state, inner);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] = block[i] ^ 0x5cu;
    sha384_begin(&state);
    crypto_hash_sha512_update(&state, pad, BLOCK);
    crypto_hash_sha512_update(&state, inner, sizeof inner);
    sha384_end(&state, ret_mac);
    sodium_memzero(block, sizeof block);
    sodium_memzero(pad, sizeof pad);
}

/* MAC of `text` by the algorithm's name; its length, 0 for a name that is not one of the three. */
static size_t hmac(hz_str algorithm, hz_str key, hz_str text, unsigned char ret_mac[crypto_auth_hmacsha512_BYTES])
{
    const unsigned char *k = (const unsigned char *)key.data, *t = (const unsigned char *)text.data;
    if (text_is(algorithm, "HS256")) {
        crypto_auth_hmacsha256_state state;
        crypto_auth_hmacsha256_init(&state, k, key.len);
        crypto_auth_hmacsha256_update(&state, t, text.len);
        crypto_auth_hmacsha256_final(&state, ret_mac);
        return crypto_auth_hmacsha256_BYTES;
    }
    if (text_is(algorithm, "HS384")) {
        hmac_sha384(key, text, ret_mac);
        return SHA384_BYTES;
    }
    if (text_is(algorithm, "HS512")) {
        crypto_auth_hmacsha512_state state;
        crypto_auth_hmacsha512_init(&state, k, key.len);
        crypto_auth_hmacsha512_update(&state, t, text.len);
        crypto_auth_hmacsha512_final(&state, ret_mac);
        return crypto_auth_hmacsha512_BYTES;
    }
    return 0;
}

/* ---- JSON web token (RFC 7519, signed as RFC 7515) ---- */

/* Bytes of a base64 text of the call; .data NULL: not base64, or out of memory. */
static hz_str decode(hz_call *call, hz_str text, int variant)
{
    size_t len = 0, size = text.len / 4 * 3 + 4;
    char *bytes = hz_alloc(call, size);
    if (!bytes)
        return (hz_str){NULL, 0};
    if (sodium_base642bin((unsigned char *)bytes, size - 1, text.data, text.len, NULL, &len, NULL, variant) != 0)
        return (hz_str){NULL, 0};
    /* sodium stops at the first foreign character; all of it must have been read */
    if (sodium_base64_encoded_len(len, variant) - 1 != text.len)
        return (hz_str){NULL, 0};
    bytes[len] = 0;
    return (hz_str){bytes, len};
}

static const hz_value *decode_json(hz_call *call, hz_str part)
{
    hz_str text = decode(call, part, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    const hz_value *value = text.data ? hz_parse(call, text.data, text.len, NULL) : NULL;
    return hz_type_of(value) == HZ_OBJECT ? value : NULL;
}

/* The claims' times. An absent one does not limit. */
static const char *check_times(const hz_value *claims, double now)
{
    const hz_value *exp = hz_get(claims, "exp"), *nbf = hz_get(claims, "nbf");
    if (nbf && hz_type_of(nbf) != HZ_NUMBER)
        return "invalid nbf value";
    if (nbf && !(hz_as_num(nbf) <= now))
        return "jwt not active";
    if (exp && hz_type_of(exp) != HZ_NUMBER)
        return "invalid exp value";
    if (exp && !(now < hz_as_num(exp)))
        return "jwt expired";
    return NULL;
}

const char *auth_verify_jwt(hz_call *call, hz_str token, hz_str secret, double now, const hz_value **ret_claims)
{
    if (!secret.len)
        return "secret or public key must be provided";
    const char *dot1 = token.len ? memchr(token.data, '.', token.len) : NULL;
    const char *rest = dot1 ? dot1 + 1 : NULL, *end = token.data + token.len;
    const char *dot2 = rest ? memchr(rest, '.', (size_t)(end - rest)) : NULL;
    if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
        return "jwt malformed";
    hz_str head = {token.data, (size_t)(dot1 - token.data)}, body = {rest, (size_t)(dot2 - rest)};
    hz_str sign = {dot2 + 1, (size_t)(end - dot2 - 1)}, covered = {token.data, (size_t)(dot2 - token.data)};
    const hz_value *header = decode_json(call, head), *claims;
    if (!header)
        return "invalid token";
    /* an extension the sender says must be understood, and we understand none (RFC 7515, 4.1.11) */
    if (hz_get(header, "crit"))
        return "invalid token";
    unsigned char expected[crypto_auth_hmacsha512_BYTES];
    size_t len = hmac(hz_as_str(hz_get(header, "alg")), secret, covered, expected);
    if (!len)
        return "invalid algorithm";
    hz_str given = decode(call, sign, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    if (!given.data || given.len != len || sodium_memcmp(given.data, expected, len) != 0)
        return "invalid signature";
    claims = decode_json(call, body);
    if (!claims)
        return "invalid token";
    const char *reason = check_times(claims, now);
    if (!reason)
        *ret_claims = claims;
    return reason;
}

/* ---- the four kinds ---- */

/* What follows the scheme in an Authorization header; .data NULL: another scheme. */
static hz_str after_scheme(hz_str header, const char *scheme)
{
    size_t len = strlen(scheme);
    if (header.len <= len || strncasecmp(header.data, scheme, len) != 0 || header.data[len] != ' ')
        return (hz_str){NULL, 0};
    return text_trim((hz_str){header.data + len, header.len - len});
}

static bool check_basic(hz_call *call, hz_str header, hz_str *ret_user)
{
    hz_str user = hz_param_str(call, "securityBasicUser", ""), pass = hz_param_str(call, "securityBasicPass", "");
    hz_str code = after_scheme(header, "Basic");
    hz_str text = code.data ? decode(call, code, sodium_base64_VARIANT_ORIGINAL) : code;
    const char *colon = text.data ? memchr(text.data, ':', text.len) : NULL;
    if (!colon || (!user.len && !pass.len)) /* nothing was set: nobody gets in */
        return false;
    hz_str given = {text.data, (size_t)(colon - text.data)};
    bool user_ok = same_text(given, user);
    bool pass_ok = same_text((hz_str){colon + 1, text.len - given.len - 1}, pass);
    *ret_user = given;
    return user_ok & pass_ok;
}

enum auth_result auth_check(hz_call *call, const hz_value *authorization, struct auth *ret_auth)
{
    const hz_value *kind_value = hz_param(call, "security");
    enum hz_type type = hz_type_of(kind_value);
    hz_str kind = hz_as_str(kind_value), header = hz_as_str(authorization), user = {"", 0};
    hz_value *security = hz_object(call);
    *ret_auth = (struct auth){.security = security};
    if (type == HZ_NULL || text_is(kind, "null") || (type == HZ_STRING && !kind.len))
        return AUTH_OK;
    if (text_is(kind, "basic")) {
        ret_auth->challenge = refused_texts[0];
        if (!check_basic(call, header, &user) || set_text(call, security, "user", user) != HZ_OK)
            return AUTH_REFUSED;
        return AUTH_OK;
    }
    hz_str token = after_scheme(header, "Bearer");
    if (text_is(kind, "bearer")) {
        hz_str expected = hz_param_str(call, "securityBearerToken", "");
        ret_auth->challenge = refused_texts[1];
        return token.data && expected.len && same_text(token, expected) ? AUTH_OK : AUTH_REFUSED;
    }
    if (text_is(kind, "jwt")) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (!token.len)
            return AUTH_MISSING;
        ret_auth->reason = auth_verify_jwt(
                call, token, hz_param_str(call, "securityJWTSecret", ""), (double)now.tv_sec, &ret_auth->security);
        return ret_auth->reason ? AUTH_INVALID : AUTH_OK;
    }
    return AUTH_UNKNOWN;
}
