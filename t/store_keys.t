#!/usr/bin/perl

# Relay keys of the store: found, remembered, dropped, revoked, forged; what a
# request does while its key is looked up, and what a record may do.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Store;
use Digest::SHA qw(sha256_hex);

my $mock = Relay::Mock->new(on => sub {
    my ($req) = @_;
    return $req->json->{stream} ? sse([chat_stream()], delay_ms => 50) : {body => chat_answer()};
});
my $store = Relay::Store->new;
my $t = $store->nginx(http2 => 1);
my $config = relay_config({models => {other => {offers => [{host => 'a', id => 'other'}]}}}, a => $mock);
$config->{policies}{narrow} = {pools => ['p'], allow => ['other']};
my $sealed = $store->sealed($config);
$t->start;
$store->publish('workspace/default' => $sealed);
ok $store->applied($t, 1), 'a head';
my ($worker) = $t->workers;

my $n = 0;
sub new_key { sprintf 'store-test-relay-key-%04d', ++$n }
sub ask { my ($key, %o) = @_; $t->post('/v1/chat/completions', {model => $o{model} || 'm', messages => []}, key => $key, %o) }
sub asked { my ($stats) = $store->command('INFO', 'commandstats') =~ /cmdstat_hmget:calls=(\d+)/; return $stats || 0 }

# Asks until the answer has the status, for what is only announced.
sub becomes {
    my ($status, $key, $what, %o) = @_;
    ok wait_for($o{within} || 1, sub { ask($key, %o)->status == $status }), $what;
}

# ---- found and remembered ---------------------------------------------------

my $key = new_key();
$store->key(name => 'app', secret => $key, tags => {team => 'search'});
my $res = ask($key);
is $res->status, 200, 'a key of the store' or diag $res->body;
is $t->log_of($res)->{key_id}, 'app', 'the access log has its name';
is $t->log_of($res)->{policy}, 'default', 'and its policy';
my $before = asked();
ask($key) for 1 .. 10;
is asked(), $before, 'it is asked for once';
for my $style (qw(bearer x-api-key x-relay-key)) {
    is ask($key, style => $style)->status, 200, "by $style";
}
is $t->post('/v1/chat/completions', {model => 'm', messages => []}, key => $key, http2 => 1)->status, 200, 'over HTTP/2';

# the first request of a key has a body on its way, or closes at once
for my $how ([plain => 'x' x 10], [large => 'x' x 2_000_000]) {
    my ($name, $content) = @$how;
    my $fresh = new_key();
    $store->key(name => $name, secret => $fresh, silent => 1);
    $res = $t->post('/v1/chat/completions', {model => 'm', messages => [{role => 'user', content => $content}]}, key => $fresh);
    is $res->status, 200, "a $name body while the key is looked up";
    is length $mock->request(-1)->json->{messages}[0]{content}, length $content, "a $name body arrives whole";
    $fresh = new_key();
    $store->key(name => "$name-h2", secret => $fresh, silent => 1);
    $res = $t->post('/v1/chat/completions', {model => 'm', messages => [{role => 'user', content => $content}]}, key => $fresh, http2 => 1);
    is $res->status, 200, "a $name body while the key is looked up, over HTTP/2";
}

# many at once, the same key and different ones
{
    my $same = new_key();
    $store->key(name => 'same', secret => $same, silent => 1);
    my @clients = map { $t->client->request(POST => '/v1/chat/completions', headers => auth('bearer', $same),
        body => {model => 'm', messages => []}) } 1 .. 40;
    is scalar(grep { $_->status == 200 } Relay::Client->gather(@clients)), 40, 'forty requests with one new key';
    my @keys = map { my $one = new_key(); $store->key(name => "many-$_", secret => $one, silent => 1); $one } 1 .. 40;
    @clients = map { $t->client->request(POST => '/v1/chat/completions', headers => auth('bearer', $_),
        body => {model => 'm', messages => []}) } @keys;
    is scalar(grep { $_->status == 200 } Relay::Client->gather(@clients)), 40, 'forty requests with forty new keys';
    # A line is written when nginx is done with a request, not when its answer is here.
    my %names;
    Relay::Test::wait_for(2, sub { %names = map { $_->{key_id} => 1 } grep { $_->{key_id} =~ /^many-/ } $t->logs; keys %names == 40 });
    is scalar(keys %names), 40, 'each under its own name';
}

