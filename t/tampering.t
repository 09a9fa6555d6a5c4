#!/usr/bin/perl
#
# Somebody can write to the database, or to the store, but has none of the keys of
# relayd. What is changed there opens nothing: no provider key goes to another
# place, no relay key is accepted, traffic goes on as before, and it is on record.

use lib 't/lib';
use Relay::Box;

use Crypt::PK::Ed25519;
use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use MIME::Base64 qw(decode_base64url encode_base64url);
use Relay::Mock;

my $json = JSON::PP->new->canonical->utf8;
my %mock = map { my $name = $_; $name => Relay::Mock->new(on => sub {
    return {status => 200, body => {id => 'x', object => 'chat.completion', choices => [{index => 0,
        finish_reason => 'stop', message => {role => 'assistant', content => $name}}],
        usage => {prompt_tokens => 1, completion_tokens => 1, total_tokens => 2}}};
}) } qw(a b evil);

my $box = Relay::Box->new;
$box->start;
$box->set_up;
my %key = map { $_ => $box->serve($mock{$_}, $_) } qw(a b);


# ---- what is looked at -----------------------------------------------------------------

sub answers {
    my ($name, $key) = @_;
    my $res = $box->chat($key || $key{$name}, $name);
    return $res->{status} == 200 ? $res->{json}{choices}[0]{message}{content} : $res->{status};
}

sub unchanged {
    my ($what) = @_;
    is join(' ', map { answers($_) } qw(a b)), 'a b', "$what: traffic is unchanged";
}

sub bump { $box->sql("UPDATE installation SET revision = revision + 1; NOTIFY relay_changes") }
sub provider_key { $box->make(GET => "provider-keys/$_[0]") }
sub sealed { map { $box->sql("SELECT $_[1] FROM provider_key WHERE name = '$_[0]'") } 1 }
sub head { my ($line, $payload) = split /\n/, $box->redis('GET', 'relay:head'), 2; ($line, $json->decode($payload)) }

# relayd's own record that something was refused, newer than what was there.
my %seen;
sub events { grep { $_->{verb} =~ /^(?:refused|left out)$/ && !$seen{$_->{id}} } @{$box->make(GET => '/api/v1/events?limit=100')->{items}} }
sub on_record {
    my ($kind, $pattern, $what) = @_;
    my @found;
    ok within(15, sub { @found = grep { ($_->{kind} || $_->{object_kind}) eq $kind && $json->encode($_) =~ $pattern } events(); @found }),
        "$what: is on record" or diag $json->encode([events()]);
    $seen{$_->{id}} = 1 for events();
}
sub nginx_said { my ($pattern) = @_; within(5, sub { slurp($box->home . '/logs/error.log') =~ $pattern }) }
sub relayd_said { my ($pattern) = @_; within(5, sub { slurp($box->home . '/logs/relayd.log') =~ $pattern }) }
sub only_their_own {
    my %right = map { $_ => "Bearer secret-of-$_" } qw(a b);
    for my $name (qw(a b)) {
        is join(' ', grep { $_ ne $right{$name} } map { $_->header('authorization') } @{$mock{$name}->requests}), '',
            "host $name has seen no key but its own";
    }
    is scalar @{$mock{evil}->requests}, 0, 'and the other place nothing at all';
}

unchanged('before');


# ---- the database --------------------------------------------------------------------------

{
    my ($a) = sealed('a', 'sealed');
    my ($b) = sealed('b', 'sealed');
    $box->sql("UPDATE provider_key SET sealed = CASE name WHEN 'a' THEN '$b' ELSE '$a' END WHERE name IN ('a', 'b')");
    bump();
    ok within(10, sub { answers('a') ne 'a' && answers('b') ne 'b' }), 'swapped ciphertexts: neither is used';
    is provider_key($_)->{state}, 'undecryptable', "... $_ is shown as what it is" for qw(a b);
    ok relayd_said(qr/"a provider key does not open".*"provider_key":"$_"/), "... the log has $_" for qw(a b);
    on_record('provider_key', qr/does not open with the keys/, '... it');
    is $box->api(POST => "provider-keys/a:test")->{json}{ok}, JSON::PP::false, '... a test of it says so';
    $box->sql("UPDATE provider_key SET sealed = CASE name WHEN 'a' THEN '$a' ELSE '$b' END WHERE name IN ('a', 'b')");
    bump();
    ok within(10, sub { answers('a') eq 'a' && answers('b') eq 'b' }), '... put back, they work';
}

