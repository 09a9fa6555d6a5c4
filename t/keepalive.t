#!/usr/bin/perl

# Connections to providers that are kept: when one is used again and when not,
# what happens if the provider had closed it (trap 6), that names and TLS
# settings are never mixed (trap 7), and the limits of the pool. And that the
# caller's own connection stays whatever becomes of the provider's, or that the
# answer says otherwise.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Http2;

my %path = (chat => '/v1/chat/completions', messages => '/v1/messages');

sub post {
    my ($t, $model, %o) = @_;
    return $t->post($path{chat}, {model => $model, messages => [], %{$o{body} || {}}},
        headers => ['X-Play' => $o{play} || 'good', @{$o{headers} || []}]);
}

# What the caller's x-play asks for; NTH-WORD only from the second request of a
# connection on.
my $whole = chat_answer();
my %play = (
    good => sub { {body => $whole} },
    chunked => sub { {body => $whole, chunked => 1} },
    stream => sub { sse([chat_stream()]) },
    empty => sub { {status => 404, length => 0, body => ''} },
    unauthorized => sub { {status => 400, body => '{"error":{"message":"no"}}'} },
    'stream-drained-late' => sub { my @parts = chat_stream(); {type => 'text/event-stream', chunked => 1,
        steps => [[chunk => join '', @parts], [sleep => 50], [chunk => '']]} },
    'stream-surplus' => sub { my @parts = chat_stream(); {type => 'text/event-stream', chunked => 1,
        steps => [[chunk => join '', @parts], [sleep => 50], [send => "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"]]} },
    'close-header' => sub { {body => $whole, close => 1} },
    'close-header-kept-open' => sub { {body => $whole, headers => [Connection => 'close'], steps => ['hang']} },
    'http-1.0' => sub { {raw => "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: " . length($whole) . "\r\n\r\n$whole"} },
    'until-close' => sub { {body => $whole, length => undef, steps => ['close']} },
    surplus => sub { {body => $whole . 'surplus', length => length $whole} },
    'surplus-answer' => sub { {body => $whole, steps => [[send => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"]]} },
    'late-surplus' => sub { {body => $whole, steps => [[sleep => 30], [send => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"]]} },
    undrained => sub { sse([chat_stream()], end => 'hang') },
    cut => sub { {length => 1000, body => 'half', steps => ['close']} },
    'good-then-close' => sub { {body => $whole, steps => ['close']} },
    'good-then-reset' => sub { {body => $whole, steps => [[sleep => 20], 'reset']} },
    reset => sub { 'reset' },
    close => sub { 'close' },
    hang => sub { 'hang' },
    '500' => sub { {status => 500, body => '{"error":{"message":"no"}}'} },
    hold => sub { {body => $whole, delay_ms => 300} },
);

sub provider {
    my (%o) = @_;
    return Relay::Mock->new(%o, on => sub {
        my ($req) = @_;
        my $play = $req->header('x-play') || 'good';
        $play = $req->{nth} ? $play : 'good' if $play =~ s/^nth-//;
        return $play{$play}->();
    });
}

my ($a, $b) = (provider(), provider());
my $t = Relay::Test->new(http => 'relay_keepalive 8; relay_keepalive_timeout 500ms;');
$t->relay(relay_config({models => {one => {offers => [{host => 'a', id => 'up'}]}},
    timeouts => {first_token_ms => 1000}}, a => $a, b => $b))->start;

# Lets every kept connection go, so that the next case starts from none.
sub drain { my ($mock) = @_; sleep 0.55; $mock->open_connections(0, 2); $mock->forget }

# ---- again, or not ----------------------------------------------------------

# Pairs of requests: the second one on the same connection, or on another.
# Each pair has a provider of its own: nothing left over from the pair before.
{
    my %again = (good => 1, chunked => 1, stream => 1, 'stream-drained-late' => 1, empty => 1, unauthorized => 1,
        'close-header' => 0, 'close-header-kept-open' => 0, 'http-1.0' => 0, 'until-close' => 0, surplus => 0,
        'surplus-answer' => 0, 'stream-surplus' => 0, 'late-surplus' => 0, undrained => 0, 'good-then-close' => 0, 'good-then-reset' => 0);
    my @names = sort keys %again;
    my %mock = map { $_ => provider() } @names;
    my $many = Relay::Test->new;
    my $config = relay_config(map { ($_ => $mock{$_}) } @names);
    $config->{models}{$_} = {offers => [{host => $_, id => 'up'}]} for @names;
    $many->relay($config)->start;
    for my $name (@names) {
        my $first = post($many, $name, play => $name);
        ok $first->clean && $first->status, "$name: the first answer";
        unlike $first->body, qr/poison|surplus/, "$name: and nothing more";
        sleep 0.1 if !$again{$name} || $name eq 'stream-drained-late';
        my $second = post($many, $name);
        is $second->body, $whole, "$name: the second answer";
        is $second->header('x-relay-attempts'), 1, "$name: in one attempt";
        my @conn = map { $_->conn } $mock{$name}->requests(2);
        $again{$name} ? is($conn[1], $conn[0], "$name: on the same connection")
            : isnt($conn[1], $conn[0], "$name: on another connection");
        is scalar(@conn), 2, "$name: two requests in all";
        ok $mock{$name}->connection($conn[0])->{closed}, "$name: the first connection is closed" if !$again{$name};
    }
}

# the answer of a failed attempt leaves a good connection
{
    $_->forget for $a, $b;
    post($t, 'm', play => '500');
    post($t, 'm', play => '500');
    my @conn = map { $_->conn } $a->requests(2);
    is $conn[1], $conn[0], 'a connection whose answer was an error is used again';
}

# ---- the provider had closed it (trap 6) -------------------------------------

for my $how (qw(reset close)) {
    drain($a);
    post($t, 'one');
    my $res = post($t, 'one', play => "nth-$how");
    is $res->status, 200, "trap 6: a kept connection ends with $how: asked again";
    is $res->header('x-relay-host'), 'a', "trap 6: $how: the same provider";
    is $res->header('x-relay-attempts'), 1, "trap 6: $how: it was no attempt of its own";
    my @req = $a->requests(3);
    is join(' ', map { $_->{nth} } @req), '0 1 0', "trap 6: $how: once on the kept connection, once on a new one";
    is $req[2]->body, $req[1]->body, "trap 6: $how: the same request";
    is $req[2]->key, secret('a'), "trap 6: $how: with the same key";
    $_->forget for $a, $b;
}

# many kept connections, all of them dead: not one after the other
{
    drain($a);
    my @clients = map { $t->client->request(POST => $path{chat}, headers => [@{auth()}, 'X-Play' => 'hold'],
        body => {model => 'one', messages => []}) } 1 .. 6;
    Relay::Client->gather(@clients);
    my %conn = map { $_->conn => 1 } $a->requests(6);
    is scalar(keys %conn), 6, 'trap 6: six connections are kept';
    $a->forget;
    my $res = post($t, 'one', play => 'nth-reset');
    is $res->status, 200, 'trap 6: six dead connections: answered';
    is scalar(my @req = $a->requests(2)), 2, 'trap 6: six dead connections: one is tried, then a new one';

    # if the new one fails too, the next candidate is asked
    $_->forget for $a, $b;
    $res = post($t, 'm', play => 'reset');
    is scalar(my @at_a = $a->requests(2)), 2, 'trap 6: a kept and a new connection, and no more';
    is $res->header('x-relay-attempts'), 2, 'trap 6: then the next provider';
    is $b->request(0)->key, secret('b'), 'trap 6: with its own key';
}

# silence on a kept connection is not a stale connection: nobody pays twice
{
    drain($a);
    $b->forget;
    post($t, 'one');
    my $begin = time;
    my $res = post($t, 'one', play => 'nth-hang');
    is $res->status, 504, 'a kept connection that is silent: timed out';
    my @req = $a->requests;
    is scalar(@req), 2, 'and not asked again';
    ok time - $begin < 1.5, 'within the limit';

    drain($a);
    $b->forget;
    post($t, 'm');
    $res = post($t, 'm', play => 'nth-hang');
    is $res->header('x-relay-host'), 'b', 'nor if there is another provider: that one';
    is scalar(@req = $a->requests), 2, 'at once';
}

# an answer that began and ended short was received: the next candidate
{
    drain($a);
    post($t, 'm');
    my $res = post($t, 'm', play => 'nth-cut');
    is $res->header('x-relay-host'), 'b', 'a kept connection whose answer is cut: the next provider';
    is scalar(my @req = $a->requests), 2, 'and not the same one again';
}

# ---- what shares a connection -----------------------------------------------

{
    my $tls = provider(tls => {names => ['one.test', 'two.test', 'localhost']});
    my $plain = provider();
    my $dns = Relay::Dns->new(names => {map { ("$_.test" => {A => ['127.0.0.1']}) } qw(one two three)});
    my ($s, $p) = ($tls->port, $plain->port);
    my $ca = $tls->ca_file;
    my $config = relay_config(
        'plain-one' => "http://one.test:$p/v1", 'plain-one-too' => "http://one.test:$p/other", 'plain-two' => "http://two.test:$p/v1",
        'tls-one' => {base_url => "https://one.test:$s/v1", tls => {ca_file => $ca}},
        'tls-two' => {base_url => "https://two.test:$s/v1", tls => {ca_file => $ca}},
        'tls-one-as-two' => {base_url => "https://one.test:$s/v1", tls => {ca_file => $ca, name => 'two.test'}},
        'tls-one-trusting' => {base_url => "https://one.test:$s/v1", tls => {verify => \0}},
    );
    $config->{models}{$_} = {offers => [{host => $_, id => 'up'}]} for keys %{$config->{hosts}};
    $config->{provider_keys}{another} = {host => 'plain-one', value => 'another-secret-0123456789'};
    $config->{pools}{q} = {members => ['another']};
    $config->{policies}{other} = {pools => ['q']};
    $config->{relay_keys}{other} = {policy => 'other', key => 'test-relay-key-other-0001'};
    my $names = Relay::Test->new(resolver => $dns);
    $names->relay($config)->start;

    my $conn = sub {
        my ($mock, $host, %o) = @_;
        $mock->forget;
        my $res = $names->post($path{chat}, {model => $host, messages => []}, %o);
        is $res->status, 200, "$host answers" or diag($res->body);
        return $mock->request(0)->conn;
    };
    my $first = $conn->($plain, 'plain-one');
    is $conn->($plain, 'plain-one'), $first, 'the same host: shared';
    is $conn->($plain, 'plain-one-too'), $first, 'the same name and port under another path: shared';
    is $conn->($plain, 'plain-one', key => 'test-relay-key-other-0001'), $first, 'another provider key: shared';
    is $plain->request(0)->key, 'another-secret-0123456789', 'and with that key';
    isnt $conn->($plain, 'plain-two'), $first, 'trap 7: another name at the same address: not shared';

    my %tls;
    for my $host (qw(tls-one tls-two tls-one-as-two tls-one-trusting)) {
        $tls{$host} = $conn->($tls, $host);
        is $conn->($tls, $host), $tls{$host}, "$host: kept";
    }
    my %distinct = map { $_ => 1 } values %tls;
    is scalar(keys %distinct), 4, 'trap 7: each name and TLS setting has its own connections';
    $conn->($tls, 'tls-two');
    is $tls->request(0)->{tls}{sni}, 'two.test', 'trap 7: a request goes out under its own name';
    $conn->($tls, 'tls-one');
    is $tls->request(0)->{tls}{sni}, 'one.test', 'trap 7: and the other under its own';
}

# ---- limits -----------------------------------------------------------------

{
    drain($a);
    my @clients = map { $t->client->request(POST => $path{chat}, headers => [@{auth()}, 'X-Play' => 'hold'],
        body => {model => 'one', messages => []}) } 1 .. 12;
    is scalar(grep { $_->status == 200 } Relay::Client->gather(@clients)), 12, 'relay_keepalive 8: 12 at once are answered';
    my @open = $a->open_connections(8, 0.5);
    is scalar(@open), 8, 'relay_keepalive 8: eight connections are kept';
    my $at = time;
    @open = $a->open_connections(0, 2);
    is scalar(@open), 0, 'relay_keepalive_timeout 500ms: then none';
    my $took = time - $at;
    ok $took > 0.1 && $took < 1, 'relay_keepalive_timeout 500ms: after about that' or diag($took);
}
{
    my $none = provider();
    my $zero = Relay::Test->new(http => 'relay_keepalive 0;');
    $zero->relay(relay_config(a => $none))->start;
    post($zero, 'm') for 1 .. 3;
    my @conn = map { $_->conn } $none->requests(3);
    is_deeply \@conn, [0, 1, 2], 'relay_keepalive 0: nothing is kept';
    is scalar($none->open_connections(0, 1)), 0, 'relay_keepalive 0: and nothing stays open';
}

# ---- the caller's connection ------------------------------------------------

# Every way to fail with nothing sent yet, each followed at once by a request.
{
    my $mock = provider();
    my $config = relay_config({timeouts => {first_token_ms => 200}, policy => {passthrough => \1}}, a => {mock => $mock, passthrough => \1});
    $config->{hosts}{refused} = {%{$config->{hosts}{a}}, base_url => 'http://127.0.0.1:' . free_port() . '/v1', passthrough => \0};
    $config->{provider_keys}{kr} = {host => 'refused', value => secret('refused')};
    push @{$config->{pools}{p}{members}}, {key => 'kr', priority => 9};
    $config->{models}{dead} = {offers => [{host => 'refused', id => 'up'}]};
    my $caller = Relay::Test->new(http2 => 1, http => 'keepalive_requests 100000;');
    $caller->relay($config)->start;
    my @fail = (['connection refused', 'dead', 'good', 502], ['a reset', 'm', 'reset', 502], ['closed at once', 'm', 'close', 502],
        ['silence', 'm', 'hang', 504], ['a short body', 'm', 'cut', 502], ['an error', 'm', '500', 500]);
    my $c = $caller->client;
    my $h2 = Relay::Http2->new($caller->{http2_port});
    for my $case (@fail) {
        my ($name, $model, $play, $status) = @$case;
        for my $again (1 .. ($play eq 'hang' ? 2 : 20)) {
            my @got;
            for my $ask ([$model, $play], ['m', 'good']) {
                my @o = (headers => [@{auth()}, 'X-Play' => $ask->[1]], body => {model => $ask->[0], messages => []});
                my $res = $c->request(POST => $path{chat}, @o)->response;
                push @got, $res->status, lc($res->header('connection') || '');
                push @got, $h2->ask(POST => $path{chat}, @o, body => Relay::Client::encode_json({@o}->{body}))->status;
            }
            is_deeply \@got, [$status, 'keep-alive', $status, 200, 'keep-alive', 200],
                "$name: the caller's connection is kept and serves the next request" or last;
        }
    }
    # of a HEAD nginx closes the connection: it has been said
    for my $host (['good', 200], ['hang', 504]) {
        $c->request(HEAD => '/v1/files', headers => [@{auth()}, 'X-Play' => $host->[0]]);
        my $res = $c->response;
        is $res->status, $host->[1], "HEAD, $host->[0]: answered";
        is lc $res->header('connection'), $host->[1] == 200 ? 'keep-alive' : 'close', "HEAD, $host->[0]: says what becomes of the connection";
        is defined $c->wait_close(0.2), $host->[1] != 200, "HEAD, $host->[0]: and so it does";
    }
    # what is cut and is no event stream has no other sign than the connection's end
    $c = $caller->client;
    $c->request(GET => '/v1/files', headers => [@{auth()}, 'X-Play' => 'cut']);
    my $res = $c->response;
    ok !$res->clean && $res->why eq 'eof', 'a body passed through and cut: is cut for the caller, too' or diag($res->why);
    $caller->finish;
}

# ---- a graceful stop --------------------------------------------------------

{
    my $kept = provider();
    my $leaving = Relay::Test->new(http => 'relay_keepalive_timeout 60s;');
    $leaving->relay(relay_config(a => $kept))->start;
    post($leaving, 'm');
    is scalar($kept->open_connections(1, 0.1)), 1, 'an idle connection';
    my $at = time;
    ok $leaving->stop, 'does not keep a leaving worker';
    ok time - $at < 1, 'not even for a second';
}

$t->done;
