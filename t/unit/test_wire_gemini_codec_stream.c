/* Streams of Gemini for callers of other formats, and those of others for callers of
 * Gemini: the same however they are cut. */

#include "wire_gemini_codec_reader.c"

#include "translate_check.h"

#define GEMINI "gemini"

static bool has(const translate_stream_t *run, const char *part)
{
    relay_span_t text = relay_buf_span(&run->output.buf);

    return memmem(text.base, text.len, part, strlen(part)) != NULL;
}

/* ---- from this format ---------------------------------------------------------- */

#define TAIL                                                                                       \
    "\"usageMetadata\":{\"promptTokenCount\":19,\"cachedContentTokenCount\":4,"                    \
    "\"candidatesTokenCount\":7,\"thoughtsTokenCount\":3},\"modelVersion\":\"g\","                 \
    "\"responseId\":\"i\"}\n\n"
#define PARTS(parts)                                                                               \
    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts                    \
    "]},\"index\":0}]," TAIL
#define FINISH(parts, reason)                                                                      \
    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts                    \
    "]},\"finishReason\":\"" reason "\",\"index\":0}]," TAIL

static translate_stream_t stream(translate_t *run, const char *caller, const char *text,
                                 stream_check_t *check)
{
    translate_open(run, caller, GEMINI);
    run->translation.usage_wanted = true;
    return translate_stream(&run->translation, text, check);
}

static void done(translate_t *run, translate_stream_t *out)
{
    free(out->output.buf.base);
    translate_close(run);
}

#define TOOLS                                                                                      \
    PARTS("{\"text\":\"Pl\",\"thought\":true}")                                                    \
    PARTS("{\"text\":\"an.\",\"thought\":true}")                                                   \
    PARTS("{\"text\":\"é漢🙂\"}")                                                              \
    PARTS("{\"functionCall\":{\"id\":\"a\",\"name\":\"f\",\"args\":{\"x\":\"漢\\n\"}},"           \
          "\"thoughtSignature\":\"Q+E\\u003d\"},{\"functionCall\":{\"name\":\"g\"}},"              \
          "{\"functionCall\":{\"name\":\"h\",\"args\":{}},\"thoughtSignature\":\"AA==\"}")         \
    FINISH("{\"text\":\"\"}", "STOP")

static void text_thoughts_and_calls_for_chat(void **state)
{
    char text[256];
    translate_t run;
    stream_check_t check;
    translate_stream_t out = stream(&run, CHAT, TOOLS, &check);

    (void)state;
    assert_true(check.ended);
    assert_int_equal(check.calls, 3);
    assert_string_equal(check.stop, "tool_calls");
    translate_gather(&out, "\"reasoning_content\":\"", text, sizeof(text));
    assert_string_equal(text, "Plan.");
    translate_gather(&out, "\"content\":\"", text, sizeof(text));
    assert_string_equal(text, "é漢🙂");
    translate_gather(&out, "\"arguments\":\"", text, sizeof(text));
    assert_string_equal(text, "{\"x\":\"漢\\n\"}{}{}");
    assert_true(has(&out, "\"id\":\"a__thought__Q-E\""));
    assert_true(has(&out, "\"id\":\"call_r1_1\""));
    assert_true(has(&out, "\"id\":\"call_4__thought__AA\""));
    assert_true(has(&out, "\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,"));
    assert_int_equal(out.usage.reasoning_tokens, 3);
    done(&run, &out);
}

static void text_and_calls_for_messages(void **state)
{
    char text[256];
    translate_t run;
    stream_check_t check;
    translate_stream_t out = stream(&run, MESSAGES, TOOLS, &check);

    (void)state;
    assert_true(check.ended);
    assert_int_equal(check.blocks, 4);
    assert_int_equal(check.calls, 3);
    assert_string_equal(check.stop, "tool_use");
    translate_gather(&out, "\"partial_json\":\"", text, sizeof(text));
    assert_string_equal(text, "{\"x\":\"漢\\n\"}");
    assert_true(has(&out, "\"id\":\"a__thought__Q-E\""));
    /* the first chunk knows what the prompt has cost */
    assert_true(has(&out, "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
                          "\"input_tokens\":15,\"cache_creation_input_tokens\":0,"
                          "\"cache_read_input_tokens\":4"));
    done(&run, &out);
}

