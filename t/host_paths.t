#!/usr/bin/perl

# A host may serve a format under a path of its own: what hangs below the
# format's endpoint (token counting and the like) hangs below that path too.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

my $mock = Relay::Mock->new(on => sub { return {body => '{"input_tokens":3}'} });

my $t = Relay::Test->new;
$t->relay(relay_config(a => {mock => $mock, base_url => $mock->url . '/base',
    formats => {'anthropic-messages' => '/deep/messages', 'openai-responses' => '/answers'}}))->start;

my %seen = (
    '/v1/messages/count_tokens'   => '/base/deep/messages/count_tokens',
    '/v1/responses/input_tokens'  => '/base/answers/input_tokens',
    '/v1/responses/compact'       => '/base/answers/compact',
    '/v1/messages'                => '/base/deep/messages',
    '/openai/v1/responses?x=1'    => '/base/answers?x=1',
);

for my $path (sort keys %seen) {
    $mock->forget;
    my $res = $t->post($path, '{"model":"m","messages":[],"input":"x"}');
    is $res->status, 200, "$path: answered";
    my ($req) = @{$mock->requests(1)};
    is $req->{line}, "POST $seen{$path} HTTP/1.1", "$path: under the host's path";
}

$t->done;
