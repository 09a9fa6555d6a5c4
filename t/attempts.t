#!/usr/bin/perl

# What each attempt carries (traps 1, 2, 4 of a retried upstream; R23): the
# candidate's own address, key, path, model and headers around the caller's
# original bytes, whatever became of the attempts before it.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

# ---- the providers ----------------------------------------------------------

# The caller's x-fail tells each host what to do: "a=500 b=reset".
sub provider {
    my ($name, %o) = @_;
    return Relay::Mock->new(%o, on => sub {
        my ($req) = @_;
        my ($how) = ($req->header('x-fail') || '') =~ /\b$name=(\S+)/;
        return answer_of($req) unless $how;
        return $how if $how =~ /^(reset|close|hang)$/;
        return {length => 500, body => '{"id":', steps => ['close']} if $how eq 'cut';
        return {status => $how, body => {error => {message => "no, says $name"}}, length => undef, close => 1}
            if $how =~ s/c$//;
        return {status => $how, body => {error => {message => "no, says $name"}}, close => 1};
    });
}

sub answer_of {
    my ($req) = @_;
    # closed, so that no attempt is spent on a connection that was kept: see keepalive.t
    return {close => 1, body => $req->path =~ /messages/ ? message_answer() : $req->path =~ /responses/ ? response_answer()
        : $req->path =~ /embeddings/ ? '{"object":"list","data":[],"usage":{"prompt_tokens":1,"total_tokens":1}}'
        : chat_answer()};
}

my %mock = (b => provider('b'), c => provider('c', tls => 1), d => provider('d'));
my $refused = Relay::Mock->refused;

my @formats = qw(openai-chat openai-responses openai-embeddings anthropic-messages);
my %paths = ('openai-chat' => '/chat', 'openai-responses' => '/answers', 'openai-embeddings' => '/vectors',
    'anthropic-messages' => '/deep/messages');

my %host = (
    a => {base_url => "http://127.0.0.1:$refused/secret-path/v1"},
    b => {mock => $mock{b}, base_url => $mock{b}->url . '/b/v1', auth => {header => 'x-b-key'},
        headers => {'x-b-only' => 'b', 'x-shared' => 'from b'}},
    c => {mock => $mock{c}, base_url => $mock{c}->url . '/c', formats => \%paths,
        auth => {header => 'authorization', prefix => 'Token '}, headers => {'x-shared' => 'from c'}},
    d => {mock => $mock{d}, base_url => 'http://localhost:' . $mock{d}->port . '/v1'},
);
my %prefix = (b => '/b/v1', c => '/c', d => '/v1');

my $t = Relay::Test->new(http2 => 1, http => 'client_body_buffer_size 64k;');
my $config = relay_config({policy => {max_attempts => 8}}, map { ($_ => $host{$_}) } qw(a b c d));
$config->{policies}{two} = {pools => ['p'], max_attempts => 2};
$config->{relay_keys}{two} = {policy => 'two', key => 'test-relay-key-of-two-01'};
$config->{models}{down} = {offers => [{host => 'a', id => 'up-a'}]};
$t->relay($config)->start;

# The body that a host must get: the caller's, with only the model replaced.
# Odd spacing, order, spellings and numbers on purpose.
sub body_for {
    my ($model, $filler) = @_;
    $filler = '' unless defined $filler;
    return qq({ "z":1.10e+2,"messages" : [{"role":"user","content":"caf\\u00e9 \xC3\xA9 \\/ $filler"}] ,\t"model" :  "$model" , "max_tokens":0016x)
        =~ s/0016x/16,\n"n":-0,"big":123456789012345678901234567890,"extra":{"model":"m","stream":true} } /r;
}

