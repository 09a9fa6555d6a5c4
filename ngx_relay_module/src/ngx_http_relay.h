
/*
 * The nginx adapter of Relay: the types that its files share.
 *
 *   ngx_relay_module.c         directives, configuration, worker start and end
 *   ngx_http_relay_config.c    files -> the first snapshot: secrets, TLS
 *   ngx_http_relay_snapshot.c  configurations in use: memory, references
 *   ngx_http_relay_store.h     configurations that come while nginx runs
 *   ngx_http_relay_handler.c   the content handler: route
 *   ngx_http_relay_presented.c the relay key as a request shows it
 *   ngx_http_relay_auth.c      relay keys: of files, of the store
 *   ngx_http_relay_body.c      reading the request body
 *   ngx_http_relay_decode.h    inflating it
 *   ngx_http_relay_model.c     what it asks of which model, and who may answer
 *   ngx_http_relay_attempt.c   one try at a candidate: peer callbacks
 *   ngx_http_relay_request.c   the request of a try: line, headers, body
 *   ngx_http_relay_content.h   the body of a try, as its host takes it, in time
 *                              or late
 *   ngx_http_relay_offload.h   threads for what takes milliseconds
 *   ngx_http_relay_translate.h attempts in another format than the caller's:
 *                              request and whole answers, streams
 *   ngx_http_relay_endpoint.c  addresses and idle connections of a host
 *   ngx_http_relay_tls.c       TLS profiles, shared by endpoints
 *   ngx_http_relay_resolve.c   names to addresses, off the request path
 *   ngx_http_relay_upstream.c  the passage through nginx's upstream, its end
 *   ngx_http_relay_hold.c      the answer: hold, fail over or commit
 *   ngx_http_relay_whole.h     answers that came whole; the provider made to wait
 *   ngx_http_relay_stream.c    event streams and what goes out to the client
 *   ngx_http_relay_silence.c   our own signs of life in a stream
 *   ngx_http_relay_drain.c     requests under way when a worker is replaced
 *   ngx_http_relay_headers.c   which headers pass to the provider
 *   ngx_http_relay_answer_headers.c  which pass to the caller
 *   ngx_http_relay_answer.c    answers of our own: errors, models, echo
 *   ngx_http_relay_variables.c what log_format can see
 *
 * Decisions live in core/; these files move bytes and time.
 */


#ifndef _NGX_HTTP_RELAY_H_INCLUDED_
#define _NGX_HTTP_RELAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "chunked.h"
#include "eventstream.h"
#include "route.h"

#include "ngx_http_relay_snapshot.h"


#define NGX_HTTP_RELAY_VERSION         "0.1.0"

#define NGX_HTTP_RELAY_ADDRS_MAX       16
#define NGX_HTTP_RELAY_REQUEST_ID_LEN  32

/* how much of an answer may be held back while failover is still possible */
#define NGX_HTTP_RELAY_STREAM_HOLD     (1024 * 1024)
#define NGX_HTTP_RELAY_ERROR_HOLD      (256 * 1024)

/* one event of a stream: images come as one, and again in the final event */
#define NGX_HTTP_RELAY_EVENT_MAX       (4 * 1024 * 1024)

/* what one stream may read before the worker's other requests have a turn */
#define NGX_HTTP_RELAY_TURN            65536

/* output blocks of a stream */
#define NGX_HTTP_RELAY_BLOCK           4096

/* keep-alives may stretch a silent stream to this many idle limits */
#define NGX_HTTP_RELAY_STALL_FACTOR    4

/* how long a stream may linger after its finish reason, after its end */
#define NGX_HTTP_RELAY_FINISH_MS       4000
#define NGX_HTTP_RELAY_DRAIN_MS        500


typedef struct {
    ngx_queue_t                      queue;
    ngx_ssl_t                        ssl;
    ngx_str_t                        ca_file;     /* empty: the system's */
    ngx_flag_t                       verify;
    ngx_uint_t                       users;       /* endpoints, the master */
} ngx_http_relay_tls_t;


