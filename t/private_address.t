#!/usr/bin/perl

# O10: a host that is not marked "local" is never reached at a private, loopback
# or link-local address, however that address came about.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

# On ::1 as well where there is IPv6, so that a connect would be seen.
my $has_ipv6 = IO::Socket::IP->new(LocalHost => '::1', Listen => 1, Proto => 'tcp') ? 1 : 0;
my $mock = provider({listen => ['127.0.0.1', $has_ipv6 ? '::1' : ()]});
my $dns = Relay::Dns->new(
    names => {
        'inside.test' => {A => ['127.0.0.1']}, 'meta.test' => {A => ['169.254.169.254']},
        'office.test' => {A => ['10.0.0.1', '192.168.1.1', '172.16.0.1']}, 'marked.test' => {A => ['127.0.0.1']},
    });
my $port = $mock->port;
my @addresses =
    qw(127.0.0.1 127.8.9.10 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 169.254.169.254
    192.0.0.170 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1]
    [fe80::1] [fd00:ec2::254] [fc00::1] [ff02::1] [64:ff9b::7f00:1] [64:ff9b::169.254.169.254]
    inside.test meta.test office.test localhost);

my (%hosts, %keys, %models);
for my $address (@addresses, 'marked.test') {
    my $name = $address =~ s/[^a-z0-9]/-/gr;
    $hosts{$name} = {
        base_url => "http://$address:$port/v1", formats => ['openai-chat', 'anthropic-messages'],
        $address eq 'marked.test' ? (local => \1, passthrough => \1) : (passthrough => \1)};
    $keys{"k$name"} = {host => $name, value => secret($name)};
    $models{$name} = {offers => [{host => $name}]};
}
my $t = Relay::Test->new(resolver => $dns);
$t->relay({
    hosts => \%hosts, models => \%models, provider_keys => \%keys, pools => {p => {members => [sort keys %keys]}},
    policies => {
        default => {pools => ['p'], passthrough => \1},
        bare => {pools => ['p'], passthrough => \1, hosts => ['127-0-0-1']}},
    relay_keys =>
        {k => {policy => 'default', key => RELAY_KEY}, bare => {policy => 'bare', key => 'key-of-bare-000000001'}}});
$t->start;

untouched(
    $mock,
    'O10 not one of them is connected to',
    sub {
        for my $address (@addresses) {
            my $name = $address =~ s/[^a-z0-9]/-/gr;
            for my $path ('/v1/chat/completions', '/v1/messages') {
                my $dialect = $path =~ /messages/ ? 'anthropic' : 'openai';
                my $res = $t->post($path, {model => $name, messages => []});
                refused($res, $dialect => 502, 'upstream_unreachable', "O10 $address, $dialect");
                cmp_ok $res->elapsed, '<', 0.5, "O10 $address, $dialect: at once";
                ok index($res->body, $address) < 0, "O10 $address, $dialect: the caller is not told";
            }
        }
        refused($t->get('/v1/files', key => 'key-of-bare-000000001'), openai => 502, 'upstream_unreachable',
            'O10 nor for a path that Relay does not know');
    });
like $t->error_log, qr/address 169\.254\.169\.254\S* of "meta\.test" is not public; set "local" on the host/,
    'the operator is told';

is $t->post('/v1/chat/completions', {model => 'marked-test', messages => []})->status, 200,
    'a host that is marked "local" is reached';
is $mock->request(0)->header('host'), "marked.test:$port", 'under its name';

$t->done;