static void a_signature_of_text_is_kept_beside_it(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out = stream(
        &run, CHAT,
        PARTS("{\"text\":\"x\"}") FINISH("{\"text\":\"\",\"thoughtSignature\":\"U0k=\"}", "STOP"),
        &check);

    (void)state;
    assert_true(check.ended);
    assert_true(has(&out, "\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":"
                          "\"U0k=\",\"format\":\"google-gemini-v1\",\"index\":0}]"));
    done(&run, &out);
}

/* Some servers repeat a reason in every chunk. */
static void text_behind_a_reason_is_not_lost(void **state)
{
    char text[64];
    translate_t run;
    stream_check_t check;
    translate_stream_t out =
        stream(&run, CHAT,
               FINISH("{\"text\":\"a\"}", "STOP") FINISH("{\"text\":\"b\"}", "MAX_TOKENS"), &check);

    (void)state;
    assert_true(check.ended);
    translate_gather(&out, "\"content\":\"", text, sizeof(text));
    assert_string_equal(text, "ab");
    assert_string_equal(check.stop, "length");
    done(&run, &out);
}

/* Candidates that nobody asked for do not stand in for the first. */
static void an_answer_without_its_first_candidate_ends_all_the_same(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out =
        stream(&run, CHAT,
               "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},"
               "\"finishReason\":\"STOP\",\"index\":5}]," TAIL,
               &check);

    (void)state;
    assert_true(check.ended);
    assert_string_equal(check.stop, "stop");
    done(&run, &out);
}

static void sources_become_citations_once(void **state)
{
#define CHUNK(n) "{\"web\":{\"uri\":\"https://e.example/" n "\",\"title\":\"T\"}}"
#define SOURCES(list)                                                                              \
    "data: {\"candidates\":[{\"groundingMetadata\":{\"groundingChunks\":[" list                    \
    "]},\"index\":0}]," TAIL
    translate_t run;
    stream_check_t check;
    translate_stream_t out = stream(&run, MESSAGES,
                                    PARTS("{\"text\":\"x\"}") SOURCES(CHUNK("1"))
                                        SOURCES(CHUNK("1") "," CHUNK("2")) FINISH("", "STOP"),
                                    &check);
    char text[64];

    (void)state;
    assert_true(check.ended);
    translate_gather(&out, "\"url\":\"https://e.example/", text, sizeof(text));
    assert_string_equal(text, "12");
    done(&run, &out);
}

static void a_stream_that_stops_short_is_a_failure(void **state)
{
    static const struct {
        const char *text;
        const char *part;
        unsigned status;
    } cases[] = {
        {PARTS("{\"text\":\"x\"}"), "ended before", 502},
        {PARTS("{\"text\":\"x\"}") "data: {\"candidates\":[{\"finishReason\":\"ST", "ended before",
         502},
        {"", "ended before", 502},
        {PARTS("{\"text\":\"x\"}") "data: {\"error\":{\"code\":503,\"message\":\"The model is "
                                   "over\\u006coaded.\",\"status\":\"UNAVAILABLE\"}}\n\n",
         "The model is overloaded.", 503},
        {"data: [{\"error\":{\"code\":8,\"message\":\"slow\",\"status\":\"RESOURCE_EXHAUSTED\"}}]"
         "\n\n",
         "slow", 429},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = stream(&run, CHAT, cases[i].text, &check);
        assert_true(check.errored);
        if (!has(&out, cases[i].part)) {
            print_error("no %s in %.*s\n", cases[i].part, (int)out.output.buf.len,
                        (const char *)out.output.buf.base);
            fail();
        }
        assert_int_equal(out.status, cases[i].status);
        assert_int_equal(out.heaviest, RELAY_EVENT_ERROR);
        assert_false(has(&out, "[DONE]"));
        done(&run, &out);
    }
}

