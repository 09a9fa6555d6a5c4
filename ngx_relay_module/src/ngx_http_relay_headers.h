
/*
 * Lists of header names, for the files that decide which headers pass.
 */


#ifndef _NGX_HTTP_RELAY_HEADERS_H_INCLUDED_
#define _NGX_HTTP_RELAY_HEADERS_H_INCLUDED_


#include "ngx_http_relay.h"


/*
 * Names in lower case, ended by an empty one. Most names that are looked up
 * are in no list: a bit for the shape of each tells it without a search.
 */

typedef struct {
    ngx_str_t                       *names;
    ngx_str_t                       *prefixes;    /* all begin with "x-" */
    uint64_t                         shapes;      /* of the names */
    uint64_t                         fifths;      /* bytes of the prefixes */
} ngx_http_relay_names_t;


/* the masks of a list that was never searched: nothing is ruled out */
#define NGX_HTTP_RELAY_UNCOUNTED  ((uint64_t) -1)


/* the factors keep what SDKs and providers usually send apart from the lists */

static ngx_inline uint64_t
ngx_http_relay_shape(const u_char *name, size_t len)
{
    return (uint64_t) 1 << ((len * 9 + name[0] * 2 + name[len - 1] * 3) & 63);
}


ngx_uint_t ngx_http_relay_search(ngx_http_relay_names_t *list, u_char *name,
    size_t len);


/* name, in lower case and not empty, is or begins with one of the list */

static ngx_inline ngx_uint_t
ngx_http_relay_listed(ngx_http_relay_names_t *list, u_char *name, size_t len,
    uint64_t shape)
{
    if ((list->shapes & shape)
        || (name[0] == 'x' && len > 4 && (list->fifths >> (name[4] & 63) & 1)))
    {
        return ngx_http_relay_search(list, name, len);
    }

    return 0;
}


/* "Connection: close, x-foo" lists x-foo */
ngx_uint_t ngx_http_relay_lists(ngx_str_t *tokens, u_char *name, size_t len);


#endif /* _NGX_HTTP_RELAY_HEADERS_H_INCLUDED_ */
