/*
 * Which headers belong to a vendor: see wire_headers.h.
 */

#include "wire_headers.h"

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
