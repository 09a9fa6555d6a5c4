/*
 * What configuration refuses: every fault with its document, line, column, path
 * and words. Documents are written with ' for ", and with ~ in front of the
 * place where the fault is to be found.
 */

#include "config_read.c"

#include "config_check.h"

/* Sections that many documents begin with. */
#define A                                                                                          \
    "'hosts': {'a': {'base_url': 'https://h', 'formats': ['openai-chat']}, 'e': {'echo': true}}"
#define K                                                                                          \
    A ", 'provider_keys': {'k': {'host': 'a', 'value': 'x'}, "                                     \
      "'main-key': {'host': 'a', 'value': 'y'}}"
#define P   "'policies': {'x': {}}"
#define RLY "rly_01234567ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef3bgdHc"
#define SHA "91d402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef"

static void show(const relay_config_fault_t *fault)
{
    print_error("%zu:%zu: %s: %s\n", fault->line, fault->column, fault->path, fault->message);
}

static void refused(const char *written, const char *path, const char *message)
{
    char document[CHECK_DOCUMENT_MAX];
    size_t line, column, mark = check_prepare(written, document);
    check_arena_t arena = {0};
    relay_config_fault_t fault;

    if (check_try(&arena, document, &fault) != NULL) {
        print_error("accepted: %s\n", document);
        fail();
    }
    relay_json_position(check_text(document), mark, &line, &column);
    if (fault.line != line || fault.column != column || strcmp(fault.path, path) != 0 ||
        strstr(fault.message, message) == NULL) {
        print_error("%s\nwant %zu:%zu: %s: %s\n", document, line, column, path, message);
        show(&fault);
        fail();
    }
    check_span(fault.document, "relay.json");
    check_release(&arena);
}

/* ---- what is refused ------------------------------------------------------ */

static void syntax(void **state)
{
    (void)state;
    refused("~", "", "JSON ends too early");
    refused("{'hosts': {~", "", "JSON ends too early");
    refused("{'hosts': ~}}", "", "invalid JSON: unexpected }");
    refused("{\n 'hosts': {},\n ~}", "", "invalid JSON: unexpected }");
    refused("{} ~x", "", "invalid JSON: unexpected x");
    refused("{'a': '~\xff'}", "", "not valid UTF-8");
    refused("~\xef\xbb\xbf{}", "", "invalid JSON");
    refused("~[]", "", "expected an object, found an array");
    refused("~'x'", "", "expected an object, found a string");
    refused("{'hosts': {'a': {'echo': true}, ~'a': {}}}", "hosts.a", "occurs twice");
    refused("{'hosts': {'a': {'echo': true, ~'ech\\u006f': false}}}", "hosts.a[\"ech\\u006f\"]",
            "occurs twice");
    refused("{'hosts': {}, 'models': {}, ~'hosts': {}}", "hosts", "occurs twice");
    refused("{'hosts': {'a': {}, ~'a': {}}, x", "", "this name occurs twice");
}

