#!/usr/bin/perl

# The caller leaves in each phase of a request (O7, X13): the provider is let
# go within 50 ms, nobody else is asked, and the log has its row.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

use constant LIMIT => 0.05;    # seconds

my %path = (chat => '/v1/chat/completions', messages => '/v1/messages');
my %stream = (chat => [chat_stream()], messages => [messages_stream()]);

my %play = (
    hang => sub { 'hang' },
    header => sub { {type => 'text/event-stream', chunked => 1, steps => ['hang']} },
    prelude => sub { my ($format) = @_; sse([$stream{$format}[0], ": one\n\n"], end => 'hang') },
    content => sub { my ($format) = @_; sse([@{$stream{$format}}[0 .. 3]], end => 'hang') },
    flowing => sub { my ($format) = @_; sse([@{$stream{$format}}[0 .. 2], ($stream{$format}[2]) x 1000], gap_ms => 5) },
    # as fast as it can, without an end
    flood => sub { my ($format) = @_; my @parts = @{$stream{$format}};
        my $events = join '', ($parts[2]) x 200;
        {type => 'text/event-stream', chunked => 1, steps => [[chunk => join '', @parts[0 .. 2]], ([chunk => $events]) x 5000]} },
    half => sub { {length => 1000, body => '{"id":', steps => ['hang']} },
    'half-error' => sub { {status => 500, length => 1000, body => '{"error":', steps => ['hang']} },
    'slow-error' => sub { {status => 500, body => '{"error":{"message":"no"}}', delay_ms => 300} },
    good => sub { my ($format) = @_; {body => $format eq 'chat' ? chat_answer() : message_answer()} },
    stream => sub { my ($format) = @_; sse($stream{$format}) },
);

sub provider {
    my ($name, %o) = @_;
    return Relay::Mock->new(%o, on => sub {
        my ($req) = @_;
        my ($format) = $req->path =~ /messages/ ? 'messages' : 'chat';
        return $play{$req->header("x-$name") || 'good'}->($format);
    });
}

my ($a, $b) = (provider('a'), provider('b'));
my $tls = provider('a', tls => 1);
my $mute = Relay::Mock->new(on_connect => sub { 'hang' });
# relay_core_dumps: else /proc/PID/fd of a worker is closed to all but root
my $t = Relay::Test->new(http2 => 1, http => 'keepalive_requests 100000; relay_core_dumps on;');
my $config = relay_config({timeouts => {connect_ms => 5000, first_token_ms => 5000, idle_ms => 5000}}, a => $a, tls => $tls,
    hole => 'http://127.0.0.1:' . Relay::Mock->blackhole . '/v1',
    mute => {base_url => $mute->url =~ s/http:/https:/r . '/v1', tls => {ca_file => $tls->ca_file, name => 'localhost'}},
    refused => 'http://127.0.0.1:' . Relay::Mock->refused . '/v1', b => $b);
my %chains = (m => [qw(a b)], s => [qw(tls b)], h => [qw(hole b)], u => [qw(mute b)], r => [qw(refused b)]);
$config->{models} = {map { my $m = $_; ($m => {offers => [map { {host => $_, id => "up-$_"} } @{$chains{$m}}]}) } keys %chains};
$t->relay($config)->start;

my $worker = ($t->workers)[0];
sub sockets { scalar grep { (readlink($_) || '') =~ /^socket:/ } glob "/proc/$worker/fd/*" }

# Their number once what was going on has ended.
sub settled {
    my ($last, $same) = (-1, 0);
    while ($same < 4) { my $now = sockets(); $same = $now == $last ? $same + 1 : 0; $last = $now; sleep 0.02 }
    return $last;
}

my $n = 0;
sub begin {
    my ($format, $model, $a_plays, %o) = @_;
    my $c = $t->client($o{receive_buffer} ? (receive_buffer => $o{receive_buffer}) : ());
    my $id = $c->{id} = 'abort-' . ++$n;
    return $c->request(POST => $path{$format}, headers => [@{auth()}, 'X-A' => $a_plays, 'X-B' => $o{b} || 'good',
        'X-Relay-Request-Id' => $id],
        body => {model => $model, max_tokens => 9, messages => [], $o{whole} ? () : (stream => \1)});
}