typedef struct {
    ngx_sockaddr_t                   sockaddr;
    socklen_t                        socklen;
    ngx_str_t                        text;
    u_char                           text_data[NGX_SOCKADDR_STRLEN];
    ngx_msec_t                       failed;
    unsigned                         down:1;
} ngx_http_relay_addr_t;


/*
 * Where connections go: a name, port and TLS profile. Connections and TLS
 * sessions are shared within an endpoint and never across. Endpoints belong to
 * the worker and outlive the snapshots that lead to them.
 */

struct ngx_http_relay_endpoint_s {
    ngx_queue_t                      queue;       /* of the same hash, or of
                                                     those that nobody uses */
    ngx_uint_t                       users;       /* hosts of snapshots */
    uint32_t                         hash;

    ngx_str_t                        name;
    in_port_t                        port;
    ngx_str_t                        tls_name;
    ngx_http_relay_tls_t            *tls;         /* NULL: plain text */

    ngx_http_relay_addr_t            addrs[NGX_HTTP_RELAY_ADDRS_MAX];
    ngx_uint_t                       naddrs;
    ngx_uint_t                       next;

    ngx_queue_t                      idle;
    ngx_queue_t                      waiters;
    ngx_event_t                      refresh;
    ngx_resolver_ctx_t              *question;    /* under way */
    ngx_ssl_session_t               *session;

    unsigned                         local:1;     /* private addresses allowed */
    unsigned                         literal:1;   /* never resolved */
    unsigned                         resolving:1;
    unsigned                         answered:1;  /* by a name server, ever */
};


typedef struct ngx_http_relay_store_s       ngx_http_relay_store_t;
typedef struct ngx_http_relay_store_conf_s  ngx_http_relay_store_conf_t;


typedef struct {
    ngx_array_t                     *documents;   /* of files: relay_document_t */
    ngx_http_relay_snapshot_t       *snapshot;    /* the current one */
    ngx_queue_t                      tls;         /* profiles */

    ngx_http_relay_store_conf_t     *store_conf;  /* NULL: files alone */
    ngx_http_relay_store_t          *store;       /* of this worker */

    ngx_resolver_t                  *resolver;
    ngx_msec_t                       resolver_timeout;

    ngx_str_t                        thread_pool; /* its name; empty: default */
#if (NGX_THREADS)
    ngx_thread_pool_t               *threads;     /* NULL: none is to be used */
#endif

    ngx_uint_t                       keepalive;   /* idle connections a worker */
    ngx_msec_t                       keepalive_timeout;
    ngx_flag_t                       core_dumps;

    ngx_http_upstream_srv_conf_t     upstream;
    ngx_http_upstream_conf_t         upstream_conf;  /* cloned per request */
    ngx_uint_t                       enabled;
} ngx_http_relay_main_conf_t;


typedef struct {
    ngx_flag_t                       pass;
    size_t                           max_body_size;
    size_t                           max_response_size;
    ngx_msec_t                       stream_keepalive;
} ngx_http_relay_loc_conf_t;


/* what a try's answer turned out to be, decided by its header */

typedef enum {
    NGX_HTTP_RELAY_HEADER = 0,   /* not known yet */
    NGX_HTTP_RELAY_STREAM,       /* events: held until the first content */
    NGX_HTTP_RELAY_WHOLE,        /* a body: held until complete */
    NGX_HTTP_RELAY_FAILED,       /* a status to fail over on: body remembered */
    NGX_HTTP_RELAY_OPAQUE        /* passed through as it comes */
} ngx_http_relay_mode_e;


typedef struct {
    ngx_str_t                        name;
    ngx_str_t                        value;
} ngx_http_relay_header_t;


/* a provider's error, kept until it is known that nobody does better */

typedef struct {
    ngx_uint_t                       status;
    ngx_str_t                        body;        /* JSON, or empty */
    ngx_str_t                        message;     /* the provider's, or empty */
    ngx_array_t                      headers;     /* ngx_http_relay_header_t */
    ngx_uint_t                       retry_after;
    const relay_candidate_t         *candidate;
    relay_error_code_t               code;        /* of one in another format */
    unsigned                         reworded:1;  /* in another format: */
    unsigned                         retry:1;     /* worth another try */
} ngx_http_relay_failure_t;