static void unknown_members(void **state)
{
    (void)state;
    refused("{~'host': {}}", "host", "there is no section \"host\"; did you mean \"hosts\"?");
    refused("{~'zzzzzz': {}}", "zzzzzz",
            "there is no section \"zzzzzz\"; known: hosts, models, provider_keys, pools, policies, "
            "relay_keys, revocations, workspace");
    refused("{'hosts': ~[]}", "hosts", "expected an object of named entries, found an array");
    refused("{'hosts': {'a': {~'base_ulr': 'x'}}}", "hosts.a.base_ulr",
            "there is no member \"base_ulr\"; did you mean \"base_url\"?");
    refused("{'hosts': {'a': {~'BaseURL': 'x'}}}", "hosts.a.BaseURL", "did you mean \"base_url\"?");
    refused("{'hosts': {'a': {~'stream_usgae': 1}}}", "hosts.a.stream_usgae",
            "did you mean \"stream_usage\"?");
    refused("{'hosts': {'a': {'auth': {~'headers': 1}}}}", "hosts.a.auth.headers",
            "did you mean \"header\"?");
    refused("{'hosts': {'a': {'tls': {~'insecure': 1}}}}", "hosts.a.tls.insecure",
            "known: verify, ca_file, name");
    refused("{'hosts': {'a': {'timeouts': {~'connect': 1}}}}", "hosts.a.timeouts.connect",
            "did you mean \"connect_ms\"?");
    refused("{'models': {'m': {~'offer': []}}}", "models.m.offer", "did you mean \"offers\"?");
    refused("{'provider_keys': {'k': {~'valeu': ''}}}", "provider_keys.k.valeu",
            "did you mean \"value\"?");
    refused("{'pools': {'p': {~'keys': []}}}", "pools.p.keys", "known: members");
    refused("{'policies': {'x': {~'alow': []}}}", "policies.x.alow", "did you mean \"allow\"?");
    refused("{'relay_keys': {'x': {~'digest': ''}}}", "relay_keys.x.digest", "there is no member");
    refused(
        "{'pools': {'a':{},'b':{},'c':{},'d':{},'e':{},'f':{},'g':{},'h':{},'i':{},'j':{},'k':{},"
        "'l':{},'m':{},'n':{},'o':{},'p':{},'q':{},'r':{}}, 'policies': {'x': {'pools': "
        "[~'zzz']}}}",
        "policies.x.pools[0]", "known: a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p and 2 more");
    refused("{'relay_keys': {'x': {~'$Comment': ''}}}", "relay_keys.x.$Comment", "no member");
}

static void types(void **state)
{
    (void)state;
    refused("{'hosts': {'a': ~'https://h'}}", "hosts.a", "expected an object, found a string");
    refused("{'hosts': {'a': {'base_url': ~1}}}", "hosts.a.base_url",
            "expected a string, found a number");
    refused("{'hosts': {'a': {'echo': ~1}}}", "hosts.a.echo",
            "expected true or false, found a number");
    refused("{'hosts': {'a': {'local': ~'true'}}}", "hosts.a.local", "true or false");
    refused("{'hosts': {'a': {'formats': ~'openai-chat'}}}", "hosts.a.formats",
            "expected an array of formats, or an object");
    refused("{'hosts': {'a': {'formats': [~null]}}}", "hosts.a.formats[0]", "found null");
    refused("{'hosts': {'a': {'auth': ~'x'}}}", "hosts.a.auth", "expected an object");
    refused("{'hosts': {'a': {'headers': ~[]}}}", "hosts.a.headers",
            "expected an object of header values");
    refused("{'hosts': {'a': {'headers': {'x': ~true}}}}", "hosts.a.headers.x",
            "expected a string, found true");
    refused("{'hosts': {'a': {'serves': ~'*'}}}", "hosts.a.serves", "an array of patterns");
    refused("{'hosts': {'a': {'serves': ['a', ~2]}}}", "hosts.a.serves[1]", "a string");
    refused("{'models': {'m': {'aliases': ~{}}}}", "models.m.aliases", "an array of model names");
    refused("{'models': {'m': {'aliases': [~1]}}}", "models.m.aliases[0]", "a string");
    refused("{'models': {'m': {'offers': ~{}}}}", "models.m.offers", "an array of offers");
    refused("{'models': {'m': {'offers': [~'a']}}}", "models.m.offers[0]", "an object");
    refused("{'pools': {'p': {'members': ~'k'}}}", "pools.p.members", "an array of provider keys");
    refused("{'pools': {'p': {'members': [~1]}}}", "pools.p.members[0]",
            "expected a provider key's name, or an object");
    refused("{'policies': {'x': {'max_attempts': ~'4'}}}", "policies.x.max_attempts",
            "expected a number, found a string");
    refused("{'relay_keys': {'x': {'policy': ~4}}}", "relay_keys.x.policy",
            "expected a string, found a number");
    refused("{'policies': {'x': {'pools': ~'p'}}}", "policies.x.pools", "an array of pools");
    refused("{'relay_keys': {'x': {'key': ~5}}}", "relay_keys.x.key", "expected a string");
    refused("{'relay_keys': {'x': {'expires_at': ~5}}}", "relay_keys.x.expires_at", "null");
}

