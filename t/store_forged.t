#!/usr/bin/perl

# The store is hostile: whoever can write to it can stop updates, and nothing
# more. Heads and documents that are forged, replayed, older or broken are
# refused whole, said so once, and what was served stays. The same on disk.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Store;
use Digest::SHA qw(sha256_hex);

my $mock = Relay::Mock->new(on => sub { {body => chat_answer()} });
my $evil = Relay::Mock->new(on => sub { {body => chat_answer()} });
my $store = Relay::Store->new;
my $t = $store->nginx;
my $app = 'store-test-relay-key-0001';
my $good = $store->sealed(relay_config(a => $mock));

sub ask { $t->post('/v1/chat/completions', {model => 'm', messages => []}, key => $app) }
sub node { my ($node) = values %{$store->nodes}; return $node || {} }

$t->start;
$store->publish('workspace/default' => $good);
$store->publish('catalog/hosts' => {hosts => {}});
$store->key(name => 'app', secret => $app);
ok $store->applied($t, 2), 'an honest head';
is ask()->status, 200, 'serves';
my $honest = $store->command('GET', 'relay:head');
my $first = $store->head(revision => 1, documents => [grep { $_->{name} eq 'workspace/default' } @{$store->listed}]);

my $settled = 0;

# Puts a head and waits until it is refused for the reason; then the honest one
# again.
sub refuses {
    my ($what, $reason, $head, $revision) = @_;
    my $seen = length $t->error_log;
    $store->put_head($head);
    ok wait_for(4, sub { node()->{state} eq 'refused' && node()->{reason} =~ $reason }), "$what: refused" or diag explain node();
    is node()->{refused_revision}, $revision, "$what: which revision";
    is node()->{revision}, 2, "$what: what was served stays";
    is ask()->header('x-relay-host'), 'a', "$what: and serves";
    sleep 2.2 if !$settled++;
    my @lines = grep { /\[error\].*refused/ } split /\n/, substr $t->error_log, $seen;
    is scalar(@lines), 1, "$what: one line in the log" or diag explain \@lines;
    my ($said) = ($lines[0] || '') =~ /revision 2 stays: (.*)/;
    like $said, $reason, "$what: with the reason";
    $store->put_head($honest);
    ok $store->applied($t, 2), "$what: the honest head is back";
}

# ---- heads ------------------------------------------------------------------

my $stranger = $store->new_signer('sign-1');
my $unknown = $store->new_signer('sign-2');
my $next = $store->head(revision => 3);
my ($signature, $payload) = split /\n/, $next, 2;
my $unsigned = qr/signature of the head is not one/;