typedef struct ngx_http_relay_store_key_s   ngx_http_relay_store_key_t;
typedef struct ngx_http_relay_translated_s  ngx_http_relay_translated_t;
typedef struct ngx_http_relay_content_s     ngx_http_relay_content_t;
typedef struct ngx_http_relay_offload_s     ngx_http_relay_offload_t;
typedef struct ngx_http_relay_decoder_s     ngx_http_relay_decoder_t;
typedef struct ngx_http_relay_read_s        ngx_http_relay_read_t;


/* the state of one try; cleared by peer.get */

typedef struct {
    const relay_candidate_t         *candidate;
    ngx_http_relay_endpoint_t       *endpoint;
    ngx_http_relay_addr_t            addr;        /* a copy: names move */
    ngx_http_relay_translated_t     *translated;  /* NULL: the caller's format */

    ngx_str_t                       *request;     /* header as sent: secret */

    ngx_http_relay_mode_e            mode;
    relay_error_code_t               failure;

    ngx_http_status_t                status;
    ngx_array_t                      headers;     /* ngx_http_relay_header_t */
    ngx_str_t                        content_type;
    ngx_str_t                        content_encoding;
    ngx_str_t                        retry_after;
    uint64_t                         told_tokens; /* by a header; 0: none did */
    relay_span_t                     told_error;  /* the same; empty: none did */
    ngx_str_t                        connection;  /* the last such header */
    u_char                          *body_start;  /* in u->buffer */
    off_t                            length;      /* left; -1: until the end */
    off_t                            total;       /* as announced; -1: unknown */
    relay_chunked_t                  decoder;

    ngx_str_t                        held;        /* the body, or the error event */
    size_t                           held_size;

    ngx_chain_t                     *late_bufs;   /* the request, sent next */
    relay_answer_t                  *answer;      /* read in a thread, or NULL */
    ngx_recv_pt                      recv;        /* of a provider that waits */
    ngx_http_upstream_handler_pt     send;

    unsigned                         header_done:1;
    unsigned                         has_length:1;
    unsigned                         chunked:1;
    unsigned                         close:1;     /* Connection: close */
    unsigned                         complete:1;  /* the whole body was read */
    unsigned                         received:1;  /* at least one byte came */
    unsigned                         framed:1;    /* its stream is binary events */
    unsigned                         late:1;      /* a thread writes the request */
    unsigned                         unsent:1;    /* it could not be written */
    unsigned                         woken:1;     /* what came is no byte of it */
    unsigned                         key_refused:1; /* a header says so */
} ngx_http_relay_try_t;


