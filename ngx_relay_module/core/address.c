/*
 * Which network addresses a provider may have: see address.h. Called by the
 * adapter for each address that it is about to connect to.
 */

#include "address.h"

typedef struct {
    uint8_t prefix[16];
    unsigned bits;
} relay_range_t;

/* RFC 6890 and the IANA IPv4 special-purpose registry. */
static const relay_range_t relay_inside_v4[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* shared address space, RFC 6598 */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link-local: cloud metadata */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarks */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 3},           /* multicast, reserved, broadcast */
};

static const relay_range_t relay_inside_v6[] = {
    {{0}, 96},                      /* unspecified, loopback, v4-compatible */
    {{0x01}, 64},                   /* discard only */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0xfc}, 7},                    /* unique local */
    {{0xfe, 0x80}, 10},             /* link-local */
    {{0xfe, 0xc0}, 10},             /* site-local, deprecated */
    {{0xff}, 8},                    /* multicast */
};

/* IPv6 forms that carry an IPv4 address, and where. */
static const struct {
    relay_range_t range;
    size_t offset;
} relay_embeds_v4[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12}, /* mapped */
    {{{0, 0x64, 0xff, 0x9b}, 96}, 12},                      /* NAT64, RFC 6052 */
    {{{0x20, 0x02}, 16}, 2},                                /* 6to4 */
};

static bool relay_range_holds(const relay_range_t *range, const uint8_t *address)
{
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;

    if (memcmp(range->prefix, address, whole) != 0) {
        return false;
    }
    return rest == 0 || (range->prefix[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static bool relay_v4_public(const uint8_t *address)
{
    for (size_t i = 0; i < sizeof(relay_inside_v4) / sizeof(*relay_inside_v4); i++) {
        if (relay_range_holds(&relay_inside_v4[i], address)) {
            return false;
        }
    }
    return true;
}

static bool relay_v6_public(const uint8_t *address)
{
    for (size_t i = 0; i < sizeof(relay_embeds_v4) / sizeof(*relay_embeds_v4); i++) {
        if (relay_range_holds(&relay_embeds_v4[i].range, address)) {
            return relay_v4_public(address + relay_embeds_v4[i].offset);
        }
    }
    for (size_t i = 0; i < sizeof(relay_inside_v6) / sizeof(*relay_inside_v6); i++) {
        if (relay_range_holds(&relay_inside_v6[i], address)) {
            return false;
        }
    }
    return true;
}

bool relay_address_public(relay_span_t bytes)
{
    if (bytes.len == 4) {
        return relay_v4_public(bytes.base);
    }
    return bytes.len == 16 && relay_v6_public(bytes.base);
}