static void numbers(void **state)
{
    (void)state;
    refused("{'policies': {'x': {'max_attempts': ~0}}}", "policies.x.max_attempts",
            "expected a whole number from 1 to 16, found 0");
    refused("{'policies': {'x': {'max_attempts': ~17}}}", "policies.x.max_attempts", "found 17");
    refused("{'policies': {'x': {'max_attempts': ~1.0}}}", "policies.x.max_attempts", "found 1.0");
    refused("{'policies': {'x': {'max_attempts': ~1e0}}}", "policies.x.max_attempts", "found 1e0");
    refused("{'policies': {'x': {'max_attempts': ~-1}}}", "policies.x.max_attempts", "found -1");
    refused("{'policies': {'x': {'max_attempts': ~99999999999999999999999999999999}}}",
            "policies.x.max_attempts", "found 999999999999999999999999");
    refused("{'policies': {'x': {'timeouts': {'idle_ms': ~0}}}}", "policies.x.timeouts.idle_ms",
            "from 1 to 86400000");
    refused("{'policies': {'x': {'timeouts': {'idle_ms': ~86400001}}}}",
            "policies.x.timeouts.idle_ms", "from 1 to 86400000");
    refused("{'models': {'m': {'context_tokens': ~0}}}", "models.m.context_tokens", "from 1");
    refused("{'models': {'m': {'created': ~9007199254740993}}}", "models.m.created", "from 0");
}

#define HOST(rest)                                                                                 \
    "{'hosts': {'a': {'base_url': 'https://h', 'formats': ['openai-chat'], " rest "}}}"

static void hosts(void **state)
{
    (void)state;
    refused("{'hosts': {~'a': {}}}", "hosts.a", "expected \"base_url\" (or \"echo\": true)");
    refused("{'hosts': {~'a': {'echo': false}}}", "hosts.a", "expected \"base_url\"");
    refused("{'hosts': {~'a': {'base_url': 'https://h'}}}", "hosts.a", "expected \"formats\"");
    refused("{'hosts': {'a': {'base_url': ~'h'}}}", "hosts.a.base_url", "starts with https://");
    refused("{'hosts': {'a': {'base_url': ~'https://h:0'}}}", "hosts.a.base_url", "1 to 65535");
    refused("{'hosts': {'a': {'formats': ~[]}}}", "hosts.a.formats", "at least one format");
    refused("{'hosts': {'a': {'formats': ~{'$comment': ''}}}}", "hosts.a.formats", "at least one");
    refused("{'hosts': {'a': {'formats': ['openai-chat', ~'openai-chats']}}}", "hosts.a.formats[1]",
            "there is no format \"openai-chats\"; did you mean \"openai-chat\"?");
    refused("{'hosts': {'a': {'formats': {~'chat': '/x'}}}}", "hosts.a.formats.chat",
            "known: openai-chat, openai-responses, openai-embeddings, anthropic-messages");
    refused("{'hosts': {'a': {'formats': {'openai-chat': ~'x'}}}}", "hosts.a.formats.openai-chat",
            "starts with a slash");
    refused("{'hosts': {'a': {'formats': {'openai-chat': ~'/a/../b'}}}}",
            "hosts.a.formats.openai-chat", "segment");
    refused("{'hosts': {'a': {'echo': true, ~'base_url': 'https://h'}}}", "hosts.a.base_url",
            "has no network");
    refused("{'hosts': {'a': {'echo': true, ~'timeouts': {}}}}", "hosts.a.timeouts",
            "has no network");
    refused("{'hosts': {'a': {'base_url': 'http://h', 'formats': ['openai-chat'], ~'tls': {}}}}",
            "hosts.a.tls", "there is no TLS");
    refused(HOST("'tls': {'name': ~'a b'}"), "hosts.a.tls.name", "a host name or an IP address");
    refused(HOST("'tls': {'ca_file': ~''}"), "hosts.a.tls.ca_file", "at least 1 character");
    refused(HOST("'tls': {'ca_file': ~'/a\\u0000b'}"), "hosts.a.tls.ca_file", "control character");
    refused("{'hosts': {~'a b': {}}}", "hosts[\"a b\"]", "expected a name: 1 to 64 letters");
    refused("{'hosts': {~'': {}}}", "hosts[\"\"]", "expected a name");
    refused("{'hosts': {'h/x.y_-': {'echo': true}, ~'a\\n': {}}}", "hosts[\"a\\n\"]", "a name");
}