typedef struct {
    ngx_http_request_t              *request;
    ngx_http_relay_main_conf_t      *rmcf;
    ngx_http_relay_snapshot_t       *snapshot;    /* pinned */

    relay_match_t                    match;
    const relay_relay_key_t         *key;
    ngx_http_relay_store_key_t      *store_key;   /* NULL: found in a file */
    relay_envelope_t                 envelope;
    relay_plan_t                    *plan;        /* NULL before it is made */
    ngx_str_t                        model;       /* as the caller wrote it */
    ngx_str_t                        body;
    size_t                           body_size;
    ngx_pool_t                      *body_pool;   /* of a large one, or NULL */
    ngx_http_relay_decoder_t        *decoder;     /* NULL: it came as it is */
    ngx_http_relay_read_t           *read;        /* of a thread, or NULL */
    uint64_t                         estimate;    /* of tokens, if asked for */
    ngx_http_upstream_conf_t        *conf;

    ngx_str_t                        forward;     /* request headers that pass */
    ngx_str_t                        args;        /* with the question mark */

    ngx_uint_t                       candidate;   /* index into plan */
    ngx_uint_t                       attempts;
    ngx_http_relay_try_t             attempt;
    ngx_http_relay_failure_t         failure;     /* the last meaningful one */
    ngx_http_relay_translated_t     *translation; /* of all attempts, or NULL */
    ngx_http_relay_content_t        *content;     /* of long bodies, or NULL */
    ngx_http_relay_offload_t        *offload;     /* NULL: no thread so far */
    relay_error_t                    refusal;     /* why the first one that could
                                                     not be made was not */
    relay_error_code_t               last;        /* why the last try failed */

    /* the committed answer */
    relay_sse_t                      sse;
    relay_eventstream_t             *frames;      /* binary events, or NULL */
    relay_usage_t                    usage;
    u_char                           finish[RELAY_FINISH_MAX];
    ngx_chain_t                     *pending;     /* output not handed on yet */
    ngx_chain_t                     *pending_tail;
    size_t                           pending_size;

    relay_error_code_t               error;       /* ours, to the caller */

    /* milliseconds of ngx_current_msec, microseconds of the monotonic clock */
    ngx_msec_t                       begun;       /* first attempt */
    ngx_msec_t                       progress;    /* last real event */
    ngx_msec_t                       finished;    /* finish reason or end */
    ngx_msec_t                       first_token;
    ngx_msec_t                       spoken;      /* last output of the stream */
    uint64_t                         received_us; /* request body complete */
    uint64_t                         sent_us;     /* first attempt dispatched */
    uint64_t                         entered_us;  /* bytes of the answer here */
    uint64_t                         cost_us;     /* spent on it until release */
    uint64_t                         thread_us;   /* what threads took for it */

    ngx_str_t                        request_id;
    u_char                           request_id_data[NGX_HTTP_RELAY_REQUEST_ID_LEN];

    ngx_queue_t                      running;     /* while there are attempts */
    ngx_queue_t                      waiting;     /* for an address */
    ngx_event_t                      wait;
    ngx_event_t                      yield;       /* to go on in the next turn */
    ngx_event_t                      silence;     /* to say something */
    size_t                           turn_size;   /* read since the last one */

    unsigned                         committed:1;
    unsigned                         primed:1;    /* input_filter's first call */
    unsigned                         ended:1;     /* the stream's end is out */
    unsigned                         splitter:1;  /* sse is initialised */
    unsigned                         fresh:1;     /* no pooled connection now */
    unsigned                         once:1;      /* not to be sent twice */
    unsigned                         queued:1;    /* in an endpoint's waiters */
    unsigned                         waited:1;    /* has been in one */
    unsigned                         inflating:1;
    unsigned                         listed:1;    /* in the running requests */
    unsigned                         draining:1;  /* the worker is about to exit */
    unsigned                         root:1;      /* the base URL itself */
    unsigned                         as_list:1;   /* the answer is in a JSON list */
    unsigned                         hidden_cr:1; /* a hidden item ended in CR */
    unsigned                         passed_cr:1; /* one that was passed on did */
    unsigned                         named:1;     /* Connection names headers */

    /* the last member: zeroed by each attempt, not with the others */
    relay_stream_t                   stream;
} ngx_http_relay_ctx_t;


/* ngx_relay_module.c */

extern ngx_module_t  ngx_relay_module;

/* ngx_http_relay_config.c */