/* An error tells when to come again, in the words of this format. */
static void the_delay_of_an_error_is_read(void **state)
{
    translate_t run;
    translate_stream_t out;
    relay_span_t text =
        RELAY_SPAN("data: {\"error\":{\"code\":429,\"message\":\"slow\",\"details\":[{\"@type\":"
                   "\"x\"},{\"retryDelay\":\"46.2s\"}]}}\n\n");

    (void)state;
    translate_open(&run, GEMINI, GEMINI);
    out = translate_run(&run.translation, text, text.len, 1 << 20);
    assert_true(has(&out, "\"retryDelay\":\"47s\""));
    assert_int_equal(out.status, 429);
    done(&run, &out);
}

static void a_blocked_prompt_is_a_refusal(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out =
        stream(&run, MESSAGES,
               "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\",\"blockReasonMessage\":"
               "\"no\"}}\n\n",
               &check);

    (void)state;
    assert_true(check.ended);
    assert_string_equal(check.stop, "refusal");
    assert_true(has(&out, "\"explanation\":\"no\""));
    done(&run, &out);
}

/* ---- for this format ------------------------------------------------------------- */

typedef struct {
    unsigned parts;
    unsigned calls;
    char finish[RELAY_FINISH_MAX];
    bool errored;
} gemini_check_t;

static void check_part(relay_json_value_t part, gemini_check_t *check)
{
    relay_json_value_t call = stream_member(part, "functionCall");

    assert_int_equal(part.type, RELAY_JSON_OBJECT);
    check->parts++;
    if (call.type == RELAY_JSON_ABSENT) {
        assert_int_equal(stream_member(part, "text").type, RELAY_JSON_STRING);
        return;
    }
    check->calls++;
    assert_true(relay_wire_says(stream_member(call, "id")));
    assert_true(relay_wire_says(stream_member(call, "name")));
    assert_int_equal(stream_member(call, "args").type, RELAY_JSON_OBJECT);
}

static void check_candidate(relay_json_value_t candidate, gemini_check_t *check)
{
    relay_json_value_t content = stream_member(candidate, "content"), part;
    relay_json_value_t parts = stream_member(content, "parts");
    size_t cursor = 0;

    assert_true(stream_is(stream_member(content, "role"), "model"));
    assert_int_equal(stream_member(candidate, "index").type, RELAY_JSON_NUMBER);
    assert_int_equal(parts.type, RELAY_JSON_ARRAY);
    while (relay_json_element(parts.text, &cursor, &part)) {
        check_part(part, check);
    }
    relay_wire_copy(stream_member(candidate, "finishReason"), check->finish, sizeof(check->finish));
}

/* Every chunk is an answer of its own; one has a reason, the last, or there is an error. */
static void check_item(const relay_sse_item_t *item, gemini_check_t *check)
{
    relay_json_value_t data = {RELAY_JSON_OBJECT, item->data}, candidates, candidate;
    relay_json_fault_t fault;
    size_t cursor = 0;

    assert_int_equal(relay_json_scan(item->data, NULL, 0, NULL, &fault), RELAY_JSON_OK);
    assert_true(check->finish[0] == '\0' && !check->errored);
    if (stream_member(data, "error").type != RELAY_JSON_ABSENT) {
        check->errored = true;
        assert_true(relay_wire_says(stream_member(stream_member(data, "error"), "message")));
        return;
    }
    candidates = stream_member(data, "candidates");
    assert_int_equal(candidates.type, RELAY_JSON_ARRAY);
    assert_true(relay_json_element(candidates.text, &cursor, &candidate));
    check_candidate(candidate, check);
    assert_int_equal(stream_member(data, "usageMetadata").type == RELAY_JSON_OBJECT,
                     check->finish[0] != '\0');
    assert_true(stream_member(data, "modelVersion").type == RELAY_JSON_STRING);
    assert_true(relay_wire_says(stream_member(data, "responseId")));
}

