#!/usr/bin/perl

# The four timers (X8, X9): connect, first token, idle, total; which of them
# rules when, within a tenth of a second, and what the caller is told.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

use constant SLACK => 0.1;    # seconds

# ---- the providers ----------------------------------------------------------

my %stream = (
    chat => [chat_stream(text => ['one', 'two'])],
    messages => [messages_stream(text => ['one', 'two'])],
    responses => [responses_stream(text => ['one', 'two'])],
);
my %path = (chat => '/v1/chat/completions', messages => '/v1/messages', responses => '/v1/responses');

# How many events of each stream come before and with the first content.
my %prelude = (chat => 1, messages => 2, responses => 4);
my %ping = (chat => ": ping\n\n", messages => event(ping => {type => 'ping'}), responses => ": ping\n\n");

# x-play: WORD FORMAT MS. The WORD says what the provider does.
my %play = (
    silent => sub { 'hang' },
    slow => sub { my ($format, $ms) = @_; {body => $format eq 'messages' ? message_answer() : chat_answer(), delay_ms => $ms} },
    header => sub { {type => 'text/event-stream', chunked => 1, steps => ['hang']} },
    prelude => sub { my ($format) = @_; sse([head_of($format)], end => 'hang') },
    # a sign of life each 100 ms, never content
    dribble => sub { my ($format) = @_; sse([head_of($format), ($ping{$format}) x 100], gap_ms => 100, end => 'hang') },
    'slow-bytes' => sub { {length => 1000, body => '{', steps => [map { ([sleep => 100], [send => ' ']) } 1 .. 100]} },
    late => sub { my ($format, $ms) = @_; sse($stream{$format}, delay_ms => $ms) },
    # content, then one of several silences
    stall => sub { my ($format) = @_; sse([content_of($format)], end => 'hang') },
    pings => sub { my ($format, $ms) = @_; sse([content_of($format), ($ping{$format}) x 100], gap_ms => $ms, end => 'hang') },
    half => sub { my ($format) = @_;
        sse([content_of($format), 'data: {"id":'], gap_ms => 1, end => 'hang') },
    steady => sub { my ($format, $ms) = @_;
        sse([content_of($format), more_of($format, 10), rest_of($format)], gap_ms => $ms) },
    endless => sub { my ($format, $ms) = @_; sse([content_of($format), more_of($format, 100)], gap_ms => $ms, end => 'hang') },
    'ping-then-more' => sub { my ($format, $ms) = @_;
        sse([content_of($format), ($ping{$format}) x 4, rest_of($format)], gap_ms => $ms) },
    '500' => sub { my ($format, $ms) = @_; {status => 500, delay_ms => $ms, body => error_body('openai', 'server_error', 'no', 'x')} },
);