char *ngx_http_relay_config_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_relay_config_catalog(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
/* the first snapshot; logs what is wrong */
ngx_int_t ngx_http_relay_config_load(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
ngx_int_t ngx_http_relay_read_file(ngx_conf_t *cf, ngx_pool_t *pool,
    ngx_str_t *name, size_t max, ngx_str_t *text);

/* ngx_http_relay_store_conf.c, ngx_http_relay_store.c: see there */

ngx_http_relay_store_conf_t *ngx_http_relay_store_create_conf(ngx_conf_t *cf);
ngx_int_t ngx_http_relay_store_init_conf(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
/* the keys that open sealed secrets, or NULL */
const relay_key_ring_t *ngx_http_relay_store_ring(
    ngx_http_relay_main_conf_t *rmcf);
void ngx_http_relay_store_forget_keys(ngx_http_relay_main_conf_t *rmcf);
/* serves the last good set, if there is one, and begins to look for another */
ngx_int_t ngx_http_relay_store_init_worker(ngx_cycle_t *cycle,
    ngx_http_relay_main_conf_t *rmcf);
void ngx_http_relay_store_exit_worker(ngx_http_relay_store_t *store);

/* ngx_http_relay_tls.c */

ngx_http_relay_tls_t *ngx_http_relay_tls_find(
    ngx_queue_t *profiles, ngx_uint_t verify, relay_span_t ca_file);
/* without users, in no queue; NULL: logged */
ngx_http_relay_tls_t *ngx_http_relay_tls_create(ngx_str_t *prefix,
    ngx_uint_t verify, relay_span_t ca_file, ngx_log_t *log);
ngx_int_t ngx_http_relay_tls_prepare(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf, ngx_uint_t verify, relay_span_t ca_file);
void ngx_http_relay_tls_sweep(ngx_http_relay_main_conf_t *rmcf);
void ngx_http_relay_tls_free(void *data);

/* ngx_http_relay_handler.c */

ngx_int_t ngx_http_relay_handler(ngx_http_request_t *r);
/* the caller is known: on to what is asked; for handlers to return */
ngx_int_t ngx_http_relay_dispatch(ngx_http_relay_ctx_t *ctx);
/* the body is complete in ctx->body; ends the request on every path */
void ngx_http_relay_body_done(ngx_http_request_t *r);

ngx_int_t ngx_http_relay_random(u_char *bytes, size_t len);

/* ngx_http_relay_model.c */

/* the same for a request with a model */
void ngx_http_relay_model(ngx_http_relay_ctx_t *ctx);
/* in ctx->plan, from the pool: a copy */
ngx_int_t ngx_http_relay_keep_plan(ngx_http_relay_ctx_t *ctx,
    const relay_plan_t *plan);

/* ngx_http_relay_auth.c */

/*
 * NGX_DECLINED: ctx->key is set, nothing was sent. Else what a content handler
 * returns: the request is refused, or waits and is dispatched later.
 */
ngx_int_t ngx_http_relay_authenticate(ngx_http_relay_ctx_t *ctx);

/* ngx_http_relay_presented.c */

/*
 * The relay key that the request shows, or empty. One in the query is removed
 * from ctx->args and made unreadable in what nginx logs.
 */
ngx_int_t ngx_http_relay_presented_key(ngx_http_relay_ctx_t *ctx,
    relay_span_t *key);

/* ngx_http_relay_body.c */

/* reads the body, then calls ngx_http_relay_body_done(); for handlers to return */
ngx_int_t ngx_http_relay_read_body(ngx_http_request_t *r);

/* ngx_http_relay_attempt.c */

ngx_int_t ngx_http_relay_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);

/* ngx_http_relay_request.c */

/* u->request_bufs of ctx->attempt, whose place of the secret is remembered */
ngx_int_t ngx_http_relay_build_request(ngx_http_relay_ctx_t *ctx);
/* wipes an ngx_str_t; for cleanup handlers */
void ngx_http_relay_cleanse_key(void *data);

/* ngx_http_relay_endpoint.c */

ngx_int_t ngx_http_relay_endpoint_init_worker(ngx_cycle_t *cycle,
    ngx_http_relay_main_conf_t *rmcf);
void ngx_http_relay_endpoint_exit_worker(void);
/*
 * Finds or makes the endpoints of a snapshot. NGX_AGAIN: until_us of the
 * monotonic clock is reached, call again; 0: no limit.
 */
ngx_int_t ngx_http_relay_endpoints_take(ngx_http_relay_main_conf_t *rmcf,
    ngx_http_relay_snapshot_t *snapshot, uint64_t until_us);
void ngx_http_relay_endpoints_release(ngx_http_relay_snapshot_t *snapshot);
/* NGX_DONE and pc->connection set, or NGX_DECLINED */
ngx_int_t ngx_http_relay_endpoint_reuse(ngx_peer_connection_t *pc,
    ngx_http_relay_endpoint_t *ep);
/* takes pc->connection if it may be kept */
void ngx_http_relay_endpoint_keep(ngx_peer_connection_t *pc,
    ngx_http_relay_endpoint_t *ep);
/* an address to connect to; NGX_DECLINED: none known or none allowed */
ngx_int_t ngx_http_relay_endpoint_addr(ngx_http_relay_endpoint_t *ep,
    ngx_log_t *log, ngx_http_relay_addr_t *addr);
/* addr did not take a connection */
void ngx_http_relay_endpoint_down(ngx_http_relay_endpoint_t *ep,
    ngx_http_relay_addr_t *addr);
ngx_int_t ngx_http_relay_endpoint_add_addr(ngx_http_relay_endpoint_t *ep,
    struct sockaddr *sa, socklen_t socklen);

/* ngx_http_relay_resolve.c */

ngx_int_t ngx_http_relay_resolver(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
/* the addresses that a text like /etc/hosts has for it */
void ngx_http_relay_resolve_hosts(ngx_http_relay_endpoint_t *ep,
    ngx_str_t *text);
void ngx_http_relay_resolve_start(ngx_http_relay_main_conf_t *rmcf,
    ngx_http_relay_endpoint_t *ep);
void ngx_http_relay_resolve_stop(ngx_http_relay_endpoint_t *ep);

/* ngx_http_relay_upstream.c */

/* begins the attempts; ends the request on every path */
void ngx_http_relay_upstream_start(ngx_http_request_t *r);
/* the limits of the current candidate, in terms of nginx's timers */
void ngx_http_relay_set_timers(ngx_http_relay_ctx_t *ctx);

/* ngx_http_relay_hold.c */

/*
 * The header is whole: sets attempt.mode. NGX_OK; NGX_ABORT: the try failed;
 * NGX_DECLINED: an error for the caller without a body to show.
 */
ngx_int_t ngx_http_relay_judge(ngx_http_relay_ctx_t *ctx);
/*
 * Takes in bytes of the body. NGX_OK: committed; NGX_AGAIN: more is needed;
 * NGX_ABORT: the try has failed; else what process_header returns.
 */
ngx_int_t ngx_http_relay_hold(ngx_http_relay_ctx_t *ctx, relay_span_t raw);
/*
 * Answers with the provider's status, and with what it says in body in our
 * words: as ngx_http_relay_fail().
 */
ngx_int_t ngx_http_relay_reword(ngx_http_relay_ctx_t *ctx, ngx_str_t *body);
/* its answers of errors are not in the caller's words */
ngx_uint_t ngx_http_relay_rewords(ngx_http_relay_ctx_t *ctx);
/* the held body is the caller's answer: NGX_OK, NGX_ERROR */
ngx_int_t ngx_http_relay_commit_whole(ngx_http_relay_ctx_t *ctx);
/* ends a failed try: what process_header returns; body: its answer's, or NULL */
ngx_int_t ngx_http_relay_fail(ngx_http_relay_ctx_t *ctx, ngx_str_t *body);

/* ngx_http_relay_stream.c */

ngx_int_t ngx_http_relay_stream_begin(ngx_http_relay_ctx_t *ctx);
void ngx_http_relay_stream_reset(ngx_http_relay_ctx_t *ctx);
/*
 * Feeds payload to the splitter; complete events land in ctx->pending.
 * NGX_OK, or NGX_ABORT with attempt.failure set, or NGX_ERROR.
 */
ngx_int_t ngx_http_relay_stream_feed(ngx_http_relay_ctx_t *ctx,
    relay_span_t data);
/* what the stream still owes when the provider is gone; last: and its end */
ngx_int_t ngx_http_relay_stream_end(ngx_http_relay_ctx_t *ctx,
    relay_error_code_t why, ngx_uint_t last);
/* copies text into the pending output */
ngx_int_t ngx_http_relay_emit(ngx_http_relay_ctx_t *ctx, relay_span_t text);
ngx_int_t ngx_http_relay_input_filter_init(void *data);
ngx_int_t ngx_http_relay_input_filter(void *data, ssize_t bytes);
/* one piece of payload from raw bytes; the states of relay_chunked_next() */
relay_chunked_status_t ngx_http_relay_payload(ngx_http_relay_try_t *attempt,
    relay_span_t *raw, relay_span_t *data);

/* pending output to nginx, one flush for all of it */
void ngx_http_relay_hand_on(ngx_http_relay_ctx_t *ctx);

/* ngx_http_relay_silence.c */

/* a stream is committed; is over, however */
void ngx_http_relay_silence_begin(ngx_http_relay_ctx_t *ctx);
void ngx_http_relay_silence_end(ngx_http_relay_ctx_t *ctx);

/* ngx_http_relay_drain.c */

void ngx_http_relay_drain_init(ngx_cycle_t *cycle);
void ngx_http_relay_drain_add(ngx_http_relay_ctx_t *ctx);
void ngx_http_relay_drain_remove(ngx_http_relay_ctx_t *ctx);

/* ngx_http_relay_headers.c */

/* builds ctx->forward */
ngx_int_t ngx_http_relay_forward_headers(ngx_http_relay_ctx_t *ctx);
ngx_int_t ngx_http_relay_sent_by_client(ngx_http_request_t *r,
    relay_span_t name);
ngx_table_elt_t *ngx_http_relay_request_header(ngx_http_request_t *r,
    const char *name, size_t len);
/* one line of the provider's header; NGX_ERROR: the answer is invalid */
ngx_int_t ngx_http_relay_upstream_header(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *name, ngx_str_t *value);
/* drops what "Connection" names; for when the header is whole */
void ngx_http_relay_drop_named(ngx_http_relay_try_t *attempt);
/* the committed try's headers and our own, to r->headers_out */
ngx_int_t ngx_http_relay_set_headers(ngx_http_relay_ctx_t *ctx,
    ngx_array_t *headers, ngx_uint_t status, ngx_uint_t retry_after);
ngx_int_t ngx_http_relay_add_header(ngx_http_request_t *r, const char *name,
    size_t len, ngx_str_t *value);
/* "text/plain" of "text/plain; charset=utf-8" */
relay_span_t ngx_http_relay_media_type(ngx_str_t *value);
/* whole seconds, 1 to 60; 0 if the header says nothing */
ngx_uint_t ngx_http_relay_retry_after(ngx_str_t *value);
void ngx_http_relay_told(ngx_http_relay_try_t *attempt);

/* ngx_http_relay_answer.c */

/* wraps a body where the caller's stream is to be a list */
ngx_int_t ngx_http_relay_wrap(ngx_http_relay_ctx_t *ctx, ngx_str_t *body);
/* sends an error of our own; returns what a content handler returns */
ngx_int_t ngx_http_relay_refuse(ngx_http_request_t *r, relay_error_t *error);
ngx_int_t ngx_http_relay_refuse_code(ngx_http_request_t *r,
    relay_error_code_t code);
ngx_int_t ngx_http_relay_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body);
ngx_int_t ngx_http_relay_send_models(ngx_http_request_t *r);
ngx_int_t ngx_http_relay_send_echo(ngx_http_request_t *r);
/* ctx->estimate, a number of tokens that nobody has counted, marked as such */
ngx_int_t ngx_http_relay_send_estimate(ngx_http_request_t *r);
ngx_int_t ngx_http_relay_send_empty(ngx_http_request_t *r, ngx_uint_t status);

/* what to say after the last try has failed */

typedef struct {
    ngx_uint_t                       status;
    ngx_uint_t                       retry_after;
    ngx_str_t                        body;
    ngx_array_t                     *headers;     /* the provider's, or NULL */
    relay_error_code_t               code;
    unsigned                         own:1;       /* in our words */
} ngx_http_relay_last_word_t;

ngx_int_t ngx_http_relay_last_word(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_last_word_t *word);
/* sends it, from a finalize callback */
ngx_int_t ngx_http_relay_send_last_word(ngx_http_relay_ctx_t *ctx);

/* ngx_http_relay_variables.c */

ngx_int_t ngx_http_relay_add_variables(ngx_conf_t *cf);
uint64_t ngx_http_relay_now_us(void);


static ngx_inline relay_span_t
ngx_http_relay_span(ngx_str_t *s)
{
    return relay_span(s->data, s->len);
}


static ngx_inline ngx_http_relay_ctx_t *
ngx_http_relay_ctx(ngx_http_request_t *r)
{
    return ngx_http_get_module_ctx(r, ngx_relay_module);
}


#endif /* _NGX_HTTP_RELAY_H_INCLUDED_ */