static void headers(void **state)
{
    (void)state;
    refused(HOST("'headers': {~'Host': 'x'}"), "hosts.a.headers.Host",
            "the header \"host\" is set by Relay alone");
    refused(HOST("'headers': {~'content-length': '1'}"), "hosts.a.headers.content-length", "alone");
    refused(HOST("'headers': {~'transfer-encoding': 'x'}"), "hosts.a.headers.transfer-encoding",
            "alone");
    refused(HOST("'headers': {~'Connection': 'x'}"), "hosts.a.headers.Connection", "alone");
    refused(HOST("'headers': {~'Authorization': 'x'}"), "hosts.a.headers.Authorization",
            "this header carries the provider key");
    refused("{'hosts': {'a': {'headers': {'y': '', ~'X-Key': 'x'}, 'base_url': 'http://h', "
            "'formats': ['openai-chat'], 'auth': {'header': 'x-key'}}}}",
            "hosts.a.headers.X-Key", "carries the provider key");
    refused(HOST("'headers': {~'a b': 'x'}"), "hosts.a.headers[\"a b\"]", "a header name");
    refused(HOST("'headers': {~'a:': 'x'}"), "hosts.a.headers[\"a:\"]", "a header name");
    refused(HOST("'headers': {~'': 'x'}"), "hosts.a.headers[\"\"]", "a header name");
    refused(HOST("'headers': {'x': ~'a\\r\\nb: c'}"), "hosts.a.headers.x", "printable ASCII");
    refused(HOST("'headers': {'x': ~'a\\u0000'}"), "hosts.a.headers.x", "printable ASCII");
    refused(HOST("'headers': {'x': ~'\xc3\xa9'}"), "hosts.a.headers.x", "printable ASCII");
    refused(HOST("'headers': {'x-a': '1', ~'X-A': '2'}"), "hosts.a.headers.X-A", "occurs twice");
    refused(HOST("'auth': {'header': ~'host'}"), "hosts.a.auth.header", "set by Relay alone");
    refused(HOST("'auth': {'header': ~'a b'}"), "hosts.a.auth.header", "a header name");
    refused(HOST("'auth': {'prefix': ~'a\\n'}"), "hosts.a.auth.prefix", "printable ASCII");
    refused(HOST("'serves': [~'']"), "hosts.a.serves[0]", "at least 1 character");
    refused(HOST("'serves': [~'a b']"), "hosts.a.serves[0]", "a pattern of printable characters");
}

static void models(void **state)
{
    (void)state;
    refused("{'models': {~'a b': {}}}", "models[\"a b\"]", "expected a model name");
    refused("{'models': {~'a,b': {}}}", "models[\"a,b\"]", "expected a model name");
    refused("{'models': {~'a\\u0022': {}}}", "models[\"a\\u0022\"]", "expected a model name");
    refused("{'models': {~'a\\\\b': {}}}", "models[\"a\\\\b\"]", "expected a model name");
    refused("{'models': {~'\xc3\xa9': {}}}", "models[\"\xc3\xa9\"]", "expected a model name");
    refused("{'models': {~'': {}}}", "models[\"\"]", "expected a model name");
    refused("{" A ", 'models': {'gpt-4.1': {'offers': [{'host': 'a'}, {'host': ~'b'}]}}}",
            "models[\"gpt-4.1\"].offers[1].host", "there is no host \"b\"; known: a, e");
    refused("{" A ", 'models': {'m': {'offers': [~{'id': 'x'}]}}}", "models.m.offers[0]",
            "expected \"host\"");
    refused("{" A ", 'models': {'m': {'offers': [{'host': 'a', 'id': ~'x y'}]}}}",
            "models.m.offers[0].id", "expected a model name");
    refused("{" A ", 'models': {'m': {'offers': [{'host': 'a', "
            "'formats': ~['openai-chat', 'openai-embeddings']}]}}}",
            "models.m.offers[0].formats",
            "the host \"a\" does not speak the format \"openai-embeddings\"");
    refused("{" A ", 'models': {'m': {'offers': [{'formats': ~[], 'host': 'a'}]}}}",
            "models.m.offers[0].formats", "at least one format");
    refused("{'models': {'m': {}, 'n': {'aliases': ['x', ~'m']}}}", "models.n.aliases[1]",
            "there is a model \"m\" already");
    refused("{'models': {'m': {'aliases': [~'m']}}}", "models.m.aliases[0]", "a model \"m\"");
    refused("{'models': {'m': {'aliases': ['x']}, 'n': {'aliases': [~'x']}}}",
            "models.n.aliases[0]", "the alias \"x\" occurs twice");
    refused("{'models': {'n': {'aliases': ['y', 'x']}, 'm': {'aliases': ['z', ~'x']}, 'l': {}}}",
            "models.m.aliases[1]", "the alias \"x\" occurs twice");
    refused("{'models': {'m': {'aliases': [~'x y']}}}", "models.m.aliases[0]", "a model name");
    refused("{'models': {'m': {'display_name': ~'a\\u0007'}}}", "models.m.display_name",
            "control character");
    refused("{'models': {'m': {'display_name': ~'a\\u0085'}}}", "models.m.display_name",
            "control character");
}

