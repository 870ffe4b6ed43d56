/*
 * Host services for functions in C: what a function may ask of its node.
 *
 * A call names a method and gives its arguments; its answer is read afterwards, in one piece or in several. It gives the
 * size of the answer, or an error as a negative number (-404: there is nothing), and then the answer is the error's text.
 */
#ifndef NEX_H
#define NEX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum nex_method {
    NEX_KV_GET = 1,          /* key */
    NEX_KV_SET = 2,          /* key, value */
    NEX_KV_DELETE = 3,       /* key */
    NEX_KV_KEYS = 4,         /* answers JSON */
    NEX_OBJECT_GET = 16,     /* name */
    NEX_OBJECT_PUT = 17,     /* name, value; answers JSON */
    NEX_OBJECT_DELETE = 18,  /* name */
    NEX_OBJECT_LIST = 19,    /* answers JSON */
    NEX_PUBLISH = 32,        /* subject, payload */
    NEX_REQUEST = 33,        /* subject, payload, options in JSON or nothing */
    NEX_REQUEST_MANY = 34,   /* the same; answers a list */
    NEX_HTTP = 48            /* method, URL, body, options in JSON; answers a list: a head in JSON, the body */
};

/* An argument. */
struct nex_bytes {
    const void *at;
    size_t size;
};

__attribute__((import_module("nex"), import_name("call")))
int32_t nex_call(int32_t method, const struct nex_bytes *arguments, int32_t count);

/* Reads on in the answer of the last call; gives how many bytes there were, and 0 at its end. */
__attribute__((import_module("nex"), import_name("read")))
int32_t nex_read(void *to, int32_t size);

static inline struct nex_bytes nex_text(const char *text)
{
    return (struct nex_bytes){text, strlen(text)};
}

static inline int32_t nex_kv_get(const char *key)
{
    struct nex_bytes arguments[] = {nex_text(key)};
    return nex_call(NEX_KV_GET, arguments, 1);
}

static inline int32_t nex_kv_set(const char *key, const void *value, size_t size)
{
    struct nex_bytes arguments[] = {nex_text(key), {value, size}};
    return nex_call(NEX_KV_SET, arguments, 2);
}

static inline int32_t nex_publish(const char *subject, const void *payload, size_t size)
{
    struct nex_bytes arguments[] = {nex_text(subject), {payload, size}};
    return nex_call(NEX_PUBLISH, arguments, 2);
}

static inline int32_t nex_request(const char *subject, const void *payload, size_t size)
{
    struct nex_bytes arguments[] = {nex_text(subject), {payload, size}, nex_text("")};
    return nex_call(NEX_REQUEST, arguments, 3);
}

#endif
