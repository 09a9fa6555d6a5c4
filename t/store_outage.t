#!/usr/bin/perl

# The store stops, hangs, loses what it had, comes back with less: traffic goes
# on, and what is new is taken when it is there again.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Store;

use Digest::SHA qw(sha256_hex);

my $mock = Relay::Mock->new(on => sub {
    my ($req) = @_;
    return $req->json->{stream} ? sse([chat_stream()], delay_ms => 100) : {body => chat_answer()};
});
my $other = Relay::Mock->new(on => sub { {body => chat_answer()} });
my $app = 'store-test-relay-key-0001';
my $config = relay_config(a => $mock);

sub ask { my ($t, %o) = @_; $t->post('/v1/chat/completions', {model => 'm', messages => []}, key => $app, %o) }

sub published {
    my ($store, $t) = @_;
    $store->publish('workspace/default' => $store->sealed($config));
    $store->key(name => 'app', secret => $app, silent => 1);
    ok $store->applied($t, $store->{revision}), 'a head is served';
    is ask($t)->status, 200, 'and a key is known';
}

# ---- it stops and comes back ------------------------------------------------

{
    my $store = Relay::Store->new;
    my $t = $store->nginx(workers => 2);
    $t->start;
    published($store, $t);
    # known to both workers
    ask($t) for 1 .. 20;

    my $stream = $t->client;
    $stream->request(POST => '/v1/chat/completions', headers => auth('bearer', $app), body => {model => 'm', messages => [], stream => \1});
    $stream->read_until(qr/data:/);
    $store->stop;
    my $res = $stream->response;
    ok $res->clean && $res->body =~ /\[DONE\]/, 'a stream goes on when the store stops';
    my $begin = time;
    my %status;
    $status{ask($t)->status}++ for 1 .. 50;
    is_deeply \%status, {200 => 50}, 'requests with known keys go on';
    ok time - $begin < 2, 'at once';
    my $unknown = ask($t, key => 'never-seen-relay-key-00001');
    is $unknown->status . ' ' . $unknown->header('x-relay-error'), '503 store_unavailable', 'a key that nobody knows: 503';
    ok $unknown->header('retry-after'), 'with retry-after';
    is ask($t, key => 'short')->status, 401, 'what cannot be a key: 401 all the same';

    # back, empty: what is served stays
    $store->start;
    sleep 2.5;
    is ask($t)->status, 200, 'it comes back empty: what was served is served' or diag $t->error_log;

    # back with an older head
    $store->put_documents;
    $store->put_head($store->head(revision => 0 + $store->{revision}));
    my $old = $store->{revision};
    $store->publish('workspace/default' => $store->sealed(relay_config(b => $other)));
    ok $store->applied($t, $old + 1, 4), 'then with a new one: taken';
    $store->key(name => 'app', secret => $app);
    is ask($t)->header('x-relay-host'), 'b', 'and served';
}

# ---- it hangs ---------------------------------------------------------------

{
    my $store = Relay::Store->new;
    my $t = $store->nginx;
    $t->start;
    published($store, $t);
    $store->freeze;
    my $begin = time;
    is ask($t)->status, 200, 'it hangs: a known key goes on';
    ok time - $begin < 0.3, 'without waiting';
    $begin = time;
    my $res = ask($t, key => 'never-seen-relay-key-00001');
    my $took = time - $begin;
    is $res->status, 503, 'it hangs: a key that nobody knows gets 503';
    ok $took < 0.5, 'soon' or diag $took;
    my @many = map { $t->client->request(POST => '/v1/chat/completions', headers => auth('bearer', sprintf 'never-seen-relay-key-1%04d', $_),
        body => {model => 'm', messages => []}) } 1 .. 50;
    $begin = time;
    is scalar(grep { $_->status == 503 } Relay::Client->gather(@many)), 50, 'so do fifty at once';
    ok time - $begin < 1.5, 'together' or diag time - $begin;

    # nginx starts while it hangs
    $t->stop;
    my $again = $store->nginx;
    $begin = time;
    $again->start;
    is ask($again)->status, 200, 'nginx starts while it hangs and serves what it kept';
    ok time - $begin < 2, 'at once';
    $store->thaw;
    $store->publish('workspace/default' => $store->sealed(relay_config(b => $other)));
    ok $store->applied($again, $store->{revision}, 8), 'it goes on: what is new is taken';
    is ask($again)->header('x-relay-host'), 'b', 'and served';
}

# ---- it hangs, and workers know keys from disk alone ------------------------

