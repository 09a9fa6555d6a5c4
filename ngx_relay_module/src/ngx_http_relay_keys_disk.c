
/*
 * Records of relay keys in files, <state>/keys/<2 digits>/<digest>: what a
 * worker falls back on when the store does not answer. They are no more to be
 * trusted than the store: whoever reads one checks its signature, so that a
 * file that a power cut left half written is as one that is not there, and
 * nothing waits for the disk here.
 */


#include "ngx_http_relay_keys.h"


#define NGX_HTTP_RELAY_KEYS_PATH_MAX  (NGX_MAX_PATH + 128)


static u_char *ngx_http_relay_keys_path(u_char *path, ngx_str_t *state,
    const relay_digest_t *digest);
static ngx_fd_t ngx_http_relay_keys_open(u_char *name, ngx_str_t *state,
    const relay_digest_t *digest);


ngx_int_t
ngx_http_relay_keys_disk_read(ngx_str_t *state, const relay_digest_t *digest,
    ngx_str_t *text)
{
    u_char    path[NGX_HTTP_RELAY_KEYS_PATH_MAX];
    ssize_t   n;
    ngx_fd_t  fd;

    if (state->len == 0) {
        return NGX_DECLINED;
    }

    *ngx_http_relay_keys_path(path, state, digest) = '\0';

    fd = ngx_open_file(path, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK, NGX_FILE_OPEN,
                       0);

    if (fd == NGX_INVALID_FILE) {

        if (ngx_errno != NGX_ENOENT && ngx_errno != NGX_ENOTDIR) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                          ngx_open_file_n " \"%s\" failed", path);
        }

        return NGX_DECLINED;
    }

    n = read(fd, text->data, NGX_HTTP_RELAY_KEYS_FILE_MAX);

    if (n == -1) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      "read() of \"%s\" failed", path);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      ngx_close_file_n " \"%s\" failed", path);
    }

    if (n <= 0) {
        return NGX_DECLINED;
    }

    text->len = n;

    return NGX_OK;
}


/* under another name first: readers see the old file or the new one */

void
ngx_http_relay_keys_disk_write(ngx_str_t *state, const relay_digest_t *digest,
    ngx_str_t *text)
{
    u_char     *last, path[NGX_HTTP_RELAY_KEYS_PATH_MAX];
    u_char      name[NGX_HTTP_RELAY_KEYS_PATH_MAX];
    ssize_t     n;
    ngx_fd_t    fd;
    ngx_uint_t  whole;

    if (state->len == 0) {
        return;
    }

    last = ngx_http_relay_keys_path(path, state, digest);
    *last = '\0';
    (void) ngx_sprintf(name, "%*s.%P%Z", (size_t) (last - path), path, ngx_pid);

    fd = ngx_http_relay_keys_open(name, state, digest);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      ngx_open_file_n " \"%s\" failed", name);
        return;
    }

    n = ngx_write_fd(fd, text->data, text->len);
    whole = (n == (ssize_t) text->len);

    if (!whole) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, n == -1 ? ngx_errno : 0,
                      ngx_write_fd_n " to \"%s\" failed", name);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      ngx_close_file_n " \"%s\" failed", name);
        whole = 0;
    }

    if (whole && ngx_rename_file(name, path) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      ngx_rename_file_n " \"%s\" to \"%s\" failed", name, path);
        whole = 0;
    }

    if (!whole) {
        (void) ngx_delete_file(name);
    }
}


void
ngx_http_relay_keys_disk_delete(ngx_str_t *state, const relay_digest_t *digest)
{
    u_char  path[NGX_HTTP_RELAY_KEYS_PATH_MAX];

    if (state->len == 0) {
        return;
    }

    *ngx_http_relay_keys_path(path, state, digest) = '\0';

    if (ngx_delete_file(path) == NGX_FILE_ERROR
        && ngx_errno != NGX_ENOENT && ngx_errno != NGX_ENOTDIR)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      ngx_delete_file_n " \"%s\" failed", path);
    }
}


/* returns the end of what it wrote */

static u_char *
ngx_http_relay_keys_path(u_char *path, ngx_str_t *state,
    const relay_digest_t *digest)
{
    u_char  *p;

    p = ngx_cpymem(path, state->data, ngx_min(state->len, NGX_MAX_PATH));
    p = ngx_cpymem(p, "/keys/", sizeof("/keys/") - 1);
    p = ngx_hex_dump(p, (u_char *) digest->bytes, 1);
    *p++ = '/';

    return ngx_hex_dump(p, (u_char *) digest->bytes, RELAY_DIGEST_LEN);
}


/* the folders are made when they are missed */

static ngx_fd_t
ngx_http_relay_keys_open(u_char *name, ngx_str_t *state,
    const relay_digest_t *digest)
{
    u_char    *last, folder[NGX_HTTP_RELAY_KEYS_PATH_MAX];
    ngx_fd_t   fd;

    fd = ngx_open_file(name, NGX_FILE_WRONLY, NGX_FILE_TRUNCATE,
                       NGX_FILE_OWNER_ACCESS);

    if (fd != NGX_INVALID_FILE || ngx_errno != NGX_ENOENT) {
        return fd;
    }

    last = ngx_http_relay_keys_path(folder, state, digest)
           - 2 * RELAY_DIGEST_LEN;

    last[-sizeof("xx/")] = '\0';
    (void) ngx_create_dir(folder, 0700);

    last[-sizeof("xx/")] = '/';
    last[-1] = '\0';
    (void) ngx_create_dir(folder, 0700);

    return ngx_open_file(name, NGX_FILE_WRONLY, NGX_FILE_TRUNCATE,
                         NGX_FILE_OWNER_ACCESS);
}
