#!/usr/bin/perl

# A head with the documents that are served, under a later revision: most changes
# are of that kind, as relay keys have records of their own. Nothing is built for
# it; all that a revision means holds all the same.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Store;

use Digest::SHA qw(sha256_hex);

my ($a, $b) = map { Relay::Mock->new(on => sub { {body => chat_answer()} }) } 1, 2;
my $app = 'store-test-relay-key-0001';
my $store = Relay::Store->new;
my $t = $store->nginx(workers => 2);
my $generous_s = 30;    # what is awaited comes at once, unless the machine is busy

sub ask { my ($t, %o) = @_; $t->post('/v1/chat/completions', {model => 'm', messages => []}, key => $app, %o) }
sub applied { my ($n, $what) = @_; ok $store->applied($n, $store->{revision}, $generous_s), $what }
sub kept { () = $_[0]->error_log =~ /revision \d+ is served, with the documents of \d+/g }

$t->start;
$store->publish('workspace/default' => $store->sealed(relay_config(a => $a)));
$store->key(name => 'app', secret => $app);
applied($t, 'a first revision');
is ask($t)->status, 200, 'it serves';
is kept($t), 0, 'it was built';

# ---- what a revision means ----------------------------------------------------

$store->publish;
applied($t, 'a second one with the same document: every worker says so');
is kept($t), 2, 'no worker built it';
is ask($t)->status, 200, 'it serves';
ok wait_for($generous_s, sub { slurp($store->dir . '/state/head') eq $store->command('GET', 'relay:head') }), 'it is what is on disk';

# A record that is ahead of the configuration waits for it.
my $ahead = 'store-test-relay-key-0002';
$store->key(name => 'ahead', secret => $ahead, policy => 'absent', revision => $store->{revision} + 1);
is ask($t, key => $ahead)->status, 503, 'a record ahead of what is served: 503';
$store->publish;
applied($t, 'the revision that it was waiting for');
isnt ask($t, key => $ahead)->status, 503, 'waits no longer';

# An older head is refused, then the same documents are taken again.
my $old = $store->head(revision => 1);
$store->put_head($old);
ok wait_for($generous_s, sub { $store->reason($t) =~ /not newer than 3/ }), 'an older head is refused, after the revision that was not built';
$store->publish;
applied($t, 'then a later one with the same documents is taken');
is $store->reason($t), '', 'and nothing is refused any more';

# ---- documents that change ----------------------------------------------------

my $before = kept($t);
$store->publish('workspace/default' => $store->sealed(relay_config(b => $b)));
applied($t, 'another document');
is ask($t)->header('x-relay-host'), 'b', 'is built and served';
$store->publish('workspace/other' => {});
applied($t, 'a document more');
$store->publish('workspace/other' => undef);
applied($t, 'a document less');
is kept($t), $before, 'all of them are built';

# The same text under another name is another configuration.
my $empty = {policies => {}};
$store->publish('workspace/one' => $empty);
applied($t, 'a document');
$store->publish('workspace/one' => undef, 'workspace/two' => $empty);
applied($t, 'of another name');
is kept($t), $before, 'is built, too';

# ---- a key that did not open --------------------------------------------------

my $sealed = $store->sealed(relay_config(a => $a), origin => 'http://elsewhere:80');
$store->publish('workspace/default' => $sealed);
applied($t, 'a provider key that does not open');
$store->publish;
applied($t, 'once more');
is kept($t), $before, 'it is tried again, by building';
like $store->reason($t), qr/do not open/, 'and said again';
$store->publish('workspace/default' => $store->sealed(relay_config(a => $a)));
applied($t, 'mended');

# ---- nginx is started anew ----------------------------------------------------

$store->publish;
applied($t, 'a revision that was not built');
$t->stop;
my $again = $store->nginx;
$again->start;
applied($again, 'is what nginx starts with');
is ask($again)->header('x-relay-host'), 'a', 'and serves';

# ---- what it costs ------------------------------------------------------------

# Of all threads of the workers, in ticks of the clock.
sub ticks {
    my $sum = 0;
    for ($again->workers) {
        my @of = split ' ', slurp("/proc/$_/stat") =~ s/^.*\) //sr;
        $sum += $of[11] + $of[12];
    }
    return $sum;
}

sub cost {
    my ($publish) = @_;
    my $begin = ticks();
    for my $n (1 .. 25) {
        $publish->($n);
        $store->applied($again, $store->{revision}, $generous_s) or return;
    }
    return ticks() - $begin;
}

my @digests = sort map { sha256_hex($_) } 1 .. 50_000;
my %documents;
for my $n (0 .. int $#digests / 4096) {
    my $last = $n * 4096 + 4095;
    my @of = @digests[$n * 4096 .. ($last < $#digests ? $last : $#digests)];
    $documents{"workspace/default/revocations/$n"} = {revocations => {map { $_ => 1 } @of}};
}
$store->publish(%documents);
applied($again, '50,000 revocations');
my $changed = cost(sub { $store->publish('workspace/default' => $store->sealed(relay_config($_[0] % 2 ? (b => $b) : (a => $a)))) });
my $same = cost(sub { $store->publish });
cmp_ok $changed, '>', 10, "25 changes take time: $changed ticks";
cmp_ok $same, '<', $changed / 3, "25 revisions without a change of documents take little: $same ticks";

$again->done;
