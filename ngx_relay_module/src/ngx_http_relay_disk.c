
/*
 * The last good set, kept in relay_store_state: what a worker starts with, be
 * the store there or not.
 *
 *     head                    as published, renamed into place last
 *     documents/<sha256>      what it lists
 *     lock                    one worker of this node at a time writes
 *
 * Nothing here is believed either: signature and digests are checked when it is
 * read, as they are for what comes from the store.
 */


#include "ngx_http_relay_store.h"

#include <dirent.h>
#include <openssl/sha.h>
#include <sys/file.h>


#define NGX_HTTP_RELAY_NAME_MAX  (NGX_MAX_PATH + 1)


static void ngx_http_relay_disk_name(ngx_http_relay_store_t *store,
    u_char *name, const char *folder, const char *file);
static ngx_int_t ngx_http_relay_disk_read(u_char *name, size_t max,
    ngx_str_t *text);
static ngx_int_t ngx_http_relay_disk_documents(ngx_http_relay_set_t *set);
static ngx_int_t ngx_http_relay_disk_lock(ngx_http_relay_store_t *store);
static ngx_uint_t ngx_http_relay_disk_newer(ngx_http_relay_set_t *set);
static ngx_int_t ngx_http_relay_disk_keep(ngx_http_relay_set_t *set);
static ngx_uint_t ngx_http_relay_disk_has(u_char *name, ngx_str_t *bytes);
static ngx_int_t ngx_http_relay_disk_write(ngx_http_relay_store_t *store,
    const char *folder, const char *file, ngx_str_t *text);
static ngx_int_t ngx_http_relay_disk_write_fd(ngx_fd_t fd, ngx_str_t *text);
static void ngx_http_relay_disk_clean(ngx_http_relay_set_t *set);
static ngx_uint_t ngx_http_relay_disk_listed(ngx_http_relay_set_t *set,
    const char *name);


ngx_http_relay_set_t *
ngx_http_relay_disk_load(ngx_http_relay_store_t *store)
{
    u_char                 name[NGX_HTTP_RELAY_NAME_MAX];
    ngx_int_t              rc;
    ngx_str_t              text, none;
    ngx_http_relay_set_t  *set;

    if (store->conf->state == NULL) {
        return NULL;
    }

    ngx_http_relay_disk_name(store, name, "", "head");

    rc = ngx_http_relay_disk_read(name, NGX_HTTP_RELAY_HEAD_MAX, &text);

    if (rc != NGX_OK) {

        if (rc == NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, store->cycle->log, ngx_errno,
                          "\"%s\" cannot be read", name);
        }

        return NULL;
    }

    ngx_str_null(&none);

    set = ngx_http_relay_set_create(store, ngx_http_relay_span(&text), &none,
                                    0);
    ngx_free(text.data);

    if (set && set->reason[0] == '\0'
        && ngx_http_relay_disk_documents(set) != NGX_OK)
    {
        set->passing = 1;
    }

    return set;
}


/* one that is missing is left to set->reason */