static void check_stream(relay_span_t text, gemini_check_t *check)
{
    relay_sse_t sse;
    relay_sse_item_t item;
    relay_sse_status_t status;

    *check = (gemini_check_t){0};
    relay_sse_init(&sse, (relay_memory_t){stream_check_resize, NULL}, 1 << 20);
    while ((status = relay_sse_next(&sse, &text, &item)) != RELAY_SSE_MORE) {
        if (status == RELAY_SSE_EVENT) {
            check_item(&item, check);
        }
    }
    assert_false(relay_sse_pending(&sse));
    assert_true(check->errored != (check->finish[0] != '\0'));
    relay_sse_free(&sse);
}

static translate_stream_t for_gemini(translate_t *run, const char *upstream, const char *text,
                                     gemini_check_t *check)
{
    relay_span_t input = relay_wire_cstring(text);
    translate_stream_t whole;

    translate_open(run, GEMINI, upstream);
    whole = translate_run(&run->translation, input, input.len, 1 << 20);
    check_stream(relay_buf_span(&whole.output.buf), check);
    assert_int_equal(whole.failed, check->errored);
    for (size_t cut = 0; cut < input.len; cut++) {
        translate_stream_t other = translate_run(&run->translation, input, cut, 1 << 20);
        assert_true(
            relay_span_eq(relay_buf_span(&whole.output.buf), relay_buf_span(&other.output.buf)));
        free(other.output.buf.base);
    }
    return whole;
}

#define CHUNK_HEAD                                                                                 \
    "data: {\"id\":\"i\",\"model\":\"m\","                                                         \
    "\"choices\":[{\"index\":0,\"delta\":{"
#define DELTA(members)       CHUNK_HEAD members "},\"finish_reason\":null}]}\n\n"
#define END(reason, members) CHUNK_HEAD "},\"finish_reason\":\"" reason "\"}]" members "}\n\n"
#define TOOL(n, members)     "\"tool_calls\":[{\"index\":" n members "}]"
#define ARGS(text)           ",\"function\":{\"arguments\":\"" text "\"}"

static void fragments_of_calls_are_put_together(void **state)
{
    translate_t run;
    gemini_check_t check;
    translate_stream_t out = for_gemini(
        &run, CHAT,
        DELTA("\"role\":\"assistant\",\"content\":\"\"") DELTA("\"reasoning_content\":\"why\"")
            DELTA("\"content\":\"漢🙂\"")
                DELTA(TOOL("0", ",\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}"))
                    DELTA(TOOL("1", ",\"id\":\"b\",\"function\":{\"name\":\"g\"}"))
                        DELTA(TOOL("0", ARGS("{\\\"x\\\":"))) DELTA(TOOL("1", ARGS("{\\\"bro")))
                            DELTA(TOOL("0", ARGS("\\\"\\\\u00e9漢\\\"}")))
                                DELTA(TOOL("2", ",\"function\":{\"name\":\"h\"}")) END(
                                    "tool_calls", ",\"usage\":{\"prompt_tokens\":9,\"completion_"
                                                  "tokens\":5}") "data: [DONE]\n\n",
        &check);

    (void)state;
    assert_int_equal(check.calls, 3);
    assert_string_equal(check.finish, "STOP");
    assert_true(has(&out, "{\"text\":\"why\",\"thought\":true}"));
    assert_true(has(&out, "{\"text\":\"漢🙂\"}"));
    assert_true(has(&out, "{\"functionCall\":{\"id\":\"a\",\"name\":\"f\",\"args\":{\"x\":"
                          "\"\\u00e9漢\"}}}"));
    assert_true(has(&out, "{\"functionCall\":{\"id\":\"b\",\"name\":\"g\",\"args\":{"
                          "\"raw_arguments\":\"{\\\"bro\"}}}"));
    assert_true(has(&out, "{\"functionCall\":{\"id\":\"call_r1_2\",\"name\":\"h\",\"args\":{}}}"));
    assert_true(has(&out, "\"usageMetadata\":{\"promptTokenCount\":9,\"cachedContentTokenCount\":0,"
                          "\"candidatesTokenCount\":5,\"thoughtsTokenCount\":0,"
                          "\"totalTokenCount\":14}"));
    done(&run, &out);
}

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define BLOCK(n, block)   EVENT("content_block_start", ",\"index\":" n ",\"content_block\":" block)
#define BDELTA(n, delta)  EVENT("content_block_delta", ",\"index\":" n ",\"delta\":" delta)
#define STOP(n)           EVENT("content_block_stop", ",\"index\":" n)

