#!/usr/bin/perl

# O10 beyond single addresses (t/private_address.t): what failover, the pool of
# kept connections and answers that change make of a host that must not be
# reached inside.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

my $whole = chat_answer();
my $inside = Relay::Mock->new(listen => ['127.0.0.1', '127.0.0.2'], on => sub { {body => $whole} });
my $port = $inside->port;
my $allowed = Relay::Mock->new(on => sub {
    my ($req) = @_;
    return {status => 307, headers => [Location => "http://127.0.0.1:$port/v1/chat/completions"], body => ''}
        if $req->header('x-play');
    return {body => $whole};
});
my $dns = Relay::Dns->new(names => {'api.test' => {A => ['127.0.0.1'], ttl => 1}, 'turns.test' => {rcode => 3}});
my $t = Relay::Test->new(resolver => $dns);
my $config = relay_config(
    outside => {base_url => "http://api.test:$port/v1", local => \0},
    inside => {base_url => "http://api.test:$port/v1"},
    turns => {base_url => "http://turns.test:$port/v1", local => \0},
    allowed => $allowed,
);
sub offers { {offers => [map { {host => $_, id => 'up'} } @_]} }
$config->{models} = {outside => offers('outside'), inside => offers('inside'), turns => offers('turns'),
    first => offers('outside', 'allowed'), redirected => offers('allowed', 'inside')};
# "first" needs its order, "redirected" too
$config->{pools}{p}{members} = [map { {key => "k$_->[0]", priority => $_->[1]} }
    ['outside', 0], ['turns', 0], ['allowed', 1], ['inside', 2]];
$t->relay($config)->start;

sub post { my ($model, %o) = @_; $t->post('/v1/chat/completions', {model => $model, messages => []}, %o) }

sub refused_ok {
    my ($res, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $res->status . ' ' . ($res->header('x-relay-error') || ''), '502 upstream_unreachable', $name;
}

# ---- failover ---------------------------------------------------------------

{
    my $res = post('first');
    is $res->status . ' ' . $res->header('x-relay-host'), '200 allowed', 'O10 an address that is refused: the next provider';
    is $res->header('x-relay-attempts'), 2, 'O10 it counts as an attempt';
    is $allowed->request(0)->key, secret('allowed'), 'O10 with that provider\'s key';
    is scalar(my @seen = $inside->connections), 0, 'O10 nothing inside was connected to';
}

# ---- the pool ---------------------------------------------------------------

# A host that is marked leaves a connection open; the one that is not marked
# has the same name and port.
{
    is post('inside')->status, 200, 'O10 the marked host is reached';
    is scalar(my @open = $inside->open_connections(1, 0)), 1, 'O10 its connection is kept';
    refused_ok(post('outside'), 'O10 the other one cannot use it');
    is post('inside')->status, 200, 'O10 the marked host can';
    is join(' ', map { $_->conn . '/' . $_->{nth} } $inside->requests(2)), '0/0 0/1', 'O10 nobody else did';
    my @keys = grep { $_->key eq secret('outside') } $inside->requests;
    is scalar(@keys), 0, 'O10 the key of the refused host was never sent';
}

# ---- a name that turns inward -----------------------------------------------

{
    refused_ok(post('turns'), 'O10 a name without an address');
    my $before = my @seen = $inside->connections;
    $dns->set('turns.test', A => ['127.0.0.2', '169.254.169.254'], ttl => 1);
    my $refusals = sub { my $n = () = $t->error_log =~ /of "turns\.test" is not public/g; $n };
    ok wait_for(8, sub { refused_ok(post('turns'), 'O10 still refused') or return 1; $refusals->() >= 2 }),
        'O10 it turns to inside addresses: each is refused, and said so';
    is scalar(@seen = $inside->connections), $before, 'O10 and none was connected to';
}

# ---- redirects --------------------------------------------------------------

{
    my $before = $inside->requests;
    my $n = @$before;
    my $res = post('redirected', headers => ['X-Play' => 'redirect']);
    is $res->header('location'), undef, 'O10 a redirect is not handed on';
    is $res->status . ' ' . $res->header('x-relay-host'), '200 inside', 'O10 nor followed: the next provider answers';
    my @new = $inside->requests;
    is scalar(@new), $n + 1, 'O10 one request came there';
    is $new[-1]->key, secret('inside'), 'O10 with its own key';
}

$t->done;
