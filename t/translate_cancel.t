#!/usr/bin/perl

# Either side leaves, at every event of a translated stream (F19), every caller's
# format in front of every upstream: the other side is let go at once, nothing is
# kept, nothing breaks. Under the sanitizers this is the test of every
# translator's life.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Grid;
use Relay::Streams;

my %plays = (
    whole => sub { my ($req, $to) = @_; play($to, [story($to)], gap_ms => 1) },
    first => sub { my ($req, $to, $k) = @_; my @parts = story($to); play($to, [@parts[0 .. $k - 1]], chunk_each => 1, end => 'hang') },
    restless => sub {
        my ($req, $to, $n) = @_;
        my @steps = map { ([chunk => $_], [sleep => 1 + ($n * 7 + length) % 5]) } story($to);
        my $end = (qw(reset close hang good))[$n % 4];
        $#steps = $n % @steps if $end ne 'good';
        return {%{play($to, [])}, steps => [@steps, $end eq 'good' ? [chunk => ''] : $end]};
    },
);

# relay_core_dumps: else /proc/PID/fd of a worker is closed to all but root
my $grid = Relay::Grid->new(\%plays, timeouts => {idle_ms => 5000}, http => 'keepalive_requests 100000; relay_core_dumps on;');
my $t = $grid->t;
my $worker = first_worker($t);
sub sockets { scalar grep { (readlink($_) || '') =~ /^socket:/ } glob "/proc/$worker/fd/*" }

# ---- the caller leaves ----------------------------------------------------------------

# Leaves once the first k events are through; what went wrong, if anything.
sub leave {
    my ($from, $to, $k, $how) = @_;
    my $mock = $grid->mock($to);
    $mock->forget;
    my $c = $grid->begin($from, $to, "first $k");
    my $asked = $mock->request(0) or return 'the provider was not asked';
    my $seen = $k > content_at($to);
    if ($seen) { $c->read_until(qr/na\xC3\xAFve/, 2) =~ /na\xC3\xAFve/ or return 'no content came' }
    sleep 0.01;
    my $at = time;
    $how eq 'abort' ? $c->abort : $c->close;
    my $connection = $mock->connection($asked->conn, 1);
    return 'the provider was not let go' unless $connection->{closed} && $connection->{closed_by} eq 'peer';
    my $late = 1000 * ($connection->{closed} - $at);
    return sprintf 'only after %.0f ms', $late if $late > 50;
    my $entry = entry($t, $c->{id});
    return "logged as $entry->{status} $entry->{error}"
        if $entry->{error} ne '' || $entry->{status} != ($seen ? 200 : 499) || $entry->{attempts} != 1;
    return "input_tokens $entry->{input_tokens}" if $seen && $to eq 'messages' && $entry->{input_tokens} ne 16;
    return '';
}

for my $pair (pairs()) {
    my ($from, $to) = @$pair;
    my @bad;
    for my $k (0 .. finish_at($to)) {
        my $how = ($k + length $from) % 2 ? 'abort' : 'close';
        my $bad = leave($from, $to, $k, $how);
        $bad = leave($from, $to, $k, $how) if $bad =~ /^only/;    # a machine that stalls once is not late twice
        push @bad, "event $k, $how: $bad" if $bad;
    }
    ok !@bad, "F19 $from to $to: the caller leaves at every event, the provider is let go within 50 ms" or diag join "\n", @bad;
}

# what was not read to its end is not used again
for my $to (upstreams()) {
    my $mock = $grid->mock($to);
    my ($from) = grep { $_ ne $to } callers();
    $mock->forget;
    $grid->ask_all(5, [$from, $to, 'whole']);
    my $kept = $mock->request(0)->conn;
    $grid->ask_all(5, [$from, $to, 'whole']);
    is $mock->request(1)->conn, $kept, "F19 $to: a drained connection is used again";
    is leave($from, $to, content_at($to) + 1, 'close'), '', "F19 $to: until the caller leaves";
    my $left = $mock->request(0)->conn;
    $grid->ask_all(5, [$from, $to, 'whole']);
    isnt $mock->request(1)->conn, $left, "F19 $to: then it is not";
}

# ---- both, at any time ------------------------------------------------------------------

{
    my $before = sockets();
    cmp_ok $before, '>', 0, 'F19 the sockets of the worker can be counted';
    my (@open, $left);
    for my $n (1 .. 320) {
        my ($from, $to) = @{(pairs())[$n % 20]};
        push @open, $grid->begin($from, $to, "restless $n");
        next if @open < 12;
        my $c = splice @open, $n % @open, 1;
        $n % 2 ? $c->abort : $c->close;
        $left++;
    }
    $_->abort for @open;
    ok until_true(3, sub { sockets() <= $before }), "F19 $left callers and as many providers leave at any time: every socket is closed"
        or diag(sockets() . " sockets, $before before");
    is_deeply [$t->workers], [$worker], 'F19 and the worker lives';
    my @all = $grid->ask_all(5, map { [@$_, 'whole'] } pairs());
    my @bad = map { join ' to ', @{(pairs())[$_]} } grep { Relay::Sse::faults((pairs())[$_][0], $all[$_]->body) } 0 .. $#all;
    ok !@bad, 'F19 and serves every pair' or diag "@bad";
}

$t->done;