static void signed_thinking_is_sealed(void **state)
{
    translate_t run;
    gemini_check_t check;
    translate_stream_t out = for_gemini(
        &run, MESSAGES,
        EVENT("message_start", ",\"message\":{\"id\":\"i\",\"model\":\"m\",\"usage\":{"
                               "\"input_tokens\":3,\"output_tokens\":1}}")
            BLOCK("0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
                BDELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"a\"}")
                    BDELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"b\"}")
                        BDELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"SIG\"}")
                            STOP("0") EVENT("ping", "") BLOCK(
                                "1", "{\"type\":\"redacted_thinking\",\"data\":\"DATA\"}") STOP("1")
                                BLOCK("2", "{\"type\":\"text\",\"text\":\"\"}")
                                    BDELTA("2", "{\"type\":\"text_delta\",\"text\":\"c\"}")
                                        BDELTA("2", "{\"type\":\"citations_delta\",\"citation\":{"
                                                    "\"url\":\"https://e.example\"}}") STOP("2")
                                            EVENT("message_delta",
                                                  ",\"delta\":{\"stop_reason\":\"refusal\","
                                                  "\"stop_details\":{\"explanation\":\"no\"}}")
                                                EVENT("message_stop", ""),
        &check);

    (void)state;
    assert_string_equal(check.finish, "SAFETY");
    assert_true(has(&out, "{\"text\":\"a\",\"thought\":true}"));
    assert_true(has(&out, "{\"text\":\"b\",\"thought\":true,\"thoughtSignature\":"
                          "\"cmVsYXk6dDphbnRocm9waWMtY2xhdWRlLXYxOlNJRw==\"}"));
    assert_true(has(&out, "{\"text\":\"\",\"thought\":true,\"thoughtSignature\":"
                          "\"cmVsYXk6cjphbnRocm9waWMtY2xhdWRlLXYxOkRBVEE=\"}"));
    assert_true(has(&out, "\"groundingChunks\":[{\"web\":{\"uri\":\"https://e.example\"}}]"));
    assert_true(has(&out, "\"finishReason\":\"SAFETY\",\"finishMessage\":\"no\""));
    assert_false(has(&out, ": ping")); /* its clients know no comments */
    done(&run, &out);
}

#define TEN "0123456789"
#define LONG_PIECE                                                                                 \
    TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN    \
        TEN TEN TEN

/* The end of a thought waits for its signature, however long its last piece is: a client
 * drops a part without text, and the signature with it. */
static void s15_the_signature_of_a_long_thought_is_with_text(void **state)
{
    translate_t run;
    gemini_check_t check;
    char text[512];
    translate_stream_t out = for_gemini(
        &run, MESSAGES,
        EVENT("message_start", ",\"message\":{\"id\":\"i\",\"model\":\"m\",\"usage\":{"
                               "\"input_tokens\":3,\"output_tokens\":1}}")
            BLOCK("0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
                BDELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"a\"}")
                    BDELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"" LONG_PIECE "\"}")
                        BDELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"SIG\"}")
                            STOP("0") EVENT("error", ",\"error\":{\"type\":\"api_error\","
                                                     "\"message\":\"x\"}"),
        &check);

    (void)state;
    assert_true(check.errored);
    translate_gather(&out, "{\"text\":\"", text, sizeof(text));
    assert_string_equal(text, "a" LONG_PIECE);
    assert_true(has(&out, "{\"text\":\"0123\",\"thought\":true}"));
    assert_true(has(&out, "789\",\"thought\":true,\"thoughtSignature\":\"cmVs"));
    assert_false(has(&out, "{\"text\":\"\",\"thought\":true"));
    done(&run, &out);
    out = for_gemini(&run, CHAT, DELTA("\"reasoning_content\":\"why\""), &check);
    assert_true(check.errored);
    assert_true(has(&out, "{\"text\":\"why\",\"thought\":true}"));
    done(&run, &out);
}