sub head_of { my ($format) = @_; join '', @{$stream{$format}}[0 .. $prelude{$format} - 1] }
sub content_of { my ($format) = @_; join '', @{$stream{$format}}[0 .. $prelude{$format}] }
sub rest_of { my ($format) = @_; my @all = @{$stream{$format}}; @all[$prelude{$format} + 1 .. $#all] }

# More of the same content, only for streams whose events need no order.
sub more_of { my ($format, $n) = @_; ($stream{$format}[$prelude{$format}]) x $n }

sub provider {
    my ($name) = @_;
    return Relay::Mock->new(on => sub {
        my ($req) = @_;
        my ($word, $format, $ms) = split / /, $req->header("x-$name") || 'whole chat';
        return sse($stream{$format}) if $word eq 'whole';
        return $play{$word}->($format, $ms);
    });
}

my ($a, $b) = (provider('a'), provider('b'));
my %limits = (connect_ms => 500, first_token_ms => 700, idle_ms => 500, total_ms => 60_000);
my $t = Relay::Test->new(http2 => 1);
my $config = relay_config({timeouts => \%limits, models => {one => {offers => [{host => 'a', id => 'up-a'}]},
    m => {offers => [{host => 'a', id => 'up-a'}, {host => 'b', id => 'up-b'}]},
    hole => {offers => [{host => 'h', id => 'up-h'}, {host => 'b', id => 'up-b'}]},
    holes => {offers => [{host => 'h', id => 'up-h'}, {host => 'i', id => 'up-i'}]}}},
    a => $a, h => 'http://127.0.0.1:' . Relay::Mock->blackhole . '/v1', i => 'http://127.0.0.1:' . Relay::Mock->blackhole . '/v1',
    b => $b);
my %policy = (quick => {first_token_ms => 300, idle_ms => 300, connect_ms => 300}, brief => {total_ms => 1000}, patient => {first_token_ms => 1500});
for my $name (keys %policy) {
    $config->{policies}{$name} = {pools => ['p'], timeouts => $policy{$name}};
    $config->{relay_keys}{$name} = {policy => $name, key => "test-relay-key-$name-0001"};
}
$t->relay($config)->start;

# Starts one request; %o: model, policy, a and b (what the providers play), stream.
sub begin {
    my ($format, %o) = @_;
    my $key = $o{policy} ? "test-relay-key-$o{policy}-0001" : RELAY_KEY;
    my %play = (b => "whole $format", %o);
    my @play = map { defined $play{$_} ? ("X-$_" => $play{$_}) : () } qw(a b);
    return $t->client->request(POST => $path{$format}, headers => [@{auth(bearer => $key)}, @play],
        body => {model => $o{model} || 'm', max_tokens => 9, messages => [], stream => $o{whole} ? \0 : \1});
}

sub took_ok {
    my ($got, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok in_time($got, $want), $name
        or diag(defined $got ? sprintf('%.3f s, not %.3f s', $got, $want) : 'never');
}

sub in_time { my ($got, $want) = @_; defined $got && $got > $want - 0.05 && $got < $want + SLACK }

# Cases are run side by side: name, arguments of begin, and what is expected:
# seconds until the first byte or the end, and further checks.
my @cases;
sub case { push @cases, [@_] }

sub run_cases {
    my @clients = map { begin(@{$_->[1]}) } @cases;
    my @all = Relay::Client->gather(@clients, 15);
    for my $case (splice @cases) {
        my ($name, $arguments, $expect) = @$case;
        my ($res, $measure) = (shift @all, $expect->{measure});
        # a machine that stalls once does not stall thrice
        for (1 .. 2) { $res = begin(@$arguments)->response unless !$measure || in_time($res->$measure, $expect->{seconds}) }
        $expect->{check}->($res, $name);
        next unless $measure;
        took_ok($res->$measure, $expect->{seconds}, sprintf '%s: after %.1f s', $name, $expect->{seconds});
    }
}

# A failover after so many seconds; the second provider's stream is whole.
sub moved_after {
    my ($format, $seconds) = @_;
    return {seconds => $seconds, measure => 'first_byte', check => sub {
        my ($res, $name) = @_;
        is $res->status . ' ' . ($res->header('x-relay-host') || '-'), '200 b', "$name: the next provider answers" or diag($res->body);
        is $res->header('x-relay-attempts'), 2, "$name: two attempts";
        sse_ok $format => $res->body, "$name: a whole stream";
    }};
}

sub timed_out_after {
    my ($seconds, $attempts) = @_;
    return {seconds => $seconds, measure => 'elapsed', check => sub {
        my ($res, $name) = @_;
        is $res->status, 504, "$name: 504";
        is $res->header('x-relay-error'), 'upstream_timeout', "$name: marked as ours";
        ok length(($res->json->{error} || {})->{message} || ''), "$name: in the caller's dialect";
        is $res->header('x-relay-attempts'), $attempts, "$name: attempts";
        is $t->log_of($res)->{error}, 'upstream_timeout', "$name: in the log";
    }};
}

# A stream that began and is ended by our error event.
sub ended_after {
    my ($format, $seconds) = @_;
    return {seconds => $seconds, measure => 'elapsed', check => sub {
        my ($res, $name) = @_;
        is $res->status, 200, "$name: it had begun";
        sse_ok $format => $res->body, "$name: ended by an error event", error => 1;
        ok $res->clean, "$name: with a clean end";
        is $res->header('x-relay-attempts'), 1, "X6 $name: nobody else was asked";
        is $t->log_of($res)->{error}, 'upstream_timeout', "$name: in the log";
    }};
}

# ---- connect ----------------------------------------------------------------

case('X8 connect', ['chat', model => 'hole'], moved_after('chat', 0.5));
case('X8 connect, of the policy', ['chat', model => 'hole', policy => 'quick'], moved_after('chat', 0.3));
case('X8 connect, everybody', ['chat', model => 'holes'], timed_out_after(1.0, 2));
case('X8 connect, everybody, messages', ['messages', model => 'holes'], timed_out_after(1.0, 2));

# ---- first token ------------------------------------------------------------

for my $format (qw(chat messages responses)) {
    for my $how (qw(silent header prelude dribble)) {
        case("X8 first token, $format, $how", [$format, a => "$how $format"], moved_after($format, 0.7));
    }
    case("X8 first token, $format, alone", [$format, a => "silent $format", model => 'one'], timed_out_after(0.7, 1));
    case("X8 first token, $format, dribble, alone", [$format, a => "dribble $format", model => 'one'], timed_out_after(0.7, 1));
    case("X8 first token, $format, of the policy", [$format, a => "silent $format", policy => 'quick'], moved_after($format, 0.3));
    case("X8 first token, $format, both silent", [$format, a => "silent $format", b => "silent $format"], timed_out_after(1.4, 2));
}
case('X8 first token, an answer that is no stream', ['chat', a => 'slow-bytes chat', whole => 1], moved_after('chat', 0.7));
case('X8 first token, just in time', ['chat', a => 'late chat 550'], {seconds => 0.55, measure => 'first_byte', check => sub {
    my ($res, $name) = @_;
    is $res->header('x-relay-host'), 'a', "$name: the first provider answers";
}});
case('X8 first token, a patient policy', ['chat', a => 'late chat 1200', policy => 'patient'], {seconds => 1.2, measure => 'first_byte', check => sub {
    my ($res, $name) = @_;
    is $res->header('x-relay-host'), 'a', "$name: waits longer than the host's limit";
}});
run_cases();

# ---- idle -------------------------------------------------------------------

for my $format (qw(chat messages responses)) {
    case("X9 idle, $format, silence", [$format, a => "stall $format"], ended_after($format, 0.5));
    case("X9 idle, $format, of the policy", [$format, a => "stall $format", policy => 'quick'], ended_after($format, 0.3));
    # pings keep it alive, but not for ever
    case("X9 idle, $format, pings", [$format, a => "pings $format 200"], ended_after($format, 2.0));
    case("X9 idle, $format, pings and then the rest", [$format, a => "ping-then-more $format 300"],
        {check => sub {
            my ($res, $name) = @_;
            sse_ok $format => $res->body, "$name: whole";
            ok $res->elapsed > 1.5, "$name: longer than the limit of silence";
        }});
    next if $format ne 'chat';
    case("X9 idle, $format, half an event", [$format, a => "half $format"], ended_after($format, 0.5));
    case("X9 idle, $format, steady events", [$format, a => "steady $format 250"],
        {check => sub {
            my ($res, $name) = @_;
            sse_ok $format => $res->body, "$name: whole";
            ok $res->elapsed > 2, "$name: longer than any of the limits but the total";
        }});
}

# ---- total ------------------------------------------------------------------

for my $format (qw(chat messages)) {
    case("X8 total, $format, in a stream", [$format, a => "endless $format 100", policy => 'brief'], ended_after($format, 1.0));
    case("X8 total, $format, over two attempts", [$format, a => "silent $format", b => "silent $format", policy => 'brief'],
        timed_out_after(1.0, 2));
}
case('X8 total, the second attempt gets what is left', ['chat', a => '500 chat 600', b => 'silent chat', policy => 'brief'],
    {seconds => 1.0, measure => 'elapsed', check => sub {
        my ($res, $name) = @_;
        like $res->status, qr/^50[04]$/, "$name: an error";
    }});
case('X8 total, a stream that began in the second attempt', ['chat', a => 'silent chat', b => 'endless chat 50', policy => 'brief'],
    {seconds => 1.0, measure => 'elapsed', check => sub {
        my ($res, $name) = @_;
        is $res->header('x-relay-host'), 'b', "$name: the second provider";
        sse_ok chat => $res->body, "$name: ended by an error event", error => 1;
    }});
run_cases();

# ---- the provider's side ----------------------------------------------------

for my $case (['first token', 'silent chat', 0.7], ['idle', 'stall chat', 0.5]) {
    my ($name, $play, $seconds) = @$case;
    my ($connection, $took);
    for (1 .. 3) {
        $a->forget;
        my $c = begin('chat', a => $play);
        my $req = $a->request(0);
        $connection = $a->connection($req->conn);
        $took = $connection->{closed} - $req->{time};
        $c->response;
        last if in_time($took, $seconds);
    }
    is $connection->{closed_by}, 'peer', "X9 $name: the provider's connection is closed";
    took_ok($took, $seconds, "X9 $name: at expiry");
}

# HTTP/2 callers see the same
{
    my $res;
    for (1 .. 3) {
        $res = $t->post('/v1/messages', {model => 'm', max_tokens => 9, messages => [], stream => \1}, http2 => 1,
            headers => ['X-A' => 'stall messages', 'X-B' => 'whole messages']);
        last if in_time($res->elapsed, 0.5);
    }
    sse_ok messages => $res->body, 'X9 idle, HTTP/2: ended by an error event', error => 1;
    ok $res->clean, 'X9 idle, HTTP/2: with a clean end';
    took_ok($res->elapsed, 0.5, 'X9 idle, HTTP/2: after 0.5 s');
}

$t->done;
