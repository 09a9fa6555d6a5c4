#!/usr/bin/perl

# Names of providers: resolved off the request path, renewed when they grow
# old, old answers kept when they cannot be; and what a request meets before a
# name has ever been resolved.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

my $whole = chat_answer();

# The address that a request came to, as the mock sees it.
my $mock = Relay::Mock->new(listen => [map {"127.0.0.$_"} 1 .. 6], on => sub { {body => $whole} });
my $other = Relay::Mock->new(on => sub { {body => $whole} });
my $port = $mock->port;

sub start {
    my ($dns, %hosts) = @_;
    my $t = Relay::Test->new(resolver => $dns, http => 'relay_keepalive 0;');
    my $config = relay_config({timeouts => {connect_ms => 1500, first_token_ms => 2000}}, map { ($_ => "http://$hosts{$_}/v1") } sort keys %hosts);
    $config->{models}{$_} = {offers => [{host => $_, id => 'up'}]} for keys %hosts;
    $t->relay($config)->start;
    return $t;
}

sub post { my ($t, $model, %o) = @_; $t->post('/v1/chat/completions', {model => $model, messages => []}, %o) }

# The addresses that the next so many requests come to, each once.
sub reached {
    my ($t, $model, $count) = @_;
    my $before = $mock->connections;
    my $n = @$before;
    for (1 .. $count) { post($t, $model)->status == 200 or return 'an error' }
    my %seen = map { $_->{address} => 1 } @{$mock->connections}[$n .. $n + $count - 1];
    return join ' ', sort keys %seen;
}

# ---- answers that change ----------------------------------------------------

{
    my $dns = Relay::Dns->new(names => {'api.test' => {A => ['127.0.0.1'], ttl => 1}});
    my $t = start($dns, a => "api.test:$port");
    is reached($t, 'a', 1), '127.0.0.1', 'a name is resolved';
    is $mock->requests(1)->[-1]->header('host'), "api.test:$port", 'and stays the name of the request';

    my $asked = $dns->queries('api.test');
    is reached($t, 'a', 20), '127.0.0.1', 'twenty requests';
    cmp_ok $dns->queries('api.test') - $asked, '<=', 2, 'do not ask twenty times';

    $dns->set('api.test', A => ['127.0.0.2'], ttl => 1);
    ok wait_for(5, sub { reached($t, 'a', 1) eq '127.0.0.2' }), 'a new address is taken once the old one has grown old';
    $dns->set('api.test', A => ['127.0.0.3', '127.0.0.4'], ttl => 1);
    ok wait_for(5, sub { reached($t, 'a', 4) eq '127.0.0.3 127.0.0.4' }), 'of several, all are used';

    # what cannot be renewed stays in use, without any delay
    for my $failure ([rcode => 3], [rcode => 2], [silent => 1], [A => []]) {
        $dns->set('api.test', @$failure);
        my $n = $dns->queries('api.test');
        wait_for(5, sub { $dns->queries('api.test') > $n });
        sleep 0.1;
        my $begin = time;
        is reached($t, 'a', 4), '127.0.0.3 127.0.0.4', "no new answer (@{[$failure->[0]]} @{[ref $failure->[1] ? 'empty' : $failure->[1]]}): the last addresses stay";
        ok time - $begin < 0.5, 'and no request waits';
    }
    like $t->error_log, qr/"api\.test" could not be resolved/, 'the operator is told';
    $dns->set('api.test', A => ['127.0.0.5'], ttl => 1);
    ok wait_for(10, sub { reached($t, 'a', 1) eq '127.0.0.5' }), 'and the next good answer counts again';
}

# ---- several addresses, one of them dead -------------------------------------

{
    # nobody listens at 127.0.0.9
    my $dns = Relay::Dns->new(names => {'half.test' => {A => ['127.0.0.9', '127.0.0.1'], ttl => 60}});
    my $t = start($dns, a => "half.test:$port", b => $other->authority);
    my @res = map { post($t, 'a') } 1 .. 6;
    my $failed = grep { $_->status != 200 } @res;
    cmp_ok $failed, '<=', 1, 'a dead address is passed over once it is known';
    is post($t, 'm')->header('x-relay-host'), 'a', 'and the host serves';
}

# ---- names that were never resolved -----------------------------------------

