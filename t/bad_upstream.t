#!/usr/bin/perl

# Providers that lie, babble or are none: with another candidate the caller sees
# nothing of it, without one a clean error in its dialect. Memory stays bounded.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

my $chat = chat_answer();
my $size = length $chat;
my $head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

# Bytes and further steps; the connection ends with them, or with "kept" stays.
sub raw { my ($bytes, @steps) = @_; return {raw => $bytes, @steps ? (steps => [@steps], keep => 1) : ()} }
sub kept { return {%{raw(@_)}, keep => 1} }

# ---- what is no answer ------------------------------------------------------

my @bad_lengths = ('-1', '+5', '0x10', '1e3', '5 5', '', '99999999999999999999999');
my %bad_chunks = (
    'no number' => "zz\r\n$chat\r\n0\r\n\r\n", 'a negative size' => "-5\r\n$chat\r\n0\r\n\r\n",
    'a size of 17 digits' => ('f' x 17) . "\r\n$chat\r\n0\r\n\r\n", 'no size' => "\r\n$chat\r\n0\r\n\r\n",
    'a wrong size' => "5\r\n$chat\r\n0\r\n\r\n", 'a space before the size' => " 5\r\nabcde\r\n0\r\n\r\n",
);

# name => [what it sends, the error's code]
my %broken = (
    'closed at once' => ['close', 'upstream_cut'],
    'reset at once' => ['reset', 'upstream_cut'],
    'half a status line' => [raw('HTTP/1.1 2'), 'upstream_cut'],
    'half a header' => [raw("${head}X-A"), 'upstream_cut'],
    'headers without their end' => [raw($head), 'upstream_cut'],

    'a body shorter than its length' =>
        [raw("${head}Content-Length: " . ($size + 10) . "\r\n\r\n$chat"), 'upstream_cut'],
    'no body behind its length' => [raw("${head}Content-Length: 10\r\n\r\n"), 'upstream_cut'],
    'a reset inside the body' =>
        [raw("${head}Content-Length: $size\r\n\r\n" . substr($chat, 0, 40), [sleep => 20], 'reset'), 'upstream_cut'],
    'chunks without an end' =>
        [raw(sprintf "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", $head, $size, $chat), 'upstream_cut'],
    'a chunk shorter than its size' =>
        [raw(sprintf "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s", $head, $size + 9, $chat), 'upstream_cut'],

    'both framings' => [
        kept(
            sprintf "%sContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", $head, $size,
            $size, $chat),
        'upstream_invalid'],
    'both framings, the other order' =>
        [raw("${head}Transfer-Encoding: chunked\r\nContent-Length: $size\r\n\r\n$chat"), 'upstream_invalid'],
    'two lengths' => [raw("${head}Content-Length: $size\r\nContent-Length: 5\r\n\r\n$chat"), 'upstream_invalid'],
    'two equal lengths' =>
        [kept("${head}Content-Length: $size\r\nContent-Length: $size\r\n\r\n$chat"), 'upstream_invalid'],
    'two lengths in one' => [raw("${head}Content-Length: $size, $size\r\n\r\n$chat"), 'upstream_invalid'],
    'chunked twice' =>
        [raw("${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 'upstream_invalid'],
    'an unknown coding' => [raw("${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 'upstream_invalid'],
    (map { ("the length '$_'" => [raw("${head}Content-Length: $_\r\n\r\n$chat"), 'upstream_invalid']) } @bad_lengths),
    (map { ("chunks, $_" => [raw("${head}Transfer-Encoding: chunked\r\n\r\n$bad_chunks{$_}"), 'upstream_invalid']) }
        keys %bad_chunks),

    'SSH' => [raw("SSH-2.0-OpenSSH_9.2\r\n"), 'upstream_invalid'],
    'HTTP/0.9' => [raw($chat), 'upstream_invalid'],
    'HTTP/2' => [raw("\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff"), 'upstream_invalid'],
    'a TLS alert' => [raw("\x15\x03\x01\x00\x02\x02\x46"), 'upstream_invalid'],
    'NULs' => [raw("\0" x 100), 'upstream_invalid'],
    'an empty line first' => [raw("\r\n${head}Content-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    'ICY' => [raw("ICY 200 OK\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    'the status 20' => [raw("HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    'the status 099' => [raw("HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    'the status abc' => [raw("HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    'a header without a name' => [raw("${head}: value\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    'a space in a name' => [raw("${head}Content Length: 2\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    'a NUL in a header' => [raw("${head}X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    '64 KB of headers' => [
        raw(      $head
                . join('', map { "X-Filler-$_: " . 'v' x 100 . "\r\n" } 1 .. 560)
                . "Content-Length: $size\r\n\r\n$chat"),
        'upstream_invalid'],
    'a header of 64 KB' =>
        [raw("${head}X-Long: " . 'v' x 65536 . "\r\nContent-Length: $size\r\n\r\n$chat"), 'upstream_invalid'],
    'a status line of 64 KB' =>
        [raw('HTTP/1.1 200 ' . 'O' x 65536 . "\r\nContent-Length: 2\r\n\r\n{}"), 'upstream_invalid'],
    '101 Switching Protocols' => [
        raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), 'upstream_invalid'
    ],
    '1xx and no end' => [
        raw('', [code => sub { $_[0]->put("HTTP/1.1 100 Continue\r\n\r\n" x 100) for 1 .. 100_000 }]),
        'upstream_invalid'],
    'headers and no end' => [
        raw($head, [code => sub { $_[0]->put("X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" x 100) for 1 .. 100_000 }]),
        'upstream_invalid'],
);

my %redirect = map { (
    "a redirect, $_" => {
        status => $_, headers => [Location => 'http://127.0.0.1:1/evil'], body => '<a href="/">here</a>',
        type => 'text/html'}) } 300, 301, 302, 303, 307, 308;

# An error's body that no client can read. The status stays.
my %unreadable = (
    (map { ("HTML, $_" => [$_, {status => $_, type => 'text/html', body => "<html><h1>$_ Bad</h1></html>"}]) }
        400, 404, 413, 422, 429, 500, 502, 503, 504, 520, 529),
    (map { ("empty, $_" => [$_, {status => $_, type => undef, body => ''}]) } 400, 404, 500, 503),
    'HTML that says it is JSON' => [502, {status => 502, body => '<html></html>'}],
    'cut JSON' => [500, {status => 500, body => '{"error":{"message":"x"'}],
    'binary' => [500, {status => 500, type => 'application/octet-stream', body => join '', map { chr } 0 .. 255}],
    'until the end of the connection' =>
        [500, raw("HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>")],
);

# ---- what is one ------------------------------------------------------------

my $ok = "Content-Type: application/json\r\nContent-Length: $size\r\n\r\n$chat";
my %fine = (
    '100 first' => [kept("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n$ok"), 200, $chat],
    '102 and 103 first, with headers' => [
        kept(
            "HTTP/1.1 102 Processing\r\nX-Early: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nX-Early: 2\r\n"
                . "Retry-After: 9\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n$ok"),
        200, $chat],
    '103 first, with a length' =>
        [kept("HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\n$ok"), 200, $chat],
    '103 first, chunked' =>
        [kept("HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\n$ok"), 200, $chat],
    '100 first, slowly' => [
        raw("HTTP/1.1 100 Continue\r\n\r\n", [sleep => 50], [send => 'HTTP/1.1 200 OK'], [sleep => 20],
            [send => "\r\n$ok"]),
        200, $chat],
    'bare line feeds' =>
        [kept("HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: $size\n\n$chat"), 200, $chat],
    'no reason' => [raw("HTTP/1.1 200\r\n$ok"), 200, $chat],
    'HTTP/1.0 until the end' => [raw("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n$chat"), 200, $chat],
    'chunk extensions and a trailer' => [
        kept(
            sprintf
                "%sTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n%X;a=b\r\n%s\r\n0;last\r\nX-Late: 1\r\n\r\n",
            $head, $size, $chat),
        200, $chat],
    'Chunked in another case' =>
        [raw(sprintf "%sTransfer-Encoding: Chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", $head, $size, $chat), 200, $chat],
    'one byte at a time' => [raw('', [cut => "HTTP/1.1 200 OK\r\n$ok", [1 .. length($ok) + 17], 0.1]), 200, $chat],
    'a body longer than its length' => [
        kept(
            "HTTP/1.1 200 OK\r\n${ok}HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"e\":66}"
        ),
        200, $chat],
    'more behind the last chunk' => [
        kept(
            sprintf
                "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"e\":66}",
            $head, $size, $chat),
        200, $chat],
    'the status 204' => [kept("HTTP/1.1 204 No Content\r\nX-P: 1\r\n\r\n"), 204, ''],
    'the status 204 with a body' => [kept("HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\n{\"e\":66}"), 204, ''],
    '200 with an empty body' => [{type => 'application/json', body => ''}, 200, ''],
    'another type' => [{type => 'text/plain', body => 'just text'}, 200, 'just text'],
    'JSON that is none' => [{body => '{"cut":'}, 200, '{"cut":'],
);

my %plays = (
    (map { ($_ => $broken{$_}[0]) } keys %broken), %redirect, (map { ($_ => $unreadable{$_}[1]) } keys %unreadable),
    (map { ($_ => $fine{$_}[0]) } keys %fine));

# A gzip of many zeros; identity was asked for.
my $bomb = Relay::Mock::gzip("\0" x 50_000_000);
$plays{bomb} = {body => $bomb, headers => ['Content-Encoding' => 'gzip']};
$plays{'error bomb'} = {status => 500, body => $bomb, headers => ['Content-Encoding' => 'gzip']};

my $megabyte = '"' . 'x' x 1_048_570 . '",';
my $endless = sub { my ($c) = @_; $c->chunk($megabyte) for 1 .. 4000 };
$plays{'endless JSON'} =
    {type => 'application/json', chunked => 1, steps => [[code => sub { $_[0]->chunk('{"a":['); $endless->(@_) }]]};
$plays{'endless error'} = {status => 500, chunked => 1, steps => [[code => $endless]]};
$plays{'endless text'} = {type => 'text/plain', chunked => 1, steps => [[code => $endless]]};
$plays{'endless comment'} =
    {type => 'text/event-stream', chunked => 1, steps => [[code => sub { $_[0]->chunk(': '); $endless->(@_) }]]};
$plays{'endless event'} = {type => 'text/event-stream', chunked => 1,
    steps => [[code => sub { $_[0]->chunk('data: {"x":['); $endless->(@_) }]]};
$plays{'endless events'} = {
    type => 'text/event-stream',
    chunked => 1,
    steps => [[
        code => sub {
            my ($c) = @_;
            $c->chunk($_) for chat_stream(done => 0);
            my $event = event({
                id => 'c', object => 'chat.completion.chunk', created => 1, model => 'u',
                choices => [{index => 0, delta => {content => 'y' x 10_000}, finish_reason => undef}]});
            $c->chunk($event) for 1 .. 400_000;
        }
    ]]};
$plays{'endless length'} = {type => 'application/json', length => 4_000_000_000,
    steps => [[code => sub { my ($c) = @_; $c->put($megabyte) for 1 .. 4000 }]]};

my $bad = provider(%plays);
my $good = provider();
my $elsewhere = provider();
$_->{headers}[1] = $elsewhere->url . '/v1/evil' for values %redirect;

my $alone = Relay::Test->new(http2 => 1, http => 'relay_max_response_size 2m;');
$alone->relay(
    relay_config(
        {timeouts => {first_token_ms => 3000, idle_ms => 3000}, policy => {passthrough => \1}},
        a => {mock => $bad, passthrough => \1}))->start;
my $pair = Relay::Test->new(http => 'relay_max_response_size 2m;');
$pair->relay(relay_config({timeouts => {first_token_ms => 3000}}, a => $bad, b => $good))->start;

my @targets = ([openai => endpoint('chat')], [anthropic => endpoint('messages')]);

sub ask {
    my ($t, $e, $play, %o) = @_;
    return $t->post($e->{path}, $o{body} || $e->{body}, headers => ['x-play' => $play], %o);
}

# ---- one provider, then two -------------------------------------------------

for my $name (sort keys %broken) {
    for my $target (@targets) {
        my ($dialect, $e) = @$target;
        refused(ask($alone, $e, $name), $dialect => 502, $broken{$name}[1], "$name, $dialect: an error of ours");
    }
}
for my $name (sort keys %broken) {
    my $res = ask($pair, endpoint('chat'), $name);
    is_deeply [$res->status, $res->body,
        map { scalar $res->header($_) } qw(x-relay-attempts x-relay-host x-relay-error)],
        [200, $chat, 2, 'b', undef], "$name: the next candidate is asked";
}
is scalar(@{$good->requests(scalar keys %broken)}), scalar(keys %broken), 'once each';

for my $name (sort keys %redirect) {
    for my $target (@targets) {
        my ($dialect, $e) = @$target;
        untouched(
            $elsewhere,
            "$name, $dialect: is not followed",
            sub {
                my $res = ask($alone, $e, $name);
                refused($res, $dialect => 502, 'upstream_status', "$name, $dialect: an error of ours");
                ok !defined $res->header('location') && $res->body !~ /evil/,
                    "$name, $dialect: its address goes to nobody";
            });
    }
    untouched(
        $elsewhere,
        "$name, a path that Relay does not know: is not followed",
        sub {
            my $res = $alone->get('/v1/files', headers => ['x-play' => $name]);
            ok !defined $res->header('location'), "$name, a path that Relay does not know: its address goes to nobody";
            cmp_ok $res->status, '>=', 300, 'nor is it a success';
        });
}

for my $name (sort keys %unreadable) {
    for my $target (@targets) {
        my ($dialect, $e) = @$target;
        my $status = $unreadable{$name}[0];
        my $res = ask($alone, $e, $name);
        refused($res, $dialect => $status, 'upstream_status',
            "X16 $name, $dialect: JSON of the dialect, the status is kept");
        unlike $res->body, qr/<h1>/, "X16 $name, $dialect: without the markup";
        my $stream = ask($alone, $e, $name, body => {%{$e->{body}}, stream => \1});
        refused($stream, $dialect => $status, 'upstream_status',
            "X16 $name, $dialect: also where a stream was asked for");
    }
}

for my $name (sort keys %fine) {
    for my $t ($alone, $pair) {
        my $res = ask($t, endpoint('chat'), $name);
        my (undef, $status, $body) = @{$fine{$name}};
        my $with = $t == $pair ? ', two candidates' : '';
        is_deeply [$res->status, $res->body, $res->clean, $res->header('x-relay-attempts')], [$status, $body, 1, 1],
            "$name$with";
        ok !(grep { defined $res->header($_) } qw(x-early link x-late trailer retry-after content-encoding)),
            "$name$with: no header of another answer";
        my $next = $t->post('/v1/chat/completions', endpoint('chat')->{body});
        is $next->body, $chat, "$name$with: the next answer is its own";
    }
}

# ---- bombs, ends that never come --------------------------------------------

subtest 'a bomb although identity was asked for' => sub {
    my $before = worker_memory_kb($alone, 'VmHWM');
    my $res = ask($alone, endpoint('chat'), 'bomb');
    is_deeply [$res->status, $res->header('content-encoding')], [200, 'gzip'], 'passes packed';
    ok $res->body eq $bomb, 'byte for byte';
    refused(ask($alone, endpoint('chat'), 'error bomb'), openai => 500, 'upstream_status',
        'as an error it is replaced');
    cmp_ok worker_memory_kb($alone, 'VmHWM') - $before, '<', 8000, 'and is inflated nowhere';
};

# A sanitizer keeps what is freed, to see it used again.
my $scale = ($ENV{RELAY_MODULE} || '') eq 'static' ? 3 : 1;

# To a caller who reads nothing: what the worker and the mock hold is bounded.
for my $name ('endless JSON', 'endless text', 'endless events', 'endless length', 'endless comment', 'endless event',
    'endless error')
{
    my $before = worker_memory_kb($alone, 'VmHWM');
    my $seen = @{$bad->requests};
    my $c = $alone->client(receive_buffer => 16384);
    my $e = endpoint('chat');
    $c->request(POST => $e->{path}, headers => [@{auth()}, 'x-play' => $name],
        body => {%{$e->{body}}, $name =~ /comment|event/ ? (stream => \1) : ()});
    my $connection = $bad->requests($seen + 1)->[$seen]->conn;
    sleep 0.4;
    my $used = worker_memory_kb($alone, 'VmHWM') - $before;
    # what has to be held until it is judged, twice while it grows, and buffers
    cmp_ok $used, '<', 12_000 * $scale, "$name: $used KB of memory for a caller who does not read";
    my $begin = time;
    $c->abort;
    my $closed = $bad->connection($connection);
    is $closed->{closed_by}, 'peer', "$name: the caller leaves, Relay leaves";
    cmp_ok $closed->{closed} - $begin, '<', 0.3, "$name: at once";
    cmp_ok $closed->{sent}, '<', 20_000_000, "$name: the provider was held back";
}

subtest 'and to one who reads' => sub {
    for my $target (@targets) {
        my ($dialect, $e) = @$target;
        my $res = ask($alone, $e, 'endless error');
        refused($res, $dialect => 500, 'upstream_status', "an endless error, $dialect: reported without its text");
        cmp_ok $res->elapsed, '<', 1, "an endless error, $dialect: at once";
    }
    my $res = ask($pair, endpoint('chat'), 'endless error');
    is $res->header('x-relay-attempts'), 2, 'an endless error: the next candidate is asked';
};

is scalar(() = $_->workers), 1, 'the worker lives' for $alone, $pair;
$_->finish for $alone, $pair;
for my $t ($alone, $pair) {
    my @exits = $t->error_log =~ /worker process \d+ exited/g;
    is scalar(@exits), 1, 'and is the first one';
}

$alone->done;