sub entry { my ($id) = @_; my $e; wait_for(2, sub { ($e) = grep { $_->{request_id} eq $id } $t->logs; $e }); return $e || {} }

# Leaves once "ready" says so; returns the seconds until the mock saw it.
sub leave {
    my ($mock, $how, $start, $ready) = @_;
    $_->forget for $a, $b, $tls;
    my $c = $start->();
    my $conn = $ready->($c);
    my $at = time;
    my $leave = {abort => 'abort', close => 'close', half => 'half_close'}->{$how};
    $c->$leave;
    my $connection = $mock->connection($conn, 2) || {};
    my $took = $connection->{closed} && $connection->{closed_by} eq 'peer' ? $connection->{closed} - $at : undef;
    return ($took, $c->{id});
}

# The best of three: a machine that stalls once does not stall thrice.
sub let_go_ok {
    my ($name, $mock, $how, $start, $ready, %log) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($took, $id);
    for (1 .. 3) {
        ($took, $id) = leave($mock, $how, $start, $ready);
        last if defined $took && $took <= LIMIT;
    }
    ok defined $took && $took <= LIMIT, "O7 $name, $how: the provider is let go within 50 ms"
        or diag(defined $took ? sprintf '%.0f ms', 1000 * $took : 'never');
    my $entry = entry($id);
    is $entry->{status}, $log{status} || 499, "O7 $name, $how: its row in the log";
    is $entry->{attempts}, $log{attempts} || 1, "O7 $name, $how: with its attempts";
    is scalar(my @others = $b->requests), $log{asked_b} || 0, "X13 $name, $how: nobody else is asked" unless $mock == $b;
}

# ---- before the provider is reached -----------------------------------------