static ngx_int_t
ngx_http_relay_disk_documents(ngx_http_relay_set_t *set)
{
    u_char                        hex[2 * RELAY_DIGEST_LEN + 1];
    u_char                        name[NGX_HTTP_RELAY_NAME_MAX];
    size_t                        i;
    ngx_str_t                     text;
    const relay_head_document_t  *document;

    for (i = 0; i < set->head.ndocuments; i++) {
        document = &set->head.documents[i];

        *ngx_http_relay_digest_hex(hex, &document->digest) = '\0';
        ngx_http_relay_disk_name(set->store, name, "documents/",
                                 (char *) hex);

        if (ngx_http_relay_disk_read(name, document->bytes, &text) != NGX_OK) {
            ngx_http_relay_set_refuse(set, "\"%s\" cannot be read", name);
            return NGX_ERROR;
        }

        set->blobs[i] = ngx_http_relay_blob_create(&document->digest,
                                                   ngx_http_relay_span(&text));
        ngx_free(text.data);

        if (set->blobs[i] == NULL) {
            ngx_http_relay_set_refuse(set, "no memory");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_relay_disk_name(ngx_http_relay_store_t *store, u_char *name,
    const char *folder, const char *file)
{
    u_char  *last;

    last = ngx_slprintf(name, name + NGX_HTTP_RELAY_NAME_MAX - 1, "%V/%s%s",
                        &store->conf->state->name, folder, file);
    *last = '\0';
}


/* text->data is to be freed; NGX_DECLINED: there is no such file */

static ngx_int_t
ngx_http_relay_disk_read(u_char *name, size_t max, ngx_str_t *text)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  info;

    fd = ngx_open_file(name, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return (ngx_errno == NGX_ENOENT) ? NGX_DECLINED : NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (ngx_fd_info(fd, &info) == NGX_FILE_ERROR
        || !ngx_is_file(&info)
        || ngx_file_size(&info) > (off_t) max)
    {
        goto done;
    }

    text->len = ngx_file_size(&info);
    text->data = ngx_alloc(text->len + 1, ngx_cycle->log);

    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_fd(fd, text->data, text->len);

    if (n == (ssize_t) text->len) {
        rc = NGX_OK;

    } else {
        ngx_free(text->data);
    }

done:

    (void) ngx_close_file(fd);

    return rc;
}


void
ngx_http_relay_disk_save(void *data)
{
    ngx_http_relay_set_t *set = data;

    ngx_fd_t                 lock;
    ngx_http_relay_store_t  *store;

    store = set->store;

    lock = ngx_http_relay_disk_lock(store);

    if (lock == NGX_INVALID_FILE) {
        return;
    }

    if (!ngx_http_relay_disk_newer(set)) {

        if (ngx_http_relay_disk_keep(set) == NGX_OK) {
            ngx_http_relay_disk_clean(set);

        } else {
            ngx_log_error(NGX_LOG_ERR, store->cycle->log, ngx_errno,
                          "revision %uL cannot be kept in \"%V\"",
                          set->head.revision, &store->conf->state->name);
        }
    }

    (void) ngx_close_file(lock);
}


/* held until it is closed */

static ngx_int_t
ngx_http_relay_disk_lock(ngx_http_relay_store_t *store)
{
    u_char    name[NGX_HTTP_RELAY_NAME_MAX];
    ngx_fd_t  fd;

    ngx_http_relay_disk_name(store, name, "", "lock");

    fd = ngx_open_file(name, NGX_FILE_RDWR|O_CLOEXEC,
                       NGX_FILE_CREATE_OR_OPEN, 0600);

    if (fd == NGX_INVALID_FILE || flock(fd, LOCK_EX) == -1) {
        ngx_log_error(NGX_LOG_ERR, store->cycle->log, ngx_errno,
                      "\"%s\" cannot be locked", name);

        if (fd != NGX_INVALID_FILE) {
            (void) ngx_close_file(fd);
        }

        return NGX_INVALID_FILE;
    }

    return fd;
}


/* another worker was faster */

static ngx_uint_t
ngx_http_relay_disk_newer(ngx_http_relay_set_t *set)
{
    u_char                 name[NGX_HTTP_RELAY_NAME_MAX];
    ngx_str_t              text, deployment;
    ngx_uint_t             newer;
    ngx_http_relay_set_t  *kept;

    ngx_http_relay_disk_name(set->store, name, "", "head");

    if (ngx_http_relay_disk_read(name, NGX_HTTP_RELAY_HEAD_MAX, &text)
        != NGX_OK)
    {
        return 0;
    }

    deployment.data = (u_char *) set->head.deployment.base;
    deployment.len = set->head.deployment.len;

    kept = ngx_http_relay_set_create(set->store, ngx_http_relay_span(&text),
                                     &deployment, set->head.revision);
    ngx_free(text.data);

    newer = (kept && kept->reason[0] == '\0');

    ngx_http_relay_set_release(kept);

    return newer;
}


/* documents first, then the head that lists them */

static ngx_int_t
ngx_http_relay_disk_keep(ngx_http_relay_set_t *set)
{
    u_char                   hex[2 * RELAY_DIGEST_LEN + 1];
    u_char                   name[NGX_HTTP_RELAY_NAME_MAX];
    size_t                   i;
    ngx_http_relay_store_t  *store;

    store = set->store;

    ngx_http_relay_disk_name(store, name, "", "documents");

    if (ngx_create_dir(name, 0700) == NGX_FILE_ERROR
        && ngx_errno != NGX_EEXIST)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < set->head.ndocuments; i++) {

        *ngx_http_relay_digest_hex(hex, &set->blobs[i]->digest) = '\0';
        ngx_http_relay_disk_name(store, name, "documents/", (char *) hex);

        if (!ngx_http_relay_disk_has(name, &set->blobs[i]->text)
            && ngx_http_relay_disk_write(store, "documents/", (char *) hex,
                                         &set->blobs[i]->text)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_http_relay_disk_name(store, name, "", "head");

    if (ngx_http_relay_disk_has(name, &set->text)) {
        return NGX_OK;
    }

    return ngx_http_relay_disk_write(store, "", "head", &set->text);
}


/* and whole: a broken one would be in the way for good */

static ngx_uint_t
ngx_http_relay_disk_has(u_char *name, ngx_str_t *bytes)
{
    ngx_str_t   text;
    ngx_uint_t  same;

    if (ngx_http_relay_disk_read(name, bytes->len, &text) != NGX_OK) {
        return 0;
    }

    same = text.len == bytes->len
           && ngx_memcmp(text.data, bytes->data, text.len) == 0;

    ngx_free(text.data);

    return same;
}


static ngx_int_t
ngx_http_relay_disk_write(ngx_http_relay_store_t *store, const char *folder,
    const char *file, ngx_str_t *text)
{
    u_char     *last;
    u_char      name[NGX_HTTP_RELAY_NAME_MAX], temp[NGX_HTTP_RELAY_NAME_MAX];
    ngx_fd_t    fd;
    ngx_int_t   rc;

    ngx_http_relay_disk_name(store, name, folder, file);

    last = ngx_slprintf(temp, temp + NGX_HTTP_RELAY_NAME_MAX - 1, "%s.new",
                        name);
    *last = '\0';

    fd = ngx_open_file(temp, NGX_FILE_WRONLY|O_CLOEXEC, NGX_FILE_TRUNCATE,
                       0600);
    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    rc = ngx_http_relay_disk_write_fd(fd, text);

    if (ngx_close_file(fd) == NGX_FILE_ERROR
        || rc != NGX_OK
        || ngx_rename_file(temp, name) == NGX_FILE_ERROR)
    {
        (void) ngx_delete_file(temp);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_disk_write_fd(ngx_fd_t fd, ngx_str_t *text)
{
    size_t   done;
    ssize_t  n;

    for (done = 0; done < text->len; done += n) {
        n = ngx_write_fd(fd, text->data + done, text->len - done);

        if (n <= 0) {
            return NGX_ERROR;
        }
    }

    return (fsync(fd) == -1) ? NGX_ERROR : NGX_OK;
}


/* documents that the head does not list any more, and what was never finished */

static void
ngx_http_relay_disk_clean(ngx_http_relay_set_t *set)
{
    DIR            *dir;
    u_char          name[NGX_HTTP_RELAY_NAME_MAX];
    struct dirent  *entry;

    ngx_http_relay_disk_name(set->store, name, "", "documents");

    dir = opendir((char *) name);
    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {

        if (entry->d_name[0] == '.'
            || ngx_http_relay_disk_listed(set, entry->d_name))
        {
            continue;
        }

        ngx_http_relay_disk_name(set->store, name, "documents/",
                                 entry->d_name);
        (void) ngx_delete_file(name);
    }

    (void) closedir(dir);
}


static ngx_uint_t
ngx_http_relay_disk_listed(ngx_http_relay_set_t *set, const char *name)
{
    size_t          i;
    relay_digest_t  digest;

    if (!relay_digest_parse(relay_span(name, ngx_strlen(name)), &digest)) {
        return 0;
    }

    for (i = 0; i < set->head.ndocuments; i++) {
        if (relay_digest_eq(&digest, &set->head.documents[i].digest)) {
            return 1;
        }
    }

    return 0;
}
