/*
 * Canonical events into streams of Chat Completions. Called through the codec.
 */

#include "wire_openai.h"
#include "wire_openai_chat_codec.h"
#include "wire_support.h"

/* More calls than these share the last index: no provider makes so many. */
enum { TOOLS_MAX = 128, HEAD_MAX = 640 };

typedef struct {
    bool greeted;     /* the delta with the role is out */
    uint16_t tools;   /* calls so far */
    uint16_t images;  /* so far */
    uint16_t details; /* blocks of reasoning_details so far */
    bool signed_now;  /* the open block of thinking has a signer */
    bool explained;   /* a refusal has been written */
} choice_t;

typedef struct {
    uint32_t block;
    uint16_t index; /* as this format counts: calls of the choice */
    bool arguments; /* some are out */
    bool free_text; /* of a custom tool */
    bool wrapped;   /* a custom tool that the upstream knows as a function: kept whole */
} tool_t;

typedef struct {
    uint16_t head_len;
    uint16_t tools;
    bool tiered; /* the head tells the tier */
    choice_t choices[RELAY_STREAM_CHOICES_MAX];
    tool_t tool[TOOLS_MAX];
    uint8_t head[HEAD_MAX]; /* what every chunk begins with */
} state_t;

const size_t relay_chat_writer_size = sizeof(state_t);

static state_t *state_of(relay_writer_t *writer)
{
    return (state_t *)(void *)writer->state;
}

/* ---- chunks -------------------------------------------------------------- */

static void make_head(relay_writer_t *writer, const relay_stream_event_t *event)
{
    state_t *state = state_of(writer);
    const relay_translation_t *translation = writer->translation;
    relay_buf_t head = relay_buf(state->head, sizeof(state->head));
    bool short_model = event->model.len != 0 && event->model.len <= 256;

    RELAY_PUT(&head, "data: {\"id\":\"");
    relay_codec_put_answer_id(&head, translation, RELAY_CHAT_ID,
                              event->id.len <= 160 ? event->id : relay_span(NULL, 0));
    RELAY_PUT(&head, "\",\"object\":\"chat.completion.chunk\",\"created\":");
    relay_buf_put_u64(&head, event->created_s != 0 ? event->created_s : translation->created_s);
    RELAY_PUT(&head, ",\"model\":\"");
    relay_buf_put(&head, short_model                     ? event->model
                         : translation->model.len <= 256 ? translation->model
                                                         : relay_span(NULL, 0));
    RELAY_PUT(&head, "\"");
    state->tiered = event->usage != NULL && event->usage->tier != RELAY_TIER_UNKNOWN;
    if (state->tiered) {
        relay_openai_put_tier(writer->translation, &head, event->usage->tier);
    }
    RELAY_PUT(&head, ",\"choices\":[");
    state->head_len = (uint16_t)relay_buf_span(&head).len;
}

static void put_head(relay_writer_t *writer, relay_buf_t *out)
{
    relay_buf_put(out, relay_span(state_of(writer)->head, state_of(writer)->head_len));
}

static void open_chunk(relay_writer_t *writer, relay_buf_t *out, unsigned choice)
{
    put_head(writer, out);
    RELAY_PUT(out, "{\"index\":");
    relay_buf_put_u64(out, choice);
    RELAY_PUT(out, ",\"delta\":{");
}

/* The lists of logprobs: of a refusal in one of their own. */
static void put_logprobs(relay_buf_t *out, const relay_stream_event_t *event)
{
    bool refusal = event->block_kind == RELAY_BLOCK_REFUSAL;

    relay_buf_put(out, refusal ? RELAY_SPAN("},\"logprobs\":{\"content\":null,\"refusal\":[")
                               : RELAY_SPAN("},\"logprobs\":{\"content\":["));
    relay_codec_put_logprobs(out, event->logprobs, RELAY_SPAN("null"));
    relay_buf_put(out, refusal ? RELAY_SPAN("]}") : RELAY_SPAN("],\"refusal\":null}"));
}

static void end_chunk(relay_writer_t *writer, relay_buf_t *out, relay_span_t reason)
{
    RELAY_PUT(out, ",\"finish_reason\":");
    relay_codec_put_string_or_null(out, reason);
    relay_buf_put(out, writer->translation->usage_wanted ? RELAY_SPAN("}],\"usage\":null}\n\n")
                                                         : RELAY_SPAN("}]}\n\n"));
}