{
    my ($spec) = $box->sql("SELECT spec FROM host WHERE name = 'a'");
    my ($origin) = sealed('a', 'origin');
    my $there = $mock{evil}->url;

    $box->sql("UPDATE host SET spec = jsonb_set(spec, '{base_url}', '\"$there/v1\"') WHERE name = 'a'");
    bump();
    ok within(10, sub { answers('a') ne 'a' }), 'an edited host: its key is not used';
    is provider_key('a')->{state}, 'moved', '... and shown as moved';
    on_record('provider_key', qr/its host is at/, '... which');
    is answers('b'), 'b', '... others are';

    $box->sql("UPDATE provider_key SET origin = '$there' WHERE name = 'a'");
    bump();
    ok within(10, sub { provider_key('a')->{state} eq 'undecryptable' }), 'the key\'s origin, too: it does not open'
        or diag $json->encode(provider_key('a'));
    ok within(5, sub { answers('a') ne 'a' }), '... and is not used';
    on_record('provider_key', qr/does not open with the keys/, '... which');
    is answers('b'), 'b', '... others are';

    $box->sql("UPDATE provider_key SET origin = '$origin' WHERE name = 'a'; UPDATE host SET spec = '$spec' WHERE name = 'a'");
    bump();
    ok within(10, sub { answers('a') eq 'a' }), '... put back, it works';
}

{
    my ($before) = $box->sql("SELECT encode(digest, 'hex') FROM relay_key WHERE name = 'a'");
    my $planted = 'planted-by-sql-0123456789';
    $box->sql("UPDATE relay_key SET digest = decode('" . sha256_hex($planted) . "', 'hex') WHERE name = 'b'");
    is answers('b', $planted), 401, 'a relay key planted in the database opens nothing by itself';
    $box->sql("UPDATE relay_key SET digest = decode('" . sha256_hex($key{b}) . "', 'hex') WHERE name = 'b'");
}
only_their_own();
$seen{$_->{id}} = 1 for events();


# ---- the head in the store --------------------------------------------------------------------

my $stranger = Crypt::PK::Ed25519->new->generate_key;
my $ours = Crypt::PK::Ed25519->new;
my ($key_id, $seed) = split ' ', slurp($box->home . '/keys/signing.keys');
$ours->import_key_raw(decode_base64url($seed), 'private');

sub signed { my ($signer, $purpose, $bytes) = @_; "$key_id " . encode_base64url($signer->sign_message("$purpose\0$bytes")) }

sub put_head {
    my ($text, $revision) = @_;
    $box->redis('SET', 'relay:head', $text);
    $box->redis('PUBLISH', 'relay:changes', "head $revision");
}

# The document with host a at another place, in the store under its own digest.
sub bent {
    my ($line, $head) = head();
    my ($entry) = grep { $_->{name} eq 'workspace/default' } @{$head->{documents}};
    my $document = $json->decode($box->redis('GET', "relay:document:$entry->{sha256}"));
    $document->{hosts}{a}{base_url} = $mock{evil}->url . '/v1';
    my $text = $json->encode($document);
    $box->redis('SET', 'relay:document:' . sha256_hex($text), $text);
    @$entry{qw(sha256 bytes)} = (sha256_hex($text), length $text);
    $head->{revision} += 5;
    return ($line, $head);
}

for my $case (['unsigned', sub { 'x' }], ['with the old signature', sub { $_[0] }],
    ['signed by somebody else', sub { signed($stranger, 'relay-head-1', $_[1]) }],
    ['signed for another purpose', sub { signed($ours, 'relay-key-1', $_[1]) }])
{
    my ($what, $signature) = @$case;
    my ($line, $head) = bent();
    my $payload = $json->encode($head);
    my $lines = () = slurp($box->home . '/logs/error.log') =~ / is refused, /g;
    put_head($signature->($line, $payload) . "\n$payload", $head->{revision});
    ok within(5, sub { my $now = () = slurp($box->home . '/logs/error.log') =~ / is refused, /g; $now > $lines }),
        "a head $what: workers refuse it";
    unchanged("a head $what");
    on_record('store', qr/foreign/, "a head $what");
    ok within(10, sub { my (undef, $now) = eval { head() }; $now && $now->{revision} != $head->{revision} }), '... and put right';
}

