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
    undrained => sub { my ($req, $dialect) = @_; sse([authored($dialect)], end => 'hang') },
    flowing => sub { my ($req, $dialect) = @_; my @p = authored($dialect); sse([@p[0 .. 3], ($p[3]) x 500], gap_ms => 5) });
my $tls = player({tls => 1}, first => \&first);
my $t = Relay::Test->new(http2 => 1, http => 'keepalive_requests 100000;');
$t->relay(relay_config({timeouts => {idle_ms => 5000},
    models => {s => {offers => [{host => 'tls', id => 'up-tls'}]}}}, a => $mock, tls => tls_host($tls)));
$t->start;

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

# a caller that keeps its connection: the next request is answered on it
{
    my $c = $t->client;
    for my $dialect (dialects()) {
        for my $how (qw(reset close good)) {
            my $res = ask($t, $dialect => "first $dialect 6 $how", client => $c);
            sse_ok $dialect => $res->body, "F19 $dialect: the provider leaves ($how)", error => 1;
            # nginx does not keep the caller's connection then, but it says the end first
            ok defined $c->wait_close(1), "F19 $dialect: and the caller's connection is closed ($how)" if $how ne 'good';
            $res = ask($t, $dialect => "whole $dialect", asking($dialect), client => $c);
            same_bytes $res->body, joined(authored($dialect)), "F19 $dialect: the caller's next request is answered ($how)";
        }
    }
}

# ---- both, at any time ------------------------------------------------------

{
    my $before = sockets();
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
