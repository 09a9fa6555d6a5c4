
/*
 * Streams of hosts that speak another format than the caller, event by event.
 * What to write is decided in core (translate.h); here is where it goes.
 *
 *   caller <- emit <- scratch <- translate_item <- splitter <- attempt
 */


#include "ngx_http_relay_translate.h"


/* output of one event, kept by the worker; longer ones are given back */
#define NGX_HTTP_RELAY_SCRATCH_SIZE  65536


static ngx_int_t ngx_http_relay_translated_open(
    ngx_http_relay_translated_t *translated);
static void *ngx_http_relay_translated_resize(void *owner, void *block,
    size_t size);
static void ngx_http_relay_observe(ngx_http_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_relay_scratch(
    ngx_http_relay_translated_t *translated);
static ngx_int_t ngx_http_relay_scratch_out(
    ngx_http_relay_translated_t *translated);
static bool ngx_http_relay_scratch_room(relay_output_t *output, size_t size);


/* between calls it holds nothing: every call hands on what it has written */

static struct {
    u_char                          *data;
    size_t                           size;
} ngx_http_relay_scratch_memory;


/* by the first item of an attempt's stream: whole answers do without */

static ngx_int_t
ngx_http_relay_translated_open(ngx_http_relay_translated_t *translated)
{
    relay_stream_options_t  options;

    if (translated->streaming) {
        return NGX_OK;
    }

    if (translated->stream == NULL) {
        translated->stream = ngx_palloc(translated->ctx->request->pool,
                                        sizeof(relay_stream_translation_t));
        if (translated->stream == NULL) {
            return NGX_ERROR;
        }
    }

    translated->output.buf = relay_buf(NULL, 0);
    translated->output.room = ngx_http_relay_scratch_room;

    options.translation = &translated->translation;
    options.output = &translated->output;
    options.memory.resize = ngx_http_relay_translated_resize;
    options.memory.owner = NULL;
    options.kept_max = RELAY_KEPT_MAX;

    translated->streaming = 1;

    return relay_stream_open(translated->stream, &options) ? NGX_OK : NGX_ERROR;
}


static void *
ngx_http_relay_translated_resize(void *owner, void *block, size_t size)
{
    if (size == 0) {
        ngx_free(block);
        return NULL;
    }

    return realloc(block, size);
}


ngx_int_t
ngx_http_relay_translate_item(ngx_http_relay_ctx_t *ctx,
    relay_sse_item_t *item, relay_event_class_t *class)
{
    ngx_http_relay_translated_t  *translated;

    translated = ctx->attempt.translated;

    if (ngx_http_relay_translated_open(translated) != NGX_OK
        || !ngx_http_relay_scratch(translated))
    {
        return NGX_ERROR;
    }

    *class = relay_stream_item(translated->stream, item);

    ngx_http_relay_observe(ctx);

    return ngx_http_relay_scratch_out(translated);
}


/* a provider's comment, for a caller whose format may have another sign of life */

ngx_int_t
ngx_http_relay_translate_ping(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_translated_t  *translated;

    translated = ctx->attempt.translated;

    if (ngx_http_relay_translated_open(translated) != NGX_OK
        || !ngx_http_relay_scratch(translated))
    {
        return NGX_ERROR;
    }

    relay_stream_ping(translated->stream);

    return ngx_http_relay_scratch_out(translated);
}


ngx_int_t
ngx_http_relay_translate_end(ngx_http_relay_ctx_t *ctx, relay_error_code_t why)
{
    relay_error_t                 error;
    relay_stream_translation_t   *stream;
    ngx_http_relay_translated_t  *translated;

    translated = ctx->attempt.translated;

    if (ngx_http_relay_translated_open(translated) != NGX_OK) {
        return NGX_ERROR;
    }

    stream = translated->stream;

    if (stream->over) {
        return NGX_OK;
    }

    if (!ngx_http_relay_scratch(translated)) {
        return NGX_ERROR;
    }

    if (stream->reader.finished) {
        (void) relay_stream_close(stream);
    }

    if (!stream->over) {
        ngx_memzero(&error, sizeof(relay_error_t));
        error.code = why;

        relay_stream_fail(stream, &error);
    }

    if (stream->failed) {
        ctx->error = why;
    }

    ngx_http_relay_observe(ctx);

    return ngx_http_relay_scratch_out(translated);
}


/* what others read of a stream, whoever reads its events */

static void
ngx_http_relay_observe(ngx_http_relay_ctx_t *ctx)
{
    relay_span_t                 word;
    relay_stream_t              *seen;
    relay_stream_translation_t  *stream;

    seen = &ctx->stream;
    stream = ctx->attempt.translated->stream;

    seen->usage = stream->reader.usage;
    seen->content_seen = stream->content_seen;
    seen->finish_seen = stream->reader.finished;
    seen->end_seen = stream->over && !stream->failed;
    seen->error_seen = stream->failed;
    seen->error_status = stream->failed ? stream->status : 0;

    if (stream->stop != RELAY_STOP_UNSET && seen->finish[0] == '\0') {
        word = relay_stop_word(stream->stop);
        ngx_memcpy(seen->finish, word.base, word.len);
        seen->finish[word.len] = '\0';
    }
}


static ngx_uint_t
ngx_http_relay_scratch(ngx_http_relay_translated_t *translated)
{
    if (ngx_http_relay_scratch_memory.data == NULL) {
        ngx_http_relay_scratch_memory.data =
                     ngx_http_relay_translated_resize(NULL, NULL,
                                              NGX_HTTP_RELAY_SCRATCH_SIZE);

        if (ngx_http_relay_scratch_memory.data == NULL) {
            return 0;
        }

        ngx_http_relay_scratch_memory.size = NGX_HTTP_RELAY_SCRATCH_SIZE;
    }

    translated->output.buf = relay_buf(ngx_http_relay_scratch_memory.data,
                                       ngx_http_relay_scratch_memory.size);

    return 1;
}


/* to the pending output; a scratch that has grown is given back */

static ngx_int_t
ngx_http_relay_scratch_out(ngx_http_relay_translated_t *translated)
{
    ngx_int_t     rc;
    relay_buf_t  *buf;

    buf = &translated->output.buf;

    rc = relay_buf_ok(buf)
         ? ngx_http_relay_emit(translated->ctx, relay_buf_span(buf))
         : NGX_ERROR;

    *buf = relay_buf(NULL, 0);

    if (ngx_http_relay_scratch_memory.size > NGX_HTTP_RELAY_SCRATCH_SIZE) {
        ngx_free(ngx_http_relay_scratch_memory.data);
        ngx_http_relay_scratch_memory.data = NULL;
        ngx_http_relay_scratch_memory.size = 0;
    }

    return rc;
}


static bool
ngx_http_relay_scratch_room(relay_output_t *output, size_t size)
{
    u_char                       *data;
    ngx_http_relay_translated_t  *translated;

    translated = (ngx_http_relay_translated_t *)
                     ((u_char *) output
                      - offsetof(ngx_http_relay_translated_t, output));

    if (!relay_buf_ok(&output->buf)
        || ngx_http_relay_emit(translated->ctx, relay_buf_span(&output->buf))
           != NGX_OK)
    {
        return false;
    }

    if (size > ngx_http_relay_scratch_memory.size) {

        data = ngx_http_relay_translated_resize(NULL,
                                    ngx_http_relay_scratch_memory.data, size);
        if (data == NULL) {
            return false;
        }

        ngx_http_relay_scratch_memory.data = data;
        ngx_http_relay_scratch_memory.size = size;
    }

    output->buf = relay_buf(ngx_http_relay_scratch_memory.data,
                            ngx_http_relay_scratch_memory.size);

    return true;
}