{
    my ($line, $head) = head();
    my ($entry) = grep { $_->{name} eq 'workspace/default' } @{$head->{documents}};
    my $honest = $box->redis('GET', "relay:document:$entry->{sha256}");
    my $document = $json->decode($honest);
    $document->{hosts}{a}{base_url} = $mock{evil}->url . '/v1';
    $box->redis('SET', "relay:document:$entry->{sha256}", $json->encode($document));
    # Workers that begin anew, without what they had on disk.
    my $state = $box->state . '/workers';
    my @workers = $box->workers;
    rename "$state/documents/$entry->{sha256}", "$state/away";
    kill HUP => $box->part('nginx');
    ok within(10, sub { my %now = map { $_ => 1 } $box->workers; %now && !grep { $now{$_} } @workers }), 'a document edited in its place: new workers';
    ok within(10, sub { answers('a') =~ /^(?:a|503)$/ }), '... use it not';
    isnt answers('a'), 'evil', '... at all';
    $box->redis('SET', "relay:document:$entry->{sha256}", $honest);
    rename "$state/away", "$state/documents/$entry->{sha256}" if !-e "$state/documents/$entry->{sha256}";
    ok within(20, sub { answers('a') eq 'a' && answers('b') eq 'b' }), '... put back, all is well';
}

{
    my ($line, $old) = head();
    my $text = $box->redis('GET', 'relay:head');
    $box->change('pools/a', {members => [{key => 'a', weight => 3}]});
    my (undef, $new) = head();
    cmp_ok $new->{revision}, '>', $old->{revision}, 'an older head: there is a newer one';
    put_head($text, $old->{revision});
    unchanged('an older head');
    on_record('store', qr/older/, 'an older head');
    is join(' ', map { $_->{revision} < $new->{revision} ? $_->{revision} : () } $box->nodes), '', '... no worker went back';
    unchanged('and then');
}
only_their_own();


# ---- relay keys in the store --------------------------------------------------------------------

sub put_key {
    my ($digest, $record, $signature) = @_;
    my $name = "relay:key:$digest";
    $box->redis('DEL', $name);
    $box->redis('HSET', $name, 'record', $record, defined $signature ? (signature => $signature) : ());
    $box->redis('PUBLISH', 'relay:changes', "key $digest");
}

sub stored { my $name = 'relay:key:' . sha256_hex($_[0]); map { $box->redis('HGET', $name, $_) } qw(record signature) }

{
    my ($record) = stored($key{a});
    my $number = 0;
    for my $case (['without a signature', sub { undef }], ['with that of another', sub { (stored($key{a}))[1] }],
        ['signed by somebody else', sub { signed($stranger, 'relay-key-1', $_[0]) }],
        ['signed for another purpose', sub { signed($ours, 'relay-head-1', $_[0]) }])
    {
        my ($what, $signature) = @$case;
        my $planted = 'planted-relay-key-of-somebody-' . $number++;
        my %record = (%{$json->decode($record)}, sha256 => sha256_hex($planted));
        my $text = $json->encode(\%record);
        put_key($record{sha256}, $text, $signature->($text));
        my $said = answers('a', $planted);
        ok $said =~ /^(?:401|503)$/, "a relay key $what opens nothing" or diag $said;
    }
    my $planted = 'planted-with-a-good-record';
    put_key(sha256_hex($planted), stored($key{a}));
    like answers('a', $planted), qr/^(?:401|503)$/, 'nor does the record of another';
    ok nginx_said(qr/(?:relay key|record).*(?:signature|signed|digest)/i), 'the log of nginx says why'
        or diag join "\n", grep { /error/ } split /\n/, slurp($box->home . '/logs/error.log');
    unchanged('planted relay keys');
}

{
    my $narrow = $box->mint('narrow', policy => 'a', models => ['a', 'b*']);
    is answers('a', $narrow), 'a', 'a relay key of two models';
    my @record = stored($narrow);
    $box->change('relay-keys/narrow', {models => ['b*']});
    ok within(5, sub { answers('a', $narrow) ne 'a' }), '... is narrowed';
    put_key(sha256_hex($narrow), @record);
    for (1 .. 5) { isnt answers('a', $narrow), 'a', '... its record before, put back, does not widen it'; sleep 0.2 }
}

{
    my $gone = $box->mint('gone', policy => 'a');
    is answers('a', $gone), 'a', 'a relay key';
    my @record = stored($gone);
    $box->make(POST => 'relay-keys/gone:revoke?wait=applied', undef, 'If-Match' => '*');
    is answers('a', $gone), 401, '... is revoked';
    put_key(sha256_hex($gone), @record);
    for (1 .. 5) { isnt answers('a', $gone), 'a', '... its record, put back, does not revive it'; sleep 0.2 }
    my @workers = $box->workers;
    kill HUP => $box->part('nginx');
    ok within(10, sub { my %now = map { $_ => 1 } $box->workers; %now && !grep { $now{$_} } @workers }), '... nor';
    isnt answers('a', $gone), 'a', '... does it with workers that begin anew';
    ok within(10, sub { answers('a') eq 'a' }), '... which serve';
}
unchanged('after all');
only_their_own();

$box->done;