for my $when ('before nginx starts', 'later') {
    my $store = Relay::Store->new;
    my $t = $store->nginx;
    $t->start;
    published($store, $t);
    my @known = map { sprintf 'known-to-disk-relay-key-%04d', $_ } 1 .. 20;
    $store->key(name => "disk-$_", secret => $known[$_], silent => 1) for 0 .. $#known;
    is scalar(grep { ask($t, key => $_)->status == 200 } @known), 20, 'twenty keys are met';
    $t->stop;

    my $again = $store->nginx;
    $store->freeze if $when eq 'before nginx starts';
    $again->start;
    if ($when eq 'later') {
        ok $store->applied($again, $store->{revision}), 'a worker that has met none of them';
        $store->freeze;
    }
    my $begin = time;
    is scalar(grep { ask($again, key => $_)->status == 200 } @known), 20, "it hangs $when: keys from disk go on";
    my $took = time - $begin;
    # were each to wait, it would take 20 times 50 ms
    ok $took < 0.5, 'one waits, nobody after' or diag $took;
    $begin = time;
    my @res = map { ask($again, key => "never-seen-relay-key-2000$_") } 1 .. 9;
    $took = time - $begin;
    is_deeply [map { $_->status . ' ' . $_->header('x-relay-error') } @res], [('503 store_unavailable') x 9], 'unknown keys: 503';
    ok $took < 0.25, 'at once' or diag $took;
    system 'rm', '-r', $store->dir . '/state/keys';
    is ask($again, key => $known[1])->status, 200, 'a key that was read is not read again';

    # no message of the channel says so: what counted in silence is asked for again
    $store->thaw;
    $store->command('DEL', 'relay:key:' . sha256_hex($known[1]));
    $store->key(name => 'new', secret => 'new-after-thaw-relay-key-01', silent => 1);
    ok wait_for(8, sub { ask($again, key => 'new-after-thaw-relay-key-01')->status == 200 }), 'it goes on: a new key is found';
    ok wait_for(3, sub { ask($again, key => $known[1])->status == 401 }), 'one that was dropped is refused';
    is ask($again, key => $known[2])->status, 200, 'the others go on';
}

# ---- a disk that cannot be written ------------------------------------------

{
    my $store = Relay::Store->new;
    my $t = $store->nginx;
    $t->start;
    my $state = $store->dir . '/state';
    # a folder where the head is to be
    mkdir "$state/head" or die $!;
    mkdir "$state/head/x" or die $!;
    published($store, $t);
    ok wait_for(2, sub { $t->error_log =~ /revision 1 cannot be kept in/ }), 'a disk that takes nothing: said so';
    is ask($t)->status, 200, 'and served all the same';
    rmdir "$state/head/x";
    rmdir "$state/head";
    $store->publish('workspace/default' => $store->sealed(relay_config(b => $other)));
    ok $store->applied($t, 2), 'the next head';
    ok wait_for(2, sub { -f "$state/head" }), 'is kept when there is room again';
}

# ---- no state directory at all ----------------------------------------------

{
    my $store = Relay::Store->new(state => 0);
    my $t = $store->nginx;
    $t->start;
    published($store, $t);
    $t->reload;
    wait_for(3, sub { $t->workers == 1 });
    ok $store->applied($t, 1), 'without a state directory: a new worker fetches it again';
    is ask($t)->status, 200, 'and serves';
    $store->stop;
    is ask($t)->status, 200, 'the store stops: what a worker knows, it knows';
    $t->reload;
    wait_for(2, sub { $t->workers == 1 });
    is ask($t)->status, 503, 'the next worker knows nothing';
    $store->start;
    published($store, $t);
}

# ---- several workers, many changes, one directory ---------------------------

{
    my $store = Relay::Store->new;
    my $t = $store->nginx(workers => 4);
    $t->start;
    for my $n (1 .. 20) {
        $store->publish('workspace/default' => {%{$store->sealed($config)}, '$comment' => "$n"});
        sleep 0.02;
    }
    $store->key(name => 'app', secret => $app);
    # A worker that has no head yet, or an older one, says 503 until it has.
    ok wait_for(5, sub { ask($t)->status == 200 }), 'requests meanwhile';
    ok $store->applied($t, 20), 'twenty heads in a row: every worker has the last one';
    my $state = $store->dir . '/state';
    ok wait_for(2, sub { slurp("$state/head") eq $store->command('GET', 'relay:head') }), 'so has the disk';
    sleep 0.2;
    is slurp("$state/head"), $store->command('GET', 'relay:head'), 'for good';
    my @documents = glob "$state/documents/*";
    is scalar(@documents), 1, 'with its document alone';
    $store->stop;
    $t->stop;
    my $again = $store->nginx(workers => 4);
    $again->start;
    is scalar(grep { ask($again)->status == 200 } 1 .. 20), 20, 'four workers start from it';
}

Relay::Test->done;
