#!/usr/bin/perl

# Which paths Relay answers, and how: every endpoint in each spelling of the
# base URL, probes, upgrades, unknown paths, encoded characters, dot segments,
# wrong methods. Always in the caller's dialect.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

my $openai = provider();
my $anthropic = provider();
my @openai_formats = qw(openai-chat openai-responses openai-embeddings);

# Two vendors, as in the field, and a model that only the second one has: for "m"
# the first would be asked in either dialect. The relay key "closed" has a policy
# that lets no unknown path through, "blind" one whose hosts do not take them.
sub configuration {
    my $config = relay_config(
        {policy => {passthrough => \1}, models => {'m-of-a' => {offers => [{host => 'a'}]}}},
        o => {mock => $openai, formats => \@openai_formats, passthrough => \1},
        a => {
            mock => $anthropic, formats => ['anthropic-messages'], passthrough => \1,
            auth => {header => 'x-api-key'}});
    $config->{hosts}{plain} = {%{$config->{hosts}{o}}, passthrough => \0};
    $config->{provider_keys}{kplain} = {host => 'plain', value => secret('plain')};
    $config->{pools}{plain} = {members => ['kplain']};
    push @{$config->{models}{m}{offers}}, {host => 'plain', id => 'up-plain'};
    $config->{policies}{closed} = {pools => ['p']};
    $config->{policies}{blind} = {pools => ['plain'], passthrough => \1};
    $config->{relay_keys}{$_} = {policy => $_, key => "key-of-$_-000000000001"} for qw(closed blind);
    return $config;
}

my $config = configuration();
my $t = Relay::Test->new(http2 => 1);
$t->relay($config)->start;

# Each asks for a model that its own vendor is the first to have.
my @endpoints = map {
    {%$_, body => {%{$_->{body}}, $_->{dialect} eq 'anthropic' ? (model => 'm-of-a') : ()}}
} endpoints();

sub mock_of { $_[0] eq 'openai' ? $openai : $anthropic }
sub own_prefix { '/' . $_[0]{dialect} }

# The request line that the mock saw, if it comes at all.
sub line_seen {
    my ($mock) = @_;
    my $req = $mock->requests(1, 1)->[0];
    return $req ? $req->{line} : '(no request)';
}

# ---- every endpoint, every base URL -----------------------------------------

