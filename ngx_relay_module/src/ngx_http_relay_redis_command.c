
/*
 * What goes over a connection to Redis: commands out, answers in. Answers come
 * in the order of the commands, so that those who wait stand in one queue.
 * Nothing is called back while a command is being added, and nothing that is
 * called back can end the connection: both loops rely on it.
 */


#include "ngx_http_relay_redis_connection.h"

#include <openssl/crypto.h>


#define NGX_HTTP_RELAY_REDIS_OUT_MAX      (16 * 1024 * 1024)
#define NGX_HTTP_RELAY_REDIS_WAITERS_MAX  16384

/* blocks start with the first and are given back above the second */
#define NGX_HTTP_RELAY_REDIS_BLOCK        16384
#define NGX_HTTP_RELAY_REDIS_BLOCK_KEEP   65536

/* for the next read, if nothing is known about what comes */
#define NGX_HTTP_RELAY_REDIS_ROOM         1024

/* what is read before the worker's requests have a turn */
#define NGX_HTTP_RELAY_REDIS_TURN         262144


static ngx_int_t ngx_http_relay_redis_put(ngx_http_relay_redis_t *redis,
    ngx_http_relay_redis_block_t *block, const relay_span_t *arguments,
    ngx_uint_t count);
static ngx_http_relay_redis_waiter_t *ngx_http_relay_redis_waiter(
    ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_timeout_handler(ngx_event_t *ev);
static void ngx_http_relay_redis_answer(ngx_http_relay_redis_waiter_t *waiter,
    ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply);
static ngx_int_t ngx_http_relay_redis_room(ngx_http_relay_redis_t *redis);
static ngx_uint_t ngx_http_relay_redis_replies(ngx_http_relay_redis_t *redis);
static ngx_uint_t ngx_http_relay_redis_reply(ngx_http_relay_redis_t *redis);
static ngx_uint_t ngx_http_relay_redis_signed_in(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply);
static ngx_uint_t ngx_http_relay_redis_answered(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply);
static ngx_uint_t ngx_http_relay_redis_heard(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply);
static ngx_uint_t ngx_http_relay_redis_refused(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply);
static ngx_int_t ngx_http_relay_redis_grow(ngx_http_relay_redis_block_t *block,
    size_t room, ngx_log_t *log);
static void ngx_http_relay_redis_trim(ngx_http_relay_redis_block_t *block);
static void ngx_http_relay_redis_drop(ngx_http_relay_redis_block_t *block);
static void ngx_http_relay_redis_forget(ngx_http_relay_redis_t *redis);


/* ---- commands ----------------------------------------------------------- */


ngx_http_relay_redis_waiter_t *
ngx_http_relay_redis_command(ngx_http_relay_redis_t *redis,
    const relay_span_t *arguments, ngx_uint_t count, ngx_msec_t timeout_ms,
    ngx_http_relay_redis_handler_pt handler, void *data)
{
    ngx_http_relay_redis_waiter_t  *waiter;

    if ((redis->step != NGX_HTTP_RELAY_REDIS_READY && !redis->first)
        || redis->state.outstanding == NGX_HTTP_RELAY_REDIS_WAITERS_MAX)
    {
        return NULL;
    }

    waiter = ngx_http_relay_redis_waiter(redis);
    if (waiter == NULL) {
        return NULL;
    }

    if (ngx_http_relay_redis_put(redis, &redis->out, arguments, count)
        != NGX_OK)
    {
        ngx_queue_insert_head(&redis->unused, &waiter->queue);
        return NULL;
    }

    waiter->handler = handler;
    waiter->data = data;
    waiter->sent = ngx_current_msec;

    if (handler) {
        ngx_add_timer(&waiter->timer,
                      timeout_ms ? timeout_ms : NGX_HTTP_RELAY_REDIS_TIMEOUT);
    }

    ngx_queue_insert_tail(&redis->outstanding, &waiter->queue);
    redis->state.outstanding++;
    redis->state.commands++;

    if (redis->step == NGX_HTTP_RELAY_REDIS_READY) {
        ngx_http_relay_redis_watch(redis);
        ngx_post_event(&redis->flush, &ngx_posted_events);
    }

    return waiter;
}


/* NGX_DECLINED: too much is waiting to be sent */

static ngx_int_t
ngx_http_relay_redis_put(ngx_http_relay_redis_t *redis,
    ngx_http_relay_redis_block_t *block, const relay_span_t *arguments,
    ngx_uint_t count)
{
    relay_buf_t  out;

    out = relay_buf(NULL, 0);
    relay_resp_put_command(&out, arguments, count);

    if (out.len + (block->last - block->pos) > NGX_HTTP_RELAY_REDIS_OUT_MAX) {
        return NGX_DECLINED;
    }

    if (ngx_http_relay_redis_grow(block, out.len, &redis->log) != NGX_OK) {
        return NGX_ERROR;
    }

    out = relay_buf(block->last, out.len);
    relay_resp_put_command(&out, arguments, count);
    block->last += out.len;

    return NGX_OK;
}


/*
 * Not cancelable: nobody else's timer may hold a request that waits for this,
 * and a worker that is asked to exit would leave without answering it.
 */

static ngx_http_relay_redis_waiter_t *
ngx_http_relay_redis_waiter(ngx_http_relay_redis_t *redis)
{
    ngx_queue_t                    *q;
    ngx_http_relay_redis_waiter_t  *waiter;

    if (!ngx_queue_empty(&redis->unused)) {
        q = ngx_queue_head(&redis->unused);
        ngx_queue_remove(q);

        return ngx_queue_data(q, ngx_http_relay_redis_waiter_t, queue);
    }

    waiter = ngx_calloc(sizeof(ngx_http_relay_redis_waiter_t), &redis->log);
    if (waiter == NULL) {
        return NULL;
    }

    waiter->redis = redis;
    waiter->timer.handler = ngx_http_relay_redis_timeout_handler;
    waiter->timer.data = waiter;
    waiter->timer.log = &redis->log;

    return waiter;
}


void
ngx_http_relay_redis_cancel(ngx_http_relay_redis_waiter_t *waiter)
{
    waiter->handler = NULL;

    if (waiter->timer.timer_set) {
        ngx_del_timer(&waiter->timer);
    }
}


/* it keeps its place: the answer may still come, and ends the silence */

static void
ngx_http_relay_redis_timeout_handler(ngx_event_t *ev)
{
    ngx_http_relay_redis_waiter_t *waiter = ev->data;

    ngx_http_relay_redis_t           *redis;
    ngx_http_relay_redis_handler_pt   handler;

    redis = waiter->redis;
    redis->state.timeouts++;

    /* a long answer to somebody else, still coming in, is no silence */

    if ((ngx_msec_int_t) (redis->received - waiter->sent) <= 0) {
        redis->state.silent = 1;
    }

    handler = waiter->handler;
    waiter->handler = NULL;

    handler(waiter->data, NGX_HTTP_RELAY_REDIS_TIMEDOUT, NULL);
}


/* the waiter is out of its queue, and free for the next command at once */

static void
ngx_http_relay_redis_answer(ngx_http_relay_redis_waiter_t *waiter,
    ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply)
{
    void                             *data;
    ngx_http_relay_redis_handler_pt   handler;

    handler = waiter->handler;
    data = waiter->data;

    ngx_http_relay_redis_cancel(waiter);

    waiter->redis->state.outstanding--;
    ngx_queue_insert_head(&waiter->redis->unused, &waiter->queue);

    if (handler) {
        handler(data, result, reply);
    }
}


/* only those that wait now: who is called back may not send, but may cancel */

void
ngx_http_relay_redis_abandon(ngx_http_relay_redis_t *redis)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&redis->outstanding)) {
        q = ngx_queue_head(&redis->outstanding);
        ngx_queue_remove(q);

        ngx_http_relay_redis_answer(
                      ngx_queue_data(q, ngx_http_relay_redis_waiter_t, queue),
                      NGX_HTTP_RELAY_REDIS_LOST, NULL);
    }
}


