#!/usr/bin/perl

# What passes, byte for byte: the caller's request to the provider but for the
# spliced model, the provider's answer to the caller but for what would steer
# nginx or the caller's browser. R15, R16 (same format), R20, F9, X16, O10.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

my %answers;    # filled below, before the mock is made
my @pass = (
    ['X-Request-Id' => 'req_of_the_provider'], ['Request-Id' => 'req_of_the_provider'],
    ['openai-processing-ms' => '12'], ['OpenAI-Version' => '2020-10-01'], ['x-ratelimit-remaining-tokens' => '149984'],
    ['x-ratelimit-reset-requests' => '6m0s'], ['anthropic-ratelimit-tokens-reset' => '2026-01-01T00:00:00Z'],
    ['anthropic-organization-id' => 'org-1'], ['retry-after-ms' => '120'], ['x-should-retry' => 'false'],
    ['Cache-Control' => 'no-store'], ['ETag' => '"abc"'], ['Vary' => 'Origin'], ['Content-Language' => 'en'],
    ['X-Twice' => 'one'], ['X-Twice' => 'two'], ['X-Under_Score' => 'a_b'], ['X-Long' => 'v' x 8000],
    ['X-Obs' => "caf\xe9 \xe6\xbc\xa2"], ['X-Quotes' => '"a", \'b\'; c=d'], ['CF-Ray' => '0-AMS'],
    ['Warning' => '199 - "x"'],
    ['Access-Control-Expose-Headers' => 'X-Request-ID'], ['Deprecation' => 'true'],
    ['Link' => '<https://x.example>; rel="y"'],
);
my @drop = (
    ['X-Accel-Redirect' => '/internal'], ['X-Accel-Limit-Rate' => '1'], ['X-Accel-Buffering' => 'yes'],
    ['X-Accel-Expires' => '99'],
    ['X-Accel-Charset' => 'utf-7'], ['X-ACCEL-New' => '1'], ['Set-Cookie' => 'a=b; Domain=relay.example'],
    ['Set-Cookie2' => 'a=b'],
    ['Keep-Alive' => 'timeout=999'], ['Proxy-Connection' => 'keep-alive'], ['Proxy-Authenticate' => 'Basic'],
    ['WWW-Authenticate' => 'Bearer'], ['Upgrade' => 'h2c'], ['Trailer' => 'X-Later'], ['TE' => 'trailers'],
    ['Location' => 'https://evil.example/'], ['Refresh' => '0; url=https://evil.example/'], ['Server' => 'provider/9'],
    ['Date' => 'Thu, 01 Jan 1970 00:00:00 GMT'], ['X-Relay-Host' => 'spoofed'], ['X-Relay-Error' => 'spoofed'],
    ['X-Relay-Request-Id' => 'spoofed'], ['Strict-Transport-Security' => 'max-age=1'], ['Alt-Svc' => 'h3=":443"'],
    ['X-Hop' => 'named in Connection'],
);
my @mixed;
for my $i (0 .. ($#pass > $#drop ? $#pass : $#drop)) {
    push @mixed, map { @$_ } grep { defined } $pass[$i], $drop[$i];
}
$answers{headers} = {headers => [@mixed, Connection => 'X-Hop', Connection => 'keep-alive'], body => chat_answer(),
    type => 'application/json; charset=utf-8'};
$answers{"chunked headers"} = {%{$answers{headers}}, chunked => [1, 7, 100]};
$answers{"stream headers"} = {%{sse([chat_stream()])}};
$answers{"stream headers"}{headers} = [@mixed, Connection => 'keep-alive, X-Hop'];
for my $status (200, 201, 202, 400, 404, 405, 409, 413, 418, 422) {
    for my $dialect (qw(openai anthropic)) {
        my $body =
            $status < 300
            ? "{ \"odd\" : 1.0,\"caf\xc3\xa9\":[ ] }\n"
            : error_body($dialect, 'some_error', "message of $status", 'some_code');
        $answers{"status $status $dialect"} = {status => $status, body => $body, headers => ['X-Provider' => 'yes']};
    }
}
$answers{'last error'} =
    sub { {status => 503, headers => ['X-Request-Id' => 'the-last'],
    body => error_body('openai', 'server_error', 'all down', 'down')} };
$answers{'zipped error'} = {status => 500, gzip => 1, body => error_body('openai', 'server_error', 'inside', 'x')};
$answers{'zipped success'} = {gzip => 1, body => chat_answer()};
$answers{'redirect'} = {status => 307, headers => [Location => 'http://127.0.0.1:1/evil'], body => ''};

my $mock = provider(%answers);
my $other = provider();
my $config = relay_config(a => $mock);
$config->{hosts}{quiet} = {
    base_url => $mock->url . '/v1', local => \1, stream_usage => \0, formats => $config->{hosts}{a}{formats},
    headers => {'X-Fixed' => 'of the host', 'anthropic-version' => '2023-06-01'}};
$config->{provider_keys}{kquiet} = {host => 'quiet', value => secret('quiet')};
push @{$config->{pools}{p}{members}}, 'kquiet';
$config->{models}{quiet} = {offers => [{host => 'quiet', id => 'org/up:quiet'}]};
my $t = Relay::Test->new(http2 => 1);
$t->relay($config)->start;

# Headers that Relay writes itself towards the provider.
my %own = map { $_ => 1 } qw(host authorization accept-encoding content-length);

# ---- the request's headers --------------------------------------------------

subtest 'headers reach the provider as they are' => sub {
    my @keep = (
        ['Content-Type' => 'application/json; charset="utf-8"'], ['accept' => '*/*'],
        ['User-Agent' => 'OpenAI/Python 2.0 (x; y)'],
        ['session_id' => 'under_score'], ['Conversation_ID' => 'Mixed_Case'], ['_lead' => '1'],
        ['X-Stainless-Lang' => 'js'],
        ['x-stainless-retry-count' => '0'], ['anthropic-version' => '2023-06-01'],
        ['anthropic-beta' => 'context-1m-2025-08-07,unknown-future-flag-2031-01-01'], ['X-Between' => '1'],
        ['anthropic-beta' => 'another-one-2026-02-03'], ['Anthropic-Beta' => 'third , with  spaces'],
        ['anthropic-dangerous-direct-browser-access' => 'true'], ['OpenAI-Organization' => 'org-1'],
        ['OpenAI-Project' => 'proj_1'],
        ['X-Request-ID' => 'the-callers-own'], ['X-Client-Request-Id' => 'abc'], ['Idempotency-Key' => 'k-1'],
        ['X-Long' => 'v' x 8192],
        ['X-Empty' => ''], ['X-Tab' => "a\tb"], ['X-Obs' => "caf\xe9 \xe6\xbc\xa2"], ['X-Quotes' => '"a", \'b\'; c=d'],
        ['X-Colon' => 'a:b: c'],
        ['Accept-Language' => 'de, en;q=0.5'], ['Origin' => 'https://app.example'],
        ['Referer' => 'https://app.example/x?y=1'],
        ['traceparent' => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'], ['baggage' => 'a=b'],
        ['X-App' => 'cli'],
        ['If-None-Match' => '"x"'], ['Cache-Control' => 'no-cache'], ['Range' => 'bytes=0-1'], ['Via' => '1.1 corp'],
        ['DNT' => '1'],
        ['x-api-version' => '1'], ['xx-relay-key' => 'not ours'], ['X-Last' => 'end'],
    );
    my @drop = (
        ['Connection' => 'keep-alive, X-Named, x-also'], ['X-Named' => '1'], ['X-Also' => '1'],
        ['Keep-Alive' => 'timeout=5'],
        ['Proxy-Connection' => 'keep-alive'], ['TE' => 'trailers'], ['Trailer' => 'X-T'], ['Cookie' => 'a=b'],
        ['Proxy-Authorization' => 'Basic x'], ['X-Forwarded-For' => '10.1.2.3'],
        ['X-Forwarded-Host' => 'inner.example'],
        ['X-Forwarded-Proto' => 'https'], ['Forwarded' => 'for=10.1.2.3'], ['X-Real-IP' => '10.1.2.3'],
        ['Accept-Encoding' => 'gzip, br'], ['X-Relay-Request-Id' => 'mine'], ['X-Relay-Strict' => '1'],
    );
    my @mixed = map { ($keep[$_], $drop[$_]) } 0 .. $#keep;
    my @sent = map { @$_ } grep { defined } @mixed;
    for my $e (map { endpoint($_) } qw(chat messages count_tokens embeddings)) {
        $mock->forget;
        my $c = $t->client;
        $c->request(POST => $e->{path}, headers => [@{auth()}, @sent], body => $e->{body});
        answered($c->response, $e, "$e->{name}: served");
        my $req = $mock->request(0);
        my @came = grep { !$own{lc $_->[0]} } @{$req->headers};
        is_deeply \@came, \@keep, "$e->{name}: the same headers in the same order with the same case, and no others";
        my @made = grep { $own{lc $_->[0]} } @{$req->headers};
        is_deeply [sort map { lc $_->[0] } @made], [sort keys %own], "$e->{name}: Relay's own, once each";
        is $req->header('host'), $mock->authority, "$e->{name}: Host";
        is $req->header('authorization'), 'Bearer ' . secret('a'), "$e->{name}: the provider's key";
        is $req->header('accept-encoding'), 'identity', "$e->{name}: no compression";
        is $req->header('content-length'), length $req->body, "$e->{name}: the length";
    }
    $mock->forget;
    my @curl = map { @$_ } grep { $_->[0] !~ /^(X-Empty|Range|_lead)$/ } @keep;
    my $e = endpoint('messages');
    answered(
        $t->post(
            $e->{path}, $e->{body}, http2 => 1, headers => [@curl, Cookie => 'a=b', Cookie => 'c=d', TE => 'trailers']),
        $e,
        'over HTTP/2');
    my %wanted = map { lc $_->[0] => 1 } @keep;
    my @came = grep { $wanted{lc $_->[0]} } @{$mock->request(0)->headers};
    my %first = map { $_ => 1 } qw(user-agent accept);    # curl puts these in front
    is_deeply [grep { !$first{$_->[0]} } @came],
        [map { [lc $_->[0], $_->[1]] } grep { $_->[0] !~ /^(X-Empty|Range|_lead|User-Agent|accept)$/ } @keep],
        'over HTTP/2: the same';
    unlike $mock->request(0)->{raw_head}, qr/^(cookie|te):/mi, 'over HTTP/2: cookies and TE stay here';
};

subtest 'several Connection headers' => sub {
    my $e = endpoint('chat');
    my %cases = (
        'after keep-alive' => ['keep-alive', 'x-foo'], 'before keep-alive' => ['X-Foo', 'keep-alive'],
        'in the last of three' => ['keep-alive', 'Keep-Alive', 'x-other , x-foo'],
    );
    for my $how (sort keys %cases) {
        $mock->forget;
        my $c = $t->client;
        $c->request(
            POST => $e->{path}, body => $e->{body},
            headers => [
                @{auth()}, 'X-Foo' => 'of the connection',
                (map { (Connection => $_) } @{$cases{$how}}), 'X-Bar' => 'of the request',
            ]);
        answered($c->response, $e, "named $how: served");
        my $req = $mock->request(0);
        is $req->header('x-foo'), undef, "named $how: stays here";
        is $req->header('x-bar'), 'of the request', "named $how: what is not named passes";
    }
    $mock->forget;
    my $c = $t->client;
    $c->request(
        POST => $e->{path}, body => $e->{body},
        headers => [@{auth()}, 'X-Foo' => '1', Connection => 'keep-alive', Connection => 'keep-alive']);
    answered($c->response, $e, 'none named: served');
    is $mock->request(0)->header('x-foo'), '1', 'none named: it passes';
};

subtest 'R20 anthropic-beta, whole' => sub {
    my $e = endpoint('messages');
    for my $values (['one'], ['a,b , c'], ['a', 'b,c'], ['never-heard-of-2099-12-31'], ['x' x 4000]) {
        $mock->forget;
        $t->post($e->{path}, $e->{body}, headers => [map { ('anthropic-beta' => $_) } @$values]);
        is_deeply [$mock->request(0)->header('anthropic-beta')], $values, substr "@$values", 0, 40;
    }
};

subtest 'headers of the host' => sub {
    my $e = endpoint('messages');
    $mock->forget;
    $t->post($e->{path}, {%{$e->{body}}, model => 'quiet'});
    $t->post($e->{path}, {%{$e->{body}}, model => 'quiet'},
        headers => ['Anthropic-Version' => '2026-10-21', 'x-fixed' => 'of the caller']);
    my ($first, $second) = $mock->requests(2);
    is_deeply [map { $first->header($_) } qw(x-fixed anthropic-version)], ['of the host', '2023-06-01'], 'sent';
    is_deeply [map { $second->header($_) } qw(x-fixed anthropic-version)], ['of the caller', '2026-10-21'],
        'unless the caller sent them';
};

# ---- the request's body -----------------------------------------------------

# %M is the model as written.
my @bodies = (
    ['first', '{"model":%M,"messages":[],"input":"x"}'],
    ['last', '{"messages":[],"input":"x","model":%M}'],
    ['alone', '{"model":%M}'],
    ['white space', " \r\n\t{ \"a\" : 1 ,\n \"model\"\t:\r\n %M , \"z\" : [ ] , \"e\":{ } } \n\n"],
    [   'numbers',
        '{"t":1.0,"u":1e0,"v":1E+2,"w":12345678901234567890123,"model":%M,"neg":-0,"tiny":1.0e-7,"seed":0.10,"max_tokens":4096}'
    ],
    [   'key order and unknown fields',
        '{"z":1,"a":2,"model":%M,"tools":[{"type":"future_tool_20310101","future":{"z":1,"a":[1,2.50,{"k":null,"j":true}]}}],'
            . '"messages":[{"role":"user","x_new":{"deep":[[{"deeper":{}}]]},"content":[{"type":"future_block","data":"\\u0000\\u001f"}]}],"unknown_top":{"b":1}}'
    ],
    [   'inner models',
        '{"x":{"model":"m","model":"n"},"messages":[{"model":"m","content":"\\"model\\":\\"m\\""}],"model":%M,"metadata":{"model":"m"}}'
    ],
    [   'escapes',
        "{\"s\":\"\\u00e9 \\/ \\ud83d\\ude42 caf\xc3\xa9 \xf0\x9f\x99\x82 \\b\\f\\n\\r\\t\\\\\\\"\",\"k\\u0065y\":1,\"model\":%M,\"\":\"\"}"
    ],
    ['the same unknown key twice', '{"x":1,"x":2,"model":%M,"y":{"z":1,"z":2}}'],
    [   'addresses',
        '{"model":%M,"base_url":"http://169.254.169.254/","api_base":"http://evil.example","url":"http://evil","host":"evil","api_key":"x"}'
    ],
);

for my $e (endpoints()) {
    my @faults;
    for my $case (@bodies) {
        my ($name, $text) = @$case;
        for my $model ('"m"', '"\u006D"', '"m@a"', '"a/m"') {
            $mock->forget;
            my $sent = $text =~ s/%M/$model/r;
            my $res = $t->post($e->{path}, $sent);
            my $want = $text =~ s/%M/"up-a"/r;
            my $req = $mock->requests(1, 1)->[0];
            push @faults, "$name, $model: " . ($req ? $req->body : $res->body) unless $req && $req->body eq $want;
            push @faults, "$name, $model: x-relay-model " . $res->header('x-relay-model')
                unless ($res->header('x-relay-model') || '') eq 'm';
        }
    }
    ok !@faults, "R16 $e->{name}: every byte but the model" or diag join "\n", @faults;
}

subtest 'R16 large bodies' => sub {
    for my $size (16_100, 16_384, 70_000, 400_000) {
        for my $at (qw(first middle last)) {
            my @pad = map { qq("p$_":"caf\xc3\xa9 \\u00e9 ) . 'x' x 90 . '"' } 1 .. $size / 110;
            splice @pad, {first => 0, middle => @pad / 2, last => scalar @pad}->{$at}, 0, '"model":%M';
            my $text = '{' . join(', ', @pad) . '}';
            for my $how ({}, {chunked => [1, 100, 5000]}) {
                $mock->forget;
                $t->post('/v1/chat/completions', $text =~ s/%M/"m"/r, %$how);
                my $req = $mock->request(0);
                ok $req && $req->body eq $text =~ s/%M/"up-a"/r,
                    "$size bytes, the model $at" . (%$how ? ', chunked' : '');
            }
        }
    }
};

subtest 'streams' => sub {
    my %asked = (
        '' => '', ',"stream_options":{"include_usage":true}' => '', ',"stream_options":{}' => '',
        ',"stream_options":{"include_usage":false}' => '', ',"stream_options":{ "include_obfuscation" : false }' => '',
        ',"stream_options":null' => '');
    for my $options (sort keys %asked) {
        my $text = qq({"stream": true$options,"model":%M,"messages":[],"n":1.0});
        $mock->forget;
        $t->post('/v1/chat/completions', $text =~ s/%M/"quiet"/r, headers => ['x-play' => 'stream headers']);
        $t->post('/v1/chat/completions', $text =~ s/%M/"m"/r, headers => ['x-play' => 'stream headers']);
        my ($quiet, $loud) = $mock->requests(2);
        is $quiet->body, $text =~ s/%M/"org\/up:quiet"/r,
            "'$options' to a host that reports usage anyway: nothing is added";
        is $loud->json->{stream_options}{include_usage}, JSON::PP::true(), "'$options': usage is asked for";
        my $rest = $loud->body =~ s/,?\s*"stream_options"\s*:\s*(\{[^}]*\}|null)//r;
        is $rest, $text =~ s/%M/"up-a"/r =~ s/,?\s*"stream_options"\s*:\s*(\{[^}]*\}|null)//r,
            "'$options': and nothing else is changed";
        ok !exists $loud->json->{stream_options}{include_obfuscation} || $loud->body =~ /"include_obfuscation" : false/,
            "'$options': its members stay";
    }
    for my $e (endpoint('responses'), endpoint('messages')) {
        $mock->forget;
        $t->post($e->{path},
            '{"stream":true,"stream_options":{"include_obfuscation":false},"model":"m","input":[],"messages":[]}');
        is $mock->request(0)->body,
            '{"stream":true,"stream_options":{"include_obfuscation":false},"model":"up-a","input":[],"messages":[]}',
            "$e->{name}: nothing is added";
    }
};

subtest 'R15 equal requests give equal requests' => sub {
    for my $e (endpoints()) {
        $mock->forget;
        my $text = '{"z":1,"model":"m","a":{"c":1,"b":2.0},"stream":false}';
        my $c = $t->client;
        for my $i (1 .. 3) {
            $c->request(POST => $e->{path},
                headers => [@{auth()}, 'X-Relay-Request-Id' => "id-$i", 'X-A' => 1, 'X-B' => 2], body => $text);
            $c->response;
        }
        $t->post($e->{path}, $text, headers => ['X-A' => 1, 'X-B' => 2], style => 'x-relay-key', chunked => [3, 5]);
        my @seen = map { $_->{raw_head} . $_->body } $mock->requests(4);
        is_deeply [@seen[1 .. 3]], [($seen[0]) x 3],
            "$e->{name}: also over other connections, framings and styles of key";
    }
};

# ---- O10 --------------------------------------------------------------------

subtest 'O10 the caller does not choose the address' => sub {
    my $there = $other->authority;
    my $e = endpoint('chat');
    untouched(
        $other,
        'nothing goes where the caller says',
        sub {
            $mock->forget;
            my @headers = (
                Host => $there, 'X-Forwarded-Host' => $there, 'X-Relay-Base-Url' => "http://$there",
                'X-Base-Url' => "http://$there",
                'X-Relay-Host' => $there, 'X-Original-Url' => "http://$there/v1/chat/completions",
                'Destination' => "http://$there");
            answered(
                $t->client->request(POST => $e->{path}, headers => [@{auth()}, @headers], body => $e->{body})->response,
                $e, 'headers');
            answered(
                $t->client->request(POST => "http://$there$e->{path}", headers => auth(), body => $e->{body})->response,
                $e, 'an absolute target');
            my $body = {%{$e->{body}}, base_url => "http://$there", api_base => "http://$there",
                extra_body => {base_url => "http://$there"}};
            answered($t->post($e->{path}, $body), $e, 'members of the body');
            answered($t->post("$e->{path}?base_url=http://$there", $e->{body}), $e, 'the query');
            is_deeply [map { $_->header('host') } $mock->requests(4)], [($mock->authority) x 4],
                'Host is the configured one';
            for my $model ("m\@$there", "http://$there/m", "m\@127.0.0.1", 'm/../../x') {
                refused($t->post($e->{path}, {%{$e->{body}}, model => $model}), openai => 404, 'model_not_found',
                    "the model $model", param => 'model');
            }
        });
};

# ---- the answer's headers ---------------------------------------------------

for my $play ('headers', 'chunked headers', 'stream headers') {
    for my $http2 (0, 1) {
        my $name = $play . ($http2 ? ' over HTTP/2' : '');
        my $stream = $play =~ /stream/;
        my $res = $t->post(
            '/v1/chat/completions', {model => 'm', messages => [], $stream ? (stream => \1) : ()},
            headers => ['x-play' => $play, 'X-Relay-Request-Id' => 'mine_1-2'], http2 => $http2);
        is $res->status, 200, "$name: served";
        my %wanted = map { lc $_->[0] => 1 } @pass;
        my @came = grep { $wanted{lc $_->[0]} } @{$res->headers};
        is_deeply [map { [lc $_->[0], $_->[1]] } @came], [map { [lc $_->[0], $_->[1]] } @pass],
            "$name: in order, and each as often as it came";
        my %own = (
            'x-relay-host' => 'a', 'x-relay-request-id' => 'mine_1-2', 'server' => qr/^nginx/, 'date' => qr/ \d{4} /,
            $stream ? ('x-accel-buffering' => 'no') : ());
        my @faults;
        for my $h (map { lc $_->[0] } @drop) {
            my @is = $res->header($h);
            next
                if !@is && !exists $own{$h}
                || exists $own{$h} && @is == 1 && (ref $own{$h} ? $is[0] =~ $own{$h} : $is[0] eq $own{$h});
            push @faults, map { "$h: $_" } @is;
        }
        push @faults, 'Connection names X-Hop' if grep { /hop/i } $res->header('connection');
        push @faults, 'the Date of the provider' if grep { /1970/ } $res->header('date');
        ok !@faults, "$name: what would steer nginx or the browser does not pass" or diag join "\n", @faults;
        is_deeply [$res->header('content-type')], [$stream ? 'text/event-stream' : 'application/json; charset=utf-8'],
            "$name: the type as it is";
        is $res->body, $stream ? join('', chat_stream()) : chat_answer(), "$name: the body as it is";
        is $res->framing, $stream ? 'chunked' : 'length', "$name: and its framing" unless $http2;
    }
}

subtest 'headers of Relay\'s own' => sub {
    for my $e (endpoint('chat'), endpoint('messages')) {
        my $res = $t->post($e->{path}, $e->{body});
        my %is = map { $_ => scalar $res->header($_) }
            qw(x-relay-host x-relay-model x-relay-attempts x-relay-request-id server-timing);
        like $is{'x-relay-request-id'}, qr/^[0-9a-f]{32}$/, "$e->{name}: a request id";
        is $res->header($e->{dialect} eq 'openai' ? 'x-request-id' : 'request-id'), $is{'x-relay-request-id'},
            "$e->{name}: also under the dialect's name";
        is_deeply [@is{qw(x-relay-host x-relay-model x-relay-attempts)}], ['a', 'm', 1],
            "$e->{name}: where it comes from";
        like $is{'server-timing'}, qr/^[a-z]+;dur=\d+(\.\d+)?(, [a-z]+;dur=\d+(\.\d+)?)*$/, "$e->{name}: server-timing";
    }
    for my $id ('a', 'A_b-9', 'x' x 64) {
        is $t->get('/v1/models', headers => ['X-Relay-Request-Id' => $id])->header('x-relay-request-id'), $id,
            "the caller's id $id";
    }
    for my $id ('', 'x' x 65, 'a b', 'a"b', "caf\xe9", 'a%0d%0ab', '../x', "a\tb", '<a>') {
        like scalar $t->get('/v1/models', headers => ['X-Relay-Request-Id' => $id])->header('x-relay-request-id'),
            qr/^[0-9a-f]{32}$/,
            "not '" . substr($id, 0, 20) . "'";
    }
    my %seen = map { $t->get('/v1/models')->header('x-relay-request-id') => 1 } 1 .. 200;
    is scalar(keys %seen), 200, 'no two are alike';
};

# ---- statuses ---------------------------------------------------------------

for my $e (endpoint('chat'), endpoint('messages'), endpoint('count_tokens')) {
    for my $status (200, 201, 202, 400, 404, 405, 409, 413, 418, 422) {
        for my $stream (0, 1) {
            next if $stream && $e->{name} eq 'count_tokens';
            my $name = "X16 $e->{name}, $status" . ($stream ? ', a stream was asked for' : '');
            $mock->forget;
            my $res = $t->post($e->{path}, {%{$e->{body}}, $stream ? (stream => \1) : ()},
                headers => ['x-play' => "status $status $e->{dialect}"]);
            my $sent = $answers{"status $status $e->{dialect}"}{body};
            is_deeply [$res->status, $res->body, $res->header('x-provider'), scalar $res->header('x-relay-error'),
                $res->clean],
                [$status, $sent, 'yes', undef, 1], "$name: status, headers and body of the provider";
            is_deeply [$res->header('content-length')], [length $sent], "$name: the length";
            is_deeply [$res->header('content-type')], ['application/json'], "$name: the type";
            is scalar(@{$mock->requests}), 1, "$name: not tried again" if $status >= 400;
        }
    }
}

# ---- F9 ---------------------------------------------------------------------

subtest 'F9 lengths and encodings' => sub {
    my @body = ('/v1/chat/completions', {model => 'm', messages => []});
    my $res = $t->post(@body, headers => ['x-play' => 'last error']);
    is_deeply [$res->status, $res->body, $res->header('content-length')],
        [503, $answers{'last error'}->()->{body}, length $res->body],
        'the last error: its body and length';
    is_deeply [$res->header('x-request-id')], ['the-last'], 'its request id';
    refused($t->post(@body, headers => ['x-play' => 'zipped error']), openai => 500, 'upstream_status',
        'an error that came zipped');
    $res = $t->post(@body, headers => ['x-play' => 'zipped success']);
    is_deeply [$res->status, $res->header('content-encoding'), $res->body],
        [200, 'gzip', Relay::Mock::gzip(chat_answer())],
        'a success that came zipped passes as it is';
};

$t->done;
