#!/usr/bin/perl

# Translated streams in time and memory, every caller's format in front of every
# upstream: signs of life (F7), events at once (F10), none that starves others
# (F11), slow callers that hold the provider back (F12).

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Grid;
use Relay::Streams;

use IO::Select;
use POSIX ();

# ---- the providers --------------------------------------------------------------------

sub in_steps {
    my ($to, @steps) = @_;
    my $before = before_content($to);
    return {%{play($to, [])}, steps => [length $before ? [chunk => $before] : (), @steps, [chunk => behind_content($to)], [chunk => '']]};
}

my %plays = (
    silent => sub { my ($req, $to) = @_; in_steps($to, [chunk => saying($to, 'a')], [sleep => 700]) },
    half => sub {
        my ($req, $to) = @_;
        my $event = saying($to, 'b');
        return in_steps($to, [chunk => saying($to, 'a') . substr($event, 0, 20)], [sleep => 700], [chunk => substr $event, 20]);
    },
    late => sub { my ($req, $to) = @_; return {%{in_steps($to, [sleep => 700], [chunk => saying($to, 'a')])}} },
    steady => sub { my ($req, $to) = @_; in_steps($to, map { ([chunk => saying($to, 'a')], [sleep => 100]) } 1 .. 7) },
    stamped => sub {
        my ($req, $to, $count, $delay_ms, $gap_ms) = @_;
        my $now = [code => sub { $_[0]->chunk(saying($to, sprintf 'sent=%.6f ', time)) }];
        return {%{in_steps($to, map { ($now, [sleep => $gap_ms]) } 1 .. $count)}, delay_ms => $delay_ms};
    },
    flood => sub {
        my ($req, $to, $bytes) = @_;
        my $block = saying($to, 'x' x 80) x 1000;
        return in_steps($to, [code => sub {
            my ($connection) = @_;
            my $sent = 0;
            until ($bytes && $sent >= $bytes) { $connection->chunk($block); $sent += length $block }
        }]);
    },
    waits => sub { my ($req, $to) = @_; in_steps($to, [chunk => saying($to, 'a')], 'hang') },
);

my @operator = (http => 'proxy_buffering on; proxy_buffer_size 64k; proxy_buffers 8 64k; postpone_output 8000;'
    . ' output_buffers 4 64k; sendfile on; tcp_nopush on; keepalive_requests 100000;', server => 'send_timeout 1500ms;');
my $grid = Relay::Grid->new(\%plays, @operator, mock => {send_buffer => 65536});
my $t = $grid->t;
my $worker = first_worker($t);
my $lively = Relay::Grid->new(\%plays, location => 'relay_stream_keepalive 200ms;');

# Under the sanitizers everything is slower, and larger.
my $scale = ($ENV{RELAY_MODULE} || '') eq 'static' ? 3 : 1;

sub rss_kb { my ($kb) = slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m; return $kb }
sub cpu_ticks { my @f = split ' ', slurp("/proc/$worker/stat") =~ s/^.*\) //r; return $f[11] + $f[12] }

# ---- F7 --------------------------------------------------------------------------------

my %sign = (chat => qr/^: ping\n/m, responses => qr/^: ping\n/m, messages => qr/^event: ping\ndata: \{"type":"ping"\}\n\n/m,
    gemini => qr/(?<=\n\n)\n/);

sub signs { my ($from, $res) = @_; return scalar(() = $res->body =~ /$sign{$from}/g) }

sub lively {
    my ($play, $least, $most, $text) = @_;
    my @all = $lively->ask_all(6, map { [@$_, $play] } pairs());
    for my $pair (pairs()) {
        my ($from, $to) = @$pair;
        my $res = shift @all;
        # what the provider repeats at the end is not what it said here
        my @bad = "$from $to" eq 'responses responses' ? () : Relay::Sse::faults($from, $res->body, $from eq 'chat' ? (usage => 1) : ());
        my $count = signs($from, $res);
        push @bad, "$count signs of life" if $count < $least || $count > $most;
        push @bad, 'the text begins ' . substr Relay::Sse::text($from, $res->body), 0, 20
            if Relay::Sse::text($from, $res->body) !~ /^$text/;
        my @plain = split /\n\n+/, $res->body =~ s/$sign{$from}//gr;
        push @bad, 'an event is torn' if grep { !/^(?:event: [\w.]+\n)?data: (?:\{.*\}|\[DONE\])$/ } @plain;
        ok !@bad, "F7 $from to $to, $play: $least to $most signs of life, between events" or diag join "\n", @bad, $res->body;
    }
}

