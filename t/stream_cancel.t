#!/usr/bin/perl

# Either side leaves, at every event of a stream (F19): the other side is let
# go at once, nothing is kept, nothing breaks. Under the sanitizers this is the
# test of every object's life.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

my %asked = (chat => {stream_options => {include_usage => \1}}, responses => {}, messages => {});
sub asking { my ($dialect, %more) = @_; (body => {%{$asked{$dialect}}, %more}) }

# ---- the provider -----------------------------------------------------------

# k events, then nothing more
sub first {
    my ($req, $dialect, $k, $end) = @_;
    my @parts = authored($dialect);
    return sse([@parts[0 .. $k - 1]], chunk_each => 1, end => $end);
}

# Events at odd times and one of several ends, by the number.
sub restless {
    my ($req, $dialect, $n) = @_;
    my @parts = authored($dialect);
    my @steps = map { ([chunk => $_], [sleep => 1 + ($n * 7 + length) % 5]) } @parts;
    my $end = (qw(reset close hang good))[$n % 4];
    $#steps = $n % @steps if $end ne 'good';
    return {type => 'text/event-stream', chunked => 1, steps => [@steps, $end eq 'good' ? [chunk => ''] : $end]};
}

my $mock = player(first => \&first, restless => \&restless,
    whole => sub { my ($req, $dialect) = @_; sse([authored($dialect)], gap_ms => 1) },
    much => sub { my ($req, $kilobytes, $end) = @_; my @p = authored('chat');
        sse([@p[0, 1], ($p[1]) x ($kilobytes * 1024 / length $p[1])], end => $end) },
    undrained => sub { my ($req, $dialect) = @_; sse([authored($dialect)], end => 'hang') },
    flowing => sub { my ($req, $dialect) = @_; my @p = authored($dialect); sse([@p[0 .. 3], ($p[3]) x 500], gap_ms => 5) });
my $tls = player({tls => 1}, first => \&first);
# relay_core_dumps: else /proc/PID/fd of a worker is closed to all but root
my $t = Relay::Test->new(http2 => 1, http => 'keepalive_requests 100000; relay_core_dumps on;');
$t->relay(relay_config({timeouts => {idle_ms => 5000},
    models => {s => {offers => [{host => 'tls', id => 'up-tls'}]}}}, a => $mock, tls => tls_host($tls)));
$t->start;
# a second instance, impatient, and with a port where little fits between it and a caller
my $narrow = free_port();
my $hasty = Relay::Test->new(server => "listen 127.0.0.1:$narrow sndbuf=4k;");
$hasty->relay(relay_config({timeouts => {idle_ms => 200}}, a => $mock))->start;

my $worker = first_worker($t);
sub sockets { scalar grep { (readlink($_) || '') =~ /^socket:/ } glob "/proc/$worker/fd/*" }

# ---- the caller leaves ------------------------------------------------------

my %content = (chat => qr/na\xC3\xAFve/, responses => qr/output_text\.delta/, messages => qr/content_block_delta/);

# What the caller can see of the first k events.
sub visible {
    my ($dialect, $k) = @_;
    my @parts = (authored($dialect))[0 .. $k - 1];
    return (grep { /$content{$dialect}/ } @parts) ? $parts[-1] : undef;
}

# Leaves once the first k events are through; returns what went wrong.
sub leave {
    my ($dialect, $k, $how, $from, %o) = @_;
    $from->forget;
    my $c = begin($t, $dialect => "first $dialect $k hang", asking($dialect, %o));
    my $asked = $from->request(0) or return 'the provider was not asked';
    my $conn = $asked->conn;
    my $seen = visible($dialect, $k);
    if (defined $seen) { $c->read_until(qr/\Q$seen\E/, 2) =~ /\Q$seen\E/ or return "event $k did not come" }
    else { sleep 0.01 }
    my $at = time;
    $how eq 'abort' ? $c->abort : $c->close;
    my $connection = $from->connection($conn, 1);
    return 'the provider was not let go' unless $connection->{closed} && $connection->{closed_by} eq 'peer';
    my $late = 1000 * ($connection->{closed} - $at);
    return sprintf 'only after %.0f ms', $late if $late > 50;
    return ($c->{id}, $seen);
}