/* It is cut in front of a character: one that is an escape, or of many bytes. */
static void a_long_thought_is_cut_between_characters(void **state)
{
    static const char *const starts[] = {"", "a", "ab", "abc", "abcd", "abcde"};
    static const char *const fills[] = {"\xe6\xbc\xa2", "\\n", "\\u6f22", "\\ud83d\\ude42"};
    char piece[1024], stream[2048], want[1024], got[1024];

    (void)state;
    for (size_t i = 0; i < 24; i++) {
        relay_buf_t plain = relay_buf(want, sizeof(want) - 1);
        translate_stream_t out;
        gemini_check_t check;
        translate_t run;
        relay_buf_t out_piece = relay_buf(piece, sizeof(piece) - 1);
        relay_buf_put(&out_piece, relay_wire_cstring(starts[i % 6]));
        while (out_piece.len < 400) {
            relay_buf_put(&out_piece, relay_wire_cstring(fills[i / 6]));
        }
        piece[out_piece.len] = '\0';
        snprintf(stream, sizeof(stream),
                 "data: {\"choices\":[{\"index\":0,\"delta\":{"
                 "\"reasoning_content\":\"%s\"}}]}\n\n" DELTA("\"content\":\"x\""),
                 piece);
        out = for_gemini(&run, CHAT, stream, &check);
        relay_json_decode_content(relay_wire_cstring(piece), &plain);
        RELAY_PUT(&plain, "x");
        want[relay_buf_span(&plain).len] = '\0';
        translate_gather(&out, "{\"text\":\"", got, sizeof(got));
        assert_string_equal(got, want);
        done(&run, &out);
    }
}

static void a_cut_stream_ends_with_an_error(void **state)
{
    translate_t run;
    gemini_check_t check;
    translate_stream_t out = for_gemini(
        &run, CHAT,
        DELTA("\"content\":\"x\"")
            DELTA(TOOL("0", ",\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")),
        &check);

    (void)state;
    assert_true(check.errored);
    assert_int_equal(check.calls, 0);
    done(&run, &out);
}

#define SEALED                                                                                     \
    "\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":\"c2ln\","                  \
    "\"format\":\"google-gemini-v1\"}]"

/* Whole, it is where its provider puts it; in a stream it comes behind the text. */
static void s15_the_signature_of_a_text_is_shown(void **state)
{
    translate_stream_t out;
    gemini_check_t check;
    translate_t run;
    relay_span_t whole;

    (void)state;
    translate_open(&run, GEMINI, CHAT);
    assert_int_equal(
        relay_translate_response(&run.translation,
                                 RELAY_SPAN("{\"choices\":[{\"message\":{\"content\":\"Hi\"," SEALED
                                            "},\"finish_reason\":\"stop\"}]}"),
                                 &whole),
        RELAY_ERR_NONE);
    translate_has(whole, "\"parts\":[{\"text\":\"Hi\",\"thoughtSignature\":\"c2ln\"}]");
    translate_close(&run);
    out = for_gemini(&run, CHAT, DELTA("\"content\":\"Hi\"") DELTA(SEALED), &check);
    assert_true(has(&out, "\"parts\":[{\"text\":\"\",\"thoughtSignature\":\"c2ln\"}]"));
    done(&run, &out);
}

/* Out of its provider, through a client of another format, and in again. */
static void s15_the_signature_of_a_text_survives_a_client(void **state)
{
    translate_t run;
    stream_check_t check;
    relay_span_t request;
    translate_stream_t out = stream(
        &run, CHAT,
        PARTS("{\"text\":\"Hi\"}") FINISH("{\"text\":\"\",\"thoughtSignature\":\"c2ln\"}", "STOP"),
        &check);

    (void)state;
    assert_true(has(&out, "\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":"
                          "\"c2ln\",\"format\":\"google-gemini-v1\""));
    done(&run, &out);
    translate_open(&run, CHAT, GEMINI);
    assert_int_equal(
        relay_translate_request(
            &run.translation,
            RELAY_SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
                       "{\"role\":\"assistant\",\"content\":\"Hi\"," SEALED
                       "},{\"role\":\"user\",\"content\":\"r\"}]}"),
            &request),
        RELAY_ERR_NONE);
    translate_has(request, "{\"text\":\"Hi\",\"thoughtSignature\":\"c2ln\"}");
    translate_close(&run);
}