void
ngx_http_relay_redis_free_waiters(ngx_http_relay_redis_t *redis)
{
    ngx_queue_t                    *q;
    ngx_http_relay_redis_waiter_t  *waiter;

    if (!ngx_queue_empty(&redis->outstanding)) {
        ngx_queue_add(&redis->unused, &redis->outstanding);
        ngx_queue_init(&redis->outstanding);
    }

    while (!ngx_queue_empty(&redis->unused)) {
        q = ngx_queue_head(&redis->unused);
        ngx_queue_remove(q);

        waiter = ngx_queue_data(q, ngx_http_relay_redis_waiter_t, queue);

        ngx_http_relay_redis_cancel(waiter);
        ngx_free(waiter);
    }
}


/* ---- signing in --------------------------------------------------------- */


/*
 * Sent before everything else, in a block that never grows: it would leave a
 * copy of the password behind. PING asks for nothing but whether commands are
 * taken: a server that is loading its data, or wants a password, says so here.
 */

ngx_int_t
ngx_http_relay_redis_sign_in(ngx_http_relay_redis_t *redis)
{
    u_char                         number[NGX_INT_T_LEN];
    ngx_uint_t                     n;
    relay_span_t                   auth[3], select[2], last[2];
    ngx_http_relay_redis_conf_t   *conf;
    ngx_http_relay_redis_block_t  *hello;

    conf = redis->conf;
    hello = &redis->hello;
    redis->signing_in = 1;

    if (ngx_http_relay_redis_grow(hello, conf->user.len + conf->password.len
                                         + redis->channel.len
                                         + NGX_HTTP_RELAY_REDIS_ROOM,
                                  &redis->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (conf->user.len || conf->password.len) {
        n = 0;
        auth[n++] = RELAY_SPAN("AUTH");

        if (conf->user.len) {
            auth[n++] = relay_span(conf->user.data, conf->user.len);
        }

        auth[n++] = relay_span(conf->password.data, conf->password.len);

        redis->signing_in++;

        if (ngx_http_relay_redis_put(redis, hello, auth, n) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (conf->database) {
        select[0] = RELAY_SPAN("SELECT");
        select[1] = relay_span(number, ngx_sprintf(number, "%ui",
                                                   conf->database)
                                       - number);
        redis->signing_in++;

        if (ngx_http_relay_redis_put(redis, hello, select, 2) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (redis->channel.len) {
        last[0] = RELAY_SPAN("SUBSCRIBE");
        last[1] = relay_span(redis->channel.data, redis->channel.len);

        return ngx_http_relay_redis_put(redis, hello, last, 2);
    }

    last[0] = RELAY_SPAN("PING");

    return ngx_http_relay_redis_put(redis, hello, last, 1);
}


/* ---- writing ------------------------------------------------------------ */


void
ngx_http_relay_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t *c = wev->data;

    (void) ngx_http_relay_redis_send(c->data);
}


ngx_uint_t
ngx_http_relay_redis_send(ngx_http_relay_redis_t *redis)
{
    ssize_t                        n;
    ngx_connection_t              *c;
    ngx_http_relay_redis_block_t  *block;

    if (redis->step < NGX_HTTP_RELAY_REDIS_SIGNING_IN) {
        return 0;
    }

    c = redis->peer.connection;
    block = (redis->step == NGX_HTTP_RELAY_REDIS_READY) ? &redis->out
                                                        : &redis->hello;

    while (block->pos < block->last && c->write->ready) {

        n = c->send(c, block->pos, block->last - block->pos);

        if (n == NGX_ERROR) {
            ngx_http_relay_redis_fail(redis, "writing failed");
            return 0;
        }

        if (n == NGX_AGAIN) {
            break;
        }

        block->pos += n;
    }

    if (block->pos == block->last) {

        if (block == &redis->hello) {
            ngx_http_relay_redis_forget(redis);

        } else {
            ngx_http_relay_redis_trim(block);
        }
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_relay_redis_fail(redis, "writing failed");
        return 0;
    }

    return 1;
}


/* ---- reading ------------------------------------------------------------ */


void
ngx_http_relay_redis_read_handler(ngx_event_t *rev)
{
    size_t                         left;
    ssize_t                        n;
    ngx_connection_t              *c;
    ngx_http_relay_redis_t        *redis;
    ngx_http_relay_redis_block_t  *in;

    c = rev->data;
    redis = c->data;
    in = &redis->in;

    left = NGX_HTTP_RELAY_REDIS_TURN;

    for ( ;; ) {

        if (ngx_http_relay_redis_room(redis) != NGX_OK) {
            ngx_http_relay_redis_fail(redis, "no memory");
            return;
        }

        n = c->recv(c, in->last, ngx_min((size_t) (in->end - in->last), left));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR) {
            ngx_http_relay_redis_fail(redis, "reading failed");
            return;
        }

        if (n == 0) {
            ngx_http_relay_redis_fail(redis, "closed by the server");
            return;
        }

        in->last += n;
        left -= n;
        redis->received = ngx_current_msec;
        redis->state.silent = 0;

        if (!ngx_http_relay_redis_replies(redis)) {
            return;
        }

        if (left == 0) {
            ngx_post_event(rev, &ngx_posted_next_events);
            return;
        }
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_relay_redis_fail(redis, "reading failed");
    }
}


/* room for what the reply is known to need: a large one is not moved again */

static ngx_int_t
ngx_http_relay_redis_room(ngx_http_relay_redis_t *redis)
{
    size_t                         have, want;
    ngx_http_relay_redis_block_t  *in;

    in = &redis->in;

    have = in->last - in->pos;
    want = (redis->resp.need > have) ? redis->resp.need - have
                                     : NGX_HTTP_RELAY_REDIS_ROOM;

    return ngx_http_relay_redis_grow(in, want, &redis->log);
}


static ngx_uint_t
ngx_http_relay_redis_replies(ngx_http_relay_redis_t *redis)
{
    u_char                        *p;
    relay_span_t                   input;
    ngx_http_relay_redis_block_t  *in;

    in = &redis->in;

    for ( ;; ) {
        p = in->pos + redis->resp.at;
        input = relay_span(p, in->last - p);

        switch (relay_resp_next(&redis->resp, &input)) {

        case RELAY_RESP_MORE:

            if (in->pos == in->last) {
                ngx_http_relay_redis_trim(in);
            }

            return 1;

        case RELAY_RESP_END:

            if (!ngx_http_relay_redis_reply(redis)) {
                return 0;
            }

            in->pos += redis->resp.at;
            relay_resp_reset(&redis->resp);
            break;

        case RELAY_RESP_TOO_LONG:
            ngx_http_relay_redis_fail(redis, "an answer is too long");
            return 0;

        case RELAY_RESP_SYNTAX:
            ngx_http_relay_redis_fail(redis, "what it answers is not RESP2");
            return 0;
        }
    }
}


/* false: the connection has been ended */

static ngx_uint_t
ngx_http_relay_redis_reply(ngx_http_relay_redis_t *redis)
{
    ngx_http_relay_redis_reply_t  reply;

    reply.start = redis->in.pos;
    reply.values = redis->values;
    reply.count = redis->resp.count;

    if (redis->step == NGX_HTTP_RELAY_REDIS_SIGNING_IN) {
        return ngx_http_relay_redis_signed_in(redis, &reply);
    }

    if (redis->channel.len) {
        return ngx_http_relay_redis_heard(redis, &reply);
    }

    return ngx_http_relay_redis_answered(redis, &reply);
}


static ngx_uint_t
ngx_http_relay_redis_signed_in(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply)
{
    if (reply->values[0].type == RELAY_RESP_ERROR) {
        return ngx_http_relay_redis_refused(redis, reply);
    }

    if (--redis->signing_in == 0) {
        ngx_http_relay_redis_ready(redis);
    }

    return 1;
}


static ngx_uint_t
ngx_http_relay_redis_answered(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply)
{
    ngx_queue_t  *q;

    if (ngx_queue_empty(&redis->outstanding)) {
        ngx_http_relay_redis_fail(redis, "an answer that nobody asked for");
        return 0;
    }

    q = ngx_queue_head(&redis->outstanding);
    ngx_queue_remove(q);

    ngx_http_relay_redis_answer(
                      ngx_queue_data(q, ngx_http_relay_redis_waiter_t, queue),
                      NGX_HTTP_RELAY_REDIS_REPLY, reply);

    return 1;
}


/* "message", channel, text; "pong", ""; and the ends of subscriptions */

static ngx_uint_t
ngx_http_relay_redis_heard(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply)
{
    relay_span_t  kind;

    if (reply->values[0].type == RELAY_RESP_ERROR) {
        return ngx_http_relay_redis_refused(redis, reply);
    }

    if (reply->count < 3 || reply->values[1].type != RELAY_RESP_STRING) {
        ngx_http_relay_redis_fail(redis, "what it says is no message");
        return 0;
    }

    kind = relay_resp_text(reply->start, &reply->values[1]);

    if (relay_span_eq(kind, RELAY_SPAN("pong"))) {
        return ngx_http_relay_redis_answered(redis, reply);
    }

    if (relay_span_eq(kind, RELAY_SPAN("message"))
        && reply->count == 4
        && reply->values[3].type == RELAY_RESP_STRING
        && redis->events.message)
    {
        redis->events.message(redis->events.data,
                              relay_resp_text(reply->start, &reply->values[3]));
    }

    return 1;
}


/* its words go to a log and to whoever looks at the state */

static ngx_uint_t
ngx_http_relay_redis_refused(ngx_http_relay_redis_t *redis,
    const ngx_http_relay_redis_reply_t *reply)
{
    size_t        i;
    u_char        words[128];
    ngx_str_t     said;
    relay_span_t  text;

    text = relay_resp_text(reply->start, &reply->values[0]);

    said.data = words;
    said.len = ngx_min(text.len, sizeof(words));

    for (i = 0; i < said.len; i++) {
        words[i] = (text.base[i] >= ' ' && text.base[i] < 0x7f) ? text.base[i]
                                                                : '.';
    }

    ngx_http_relay_redis_fail(redis, "refused: %V", &said);

    return 0;
}


/* ---- blocks ------------------------------------------------------------- */


void
ngx_http_relay_redis_reset(ngx_http_relay_redis_t *redis)
{
    ngx_http_relay_redis_forget(redis);
    ngx_http_relay_redis_drop(&redis->out);
    ngx_http_relay_redis_drop(&redis->in);

    relay_resp_reset(&redis->resp);
}


/* after it there is room for so many bytes behind last */

static ngx_int_t
ngx_http_relay_redis_grow(ngx_http_relay_redis_block_t *block, size_t room,
    ngx_log_t *log)
{
    size_t   used, size;
    u_char  *start;

    if (room <= (size_t) (block->end - block->last)) {
        return NGX_OK;
    }

    used = block->last - block->pos;

    /* moving less than is free behind it costs less than it saves */

    if (used + room <= (size_t) (block->end - block->start)
        && used <= (size_t) (block->pos - block->start))
    {
        ngx_memcpy(block->start, block->pos, used);
        block->pos = block->start;
        block->last = block->start + used;

        return NGX_OK;
    }

    size = ngx_max(used + room, 2 * used);
    size = ngx_max(size, NGX_HTTP_RELAY_REDIS_BLOCK);

    start = ngx_alloc(size, log);
    if (start == NULL) {
        return NGX_ERROR;
    }

    if (used) {
        ngx_memcpy(start, block->pos, used);
    }

    ngx_http_relay_redis_drop(block);

    block->start = start;
    block->pos = start;
    block->last = start + used;
    block->end = start + size;

    return NGX_OK;
}


/* it is empty */

static void
ngx_http_relay_redis_trim(ngx_http_relay_redis_block_t *block)
{
    if (block->end - block->start > NGX_HTTP_RELAY_REDIS_BLOCK_KEEP) {
        ngx_http_relay_redis_drop(block);
        return;
    }

    block->pos = block->start;
    block->last = block->start;
}


static void
ngx_http_relay_redis_drop(ngx_http_relay_redis_block_t *block)
{
    if (block->start) {
        ngx_free(block->start);
    }

    ngx_memzero(block, sizeof(ngx_http_relay_redis_block_t));
}


/* how we signed in: there is a password in it */

static void
ngx_http_relay_redis_forget(ngx_http_relay_redis_t *redis)
{
    ngx_http_relay_redis_block_t  *hello;

    hello = &redis->hello;

    if (hello->start) {
        OPENSSL_cleanse(hello->start, hello->end - hello->start);
    }

    ngx_http_relay_redis_drop(hello);
}