for my $dialect (dialects()) {
    for my $how (qw(abort close)) {
        my @bad;
        my $last = () = authored($dialect);
        for my $k (0 .. $last) {
            my ($id, $seen) = leave($dialect, $k, $how, $mock);
            # a machine that stalls once is not late twice
            ($id, $seen) = leave($dialect, $k, $how, $mock) if $id =~ /^only/;
            if ($id !~ /^t\d/) { push @bad, "event $k: $id"; next }
            my $entry = entry($t, $id);
            push @bad, "event $k: logged as $entry->{status} $entry->{error}" if $entry->{error} ne ''
                || $entry->{status} != (defined $seen ? 200 : 499) || $entry->{attempts} != 1;
            push @bad, "event $k: input_tokens $entry->{input_tokens}" if $dialect eq 'messages' && $k && $entry->{input_tokens} ne 16;
        }
        is scalar(@bad), 0, "F19 $dialect: the caller leaves ($how) at every event: the provider is let go within 50 ms"
            or diag(join "\n", @bad);
    }
    my ($id) = leave($dialect, 6, 'abort', $tls, model => 's');
    like $id, qr/^t\d/, "F19 $dialect: over TLS to the provider";
}

# what was not read to its end is not used again
for my $dialect (dialects()) {
    $mock->forget;
    ask($t, $dialect => "whole $dialect");
    my $kept = $mock->request(0)->conn;
    ask($t, $dialect => "whole $dialect");
    is $mock->request(1)->conn, $kept, "F19 $dialect: a drained connection is used again";
    leave($dialect, 6, 'close', $mock);
    my $left = $mock->request(0)->conn;
    is $left, $kept, "F19 $dialect: and again, until the caller leaves";
    ask($t, $dialect => "whole $dialect");
    isnt $mock->request(1)->conn, $left, "F19 $dialect: then it is not";

    my $res = ask($t, $dialect => "undrained $dialect");
    my $undrained = $mock->request(2)->conn;
    like $res->body, success_mark($dialect), "F19 $dialect: a stream whose body does not end";
    is $mock->connection($undrained)->{closed_by}, 'peer', "F19 $dialect: its connection is closed";
    ask($t, $dialect => "whole $dialect");
    isnt $mock->request(3)->conn, $undrained, "F19 $dialect: and not used again";
}

# HTTP/2: the stream is cancelled, its connection with it
for my $dialect (dialects()) {
    for my $signal (qw(TERM KILL)) {
        $mock->forget;
        my $curl = curl_begin($t, $dialect => "flowing $dialect", asking($dialect));
        my $got = '';
        while ($got !~ /$content{$dialect}/) { sysread $curl->{out}, $got, 65536, length $got or last }
        like $got, $content{$dialect}, "F19 $dialect: a stream over HTTP/2";
        my $conn = $mock->request(0)->conn;
        my $at = time;
        kill $signal => $curl->{pid};
        my $connection = $mock->connection($conn, 1);
        is $connection->{closed_by}, 'peer', "F19 $dialect: cancelled ($signal): the provider is let go";
        cmp_ok 1000 * ($connection->{closed} - $at), '<=', 50, "F19 $dialect: within 50 ms";
        close $curl->{out};
    }
}

# ---- the provider leaves ----------------------------------------------------

# A caller that keeps its connection sends the next request the moment that the
# answer is over: it must be served, however the provider ended the one before.
sub first_then_whole {
    my ($how) = @_;
    return map { [$_ => "first $_ 6 $how"], [$_ => "whole $_", asking($_)] } dialects();
}