/* Arguments that are longer than what may be kept are no answer. */
static void a_call_that_is_too_long_is_a_failure(void **state)
{
    static char text[8192];
    translate_t run;
    translate_stream_t out;
    relay_span_t input;
    size_t length = (size_t)snprintf(
        text, sizeof(text), "%s",
        DELTA(TOOL("0", ",\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}")));

    (void)state;
    length += (size_t)snprintf(text + length, sizeof(text) - length,
                               CHUNK_HEAD TOOL("0", ARGS("%04000d")) "}}]}\n\n", 1);
    length += (size_t)snprintf(text + length, sizeof(text) - length, "%s", END("stop", ""));
    input = relay_span(text, length);
    translate_open(&run, GEMINI, CHAT);
    out = translate_run(&run.translation, input, input.len, 2048);
    assert_true(out.failed);
    assert_true(has(&out, "\"error\""));
    assert_false(has(&out, "finishReason"));
    done(&run, &out);
}

static void a_stream_to_the_same_format_keeps_its_signatures(void **state)
{
    translate_t run;
    gemini_check_t check;
    translate_stream_t out = for_gemini(
        &run, GEMINI,
        PARTS("{\"text\":\"a\",\"thought\":true,\"thoughtSignature\":\"U0k=\"}") PARTS(
            "{\"text\":\"b\",\"thoughtSignature\":\"VA==\"},{\"functionCall\":{\"id\":\"c\","
            "\"name\":\"f\",\"args\":{\"x\":[1,{\"y\":null}]}},\"thoughtSignature\":\"Q+E/\"}")
            FINISH("", "MAX_TOKENS"),
        &check);

    (void)state;
    assert_string_equal(check.finish, "MAX_TOKENS");
    assert_true(has(&out, "\"thought\":true,\"thoughtSignature\":\"U0k=\""));
    assert_true(has(&out, "{\"text\":\"\",\"thoughtSignature\":\"VA==\"}"));
    assert_true(has(&out, "{\"thoughtSignature\":\"Q+E/\",\"functionCall\":{\"id\":\"c\",\"name\":"
                          "\"f\",\"args\":{\"x\":[1,{\"y\":null}]}}}"));
    done(&run, &out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_thoughts_and_calls_for_chat),
        cmocka_unit_test(text_and_calls_for_messages),
        cmocka_unit_test(a_signature_of_text_is_kept_beside_it),
        cmocka_unit_test(text_behind_a_reason_is_not_lost),
        cmocka_unit_test(an_answer_without_its_first_candidate_ends_all_the_same),
        cmocka_unit_test(sources_become_citations_once),
        cmocka_unit_test(a_stream_that_stops_short_is_a_failure),
        cmocka_unit_test(the_delay_of_an_error_is_read),
        cmocka_unit_test(a_blocked_prompt_is_a_refusal),
        cmocka_unit_test(fragments_of_calls_are_put_together),
        cmocka_unit_test(signed_thinking_is_sealed),
        cmocka_unit_test(s15_the_signature_of_a_long_thought_is_with_text),
        cmocka_unit_test(a_long_thought_is_cut_between_characters),
        cmocka_unit_test(s15_the_signature_of_a_text_is_shown),
        cmocka_unit_test(s15_the_signature_of_a_text_survives_a_client),
        cmocka_unit_test(a_cut_stream_ends_with_an_error),
        cmocka_unit_test(a_call_that_is_too_long_is_a_failure),
        cmocka_unit_test(a_stream_to_the_same_format_keeps_its_signatures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