static void provider_keys(void **state)
{
    (void)state;
    refused("{" A ", 'provider_keys': {~'k': {'host': 'a'}}}", "provider_keys.k",
            "expected \"value\"");
    refused("{" A ", 'provider_keys': {~'k': {'value': 'x'}}}", "provider_keys.k",
            "expected \"host\"");
    refused("{" A ", 'provider_keys': {'k': {'host': ~'b'}}}", "provider_keys.k.host",
            "there is no host \"b\"");
    refused("{" A ", 'provider_keys': {'k': {'host': ~'e'}}}", "provider_keys.k.host",
            "takes no provider key");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'env:'}}}", "provider_keys.k.value",
            "the name of an environment variable");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'env:1A'}}}", "provider_keys.k.value",
            "environment variable");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'env:A B'}}}", "provider_keys.k.value",
            "environment variable");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'file:key'}}}", "provider_keys.k.value",
            "an absolute path");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'file:/'}}}", "provider_keys.k.value",
            "an absolute path");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'file:/a\\u0000'}}}",
            "provider_keys.k.value", "an absolute path");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'a b'}}}", "provider_keys.k.value",
            "printable ASCII characters without spaces");
    refused("{" A ", 'provider_keys': {'k': {'value': ~'a\\n'}}}", "provider_keys.k.value",
            "printable");
}

#define SEALED "'sealed': 'k.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw'"

static void sealed_provider_keys(void **state)
{
    static const char *const wrong[] = {
        "",
        ".",
        "k",
        "k.",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw",
        ".AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw",    /* no key id */
        "a b.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw", /* no key id either */
        "k.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaG",    /* bits left over */
        "k.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka",     /* too short by a byte */
        "k.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==", /* padding */
        "k.AAECAwQFBgcICQoLDA0ODxAREhMUFRYX.GBkaGw",  /* two dots */
        "k.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka/w",   /* the other alphabet */
        "012345678901234567890123456789012.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw", /* long id */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char document[1024];
        snprintf(document, sizeof(document),
                 "{" A ", 'provider_keys': {'k': {'host': 'a', 'version': 1, 'sealed': ~'%s'}}}",
                 wrong[i]);
        refused(document, "provider_keys.k.sealed",
                "expected a key id, a dot, and base64 of nonce, ciphertext and tag");
    }
    refused("{" A ", 'provider_keys': {~'k': {'host': 'a', " SEALED "}}}", "provider_keys.k",
            "\"sealed\" and \"version\" come together");
    refused("{" A ", 'provider_keys': {~'k': {'host': 'a', 'version': 1}}}", "provider_keys.k",
            "\"sealed\" and \"version\" come together");
    refused("{" A ", 'provider_keys': {~'k': {'host': 'a', 'value': '', 'version': 1}}}",
            "provider_keys.k", "come together");
    refused("{" A ", 'provider_keys': {'k': {'host': 'a', 'version': 1, ~" SEALED
            ", 'value': ''}}}",
            "provider_keys.k.sealed", "expected either \"value\" or \"sealed\"");
    refused("{" A ", 'provider_keys': {'k': {'host': 'a', 'value': 'x', 'version': 1, ~" SEALED
            "}}}",
            "provider_keys.k.sealed", "expected either \"value\" or \"sealed\"");
    refused("{" A ", 'provider_keys': {'k': {'host': 'a', 'version': ~0}}}",
            "provider_keys.k.version", "from 1 to 9007199254740992");
    refused("{" A ", 'provider_keys': {'k': {'host': 'a', 'version': ~9007199254740993}}}",
            "provider_keys.k.version", "from 1 to 9007199254740992");
}