# ---- unknown ----------------------------------------------------------------

{
    my $late = new_key();
    $res = ask($late);
    is $res->status . ' ' . $res->header('x-relay-error'), '401 invalid_relay_key', 'an unknown key: 401';
    $before = asked();
    ask($late) for 1 .. 5;
    is asked(), $before, 'it is not asked for again and again';
    $store->key(name => 'late', secret => $late);
    becomes(200, $late, 'once it is there, and said so, it works at once', within => 0.5);
    my $quiet = new_key();
    ask($quiet);
    $store->key(name => 'quiet', secret => $quiet, silent => 1);
    becomes(200, $quiet, 'if nobody says so, within 2 s', within => 2.6);

    my %body = map { my $r = $t->post($_, {model => 'm', max_tokens => 1, messages => []}, key => new_key()); ($_ => $r->body) }
        qw(/v1/chat/completions /v1/messages);
    like $body{'/v1/chat/completions'}, qr/"Invalid relay key\."/, 'in the fixed words';
    like $body{'/v1/messages'}, qr/"type":"error".*authentication_error/, 'of each dialect';
    is ask('rly_' . 'a' x 46)->status, 401, 'a key with a wrong checksum';
    is $t->post('/v1/chat/completions', {}, key => undef)->status, 401, 'no key';

    # the connection stays good
    my $c = $t->client;
    for my $round (1 .. 2) {
        $c->request(POST => '/v1/chat/completions', headers => auth('bearer', new_key()), body => {model => 'm', messages => []});
        is $c->response->status, 401, "on one connection, refused: $round";
    }
    $c->request(POST => '/v1/chat/completions', headers => auth('bearer', $key), body => {model => 'm', messages => []});
    is $c->response->status, 200, 'and then served';
}

# ---- what a record says -----------------------------------------------------

{
    my $limited = new_key();
    $store->key(name => 'limited', secret => $limited, models => ['oth*']);
    is ask($limited)->status, 403, 'models of the key';
    is ask($limited, model => 'other')->status, 200, 'limit it';

    my $narrow = new_key();
    $store->key(name => 'narrow', secret => $narrow, policy => 'narrow');
    is ask($narrow)->status, 403, 'another policy';
    is ask($narrow, model => 'other')->status, 200, 'counts';

    $store->key(name => 'narrow', secret => $narrow, policy => 'default');
    becomes(200, $narrow, 'a changed record counts at once', within => 0.5);
    $store->key(name => 'narrow', secret => $narrow, disabled => \1);
    becomes(401, $narrow, 'disabled', within => 0.5);
    my $at = time + 2;
    my @t = gmtime $at;
    my $expires = sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0];
    $store->key(name => 'narrow', secret => $narrow, expires_at => $expires);
    becomes(200, $narrow, 'enabled again, with an end', within => 0.5);
    becomes(401, $narrow, 'expired', within => 3.5);
    $store->key(name => 'narrow', secret => $narrow, expires_at => '2001-01-01T00:00:00Z');
    is ask($narrow)->status, 401, 'expired long ago';

    # a policy that is changed while the key is remembered
    my $changed = {%$sealed, policies => {%{$sealed->{policies}}, default => {pools => ['p'], deny => ['m']}}};
    my $revision = $store->publish('workspace/default' => $changed);
    ok $store->applied($t, $revision), 'a policy changes';
    is ask($key)->status, 403, 'it counts for keys that are known';
    $revision = $store->publish('workspace/default' => {%$sealed, policies => {narrow => $sealed->{policies}{narrow}}});
    ok $store->applied($t, $revision), 'a policy goes away';
    is ask($key)->status, 401, 'so do its keys';
    my $newer = new_key();
    $store->{key_revision} = 1000;
    $store->key(name => 'newer', secret => $newer, policy => 'coming');
    is ask($newer)->header('x-relay-error'), 'store_unavailable', 'a key whose policy is still on its way: 503';
    $store->{revision} = 1000;
    $revision = $store->publish('workspace/default' => {%$sealed, policies => {%{$sealed->{policies}}, coming => {pools => ['p']}}});
    ok $store->applied($t, $revision), 'the policies are back';
    is ask($key)->status, 200, 'and the key';
    is ask($newer)->status, 200, 'and the one that was early';
}

