#!/usr/bin/perl

# Streams in time and memory: events at once (F10), no stream starves others
# (F11), slow callers hold the provider back instead of filling memory (F12),
# stalled providers are given up (X9).

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

use IO::Select;
use POSIX ();

# ---- the provider -----------------------------------------------------------

# The stream up to its first content, one event of content, and the others.
sub in_three {
    my ($dialect) = @_;
    my @parts = authored($dialect);
    my ($at) = grep { $parts[$_] =~ /na\xC3\xAFve/ } 0 .. $#parts;
    return (joined(@parts[0 .. $at - 1]), $parts[$at], joined(@parts[$at + 1 .. $#parts]));
}

sub content { my ($event, $text) = @_; return $event =~ s/na\xC3\xAFve /$text/r }

# Each event says when it was sent.
sub stamped {
    my ($req, $dialect, $count, $delay_ms, $gap_ms) = @_;
    my ($before, $event, $after) = in_three($dialect);
    my $now = [code => sub { $_[0]->chunk(content($event, sprintf 'sent=%.6f ', time)) }];
    return {type => 'text/event-stream', chunked => 1, delay_ms => $delay_ms, steps => [[chunk => $before],
        (map { ($now, [sleep => $gap_ms]) } 1 .. $count), [chunk => $after], [chunk => '']]};
}

# As fast as the other side takes it; bytes 0: for ever.
sub flood {
    my ($req, $dialect, $bytes) = @_;
    my ($before, $event, $after) = in_three($dialect);
    my $block = $event x (1 + 262144 / length $event);
    my $write = sub {
        my ($connection) = @_;
        my $sent = 0;
        until ($bytes && $sent >= $bytes) { $connection->chunk($block); $sent += length $block }
    };
    return {type => 'text/event-stream', chunked => 1,
        steps => [[chunk => $before], [code => $write], [chunk => $after], [chunk => '']]};
}

my %beat = (chat => ": keep-alive\n\n", responses => event(keepalive => {type => 'keepalive'}),
    messages => event(ping => {type => 'ping'}));

sub stalls {
    my ($req, $dialect, $kind) = @_;
    my ($before, $event) = in_three($dialect);
    my %steps = (
        silent => ['hang'],
        half => [[chunk => substr $event, 0, 40], 'hang'],
        beats => [map { ([sleep => 100], [chunk => $beat{$dialect}]) } 1 .. 60],
        trickle => [map { ([sleep => 100], [chunk => $_]) } split //, substr $event, 0, 60],
        events => [map { ([sleep => 100], [chunk => $event]) } 1 .. 60],
    );
    return {type => 'text/event-stream', chunked => 1, steps => [[chunk => $before], [chunk => $event], @{$steps{$kind}}]};
}

my $mock = player({send_buffer => 65536}, stamped => \&stamped, flood => \&flood, stalls => \&stalls,
    whole => sub { my ($req, $dialect) = @_; sse([authored($dialect)]) },
    steady => sub { my ($req, $dialect) = @_; my ($before, $event, $after) = in_three($dialect); sse([$before, ($event) x 8, $after], gap_ms => 250) });

my @operator = (http => 'proxy_buffering on; proxy_buffer_size 64k; proxy_buffers 8 64k; postpone_output 8000;'
    . ' output_buffers 4 64k; sendfile on; tcp_nopush on; keepalive_requests 100000;', server => 'send_timeout 1500ms;');
my $t = Relay::Test->new(@operator, http2 => 1);
$t->relay(relay_config({models => {
    idle => {offers => [{host => 'idle', id => 'up-idle'}]}, total => {offers => [{host => 'total', id => 'up-total'}]}}},
    a => $mock, idle => {mock => $mock, timeouts => {idle_ms => 400}},
    total => {mock => $mock, timeouts => {idle_ms => 400, total_ms => 1500}}));
$t->start;

my $worker = first_worker($t);

# Under the sanitizers everything is slower, and larger.
my $scale = ($ENV{RELAY_MODULE} || '') eq 'static' ? 3 : 1;

sub rss_kb { my ($kb) = slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m; return $kb }
sub sockets { scalar grep { (readlink($_) || '') =~ /^socket:/ } glob "/proc/$worker/fd/*" }
sub cpu_ticks { my @f = split ' ', slurp("/proc/$worker/stat") =~ s/^.*\) //r; return $f[11] + $f[12] }

# ---- F10 --------------------------------------------------------------------

sub direct {
    my ($dialect, $play) = @_;
    return Relay::Client->new(port => $mock->port)->request(POST => path_of($dialect),
        headers => ['x-play' => $play], body => request_body($dialect));
}

sub h2_delays {
    my ($dialect) = @_;
    my $curl = curl_begin($t, $dialect => "stamped $dialect 6 0 200");
    my @pieces;
    while (sysread $curl->{out}, my $bytes, 65536) { push @pieces, [time, $bytes] }
    close $curl->{out};
    return lateness(@pieces);
}

# A machine that stalls once is not late twice.
{
    my $run = sub { delays(5, map { begin($t, $_ => "stamped $_ 6 0 200") } dialects()) };
    my @each = $run->();
    @each = $run->() if grep { !@$_ || percentile(1, @$_) >= 20 } @each;
    for my $dialect (dialects()) {
        my @late = @{shift @each};
        is scalar(@late), 6, "F10 $dialect: six events";
        cmp_ok percentile(1, @late), '<', 20, "F10 $dialect: an event each 200 ms, every one within 20 ms" or diag("@late");
    }
}

{
    my @late = h2_delays('messages');
    @late = h2_delays('messages') if percentile(1, @late) >= 20;
    is scalar(@late), 6, 'F10 messages over HTTP/2: six events';
    cmp_ok percentile(1, @late), '<', 20, 'F10 messages over HTTP/2: every one within 20 ms' or diag("@late");
}

{
    # some more that come straight from the provider say how late events are
    # on this machine without Relay
    my (@late, @direct);
    for (1 .. 3) {
        my @clients = map { my $d = (dialects())[$_ % 3]; begin($t, $d => "stamped $d 6 " . (400 + 2 * $_) . ' 200') } 1 .. 100;
        push @clients, map { direct('chat', 'stamped chat 6 ' . (400 + 10 * $_) . ' 200') } 1 .. 20;
        my @each = delays(8, @clients);
        @late = map { @$_ } @each[0 .. 99];
        @direct = map { @$_ } @each[100 .. 119];
        last if percentile(0.99, @late) - percentile(0.99, @direct) < 20;
    }
    is scalar(@late), 600, 'F10 100 streams on one worker: all events came';
    cmp_ok percentile(0.99, @late) - percentile(0.99, @direct), '<', 20, 'F10 100 streams on one worker: within 20 ms'
        or diag(map { join(' ', map { sprintf '%.1f', $_ } @$_) . "\n" } map { my $l = $_; [map { percentile($_, @$l) } 0.5, 0.9, 0.99, 1] } \@late, \@direct);
}

# ---- F11 --------------------------------------------------------------------

# Milliseconds that each of the requests took.
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

# Beside an endless stream and its reader: (times before, times meanwhile, how
# busy the worker was).
sub beside_flood {
    my ($dialect) = @_;
    my @quiet = latencies(50);
    my $c = begin($t, $dialect => "flood $dialect 0");
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

for my $dialect (qw(chat messages)) {
    my ($quiet, $ms, $ticks, $added);
    for (1 .. 3) {
        ($quiet, $ms, $ticks) = beside_flood($dialect);
        $added = percentile(0.99, @$ms) - percentile(0.99, @$quiet);
        last if $added < 50 * $scale;
    }
    is scalar(@$ms), 100, "F11 $dialect: others are served beside an endless fast stream";
    cmp_ok $added, '<', 50 * $scale, "F11 $dialect: at most 50 ms later"
        or diag(sprintf 'p50 %.1f p99 %.1f, quiet %.1f', median(@$ms), percentile(0.99, @$ms), percentile(0.99, @$quiet));
    cmp_ok $ticks, '>', 10, "F11 $dialect: the stream kept the worker busy meanwhile";
}

# ---- memory -----------------------------------------------------------------

# waiting streams are cheap
{
    my $count = 100;
    my $open = sub { map { my $c = begin($t, $_ => "stalls $_ silent"); $c->read_until(qr/na\xC3\xAFve.*\n\n/); $c } @_ };
    my @warm = $open->(dialects());
    my $before = rss_kb();
    my @clients = $open->(map { (dialects())[$_ % 3] } 1 .. $count);
    my $each = (rss_kb() - $before) / $count;
    cmp_ok $each, '<=', 32 * $scale, "F12 a live stream that waits takes at most 32 KB" or diag("$each KB");
    $_->abort for @warm, @clients;
}

# a stream's memory does not depend on its length
for my $dialect (dialects()) {
    my $before;
    for my $bytes (4e6, 40e6) {
        my $c = begin($t, $dialect => "flood $dialect $bytes");
        my ($length, $n, $tail) = (0, 0, '');
        while (IO::Select->new($c->{socket})->can_read(5)) {
            $n = sysread $c->{socket}, my $got, 1048576 or last;
            $length += $n;
            $tail = substr $tail . $got, -200;
            last if $tail =~ /\r\n0\r\n\r\n\z/;
        }
        cmp_ok $length, '>', $bytes, "F12 $dialect: a stream of $bytes bytes";
        $before = rss_kb() if !$before;
    }
    cmp_ok rss_kb() - $before, '<', 512 * $scale, "F12 $dialect: ten times as long, no more memory";
}

# ---- F12 --------------------------------------------------------------------

{
    my $count = 15 / $scale;
    my ($before, $sockets) = (rss_kb(), sockets());
    $mock->forget;
    my @clients = map { my $d = (dialects())[$_ % 3];
        begin($t, $d => "flood $d 0", connection => {receive_buffer => 4096}) } 1 .. $count;
    my @conns = map { $_->conn } $mock->requests($count);
    sleep 0.5;
    my $each = (rss_kb() - $before) / $count;
    cmp_ok $each, '<=', 64 * $scale, 'F12 callers that do not read: at most 64 KB for each' or diag("$each KB");
    my @idle = grep { my $ticks = cpu_ticks(); sleep 0.2; cpu_ticks() - $ticks <= 2 } 1 .. 4;
    ok scalar(@idle), 'F12 and no hot loop';
    my @closed = map { $mock->connection($_, 3) } @conns;
    is scalar(grep { $_->{closed} && $_->{closed_by} eq 'peer' } @closed), $count, "F12 send_timeout closes the provider's side";
    # the count of a connection that was used before is of all its answers
    my @sent = map { $_->{sent} } grep { $_->{requests} == 1 } @closed;
    cmp_ok scalar(@sent), '>', $count / 2, 'F12 on connections of their own';
    is scalar(grep { $_ > 16e6 } @sent), 0, 'F12 the providers were not read meanwhile' or diag("@sent");
    ok until_true(2, sub { sockets() <= $sockets }), "F12 and the callers' side" or diag(sockets() . " sockets, $sockets before");
    logged($t, $clients[0]{id}, {attempts => 1, host => 'a', error => ''}, 'F12 a row in the log');
    $_->abort for @clients;
}

# ---- X9 ---------------------------------------------------------------------

{
    my %ends_ms = (silent => 400, half => 400, beats => 1600, trickle => 1600);
    my %c;
    $mock->forget;
    for my $dialect (dialects()) {
        for my $kind (sort keys %ends_ms) {
            $c{"$dialect $kind"} = begin($t, $dialect => "stalls $dialect $kind", body => {model => 'idle'});
        }
        $c{"$dialect steady"} = begin($t, $dialect => "steady $dialect", body => {model => 'idle'});
        $c{"$dialect total"} = begin($t, $dialect => "stalls $dialect events", body => {model => 'total'});
    }
    my @cases = sort keys %c;
    my @all = finish(8, @c{@cases});
    for my $case (@cases) {
        my ($dialect, $kind) = split / /, $case;
        my $res = shift @all;
        ok $res->clean, "X9 $dialect, $kind: a clean end" or diag($res->why);
        if ($kind eq 'steady') {
            like $res->body, success_mark($dialect), "X9 $dialect: a stream slower than its idle limit as a whole goes on";
            logged($t, $res, {status => 200, error => ''}, "X9 $dialect: and is no failure");
            next;
        }
        my $error = error_of($dialect, $res->body);
        ok $error && length($error->{message} || ''), "X9 $dialect, $kind: ended by an error event";
        unlike $res->body, success_mark($dialect), "X9 $dialect, $kind: and no success";
        my $took = 1000 * $res->elapsed;
        my $limit = $kind eq 'total' ? 1500 : $ends_ms{$kind};
        my $early = 20 + $limit / 10;
        ok $took > $limit - $early && $took < $limit + 250, "X9 $dialect, $kind: after $limit ms" or diag("$took ms");
        logged($t, $res, {status => 200, error => 'upstream_timeout', attempts => 1}, "X9 $dialect, $kind: its log");
    }
    for my $req (grep { $_->header('x-play') =~ /^stalls/ } $mock->requests) {
        my $connection = $mock->connection($req->conn);
        is $connection->{closed_by}, 'peer', 'X9 ' . $req->header('x-play') . ": the provider's connection was closed";
    }
}

$t->done;