for my $e (@endpoints) {
    my $own = own_prefix($e);
    my %spelling = (
        'bare' => $e->{path}, "under $own" => "$own$e->{path}",
        'base URL with a slash at its end' => "/$e->{path}",
        "base URL $own/" => "$own/$e->{path}",
        'three slashes' => "//$e->{path}",
        'a doubled slash behind the version' => $e->{path} =~ s{^/v1/}{/v1//}r,
        'base URL with the version, and the version again' => "/v1$e->{path}",
        "base URL $own/v1, and the version again" => "$own/v1$e->{path}");
    for my $how (sort keys %spelling) {
        my $mock = mock_of($e->{dialect})->forget;
        my $res = $t->post($spelling{$how}, $e->{body});
        answered($res, $e, "$e->{name}, $how: the provider's answer");
        is line_seen($mock), "POST $e->{path} HTTP/1.1",
            "$e->{name}, $how: under the provider's own path";
    }
    my $mock = mock_of($e->{dialect})->forget;
    answered($t->post("$e->{path}?beta=true&x=%2F", $e->{body}), $e, "$e->{name}: with a query");
    is line_seen($mock), "POST $e->{path}?beta=true&x=%2F HTTP/1.1", "$e->{name}: which goes along as it is";
    answered($t->post("$own$e->{path}", $e->{body}, http2 => 1), $e, "$e->{name}: over HTTP/2")
        if $e->{name} =~ /^(chat|messages|count_tokens)$/;
}

subtest 'the wrong prefix is no endpoint' => sub {
    untouched(
        $anthropic,
        'the other vendor sees nothing',
        sub {
            refused(
                $t->post('/openai/v1/messages', {model => 'm'}, key => 'key-of-closed-000000000001'),
                openai => 404, 'path_not_found', 'messages under /openai');
        });
    untouched(
        $openai,
        'the other vendor sees nothing',
        sub {
            refused(
                $t->post('/anthropic/v1/chat/completions', {model => 'm'}, key => 'key-of-closed-000000000001'),
                anthropic => 404, 'path_not_found', 'chat under /anthropic');
        });
};

# ---- a location of its own --------------------------------------------------

subtest 'relay_pass in a location beside others' => sub {
    my $sub = Relay::Test->new(pass => 'return 418;', server => 'location /llm/ { relay_pass; }'
            . ' location /short { relay_pass; } location = /v1/static { return 204; }');
    $sub->relay($config)->start;
    for my $e (@endpoints) {
        my $own = own_prefix($e);
        for my $path ("/llm$e->{path}", "/llm$own$e->{path}", "/llm/$e->{path}", "/short$e->{path}",
            "/short$own$e->{path}")
        {
            my $mock = mock_of($e->{dialect})->forget;
            answered($sub->post($path, $e->{body}), $e, "$path");
            is line_seen($mock), "POST $e->{path} HTTP/1.1", "$path: without the prefix";
        }
    }
    is $sub->get('/llm/v1/models')->status, 200, 'models';
    is $sub->get('/llm/v1/files')->json->{asked}, 'GET /v1/files', 'an unknown path passes without the prefix';
    refused($sub->get('/llm/v1/files', key => 'key-of-closed-000000000001'), openai => 404, 'path_not_found',
        'or is refused');
    refused($sub->get('/llm/other'), openai => 404, 'path_not_found', 'a path that is not under /v1');
    refused($sub->get('/llm/anthropic/v1/models/none'), anthropic => 404, 'model_not_found',
        'the dialect of the prefix');
    is $sub->ask(HEAD => '/llm/', key => undef)->status, 200, 'HEAD of the base URL';
    is $sub->get($_)->status, 418, "$_ is not Relay's" for '/', '/v1/models', '/llmx', '/v1/chat/completions';
    is $sub->get('/v1/static')->status, 204, 'nor is a location with its own name';
    $sub->finish;
};

# ---- what needs no key ------------------------------------------------------

my $every = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

subtest 'probes' => sub {
    is scalar $t->ask(OPTIONS => $_, key => undef)->header('allow'), 'GET, HEAD, OPTIONS', "OPTIONS $_"
        for '/v1/models', '/anthropic/v1/models/m';
    untouched(
        $openai,
        'no provider is asked',
        sub {
            for my $how ({}, {http2 => 1}) {
                my $res = $t->ask(HEAD => '/', key => undef, %$how);
                is $res->status, 200, 'HEAD /';
                is $res->body, '', 'without a body' unless $how->{http2};    # curl writes the head there
                like scalar $res->header('x-relay-request-id'), qr/^[0-9a-f]{32}$/, 'with a request id';
            }
            is $t->ask(HEAD => '/', headers => ['anthropic-version', '2023-06-01'], key => undef)->header('request-id')
                ? 1
                : 0,
                1, 'HEAD / of an Anthropic client: its own request id header';
            is $t->get('/', key => undef)->status, 200, 'GET /';
            for my $path ('/', '/v1/chat/completions', '/anthropic/v1/messages', '/v1/files/x', '/*') {
                my $res = $t->ask(
                    OPTIONS => $path,
                    key => undef,
                    headers => [
                        'Origin', 'https://app.example',
                        'Access-Control-Request-Method', 'POST']);
                is $res->status, 204, "OPTIONS $path";
                is scalar $res->header('allow'), $path =~ m{/chat|/messages} ? 'POST, OPTIONS' : $every,
                    "OPTIONS $path: says what is allowed";
                ok $res->header('x-relay-request-id'), "OPTIONS $path: has a request id";
            }
        });
};

subtest 'WebSocket upgrades' => sub {
    my @upgrade = (
        Connection => 'Upgrade', Upgrade => 'websocket', 'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==');
    untouched(
        $openai,
        'no provider is asked',
        sub {
            for my $case (
                ['/v1/responses', 'openai'], ['/openai/v1/responses?model=m', 'openai'], ['/v1/realtime', 'openai'],
                ['/v1/messages', 'anthropic'], ['/anthropic/v1/anything', 'anthropic'])
            {
                my ($path, $dialect) = @$case;
                refused($t->get($path, headers => \@upgrade), $dialect => 426, 'upgrade_required', "GET $path");
            }
            refused($t->get('/v1/responses', key => undef, headers => \@upgrade), openai => 426, 'upgrade_required',
                'without a key');
        });
    my $e = endpoint('responses');
    answered(
        $t->post(
            $e->{path},
            $e->{body},
            headers => [
                Connection => 'Upgrade, HTTP2-Settings', Upgrade => 'h2c',
                'HTTP2-Settings' => 'AAMAAABkAAQAoAAAAAIAAAAA']),
        $e,
        'an offer of h2c is no WebSocket: the POST is served');
    $openai->forget;
    my $c = $t->client;
    $c->request(GET => '/v1/responses', headers => [@{auth()}, @upgrade]);
    $c->response;
    $c->request(POST => $e->{path}, headers => auth(), body => $e->{body});
    answered($c->response, $e, 'the client falls back to POST on the same connection');
};

# ---- unknown paths ----------------------------------------------------------

subtest 'pass to the pool of the vendor' => sub {
    my @cases = (
        ['openai', GET => '/v1/files', '/v1/files'],
        ['openai', GET => '/openai/files', '/v1/files'],
        ['openai', GET => '/openai/vector_stores/v2', '/v1/vector_stores/v2'],
        ['openai', GET => '/v1/v3beta/files', '/v1/v3beta/files'],
        ['openai', GET => '/openai/v1/files?limit=2&after=a%2Fb', '/v1/files?limit=2&after=a%2Fb'],
        ['openai', POST => '/v1/files', '/v1/files'],
        ['openai', DELETE => '/v1/files/file-1', '/v1/files/file-1'],
        ['openai', GET => '/v1/responses/resp_1', '/v1/responses/resp_1'],
        ['openai', POST => '/v1/responses/resp_1/cancel', '/v1/responses/resp_1/cancel'],
        ['openai', PUT => '/v1/things/1', '/v1/things/1'],
        ['openai', PATCH => '/v1/things/1', '/v1/things/1'],
        ['openai', GET => '/v1/files/a%2Fb%3Ac%20d', '/v1/files/a%2Fb%3Ac%20d'],
        ['openai', GET => '/v1/x;p=1/~y/@z/$w/(a)', '/v1/x;p=1/~y/@z/$w/(a)'],
        ['openai', GET => '/v1/odd%0d%0aX-Evil:%201', '/v1/odd%0d%0aX-Evil:%201'],
        ['openai', GET => '/v1/a..b/..c/d...', '/v1/a..b/..c/d...'],
        ['anthropic', POST => '/anthropic/v1/messages/batches', '/v1/messages/batches'],
        [   'anthropic', GET => '/v1/messages/batches?limit=1', '/v1/messages/batches?limit=1', 'anthropic-version',
            '2023-06-01'],
        ['anthropic', GET => '/v1/files', '/v1/files', 'anthropic-version', '2023-06-01'],
    );
    for my $case (@cases) {
        my ($dialect, $method, $path, $there, @headers) = @$case;
        my $mock = mock_of($dialect)->forget;
        my $body = $method =~ /^P/ ? "--b\r\nbytes \x00\xff\r\n--b--" : undef;
        my $res = $t->ask(
            $method => $path, headers => [@headers, $body ? ('Content-Type' => 'multipart/form-data; boundary=b') : ()],
            body => $body);
        my $req = $mock->requests(1)->[0];
        is_deeply [$res->status, $res->json->{asked}], [200, "$method $there"], "$method $path";
        is $req && $req->{line}, "$method $there HTTP/1.1", "$method $path: the path as it is";
        is $req && $req->body, defined $body ? $body : '', "$method $path: the body as it is";
        is $req && $req->key, secret($dialect eq 'openai' ? 'o' : 'a'), "$method $path: the provider's key";
        is $req && scalar $req->header('host'), $mock->authority, "$method $path: the provider's Host";
        is $res->header('x-relay-host'), $dialect eq 'openai' ? 'o' : 'a', "$method $path: x-relay-host";
    }
};

subtest 'or are refused' => sub {
    for my $mock ($openai, $anthropic) {
        untouched(
            $mock,
            'nothing reached it',
            sub {
                for my $key (qw(closed blind)) {
                    for my $method (qw(GET POST DELETE)) {
                        refused(
                            $t->ask($method => '/v1/files', key => "key-of-$key-000000000001"), openai => 404,
                            'path_not_found',
                            "$method /v1/files with the key $key");
                        refused(
                            $t->ask(
                                $method => '/v1/files', key => "key-of-$key-000000000001",
                                headers => ['anthropic-version', '2023-06-01']),
                            anthropic => 404,
                            'path_not_found',
                            "$method /v1/files with the key $key, Anthropic");
                    }
                }
                refused($t->get($_), openai => 404, 'path_not_found', "$_, outside of any version")
                    for '/foo', '/v2/models', '/v1', '/v1/', '/v1x/chat/completions', '/openai', '/openaix/v1/models';
                refused($t->get($_), anthropic => 404, 'path_not_found', "$_, outside of any version")
                    for '/anthropic', '/anthropic/', '/anthropic/v1';
                refused($t->get($_), openai => 404, 'path_not_found', "$_, of another version")
                    for '/openai/v2', '/openai/v1beta/files', '/openai/v2/models';
                refused($t->post($_, {model => 'm'}), anthropic => 404, 'path_not_found', "$_, of another version")
                    for '/anthropic/v3beta', '/anthropic/v1beta/messages', '/anthropic/v2/messages/count_tokens';
                refused($t->get('/v1/files', key => undef), openai => 401, 'invalid_relay_key', 'no key, no path');
                refused(
                    $t->get('/foo', http2 => 1, headers => ['anthropic-version', '2023-06-01']), anthropic => 404,
                    'path_not_found', 'over HTTP/2');
            });
    }
};

subtest 'dot segments never leave the base path' => sub {
    for my $path (
        '/v1/files/../../admin', '/v1/../admin', '/v1/files/%2e%2e/%2e%2e/admin', '/v1/%2E%2E/admin',
        '/v1/.%2e/admin', '/v1/..%2fadmin', '/v1/..%2F..%2Fadmin', '/v1/files/..%5cadmin', '/v1/files/..\\admin',
        '/v1/./files', '/v1/files/.', '/v1/files/..', '/openai/v1/../../admin', '/anthropic/v1/x/../../../admin',
        '/v1/models/../files', '/v1/chat/completions/../../files', '/v1/files/..?x=1', '/v1//..//admin')
    {
        my $dialect = $path =~ /anthropic/ ? 'anthropic' : 'openai';
        untouched(
            mock_of($dialect),
            "GET $path: nothing reached the provider",
            sub {
                my $res = $t->client->request(GET => $path, headers => auth())->response;
                ok $res->status == 404 || $res->status == 400, "GET $path is refused" or diag $res->status;
            });
    }
};

subtest 'models with encoded characters' => sub {
    for my $path ('/v1/models/m', '/v1/models/%6d', '/openai/v1/models/m') {
        is $t->get($path)->json->{id}, 'm', $path;
    }
    is $t->get('/v1/models/m', headers => ['anthropic-version', '2023-06-01'])->json->{type}, 'model', 'Anthropic';
};

# ---- methods ----------------------------------------------------------------

subtest 'methods that a path does not take' => sub {
    for my $mock ($openai, $anthropic) {
        untouched(
            $mock,
            'nothing reached it',
            sub {
                for my $e (@endpoints) {
                    for my $method ('GET', 'PUT', 'DELETE', 'PATCH') {
                        my $res = $t->ask($method => $e->{path}, body => $method eq 'GET' ? undef : {model => 'm'});
                        refused($res, $e->{dialect} => 405, 'method_not_allowed', "$method $e->{path}");
                        is_deeply [$res->header('allow')], ['POST, OPTIONS'], "$method $e->{path}: says what it takes";
                    }
                    my $head = $t->ask(HEAD => $e->{path});
                    is $head->status, 405, "HEAD $e->{path}";
                    is_deeply [$head->header('allow')], ['POST, OPTIONS'], "HEAD $e->{path}: says what it takes";
                }
                for my $path ('/v1/models', '/v1/models/m') {
                    for my $method ('POST', 'PUT', 'DELETE') {
                        my $res = $t->ask($method => $path, body => {x => 1});
                        refused($res, openai => 405, 'method_not_allowed', "$method $path");
                        is_deeply [$res->header('allow')], ['GET, HEAD, OPTIONS'], "$method $path: says what it takes";
                        refused(
                            $t->ask($method => "/anthropic$path", body => {x => 1}), anthropic => 405,
                            'method_not_allowed',
                            "$method /anthropic$path");
                    }
                }
            });
    }
};

# ---- what nginx turns down itself -------------------------------------------

# With error_page as in config/relay_server.conf, of which the location is ours.
subtest 'refusals of nginx, in the caller\'s dialect' => sub {
    my ($sample) = config_sample('relay_server.conf') =~ /^(error_page.*)/ms;
    my $s = Relay::Test->new(http2 => 1, server => $sample);
    $s->relay($config)->start;
    my $long = 'x' x 20000;
    my @cases = (
        ['a header of 20 KB', 431, "GET /v1/models HTTP/1.1\r\nHost: a\r\nX-Long: $long\r\n\r\n"],
        ['a request line of 20 KB', 414, "GET /v1/models?$long HTTP/1.1\r\nHost: a\r\n\r\n"],
        ['a path above the root', 400, "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"],
        ['a bad escape', 400, "GET /v1/%zz HTTP/1.1\r\nHost: a\r\n\r\n"],
        ['no Host', 400, "GET /v1/models HTTP/1.1\r\n\r\n"],
        [   'two lengths', 400,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
        [   'both framings', 400,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        ['TRACE', 405, "TRACE /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"],
        [   'an unknown transfer coding', 501,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"],
    );
    untouched(
        $openai,
        'nothing reached the provider',
        sub {
            for my $case (@cases) {
                my ($name, $status, $bytes) = @$case;
                my $c = $s->client;
                $c->send($bytes);
                my $res = $c->response;
                is $res->status, $status, "$name: $status";
                is scalar $res->header('allow'), 'GET, HEAD, OPTIONS', "$name: says what is allowed" if $status == 405;
                my $j = $res->json;
                ok $j->{error} && length $j->{error}{message}, "$name: a JSON error" or diag substr $res->body, 0, 200;
                like scalar $res->header('content-type'), qr{^application/json}, "$name: and says so";
            }
            my $c = $s->client;
            $c->send("GET /anthropic/v1/models HTTP/1.1\r\nHost: a\r\nX-Long: $long\r\n\r\n");
            is $c->response->json->{type}, 'error', 'in the dialect of the path';
        });
    $s->finish;
};

$t->done;