static void revocations(void **state)
{
    (void)state;
    refused("{'revocations': ~[]}", "revocations", "an object of named entries");
    refused("{'revocations': {'" SHA "': ~0}}", "revocations." SHA, "from 1 to 9007199254740992");
    refused("{'revocations': {'" SHA "': ~9007199254740993}}", "revocations." SHA, "from 1 to");
    refused("{'revocations': {'" SHA "': ~'1'}}", "revocations." SHA, "expected a number");
    refused("{'revocations': {~'91D4': 1}}", "revocations.91D4", "64 hexadecimal digits");
    refused("{'revocations': {~'91D402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef'"
            ": 1}}",
            "revocations.91D402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef",
            "in lower case");
    refused("{'revocations': {'" SHA "': 1, ~'" SHA "': 2}}", "revocations." SHA, "occurs twice");
}

static void workspaces(void **state)
{
    (void)state;
    refused("{'workspace': ~''}", "workspace", "expected a name");
    refused("{'workspace': ~'a b'}", "workspace", "expected a name");
    refused("{'workspace': ~{}}", "workspace", "expected a string");
    refused("{'workspace': 'a', ~'workspace': 'a'}", "workspace", "occurs twice");
}

static void pools_and_policies(void **state)
{
    (void)state;
    refused("{" K ", 'pools': {'p': {'members': ['k', ~'mainkey']}}}", "pools.p.members[1]",
            "there is no provider key \"mainkey\"; did you mean \"main-key\"?");
    refused("{" K ", 'pools': {'p': {'members': [{'key': ~'z'}]}}}", "pools.p.members[0].key",
            "known: k, main-key");
    refused("{" K ", 'pools': {'p': {'members': [~{'weight': 1}]}}}", "pools.p.members[0]",
            "expected \"key\"");
    refused("{" K ", 'pools': {'p': {'members': ['k', ~{'key': 'k'}]}}}", "pools.p.members[1]",
            "this key is a member already");
    refused("{" K ", 'pools': {'p': {'members': [{'key': 'k', 'weight': ~0}]}}}",
            "pools.p.members[0].weight", "from 1 to 1000000");
    refused("{" K ", 'pools': {'p': {'members': [{'key': 'k', 'weight': ~1000001}]}}}",
            "pools.p.members[0].weight", "from 1 to 1000000");
    refused("{" K ", 'pools': {'p': {'members': [{'key': 'k', 'priority': ~1000001}]}}}",
            "pools.p.members[0].priority", "from 0 to 1000000");
    refused("{'pools': {'a': {}, 'b': {}}, 'policies': {'default': {'pools': [~'main']}}}",
            "policies.default.pools[0]", "there is no pool \"main\"; known: a, b");
    refused("{'policies': {'default': {'pools': [~'main']}}}", "policies.default.pools[0]",
            "there is no pool \"main\"; there are none");
}