# Everything that an attempt at a host may carry, and nothing of the others.
sub attempt_ok {
    my ($host, $req, $path, $body, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok 0, "$name: $host was asked" unless $req;
    my $authority = $host eq 'd' ? 'localhost:' . $mock{d}->port : $mock{$host}->authority;
    my %key = (b => ['x-b-key', secret('b')], c => ['authorization', 'Token ' . secret('c')],
        d => ['authorization', 'Bearer ' . secret('d')]);
    my @faults;
    my $expect = sub { my ($what, $got, $want) = @_; push @faults, "$what: $got, not $want" if $got ne $want };
    $expect->('line', $req->{line}, "POST $prefix{$host}$path HTTP/1.1");
    $expect->('host', join('|', $req->header('host')), $authority);
    $expect->('key', join('|', $req->header($key{$host}[0])), $key{$host}[1]);
    $expect->('x-shared', join('|', $req->header('x-shared')), {b => 'from b', c => 'from c', d => ''}->{$host});
    $expect->('content-length', join('|', $req->header('content-length')), length $body);
    $expect->('x-mine', join('|', $req->header('x-mine')), 'kept');
    push @faults, 'the body differs' if $req->body ne $body;
    for my $other (grep { $_ ne $host } qw(a b c d)) {
        push @faults, "something of $other" if index($req->{raw_head}, secret($other)) >= 0
            || $req->{raw_head} =~ /secret-path/ || $req->body =~ /up-$other\b/;
    }
    push @faults, 'x-b-only' if $host ne 'b' && $req->header('x-b-only');
    push @faults, 'the relay key' if index($req->{raw_head} . $req->body, RELAY_KEY) >= 0;
    ok !@faults, "$name: what $host was sent" or diag(join "\n", @faults, $req->{raw_head});
}

my @endpoints = (
    ['/v1/chat/completions', '/chat/completions', '/chat'],
    ['/v1/responses', '/responses', '/answers'],
    ['/openai/v1/embeddings', '/embeddings', '/vectors'],
    ['/v1/messages', '/messages', '/deep/messages'],
);

# One request that fails at all hosts before the last one named.
sub passes_through {
    my ($endpoint, $fail, $tried, $name, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $_->forget for values %mock;
    my ($path, $usual, $special) = @$endpoint;
    my $res = $t->post($path, body_for('m', $o{filler}), headers => ['X-Mine' => 'kept', 'X-Fail' => $fail], %o);
    my $last = $tried->[-1];
    is $res->status, 200, "$name: answered" or diag($res->body);
    is $res->header('x-relay-host'), $last, "$name: by $last";
    is $res->header('x-relay-attempts'), scalar @$tried, "$name: attempts";
    is $res->header('x-relay-model'), 'm', "$name: model";
    for my $host (grep { $_ ne 'a' } @$tried) {
        my @all = $mock{$host}->requests(1);
        is scalar(@all), 1, "$name: $host was asked once";
        attempt_ok($host, $all[0], $host eq 'c' ? $special : $usual, body_for("up-$host", $o{filler}), $name);
    }
    for my $host (grep { my $h = $_; !grep { $_ eq $h } @$tried } qw(b c d)) {
        is scalar($mock{$host}->requests->@*), 0, "$name: $host was left alone";
    }
    return $res;
}

# ---- the first byte was never sent, or all of them, or an answer came --------

for my $endpoint (@endpoints) {
    my $path = $endpoint->[0];
    passes_through($endpoint, '', [qw(a b)], "trap 1, $path: refused");
    passes_through($endpoint, 'b=500', [qw(a b c)], "R23 $path: refused, then 500");
    passes_through($endpoint, 'b=reset c=529', [qw(a b c d)], "R23 $path: refused, reset, 529");
}

my $chat = $endpoints[0];
for my $how (qw(reset close cut 401 402 403 408 429 500 503c 529)) {
    passes_through($chat, "b=$how", [qw(a b c)], "trap 4: the first that was sent ended with $how");
    passes_through($chat, "b=$how c=$how", [qw(a b c d)], "trap 2: two ended with $how");
}

# ---- bodies that nginx keeps in one buffer, in two, in a file ------------------

for my $size (100, 15_500, 16_384, 40_000, 70_000, 1_500_000) {
    my $filler = join ' ', 'x' x ($size / 2), 'y' x ($size / 2);
    passes_through($chat, 'b=500 c=reset', [qw(a b c d)], "trap 2: a body of $size bytes, thrice", filler => $filler);
    passes_through($chat, 'b=500', [qw(a b c)], "trap 2: a chunked body of $size bytes, twice",
        filler => $filler, chunked => [1, 10, int($size / 3) || 1, 5]);
}

passes_through($_, 'b=500 c=reset', [qw(a b c d)], "over HTTP/2, $_->[0]", http2 => 1, filler => 'z' x 30_000)
    for @endpoints;

# ---- the same caller's connection -------------------------------------------

{
    $_->forget for values %mock;
    my $c = $t->client;
    for my $fail ('', 'b=500', 'b=500 c=reset', 'b=429', '') {
        $c->request(POST => '/v1/chat/completions', headers => [@{auth()}, 'X-Fail' => $fail], body => body_for('m'));
        my $res = $c->response;
        my $last = $fail eq '' ? 'b' : $fail =~ /c=/ ? 'd' : 'c';
        is $res->status . ' ' . $res->header('x-relay-host'), "200 $last", "one connection: \"$fail\"";
    }
}

# ---- limits -----------------------------------------------------------------

{
    $_->forget for values %mock;
    my $res = $t->post('/v1/chat/completions', body_for('m'), key => 'test-relay-key-of-two-01', headers => ['X-Fail' => 'b=500']);
    is $res->status, 500, 'max_attempts 2: the second word is the last';
    is $res->header('x-relay-attempts'), 2, 'max_attempts 2: and says so';
    is scalar($mock{c}->requests->@*), 0, 'max_attempts 2: nobody else was asked';
}

# ---- the log ----------------------------------------------------------------

{
    my $res = $t->post('/v1/chat/completions', body_for('m'), headers => ['X-Fail' => 'b=529 c=500']);
    my $entry = $t->log_of($res);
    is join(' ', map { $entry->{$_} } qw(status host model attempts key_id policy input_tokens output_tokens finish_reason error)),
        '200 d m 4 k default 3 2 stop ', 'what the log says of four attempts';
    like $entry->{first_token_ms}, qr/^\d+$/, 'with its time';

    $res = $t->post('/v1/chat/completions', body_for('down'));
    $entry = $t->log_of($res);
    is join(' ', map { $entry->{$_} } qw(status host attempts error)), '502 a 1 upstream_unreachable',
        'what it says if the only one refuses';
}

$t->done;
