/*
 * Which headers belong to a vendor: see wire_headers.h.
 */

#include "wire_headers.h"

#include "wire_anthropic.h"

static const struct {
    relay_span_t dialect; /* empty: any */
    relay_span_t prefix;  /* lower case */
} owned[] = {
    {RELAY_SPAN_INIT(""), RELAY_SPAN_INIT("x-stainless-")}, /* what SDKs say of themselves */
    {RELAY_SPAN_INIT("openai"), RELAY_SPAN_INIT("openai-")},
    {RELAY_SPAN_INIT("openai"), RELAY_SPAN_INIT("x-openai-")},
    {RELAY_SPAN_INIT("openai"), RELAY_SPAN_INIT("x-codex-")},
    {RELAY_SPAN_INIT("openai"), RELAY_SPAN_INIT("x-ratelimit-")},
    {RELAY_SPAN_INIT("openai"), RELAY_SPAN_INIT("chatgpt-")},
    {RELAY_SPAN_INIT("anthropic"), RELAY_SPAN_INIT("anthropic-")},
    {RELAY_SPAN_INIT("anthropic"), RELAY_SPAN_INIT("x-claude-")},
    {RELAY_SPAN_INIT("gemini"), RELAY_SPAN_INIT("x-goog-")},
    {RELAY_SPAN_INIT("gemini"), RELAY_SPAN_INIT("x-gemini-")},
    {RELAY_SPAN_INIT("bedrock"), RELAY_SPAN_INIT("x-amz-")},
    {RELAY_SPAN_INIT("bedrock"), RELAY_SPAN_INIT("x-amzn-")},
    {RELAY_SPAN_INIT("bedrock"), RELAY_SPAN_INIT("amz-sdk-")},
};

bool relay_wire_owns_header(const relay_dialect_t *dialect, relay_span_t name)
{
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
        relay_span_t prefix = owned[i].prefix;
        if ((owned[i].dialect.len == 0 || relay_span_eq(owned[i].dialect, dialect->name)) &&
            name.len >= prefix.len &&
            relay_span_case_eq(relay_span(name.base, prefix.len), prefix)) {
            return true;
        }
    }
    return false;
}

relay_span_t relay_wire_beta_header(const relay_wire_t *wire)
{
    return wire == &relay_wire_anthropic_messages ? RELAY_SPAN("anthropic-beta")
                                                  : relay_span(NULL, 0);
}

static bool holds(relay_span_t text, relay_span_t word)
{
    for (size_t i = 0; i + word.len <= text.len; i++) {
        if (relay_span_case_eq(relay_span(text.base + i, word.len), word)) {
            return true;
        }
    }
    return false;
}

relay_span_t relay_wire_listed_prefix(const relay_dialect_t *dialect, relay_span_t user_agent,
                                      relay_span_t id)
{
    /* Claude Code shows what has one of two words in its id */
    if (dialect != &relay_dialect_anthropic ||
        (!relay_span_starts(user_agent, RELAY_SPAN("claude-cli/")) &&
         !relay_span_starts(user_agent, RELAY_SPAN("claude-code/"))) ||
        holds(id, RELAY_SPAN("claude")) || holds(id, RELAY_SPAN("anthropic"))) {
        return relay_span(NULL, 0);
    }
    return RELAY_SPAN("claude/");
}