static void relay_keys(void **state)
{
    (void)state;
    refused("{" P ", 'relay_keys': {~'a': {'key': '" RLY "'}}}", "relay_keys.a",
            "expected \"policy\"");
    refused("{" P ", 'relay_keys': {'a': {'policy': ~'y'}}}", "relay_keys.a.policy",
            "there is no policy \"y\"; known: x");
    refused("{" P ", 'relay_keys': {~'a': {'policy': 'x'}}}", "relay_keys.a",
            "expected either \"key\" or \"sha256\"");
    refused("{" P ", 'relay_keys': {~'a': {'policy': 'x', 'key': '" RLY "', 'sha256': '" SHA "'}}}",
            "relay_keys.a", "expected either \"key\" or \"sha256\"");
    refused("{" P ", 'relay_keys': {'a': {'key': ~'rly_01234567'}}}", "relay_keys.a.key",
            "its checksum is wrong");
    refused("{" P ", 'relay_keys': {'a': {'key': ~'" RLY "x'}}}", "relay_keys.a.key", "checksum");
    refused("{" P ", 'relay_keys': {'a': {'key': ~'sk-rly_0'}}}", "relay_keys.a.key", "checksum");
    refused("{" P ", 'relay_keys': {'a': {'key': ~'nineteen-characters'}}}", "relay_keys.a.key",
            "expected 20 to 256 printable characters without spaces");
    refused("{" P ", 'relay_keys': {'a': {'key': ~'twenty characters...'}}}", "relay_keys.a.key",
            "20 to 256");
    refused("{" P ", 'relay_keys': {'a': {'sha256': ~'91d4'}}}", "relay_keys.a.sha256",
            "64 hexadecimal digits");
    refused("{" P ", 'relay_keys': {'a': {'sha256': ~'" SHA "0'}}}", "relay_keys.a.sha256", "64");
    refused("{" P ", 'relay_keys': {'a': {'sha256': ~5}}}", "relay_keys.a.sha256", "a string");
    refused("{" P ", 'relay_keys': {'a': {'expires_at': ~'tomorrow'}}}", "relay_keys.a.expires_at",
            "2027-01-01T00:00:00Z");
    refused("{" P ", 'relay_keys': {'b': {'policy': 'x', 'key': '" RLY "'},\n"
            "~'a': {'policy': 'x', 'sha256': '" SHA "'}}}",
            "relay_keys.a", "the same key has another name: see relay.json, line 1");
}

/* ---- secrets -------------------------------------------------------------- */

static void secrets_are_not_repeated(void **state)
{
    static const char *const documents[] = {
        "{" A ", 'provider_keys': {'k': {'host': 'a', 'value': 'SECRET with space'}}}",
        "{" A ", 'provider_keys': {'k': {'host': 'a', 'value': 'env:SECRET-1'}}}",
        "{" A ", 'provider_keys': {'k': {'host': 'a', 'value': 'file:SECRET'}}}",
        "{" A ", 'provider_keys': {'k': {'host': 'a', 'value': ['SECRET']}}}",
        "{" A ", 'provider_keys': {'k': {'host': 'a', 'version': 1, 'sealed': 'k.SECRET'}}}",
        "{" P ", 'relay_keys': {'k': {'policy': 'x', 'key': 'SECRET'}}}",
        "{" P ", 'relay_keys': {'k': {'policy': 'x', 'key': 'rly_SECRET'}}}",
        "{" P ", 'relay_keys': {'k': {'policy': 'x', 'sha256': 'SECRET'}}}",
        "{'hosts': {'h': {'base_url': 'https://user:SECRET@h'}}}",
        "{'hosts': {'h': {'base_url': 'https://h/?key=SECRET'}}}",
        HOST("'headers': {'authorization': 'Bearer SECRET'}"),
        HOST("'headers': {'x': 'SECRET\\n'}"),
        HOST("'auth': {'prefix': 'SECRET\\n'}"),
        "{" P ", 'relay_keys': {'k': {'policy': 'x', 'key': 'SECRET' 'b'}}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        char document[CHECK_DOCUMENT_MAX];
        check_arena_t arena = {0};
        relay_config_fault_t fault;
        check_prepare(documents[i], document);
        assert_null(check_try(&arena, document, &fault));
        assert_true(fault.message[0] != '\0');
        assert_null(strstr(fault.message, "SECRET"));
        assert_null(strstr(fault.path, "SECRET"));
        check_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax),
        cmocka_unit_test(unknown_members),
        cmocka_unit_test(types),
        cmocka_unit_test(numbers),
        cmocka_unit_test(hosts),
        cmocka_unit_test(headers),
        cmocka_unit_test(models),
        cmocka_unit_test(provider_keys),
        cmocka_unit_test(sealed_provider_keys),
        cmocka_unit_test(revocations),
        cmocka_unit_test(workspaces),
        cmocka_unit_test(pools_and_policies),
        cmocka_unit_test(relay_keys),
        cmocka_unit_test(secrets_are_not_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