refuses('no signature', qr/has no signature/, $payload);
refuses('an empty head', qr/has no signature/, '');
refuses('an empty signature', $unsigned, "\n$payload");
refuses('a signature by somebody else', $unsigned, $store->head(revision => 3, signer => $stranger));
refuses('a signature under an unknown id', $unsigned, $store->head(revision => 3, signer => $unknown));
refuses('a signature for relay keys', $unsigned, $store->head(revision => 3, purpose => 'relay-key-1'));
refuses('a signature cut short', $unsigned, substr($signature, 0, -1) . "\n$payload");
refuses('a signature with something behind it', $unsigned, "$signature \n$payload");
refuses('a payload with another revision', $unsigned, "$signature\n" . $payload =~ s/"revision":3/"revision":4/r);
refuses('a payload with a space more', $unsigned, "$next ");
refuses('a payload with another digest', $unsigned, "$signature\n" . $payload =~ s/("sha256":")./$1f/r);
refuses('a head of 2 MB', $unsigned, "$signature\n" . $payload . ' ' x (2 << 20));

refuses('another deployment', qr/belongs to deployment "deployment-2", this worker to "deployment-1"/,
    $store->head(revision => 3, deployment => 'deployment-2'), 3);
refuses('an older revision, signed once', qr/revision 1 is not newer than 2/, $first, 1);
refuses('the same revision with other content', qr/revision 2 is not newer than 2/,
    $store->head(revision => 2, documents => [grep { $_->{name} ne 'catalog/hosts' } @{$store->listed}]), 2);
$store->put_head($store->head(revision => 2, more => {issued_at => 1}));
sleep 0.3;
ok $store->applied($t, 2), 'the same revision signed once more: nothing to refuse';
refuses('no JSON', qr/^head:1:/, $store->head(text => '{"deployment":'));
refuses('an unknown member', qr/^head:1:\d+: .*colour/, $store->head(revision => 3, more => {colour => 'blue'}));
refuses('no documents', qr/^head:1:/, $store->head(revision => 3, documents => []));

# ---- documents --------------------------------------------------------------

my $pointed = $store->encode({%{$store->sealed(relay_config(a => $evil))}});

# Lists a document with the digest and size of one text, stores another.
sub lists {
    my ($text, $stored, %o) = @_;
    my $listed = [{name => $o{name} || 'workspace/default', sha256 => sha256_hex($text), bytes => $o{bytes} || length $text}];
    $store->command(defined $stored ? ('SET', 'relay:document:' . sha256_hex($text), $stored)
        : ('DEL', 'relay:document:' . sha256_hex($text)));
    return $store->head(revision => 3, documents => $listed);
}

my $honest_document = $store->encode({%$good, '$comment' => 'x'});
refuses('a document that is missing', qr{^workspace/default is not in the store}, lists($honest_document, undef), 3);
refuses('a document that is another one', qr{^workspace/default is not the document that the head lists},
    lists($honest_document, $honest_document =~ s/"x"/"y"/r), 3);
refuses('a document that is longer', qr{^workspace/default has \d+ bytes, not the \d+ that}, lists($honest_document, "$honest_document "), 3);
refuses('a document whose size is not told right', qr{^workspace/default has \d+ bytes}, lists($honest_document, $honest_document, bytes => 7), 3);
refuses('a document that is no JSON', qr{^workspace/default:1:}, lists('{"hosts":', '{"hosts":'), 3);
refuses('an unknown section', qr{^workspace/default:1:\d+: .*colours}, lists('{"colours":{}}', '{"colours":{}}'), 3);
my $dangling = '{"policies":{"p":{"pools":["absent"]}}}';
refuses('a reference that leads nowhere', qr{^workspace/default:1:\d+: policies\.p\.pools\[0\]: there is no pool "absent"}, lists($dangling, $dangling), 3);
my $wrong = Relay::Store->encode({%{$store->sealed(relay_config(a => {base_url => 'https://a.example/v1', tls => {ca_file => '/absent.pem'}}))}});
refuses('certificate authorities that are missing', qr{^hosts\.a\.tls: no certificate authorities can be read from "/absent\.pem"}, lists($wrong, $wrong), 3);

# a document that turns up later is found without another head
{
    my $head = lists($honest_document, undef);
    $store->put_head($head);
    ok wait_for(4, sub { node()->{state} eq 'refused' }), 'a document that is late';
    $store->command('SET', 'relay:document:' . sha256_hex($honest_document), $honest_document);
    ok $store->applied($t, 3, 4), 'is taken when it is there';
    $honest = $head;
}
is ask()->header('x-relay-host'), 'a', 'and serves';
is scalar(my @never = $evil->requests), 0, 'nothing was ever sent elsewhere';

# ---- on disk ----------------------------------------------------------------

my $state = $store->dir . '/state';
ok wait_for(2, sub { slurp("$state/head") eq $honest }), 'the last good set is on disk';
my ($document) = glob "$state/documents/*";
$t->stop;
$store->stop;

my %bent = (
    'the head on disk' => ["$state/head", sub { $_[0] =~ s/"revision":3/"revision":9/r }, $unsigned],
    'a head of somebody else on disk' => ["$state/head", sub { $store->head(revision => 9, signer => $stranger) }, $unsigned],
    'an empty head on disk' => ["$state/head", sub { '' }, qr/has no signature/],
    'a document on disk' => [$document, sub { my $port = $evil->port; $_[0] =~ s{127\.0\.0\.1:\d+}{127.0.0.1:$port}r }, qr/is not the document/],
    'half a document on disk' => [$document, sub { substr $_[0], 0, 100 }, qr/is not the document/],
    'a document gone from disk' => [$document, sub { undef }, qr{documents/\w+" cannot be read}],
);
for my $what (sort keys %bent) {
    my ($file, $bend, $reason) = @{$bent{$what}};
    my $was = slurp($file);
    my $now = $bend->($was);
    isnt $now, $was, "$what: changed";
    defined $now ? $t->write_file('bent', $now) : unlink $file;
    rename $t->dir . '/bent', $file if defined $now;
    my $start = $store->nginx;
    $start->start;
    my $res = $start->post('/v1/chat/completions', {model => 'm', messages => []}, key => $app);
    is $res->status . ' ' . ($res->header('x-relay-error') || ''), '503 store_unavailable', "$what: not served";
    like $start->error_log, qr/is kept in .* is not served: .*/, "$what: said so";
    like $start->error_log, $reason, "$what: with the reason";
    $store->start;
    $store->command('SET', "relay:document:" . sha256_hex($honest_document), $honest_document);
    $store->put_head($honest);
    ok $store->applied($start, 3), "$what: the store has it";
    ok wait_for(2, sub { slurp($file) eq $was }), "$what: and the disk has it again";
    $start->stop;
    $store->stop;
}

# what was served once is not forgotten with a document: no way back
{
    rename $document, "$document.away";
    my $start = $store->nginx;
    $start->start;
    $store->start;
    $store->put_documents;
    $store->put_head($store->head(revision => 2));
    ok $store->refused($start, 2), 'an older head is refused even if what was served cannot be';
    $store->command('SET', "relay:document:" . sha256_hex($honest_document), $honest_document);
    $store->put_head($honest);
    ok $store->applied($start, 3), 'the one that was served is taken';
}

$t->done;