lively(silent => 2, 4, 'a');
lively(half => 2, 4, 'ab');
lively(late => 0, 0, 'a');
lively(steady => 0, 0, 'aaaaaaa');

# ---- F10 -------------------------------------------------------------------------------

# Same formats are in stream_flow.t.
my @translated = grep { $_->[0] ne $_->[1] } pairs();

{
    # Responses repeats what was said
    my $run = sub { map { [@$_[0 .. 5]] } delays(6, map { $grid->begin(@$_, 'stamped 6 200 200') } @translated) };
    my @each = $run->();
    @each = $run->() if grep { !defined $_->[5] || percentile(1, @$_) >= 20 } @each;    # a machine that stalls once is not late twice
    my @late = grep { defined } map { @$_ } @each;
    is scalar(@late), 6 * @translated, 'F10 every pair: an event each 200 ms, all came';
    cmp_ok percentile(0.98, @late), '<', 20, 'F10 every pair: within 20 ms' or diag("@late");
}

{
    my (@late, @direct);
    for (1 .. 5) {
        my @clients = map { $grid->begin(@{$translated[$_ % @translated]}, 'stamped 6 ' . (400 + 2 * $_) . ' 200') } 1 .. 100;
        push @clients, map {
            Relay::Client->new(port => $grid->mock('chat')->port)->request(POST => '/v1/chat/completions',
                headers => ['x-play' => 'stamped 6 ' . (400 + 10 * $_) . ' 200'], body => request_body('chat'))
        } 1 .. 20;
        my @each = delays(10, @clients);
        @late = grep { defined } map { @$_[0 .. 5] } @each[0 .. 99];
        @direct = map { @$_ } @each[100 .. 119];
        last if percentile(0.99, @late) - percentile(0.99, @direct) < 20;
    }
    is scalar(@late), 600, 'F10 100 streams on one worker, every pair: all events came';
    cmp_ok percentile(0.99, @late) - percentile(0.99, @direct), '<', 20, 'F10 100 streams on one worker: within 20 ms'
        or diag(map { join(' ', map { sprintf '%.1f', $_ } @$_) . "\n" } map { my $l = $_; [map { percentile($_, @$l) } 0.5, 0.9, 0.99, 1] } \@late, \@direct);
}

# ---- F11 -------------------------------------------------------------------------------

sub latencies {
    my ($count) = @_;
    my $c = $t->client;
    my @ms;
    for (1 .. $count) {
        my $at = time;
        $c->request(GET => '/v1/models', headers => auth());
        my $res = $c->response(timeout => 5);
        push @ms, 1000 * (time - $at);
        last unless $res->status == 200;
        sleep 0.005;
    }
    return @ms;
}

sub beside_flood {
    my ($from, $to) = @_;
    my @quiet = latencies(50);
    my $c = $grid->begin($from, $to, 'flood 0');
    my $reader = fork;
    die "fork: $!" unless defined $reader;
    if (!$reader) {
        $c->{socket}->blocking(1);
        while (sysread $c->{socket}, my $bytes, 1048576) { }
        POSIX::_exit(0);
    }
    $c->close;
    sleep 0.2;
    my $ticks = cpu_ticks();
    my @ms = latencies(100);
    $ticks = cpu_ticks() - $ticks;
    kill KILL => $reader;
    waitpid $reader, 0;
    return (\@quiet, \@ms, $ticks);
}