static void close_chunk(relay_writer_t *writer, relay_buf_t *out, relay_span_t reason)
{
    RELAY_PUT(out, "},\"logprobs\":null");
    end_chunk(writer, out, reason);
}

/* A delta of one member: text behind `name`, which is "name": already. */
static void put_member(relay_writer_t *writer, relay_buf_t *out, unsigned choice, relay_span_t name,
                       relay_span_t text)
{
    open_chunk(writer, out, choice);
    relay_buf_put(out, name);
    relay_codec_put_string(out, text);
    close_chunk(writer, out, relay_span(NULL, 0));
}

static void put_prose(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event,
                      relay_span_t name)
{
    if (event->logprobs.type != RELAY_JSON_ARRAY) {
        put_member(writer, out, event->choice, name, event->text);
        return;
    }
    open_chunk(writer, out, event->choice);
    relay_buf_put(out, name);
    relay_codec_put_string(out, event->text);
    put_logprobs(out, event);
    end_chunk(writer, out, relay_span(NULL, 0));
}

static void greet(relay_writer_t *writer, relay_buf_t *out, unsigned choice)
{
    if (state_of(writer)->choices[choice].greeted) {
        return;
    }
    state_of(writer)->choices[choice].greeted = true;
    open_chunk(writer, out, choice);
    RELAY_PUT(out, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    close_chunk(writer, out, relay_span(NULL, 0));
}

/* ---- reasoning ----------------------------------------------------------- */

static void put_detail(relay_buf_t *out, const relay_stream_event_t *event, const choice_t *choice)
{
    RELAY_PUT(out, "\"reasoning_details\":[");
    relay_chat_put_detail(out, event->block_kind, event->text, event->signature, event->signer,
                          choice->details);
    RELAY_PUT(out, "]");
}

/* Signed thinking is told twice: as text to show, and in the form that can be
 * sent back. */
static void thinking(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const choice_t *choice = &state_of(writer)->choices[event->choice];
    bool detailed = choice->signed_now || event->signature.len != 0;

    open_chunk(writer, out, event->choice);
    if (event->text.len != 0) {
        RELAY_PUT(out, "\"reasoning_content\":");
        relay_codec_put_string(out, event->text);
        relay_buf_put(out, detailed ? RELAY_SPAN(",") : RELAY_SPAN(""));
    }
    if (detailed) {
        put_detail(out, event, choice);
    }
    close_chunk(writer, out, relay_span(NULL, 0));
}

static void redacted(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    choice_t *choice = &state_of(writer)->choices[event->choice];

    open_chunk(writer, out, event->choice);
    put_detail(out, event, choice);
    close_chunk(writer, out, relay_span(NULL, 0));
    choice->details++;
}

/* ---- tools --------------------------------------------------------------- */

static tool_t *find_tool(relay_writer_t *writer, uint32_t block)
{
    state_t *state = state_of(writer);

    for (size_t i = state->tools; i > 0; i--) {
        if (state->tool[i - 1].block == block) {
            return &state->tool[i - 1];
        }
    }
    return NULL;
}

static tool_t *add_tool(relay_writer_t *writer, const relay_stream_event_t *event)
{
    state_t *state = state_of(writer);
    tool_t *tool = &state->tool[state->tools < TOOLS_MAX ? state->tools++ : TOOLS_MAX - 1];

    *tool = (tool_t){.block = event->block,
                     .index = state->choices[event->choice].tools++,
                     .free_text = event->free_text};
    return tool;
}

static void open_call(relay_writer_t *writer, relay_buf_t *out, unsigned choice, const tool_t *tool)
{
    open_chunk(writer, out, choice);
    RELAY_PUT(out, "\"tool_calls\":[{\"index\":");
    relay_buf_put_u64(out, tool->index);
}

/* A fragment of the arguments. */
static void put_fragment(relay_writer_t *writer, relay_buf_t *out, unsigned choice, tool_t *tool,
                         relay_span_t text)
{
    if (writer->translation->old_calls) {
        open_chunk(writer, out, choice);
        RELAY_PUT(out, "\"function_call\":{\"arguments\":");
        relay_codec_put_string(out, text);
        RELAY_PUT(out, "}");
    } else {
        open_call(writer, out, choice, tool);
        relay_buf_put(out, tool->free_text ? RELAY_SPAN(",\"custom\":{\"input\":")
                                           : RELAY_SPAN(",\"function\":{\"arguments\":"));
        relay_codec_put_string(out, text);
        RELAY_PUT(out, "}}]");
    }
    close_chunk(writer, out, relay_span(NULL, 0));
    tool->arguments = true;
}

static void put_call_id(relay_writer_t *writer, relay_buf_t *out, const tool_t *tool,
                        relay_span_t id)
{
    RELAY_PUT(out, ",\"id\":\"");
    if (id.len != 0) {
        relay_buf_put(out, id);
    } else {
        RELAY_PUT(out, "call_");
        relay_buf_put(out, writer->translation->request_id);
        RELAY_PUT(out, "_");
        relay_buf_put_u64(out, tool->index);
    }
    RELAY_PUT(out, "\"");
}

static void begin_call(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_rename_t *renamed = relay_codec_renamed(writer->translation, event->name);
    relay_span_t name = renamed != NULL ? renamed->original : event->name;
    tool_t *tool = add_tool(writer, event);

    if (renamed != NULL && renamed->free_text && !tool->free_text) {
        tool->wrapped = true;
        tool->free_text = true;
        writer->kept.len = 0;
    }
    if (writer->translation->old_calls) {
        if (tool->index == 0) {
            open_chunk(writer, out, event->choice);
            RELAY_PUT(out, "\"function_call\":{\"name\":");
            relay_codec_put_string(out, name);
            RELAY_PUT(out, ",\"arguments\":\"\"}");
            close_chunk(writer, out, relay_span(NULL, 0));
        }
        return;
    }
    open_call(writer, out, event->choice, tool);
    put_call_id(writer, out, tool, event->id);
    relay_buf_put(out, tool->free_text
                           ? RELAY_SPAN(",\"type\":\"custom\",\"custom\":{\"name\":")
                           : RELAY_SPAN(",\"type\":\"function\",\"function\":{\"name\":"));
    relay_codec_put_string(out, name);
    relay_buf_put(out, tool->free_text ? RELAY_SPAN(",\"input\":\"\"}}]")
                                       : RELAY_SPAN(",\"arguments\":\"\"}}]"));
    close_chunk(writer, out, relay_span(NULL, 0));
}

static void continue_call(relay_writer_t *writer, relay_buf_t *out,
                          const relay_stream_event_t *event)
{
    tool_t *tool = find_tool(writer, event->block);

    if (tool == NULL || (writer->translation->old_calls && tool->index != 0)) {
        return;
    }
    if (!tool->wrapped) {
        put_fragment(writer, out, event->choice, tool, event->text);
    } else if (relay_kept_put(&writer->kept, event->text)) {
        writer->owed = writer->kept.len;
    } else {
        writer->failed = true;
    }
}

/* The whole text of a custom tool that came as {"input":…}; other JSON as it is. */
static void put_unwrapped(relay_writer_t *writer, relay_buf_t *out, unsigned choice, tool_t *tool)
{
    relay_arguments_t arguments = {.text = relay_span(writer->kept.base, writer->kept.len),
                                   .quoted = true};
    relay_span_t text = arguments.text;

    relay_codec_unwrap(writer->translation, &arguments, &text);
    put_fragment(writer, out, choice, tool, text);
    writer->kept.len = 0;
    writer->owed = 0;
}

/* Without arguments a call has an empty object. */
static void end_call(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    tool_t *tool = find_tool(writer, event->block);

    if (tool == NULL || (writer->translation->old_calls && tool->index != 0)) {
        return;
    }
    if (tool->wrapped) {
        put_unwrapped(writer, out, event->choice, tool);
    } else if (!tool->arguments && !tool->free_text) {
        put_fragment(writer, out, event->choice, tool, RELAY_SPAN("{}"));
    }
}

/* ---- images -------------------------------------------------------------- */

static void put_image(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_media_t media = relay_codec_event_media(event);

    open_chunk(writer, out, event->choice);
    RELAY_PUT(out, "\"images\":[");
    relay_chat_put_image(out, &media, state_of(writer)->choices[event->choice].images++);
    RELAY_PUT(out, "]");
    close_chunk(writer, out, relay_span(NULL, 0));
}

/* ---- blocks -------------------------------------------------------------- */

static void begin_block(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    choice_t *choice = &state_of(writer)->choices[event->choice];

    greet(writer, out, event->choice);
    switch (event->block_kind) {
    case RELAY_BLOCK_TOOL_CALL:
        begin_call(writer, out, event);
        break;
    case RELAY_BLOCK_REDACTED:
        redacted(writer, out, event);
        break;
    case RELAY_BLOCK_IMAGE:
        put_image(writer, out, event);
        break;
    case RELAY_BLOCK_THINKING:
        choice->signed_now = event->signer.len != 0;
        break;
    default:
        break;
    }
}

static void put_citation(relay_writer_t *writer, relay_buf_t *out,
                         const relay_stream_event_t *event)
{
    if (event->citation->url.len == 0) {
        return;
    }
    open_chunk(writer, out, event->choice);
    RELAY_PUT(out, "\"annotations\":[");
    relay_chat_put_annotation(out, event->citation);
    RELAY_PUT(out, "]");
    close_chunk(writer, out, relay_span(NULL, 0));
}

static void put_delta(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    switch (event->block_kind) {
    case RELAY_BLOCK_TEXT:
        if (event->citation != NULL) {
            put_citation(writer, out, event);
        } else {
            put_prose(writer, out, event, RELAY_SPAN("\"content\":"));
        }
        break;
    case RELAY_BLOCK_REFUSAL:
        state_of(writer)->choices[event->choice].explained = true;
        put_prose(writer, out, event, RELAY_SPAN("\"refusal\":"));
        break;
    case RELAY_BLOCK_THINKING:
        thinking(writer, out, event);
        break;
    case RELAY_BLOCK_TOOL_CALL:
        continue_call(writer, out, event);
        break;
    default:
        break;
    }
}

static void end_block(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    choice_t *choice = &state_of(writer)->choices[event->choice];

    if (event->block_kind == RELAY_BLOCK_TOOL_CALL) {
        end_call(writer, out, event);
    } else if (event->block_kind == RELAY_BLOCK_THINKING && choice->signed_now) {
        choice->signed_now = false;
        choice->details++;
    }
}

/* ---- the end ------------------------------------------------------------- */

static void put_finish(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_ending_t *ending = &event->ending;
    bool old = writer->translation->old_calls && ending->reason == RELAY_STOP_TOOLS;

    greet(writer, out, event->choice);
    if (ending->explanation.len != 0 && !state_of(writer)->choices[event->choice].explained) {
        put_member(writer, out, event->choice, RELAY_SPAN("\"refusal\":"), ending->explanation);
    }
    open_chunk(writer, out, event->choice);
    close_chunk(writer, out,
                old ? RELAY_SPAN("function_call") : relay_chat_stop_word(ending->reason));
}

static void put_end(relay_writer_t *writer, relay_buf_t *out, const relay_usage_t *usage)
{
    if (writer->translation->usage_wanted) {
        put_head(writer, out);
        RELAY_PUT(out, "],\"usage\":");
        relay_chat_put_usage(out, usage);
        if (!state_of(writer)->tiered) {
            relay_openai_put_tier(writer->translation, out, usage->tier);
        }
        RELAY_PUT(out, "}\n\n");
    }
    RELAY_PUT(out, "data: [DONE]\n\n");
}

static void put_error(relay_buf_t *out, const relay_failure_t *failure)
{
    RELAY_PUT(out, "data: {\"error\":");
    relay_openai_put_error(out, &failure->error);
    RELAY_PUT(out, "}\n\n");
}

void relay_chat_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                            relay_buf_t *out)
{
    if (event->choice >= RELAY_STREAM_CHOICES_MAX) {
        return;
    }
    switch (event->kind) {
    case RELAY_STREAM_START:
        make_head(writer, event);
        greet(writer, out, event->choice);
        break;
    case RELAY_STREAM_BLOCK:
        begin_block(writer, out, event);
        break;
    case RELAY_STREAM_DELTA:
        put_delta(writer, out, event);
        break;
    case RELAY_STREAM_STOP:
        end_block(writer, out, event);
        break;
    case RELAY_STREAM_FINISH:
        put_finish(writer, out, event);
        break;
    case RELAY_STREAM_USAGE:
        break; /* in the last chunk */
    case RELAY_STREAM_END:
        put_end(writer, out, event->usage);
        break;
    case RELAY_STREAM_PING: /* one line end: an empty line would be an empty event */
        RELAY_PUT(out, ": ping\n");
        break;
    case RELAY_STREAM_ERROR:
        put_error(out, event->failure);
        break;
    }
}