{
    my $sockets = settled();
    for my $how (qw(abort close)) {
        my $c = $t->client;
        $c->send($c->build_request(POST => $path{chat}, headers => [@{auth()}, 'Content-Length' => 1000], body => '{"model":'));
        sleep 0.03;
        $c->$how;
        my $d = $t->client;
        $d->send("POST $path{chat} HTTP/1.1\r\nHost: x\r\nAuthori");
        sleep 0.03;
        $d->$how;
    }
    ok wait_for(1, sub { sockets() <= $sockets }), 'O7 while the request is sent: every socket is closed';
    is scalar($a->connections->@*), 0, 'O7 while the request is sent: no provider was asked';

    for my $how (qw(abort close)) {
        my $before = settled();
        my $c = begin('chat', 'h', 'good');
        ok wait_for(1, sub { sockets() >= $before + 2 }), "O7 at connect, $how: it is being connected";
        my $at = time;
        $c->$how;
        ok wait_for(1, sub { sockets() <= $before }), "O7 at connect, $how: that ends";
        is entry($c->{id})->{status}, 499, "O7 at connect, $how: its row in the log";
        is scalar($b->connections->@*), 0, "X13 at connect, $how: nobody else is asked";
    }
    let_go_ok('in the TLS handshake', $mute, $_, sub { begin('chat', 'u', 'good') }, sub {
        my $open;
        wait_for(2, sub { ($open) = grep { !$mute->connections->[$_]{closed} } 0 .. $#{$mute->connections}; defined $open });
        sleep 0.02;
        return $open;
    }) for qw(abort close);
}

# ---- while the provider thinks, and while it answers ------------------------

my $asked = sub { my ($mock) = @_; sub { my $conn = $mock->request(0)->conn; sleep 0.02; $conn } };
my $begun = sub { my ($mock) = @_; sub { my ($c) = @_; $c->read_until(qr/data: /, 2); $mock->request(0)->conn } };

for my $format (qw(chat messages)) {
    for my $how (qw(abort close half)) {
        let_go_ok("$format, before the header", $a, $how, sub { begin($format, 'm', 'hang') }, $asked->($a));
        let_go_ok("$format, after the header", $a, $how, sub { begin($format, 'm', 'header') }, $asked->($a));
        let_go_ok("$format, before the first content", $a, $how, sub { begin($format, 'm', 'prelude') }, $asked->($a));
        let_go_ok("$format, no stream, before the answer", $a, $how, sub { begin($format, 'm', 'hang', whole => 1) }, $asked->($a));
        let_go_ok("$format, no stream, in the answer", $a, $how, sub { begin($format, 'm', 'half', whole => 1) }, $asked->($a));
        let_go_ok("$format, in an answer that is an error", $a, $how, sub { begin($format, 'm', 'half-error') }, $asked->($a));
        let_go_ok("$format, in a silent stream", $a, $how, sub { begin($format, 'm', 'content') }, $begun->($a), status => 200);
        let_go_ok("$format, in a flowing stream", $a, $how, sub { begin($format, 'm', 'flowing') }, $begun->($a), status => 200);
    }
    for my $how (qw(abort close)) {
        let_go_ok("$format, over TLS, before the header", $tls, $how, sub { begin($format, 's', 'hang') }, $asked->($tls));
        let_go_ok("$format, over TLS, in a flowing stream", $tls, $how, sub { begin($format, 's', 'flowing') }, $begun->($tls),
            status => 200);
        # in the second attempt
        let_go_ok("$format, in the second attempt", $b, $how, sub { begin($format, 'r', 'good', b => 'hang') }, $asked->($b),
            attempts => 2);
    }
    # a caller that reads nothing: the provider is held up, and still let go
    let_go_ok("$format, with full buffers", $a, 'abort', sub { begin($format, 'm', 'flood', receive_buffer => 4096) }, sub {
        my $conn = $a->request(0)->conn;
        sleep 0.3;
        return $conn;
    }, status => 200);
}

# ---- between attempts -------------------------------------------------------

# The first provider fails after the caller has left: nobody learns of it.
for my $format (qw(chat messages)) {
    for my $how (qw(abort close)) {
        $_->forget for $a, $b;
        my $c = begin($format, 'm', 'slow-error');
        $a->request(0);
        $c->$how;
        sleep 0.35;
        is scalar(my @others = $b->requests), 0, "X13 $format, between attempts, $how: the next one is not asked";
        my $entry = entry($c->{id});
        is "$entry->{status} $entry->{attempts} $entry->{host}", '499 1 a', "X13 $format, between attempts, $how: its row";
    }
}

# ---- HTTP/2 -----------------------------------------------------------------

for my $case (['hang', $a, 'm'], ['prelude', $a, 'm'], ['flowing', $a, 'm'], ['half', $a, 'm'], ['hang', $tls, 's']) {
    my ($plays, $mock, $model) = @$case;
    my $took;
    for (1 .. 3) {
        $mock->forget;
        my $body = Relay::Sse::encode({model => $model, messages => [], stream => $plays eq 'half' ? \0 : \1});
        my $pid = fork;
        if (!$pid) {
            open STDOUT, '>', '/dev/null';
            exec 'curl', '-sS', '-N', '--http2-prior-knowledge', '-H', 'Authorization: Bearer ' . RELAY_KEY, '-H', "X-A: $plays",
                '-H', 'Content-Type: application/json', '-d', $body, $t->http2_url . $path{chat};
        }
        my $conn = $mock->request(0)->conn;
        sleep 0.05;
        my $at = time;
        kill KILL => $pid;
        waitpid $pid, 0;
        my $connection = $mock->connection($conn, 2);
        $took = $connection->{closed} && $connection->{closed_by} eq 'peer' ? $connection->{closed} - $at : undef;
        last if defined $took && $took <= LIMIT;
    }
    ok defined $took && $took <= LIMIT, "O7 HTTP/2, $plays, $model: the provider is let go within 50 ms"
        or diag(defined $took ? sprintf '%.0f ms', 1000 * $took : 'never');
}

# ---- nothing is left --------------------------------------------------------

{
    my @open = grep { !$_->{closed} } $a->connections;
    my $kept = @open + $tls->open_connections(100, 0) + $b->open_connections(100, 0);
    my $idle = sockets();
    my @clients = map { begin('chat', 'm', 'good', whole => 1) } 1 .. 3;
    is scalar(grep { $_->status == 200 } Relay::Client->gather(@clients)), 3, 'F19 the worker serves';
    $_->close for @clients;
    is_deeply [$t->workers], [$worker], 'F19 the same worker';
    ok $kept <= 6, 'F19 no connection to a provider stays but kept ones' or diag("$kept of $idle sockets");
}

$t->done;