# ---- revoked ----------------------------------------------------------------

{
    my $gone = new_key();
    $store->key(name => 'gone', secret => $gone);
    is ask($gone)->status, 200, 'a key';
    $store->drop_key($gone);
    becomes(401, $gone, 'deleted: 401 at once', within => 0.5);

    my $replayed = new_key();
    my $record = $store->key(name => 'replayed', secret => $replayed);
    my $signature = $store->command('HGET', 'relay:key:' . sha256_hex($replayed), 'signature');
    is ask($replayed)->status, 200, 'another one';
    my $revision = $store->publish('workspace/default/revocations/0' => {revocations => {sha256_hex($replayed) => $store->{key_revision} + 1}});
    ok $store->applied($t, $revision), 'revoked by a document';
    is ask($replayed)->status, 401, 'is refused though the record is there';
    $store->put_key(sha256_hex($replayed), $record, $signature);
    sleep 0.1;
    is ask($replayed)->status, 401, 'and if the old record is planted again';
    $store->key(name => 'replayed', secret => $replayed);
    becomes(200, $replayed, 'a newer record of it is good', within => 0.5);
}

# ---- forged -----------------------------------------------------------------

{
    my $stranger = $store->new_signer('sign-1');
    my %bent = (
        'signed by somebody else' => {signer => $stranger},
        'signed for a head' => {purpose => 'relay-head-1'},
        'with an unknown member' => {may => 'everything'},
        'without a policy that exists' => {policy => 'absent', revision => 1},
    );
    for my $how (sort keys %bent) {
        my $forged = new_key();
        $store->key(name => 'forged', secret => $forged, %{$bent{$how}});
        is ask($forged)->status, 401, "a record $how: 401";
    }
    my $mine = new_key();
    my $theirs = new_key();
    $store->key(name => 'theirs', secret => $theirs, digest => sha256_hex($mine));
    is ask($mine)->status, 401, 'a record under another digest: 401';
    my $changed = new_key();
    my $record = $store->key(name => 'changed', secret => $changed, disabled => \1);
    my $signature = $store->command('HGET', 'relay:key:' . sha256_hex($changed), 'signature');
    $store->put_key(sha256_hex($changed), $record =~ s/"disabled":true/"disabled":false/r, $signature);
    is ask($changed)->status, 401, 'a record changed after it was signed: 401';
    for my $broken ('', '{', '[]', '"x"', 'x' x 100_000) {
        my $bad = new_key();
        $store->put_key(sha256_hex($bad), $broken, $store->sign('relay-key-1', $broken));
        is ask($bad)->status, 401, 'a broken record of ' . length($broken) . ' bytes: 401';
    }
    my $odd = new_key();
    $store->command('SET', 'relay:key:' . sha256_hex($odd), 'text');
    isnt ask($odd)->status, 200, 'a key of another type';
    is ask($key)->status, 200, 'and the honest ones go on';
}

# ---- while it waits ---------------------------------------------------------

{
    $store->freeze;
    my $slow = new_key();
    my @gone = map {
        my $c = $t->client;
        $c->request(POST => '/v1/chat/completions', headers => auth('bearer', $slow), body => {model => 'm', messages => []});
        $c;
    } 1 .. 20;
    sleep 0.01;
    $_->close for @gone;
    my $begin = time;
    my $res = ask(new_key());
    my $took = time - $begin;
    is $res->status . ' ' . $res->header('x-relay-error'), '503 store_unavailable', 'the store says nothing: 503';
    ok $took < 0.3, 'after 50 ms or so' or diag $took;
    is ask($key)->status, 200, 'known keys go on';
    $store->thaw;
    ok wait_for(3, sub { 20 == grep { $_->{status} == 499 } $t->logs }), 'callers that left while they waited: 499'
        or diag join ' ', map { $_->{status} } ($t->logs)[-21 .. -1];
    is join(' ', $t->workers), $worker, 'and the worker is the same as ever';
    becomes(401, $slow, 'the next one is told', within => 3);
}

$t->done;