for my $pair ([qw(messages chat)], [qw(chat converse)], [qw(gemini messages)]) {
    my ($from, $to) = @$pair;
    my ($quiet, $ms, $ticks, $added);
    for (1 .. 3) {
        ($quiet, $ms, $ticks) = beside_flood($from, $to);
        $added = percentile(0.99, @$ms) - percentile(0.99, @$quiet);
        last if $added < 50 * $scale;
    }
    is scalar(@$ms), 100, "F11 $from to $to: others are served beside an endless fast stream";
    cmp_ok $added, '<', 50 * $scale, "F11 $from to $to: at most 50 ms later"
        or diag(sprintf 'p50 %.1f p99 %.1f, quiet %.1f', median(@$ms), percentile(0.99, @$ms), percentile(0.99, @$quiet));
    cmp_ok $ticks, '>', 10, "F11 $from to $to: the stream kept the worker busy meanwhile";
}

# ---- F12 -------------------------------------------------------------------------------

# waiting streams are cheap
{
    my $open = sub { map { my $c = $grid->begin(@$_, 'waits'); $c->read_until(qr/"a"/); $c } @_ };
    my @warm = $open->(@translated, @translated);
    my $before = rss_kb();
    my @clients = $open->((@translated) x 7);
    my $each = (rss_kb() - $before) / @clients;
    cmp_ok $each, '<=', 32 * $scale, 'F12 a translated stream that waits takes at most 32 KB' or diag("$each KB");
    $_->abort for @warm, @clients;
}

# a stream's memory does not depend on its length
sub drain {
    my ($c) = @_;
    my ($length, $tail) = (0, '');
    while (IO::Select->new($c->{socket})->can_read(5)) {
        my $n = sysread $c->{socket}, my $got, 1048576 or last;
        $length += $n;
        $tail = substr $tail . $got, -2000;
        last if $tail =~ /\r\n0\r\n\r\n\z/;
    }
    return ($length, $tail);
}

for my $pair ([qw(messages chat)], [qw(chat messages)], [qw(gemini converse)], [qw(chat gemini)]) {
    my ($from, $to) = @$pair;
    my $before;
    for my $bytes (4e6, 24e6) {
        my ($length, $tail) = drain($grid->begin($from, $to, "flood $bytes"));
        cmp_ok $length, '>', $bytes / 4, "F12 $from to $to: a stream of $bytes bytes";
        like $tail, success_of($from), "F12 $from to $to: has its end";
        $before = rss_kb() if !$before;
    }
    cmp_ok rss_kb() - $before, '<', 512 * $scale, "F12 $from to $to: six times as long, no more memory";
}

# Responses repeats the answer at its end: one that is longer than can be kept fails, and gives all back
{
    my ($length, $tail) = drain($grid->begin('responses', 'chat', 'flood 140000000'));
    like $tail, qr/^event: response\.failed\n.*too long/m, 'F12 an answer that Responses cannot repeat is told' or diag $tail;
    unlike $tail, success_of('responses'), 'F12 and is no success';
    cmp_ok rss_kb(), '<', 120 * 1024 * $scale, 'F12 within a bound';
}

# slow callers
{
    my $count = @translated;
    my $before = rss_kb();
    $grid->mock($_)->forget for upstreams();
    my @clients = map { $grid->begin(@$_, 'flood 0', connection => {receive_buffer => 4096}) } grep { $_->[0] ne 'responses' } @translated;
    sleep 0.7;
    my $each = (rss_kb() - $before) / @clients;
    cmp_ok $each, '<=', 64 * $scale, 'F12 callers that do not read: at most 64 KB for each' or diag("$each KB");
    my @idle = grep { my $ticks = cpu_ticks(); sleep 0.2; cpu_ticks() - $ticks <= 2 } 1 .. 4;
    ok scalar(@idle), 'F12 and no hot loop';
    my (@closed, @sent);
    for my $to (upstreams()) {
        for my $req ($grid->mock($to)->requests) {
            my $connection = $grid->mock($to)->connection($req->conn, 4);
            push @closed, $connection if $connection->{closed} && $connection->{closed_by} eq 'peer';
            push @sent, $connection->{sent} if $connection->{requests} == 1;
        }
    }
    is scalar(@closed), scalar(@clients), "F12 send_timeout closes the provider's side";
    is scalar(grep { $_ > 16e6 } @sent), 0, 'F12 the providers were not read meanwhile' or diag("@sent");
    logged($t, $clients[0]{id}, {attempts => 1, error => ''}, 'F12 a row in the log');
    $_->abort for @clients;
}

$lively->t->finish;
$t->done;