{
    my $dns = Relay::Dns->new(names => {'slow.test' => {A => ['127.0.0.1'], ttl => 60, delay_ms => 500}});
    my $t = start($dns, a => "slow.test:$port");
    my @clients = map { $t->client->request(POST => '/v1/chat/completions', headers => auth(), body => {model => 'a', messages => []}) } 1 .. 10;
    my @all = Relay::Client->gather(@clients);
    is scalar(grep { $_->status == 200 } @all), 10, 'ten requests before the first answer: all wait for it';
    ok !(grep { $_->elapsed > 1.2 } @all), 'and no longer';
    cmp_ok $dns->queries('slow.test'), '<=', 2, 'one question for all of them';
}
{
    my $dns = Relay::Dns->new(names => {'mute.test' => {silent => 1}});
    my $t = start($dns, a => "mute.test:$port", b => $other->authority, c => "none.test:$port");
    my $res = post($t, 'a');
    is $res->status . ' ' . $res->header('x-relay-error'), '502 upstream_unreachable', 'a name server that does not answer: an error';
    ok $res->elapsed < 2.5, 'within the limit for connections';
    $res = post($t, 'm');
    is $res->status . ' ' . $res->header('x-relay-host'), '200 b', 'the next provider answers';
    $res = post($t, 'c');
    is $res->status . ' ' . $res->header('x-relay-error'), '502 upstream_unreachable', 'a name that does not exist: an error';
    ok ref $res->json->{error}, 'in the dialect';

    # the caller leaves while its request waits for a name
    my $c = $t->client->request(POST => '/v1/chat/completions', headers => auth(), body => {model => 'a', messages => []});
    sleep 0.1;
    my $n = () = $t->logs;
    $c->abort;
    ok wait_for(1, sub { (() = $t->logs) > $n }), 'O7 a caller that leaves meanwhile is let go at once';
    is +($t->logs)[-1]{status}, 499, 'O7 and logged';
    # the question is answered later, for nobody
    $dns->set('mute.test', A => ['127.0.0.1'], ttl => 1);
    ok wait_for(6, sub { post($t, 'a')->status == 200 }), 'the name serves once it is resolved';
}
{
    # the second candidate's name comes late, when the first has failed already
    my $dns = Relay::Dns->new(names => {'late.test' => {A => ['127.0.0.6'], ttl => 60, delay_ms => 600}});
    my $refused = Relay::Mock->refused;
    my $t = start($dns, a => "127.0.0.1:$refused", b => "late.test:$port");
    my $res = post($t, 'm');
    is $res->status . ' ' . ($res->header('x-relay-host') || ''), '200 b', 'failover to a name that is being resolved waits for it';
}

# ---- the hosts file, literals, a reload -------------------------------------

{
    my $dns = Relay::Dns->new(names => {'api.test' => {A => ['127.0.0.2'], ttl => 60}});
    my $t = start($dns, local => "localhost:$port", literal => "127.0.0.4:$port", a => "api.test:$port");
    is reached($t, 'local', 1), '127.0.0.1', 'localhost is known without a name server';
    is reached($t, 'literal', 1), '127.0.0.4', 'so is an address';
    is $dns->queries('localhost'), 0, 'and not asked for';
    is reached($t, 'a', 1), '127.0.0.2', 'before a reload';
    $dns->set('api.test', A => ['127.0.0.3'], ttl => 60);
    ok $t->reload, 'a reload';
    is reached($t, 'a', 1), '127.0.0.3', 'asks anew';
}

# IPv6 only where there is nothing else
{
    my $six = IO::Socket::IP->new(LocalHost => '::1', Listen => 1, Proto => 'tcp');
    my $both = Relay::Mock->new(listen => ['127.0.0.1', $six ? '::1' : ()], on => sub { {body => $whole} });
    my $dns = Relay::Dns->new(names => {'both.test' => {A => ['127.0.0.1'], AAAA => ['::1']}, 'six.test' => {AAAA => ['::1']}});
    my $t = Relay::Test->new(resolver => '127.0.0.1:' . $dns->port);
    my $config = relay_config(a => 'http://both.test:' . $both->port . '/v1', b => 'http://six.test:' . $both->port . '/v1');
    $config->{models}{$_} = {offers => [{host => $_, id => 'up'}]} for qw(a b);
    $t->relay($config)->start;
    is post($t, 'a')->status . ' ' . $both->connections(0)->[0]{address}, '200 127.0.0.1', 'A and AAAA: IPv4';
    my $res = post($t, 'b');
    is $res->status, $six ? 200 : 502, 'AAAA alone: IPv6 where there is some, else an error';
}

# TTL 0 is not a question for each request
{
    my $dns = Relay::Dns->new(names => {'zero.test' => {A => ['127.0.0.1'], ttl => 0}});
    my $t = Relay::Test->new(resolver => '127.0.0.1:' . $dns->port . ' ipv6=off', http => 'relay_keepalive 0;');
    $t->relay(relay_config(a => "http://zero.test:$port/v1"))->start;
    is reached($t, 'm', 30), '127.0.0.1', 'TTL 0: thirty requests';
    cmp_ok $dns->queries('zero.test'), '<=', 3, 'TTL 0: not thirty questions';
}

Relay::Test->done;