sub served {
    my ($how, $over, @all) = @_;
    my (@bad, @turn);
    while (my ($cut, $next) = splice @all, 0, 2) {
        @turn = dialects() if !@turn;
        my $dialect = shift @turn;
        push @bad, "$dialect: " . join '; ', @$_ for grep { @$_ }
            [$cut->status == 200 ? () : 'status ' . $cut->status, Relay::Sse::faults($dialect, $cut->body, error => 1)],
            [$next->status == 200 && $next->body eq joined(authored($dialect)) ? () : 'the next one: ' . $next->why];
    }
    is scalar(@bad), 0, "F19 the provider leaves ($how), $over: the stream's end, then the next request on the same connection"
        or diag(join "\n", @bad[0 .. ($#bad > 10 ? 10 : $#bad)]);
}

for my $how (qw(reset close good)) {
    my $c = $t->client;
    my $socket = fileno $c->{socket};
    served($how, 'HTTP/1.1', map { my ($dialect, $play, @o) = @$_; ask($t, $dialect => $play, @o, client => $c) }
        map { first_then_whole($how) } 1 .. 30);
    is fileno $c->{socket}, $socket, "F19 $how: 180 requests on one connection";
    my $h2 = Relay::Http2->new($t->{http2_port});
    served($how, 'HTTP/2', map { my ($dialect, $play, @o) = @$_; ask($t, $dialect => $play, @o, client => $h2) }
        map { first_then_whole($how) } 1 .. 30);
}

# two requests at once: the second is there before the first one's end
for my $dialect (dialects()) {
    my $c = begin($t, $dialect => "first $dialect 6 close");
    begin($t, $dialect => "whole $dialect", asking($dialect), client => $c);
    sse_ok $dialect => $c->response->body, "F19 $dialect: pipelined, the provider leaves", error => 1;
    same_bytes $c->response->body, joined(authored($dialect)), "F19 $dialect: pipelined, the next answer";
}

# a caller that reads late has the rest and the end sent, and keeps its connection
for my $kilobytes (10, 20, 40, 60, 100, 2000) {
    for my $how (qw(close hang)) {
        my @o = (port => $narrow, receive_buffer => 2048);
        my ($c, $leaving) = map { begin($hasty, chat => "much $kilobytes $how", client => Relay::Client->new(@o)) } 1 .. 2;
        sleep 0.3;    # longer than the provider may be silent
        $leaving->abort;
        sse_ok chat => $c->response->body, "F19 $kilobytes KB: a caller that reads late, the provider leaves ($how)", error => 1;
        same_bytes ask($hasty, chat => 'whole chat', asking('chat'), client => $c)->body, joined(authored('chat')),
            "F19 $kilobytes KB: and is served on ($how)";
    }
}

# the connection to the provider ends with the stream
for my $how (qw(good hang)) {
    my $quick = $how eq 'hang' ? $hasty : $t;
    for my $dialect (dialects()) {
        $mock->forget;
        my $c = $quick->client;
        sse_ok $dialect => ask($quick, $dialect => "first $dialect 6 $how", client => $c)->body,
            "F19 $dialect: an unfinished stream ($how)", error => 1;
        ask($quick, $dialect => "whole $dialect", client => $c);
        my ($cut, $next) = map { $_->conn } $mock->requests(2);
        # what ended by its framing is clean, whatever it said
        $how eq 'good' ? is($next, $cut, "F19 $dialect: one that its framing ends leaves the connection")
            : isnt($next, $cut, "F19 $dialect: silence does not");
        is $mock->connection($cut, 1)->{closed_by}, 'peer', "F19 $dialect: it is closed" if $how eq 'hang';
    }
}

# ---- both, at any time ------------------------------------------------------

{
    my $before = sockets();
    cmp_ok $before, '>', 0, 'F19 the worker\'s sockets can be counted';
    my (@open, $left);
    for my $n (1 .. 240) {
        my $dialect = (dialects())[$n % 3];
        push @open, begin($t, $dialect => "restless $dialect $n", asking($dialect));
        next if @open < 12;
        my $c = splice @open, $n % @open, 1;
        $n % 2 ? $c->abort : $c->close;
        $left++;
    }
    $_->abort for @open;
    ok until_true(3, sub { sockets() <= $before }), "F19 $left callers and as many providers leave at any time: every socket is closed"
        or diag(sockets() . " sockets, $before before");
    is_deeply [$t->workers], [$worker], 'F19 and the worker lives';
    is ask($t, chat => 'whole chat')->status, 200, 'F19 and serves';
}

$t->done;
