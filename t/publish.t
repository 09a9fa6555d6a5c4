#!/usr/bin/perl

# What relayd writes to Redis: documents, the signed head, relay-key records;
# and what it does when Redis forgets, lies or is away.

use lib 't/lib';
use Relay::ControlPlane;
use Relay::Mock;

use Crypt::PK::Ed25519;
use Digest::SHA qw(sha256_hex);
use File::Temp ();
use IO::Socket::UNIX;
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);

my $json = JSON::PP->new->utf8->canonical;
my $w = '/api/v1/workspaces/default';

my $cp = Relay::ControlPlane->new(allow => [qr/the configuration is not published/,
    qr/Redis cannot be used/]);
$cp->start;
$cp->setup;

# ---- helpers ----------------------------------------------------------------

my $public = do {
    my (undef, $seed) = split ' ', $cp->{signing_key};
    Crypt::PK::Ed25519->new->import_key_raw(decode_base64url($seed), 'private');
};

sub signed {
    my ($purpose, $bytes, $signature) = @_;
    my ($id, $text) = split ' ', $signature // '';
    return if !defined $text;
    my ($ring_id) = split ' ', $cp->{signing_key};
    return $id eq $ring_id && $public->verify_message(decode_base64url($text), "$purpose\0$bytes");
}

sub head {
    my ($signature, $payload) = split /\n/, $cp->redis(GET => 'relay:head'), 2;
    return signed('relay-head-1', $payload // '', $signature) ? $json->decode($payload) : undef;
}

sub revision { (head() || {revision => 0})->{revision} }
sub digests { +{map { $_->{name} => $_->{sha256} } @{head()->{documents}}} }
sub raw { $cp->redis(GET => "relay:document:$_[0]") }
sub document { $json->decode(raw(digests()->{$_[0]})) }
my $generous_s = 60;    # what is awaited comes soon, unless the machine is busy
sub awaits {
    my ($what, $ready) = @_;
    ok eval { Relay::ControlPlane::wait_until($what, $generous_s, $ready) }, $what or diag $@;
}

sub sha256_of { sha256_hex($_[0]) }

sub record {
    my ($key) = @_;
    my $name = 'relay:key:' . sha256_of($key);
    my ($record, $signature) = map { $cp->redis(HGET => $name, $_) } qw(record signature);
    return if $record eq '';
    return signed('relay-key-1', $record, $signature) ? $json->decode($record) : 'not signed';
}

sub changed {
    my ($body) = @_;
    my $res = $cp->patch("$w/policies/team?wait=applied&wait_ms=25000", $body, 'If-Match' => '*');
    is $res->status, 200, 'a change: ' . $json->encode($body) or diag $res->body;
    return revision();
}

sub events { $cp->sql("SELECT count(*) FROM event WHERE verb = 'refused' AND kind = '$_[0]'") }
sub published_lines { scalar grep { ($_->{message} // '') eq 'published' } $cp->log }

# ---- documents and head -----------------------------------------------------

awaits('the head is there, and signed', sub { head() });
my $head = head();
is $head->{deployment}, $cp->sql('SELECT id FROM installation'), 'for this installation';
cmp_ok abs($head->{issued_at} - time), '<', 60, 'just now';
my @names = map { $_->{name} } @{$head->{documents}};
is_deeply \@names, [sort @names], 'documents by name';
for my $name (qw(catalog/hosts workspace/default)) {
    ok((grep { $_ eq $name } @names), "there is $name");
}
cmp_ok scalar(grep { m{^catalog/models/} } @names), '>', 40, 'models by vendor';
is_deeply [grep { my $text = raw($_->{sha256}); sha256_hex($text) ne $_->{sha256} || length $text != $_->{bytes} }
    @{$head->{documents}}], [], 'all are there, under their digests';
my $catalog = join '', map { raw($_->{sha256}) } grep { $_->{name} =~ /^catalog/ } @{$head->{documents}};
unlike $catalog, qr/"(?:facts|pricing)":/, 'facts and prices stay in the database';
is $cp->redis(TTL => "relay:document:$head->{documents}[0]{sha256}"), -1, 'and do not expire';

my $dir = File::Temp->newdir;
sub dump_documents {
    unlink glob "$dir/*";
    for (@{head()->{documents}}) {
        my $folder = $_->{name} =~ /^catalog/ ? 'catalog' : 'own';
        mkdir "$dir/$folder";
        open my $fh, '>:raw', "$dir/$folder/" . ($_->{name} =~ tr{/}{_}r) . '.json' or die $!;
        print $fh raw($_->{sha256});
        close $fh;
    }
}

is $cp->post("$w/hosts", {name => 'own', base_url => 'http://127.0.0.1:9/v1', formats => ['openai-chat'], local => JSON::PP::true})->status, 201, 'a host';
is $cp->post("$w/provider-keys", {name => $_, host => 'own', value => "sk-$_"})->status, 201, "provider key $_" for qw(a b);
is $cp->post("$w/pools", {name => 'main', strategy => 'priority', members => [{key => 'b'}, {key => 'a', weight => 3}]})->status, 201, 'a pool';
my $res = $cp->post("$w/policies?wait=applied&wait_ms=25000", {name => 'team', pools => ['main'], description => 'for people'});
is $res->status, 201, 'a policy';
my $doc = document('workspace/default');
is $doc->{workspace}, 'default', 'the document says whose it is';
is_deeply $doc->{pools}{main}{members}, [{key => 'b', priority => 0}, {key => 'a', weight => 3, priority => 1}],
    'references are names, the strategy is in the priorities';
ok !exists $doc->{policies}{team}{description}, 'what is for people stays';
is $doc->{policies}{team}{pools}[0], 'main', 'a policy has its pools';
dump_documents();
is system("build/relayctl config check --catalog $dir/catalog $dir/own/*.json >$dir/said 2>&1"), 0, 'the workers\' reader takes them all'
    or diag Relay::ControlPlane::slurp("$dir/said");

my $before = digests();
my $at = changed({max_attempts => 2});
my $after = digests();
is_deeply [grep { $before->{$_} ne $after->{$_} } sort keys %$after], ['workspace/default'],
    'a change of a policy re-sends one document';
my $ttl = $cp->redis(TTL => "relay:document:$before->{'workspace/default'}");
ok $ttl > 3500 && $ttl <= 3600, 'the one before is there for an hour' or diag $ttl;
changed({max_attempts => 4});
is digests()->{'workspace/default'}, $before->{'workspace/default'}, 'the same configuration has the same bytes';
is $cp->redis(TTL => "relay:document:$before->{'workspace/default'}"), -1, 'it does not expire any more';

is $cp->patch("$w/hosts/groq?wait=applied&wait_ms=25000", {timeouts => {connect_ms => 77}}, 'If-Match' => '"0"')->status, 200, 'a patch on the catalog';
my $patched = document('workspace/default')->{hosts}{groq};
is $patched->{timeouts}{connect_ms}, 77, 'the patched host is the workspace\'s';
is $patched->{base_url}, 'https://api.groq.com/openai/v1', 'with what the catalog has';
is_deeply [grep { !/^openai-(?:chat|responses|embeddings)$|^anthropic-messages$/ } keys %{$patched->{formats}}], [],
    'without formats that workers do not speak';
is digests()->{'catalog/hosts'}, $before->{'catalog/hosts'}, 'the catalog\'s document stays';

# ---- hints ------------------------------------------------------------------

my $listener = IO::Socket::UNIX->new(Peer => $cp->dir . '/redis.sock') or die $!;
print $listener "SUBSCRIBE relay:changes\r\n";
$listener->flush;
sub heard {
    my ($seconds) = @_;
    my ($text, $until) = ('', time + $seconds);
    $listener->blocking(0);
    while (time < $until) { sysread $listener, $text, 65536, length $text or sleep 0.02 }
    return $text;
}
sub hears {
    my ($wanted, $what) = @_;
    my $text = '';
    ok eval { Relay::ControlPlane::wait_until($what, $generous_s, sub { ($text .= heard(0.05)) =~ $wanted }) }, $what or diag $text;
}
heard(0.2);
$at = changed({max_attempts => 3});
hears(qr/\r\nhead $at\r\n/, 'the channel says that there is a new head');

# ---- relay keys -------------------------------------------------------------

$res = $cp->post("$w/relay-keys?wait=applied&wait_ms=25000", {name => 'app', policy => 'team', tags => {team => 'x'}});
is $res->status, 201, 'a relay key' or diag $res->body;
my $key = $res->json->{key};
hears(qr/\r\nkey ${\sha256_of($key)}\r\n/, 'the channel names it');
my $record = record($key);
is ref $record, 'HASH', 'its record is signed';
is_deeply [@$record{qw(sha256 id name workspace policy revision)}],
    [sha256_of($key), $res->json->{id}, 'app', 'default', 'team', revision()], 'and says who it is';
is_deeply $record->{tags}, {team => 'x'}, 'with tags';
ok !exists $record->{expires_at}, 'without an end';
is $cp->sql('SELECT count(*) FROM outbox'), 0, 'the outbox is empty';

sub revoked_before {
    my ($sha256) = @_;
    my ($revision) = map { document($_)->{revocations}{$sha256} // () } grep { m{/revocations/} } sort keys %{digests()};
    return $revision;
}

$res = $cp->patch("$w/relay-keys/app?wait=applied&wait_ms=25000", {models => ['a-*'], expires_at => '2099-01-01T00:00:00Z'}, 'If-Match' => '*');
is $res->status, 200, 'changed' or diag $res->body;
is_deeply [record($key)->{models}, record($key)->{expires_at}], [['a-*'], '2099-01-01T00:00:00Z'], 'the record follows';
is revoked_before(sha256_of($key)), record($key)->{revision}, 'older records are void';

my $ttl_s = $cp->redis(TTL => 'relay:key:' . sha256_of($key));
cmp_ok $ttl_s, '>', 86400 * 365, 'a record goes some time after its end';

$res = $cp->post("$w/relay-keys/app:rotate?wait=applied&wait_ms=25000", {overlap_s => 3600}, 'If-Match' => '*');
is $res->status, 200, 'rotated with overlap' or diag $res->body;
my $next = $res->json->{key};
is record($next)->{expires_at}, '2099-01-01T00:00:00Z', 'the new key has a record';
my ($until) = record($key)->{expires_at} =~ /^(.*)Z$/;
ok $until lt '2098', "the one before ends soon: $until";
cmp_ok revoked_before(sha256_of($key)), '>=', record($key)->{revision}, 'its record without that end is void';

$res = $cp->post("$w/relay-keys/app:rotate?wait=applied&wait_ms=25000", {overlap_s => 0}, 'If-Match' => '*');
is $res->status, 200, 'rotated without';
my $last = $res->json->{key};
ok record($last) && !record($next), 'only the newest has a record';
ok revoked_before(sha256_of($next)), 'the one before is revoked';

$res = $cp->post("$w/relay-keys/app:revoke?wait=applied&wait_ms=25000", undef, 'If-Match' => '*');
is $res->status, 200, 'revoked' or diag $res->body;
ok !record($last), 'its record is gone';
is revoked_before(sha256_of($last)), revision(), 'and void if it comes back';

# ---- a great many revocations -----------------------------------------------

# Postgres' count and sum of each segment, as triggers keep them and as rows have them.
sub segments {
    my ($from) = @_;
    return $cp->sql("SELECT string_agg(concat_ws(' ', number, entries, revisions), ', ' ORDER BY workspace_id, number) FROM $from");
}
sub segments_agree {
    my ($what) = @_;
    is segments('revocation_segment WHERE entries > 0'), segments('(SELECT workspace_id, (position - 1) / 4096 AS number,'
        . ' count(*) AS entries, sum(revision) AS revisions FROM revocation GROUP BY 1, 2) r'), $what;
}
sub revoking { grep { m{/revocations/} } sort keys %{$_[0]} }
sub now_changed { changed({max_attempts => $_[0]}); return digests() }

segments_agree('segments are those of the rows');
$cp->sql("INSERT INTO revocation (workspace_id, digest, revision) SELECT w.id, sha256(convert_to('r' || i, 'UTF8')), 1"
    . " FROM workspace w, generate_series(1, 9000) i WHERE w.name = 'default'");
segments_agree('... many that come');
my $were = now_changed(4);
is scalar(revoking($were)), 3, 'a document for each segment';
is revoked_before(sha256_of("r$_")), 1, "$_ is in one of them" for 1, 5000, 9000;

my $of = sub { $_[0]{"workspace/default/revocations/$_[1]"} };
$cp->sql("UPDATE revocation SET revision = 2 WHERE digest = sha256('r5000')");
segments_agree('... one that changes');
my $are = now_changed(3);
is revoked_before(sha256_of('r5000')), 2, 'it is published';
is_deeply [map { $of->($are, $_) eq $of->($were, $_) || 0 } 0 .. 2], [1, 0, 1], 'in a document of its own, others stay';

$cp->sql("DELETE FROM revocation WHERE revision = 1 AND position <= 4096");
segments_agree('... many that go');
$were = now_changed(4);
is revoked_before(sha256_of('r1')), undef, 'they are gone';
is revoked_before(sha256_of($last)) && 1, 1, 'others are not';

$cp->sql("INSERT INTO workspace (id, name) VALUES ('01932c00-0000-7000-8000-000000000009', 'brief');"
    . " INSERT INTO revocation (workspace_id, digest, revision) VALUES ('01932c00-0000-7000-8000-000000000009', sha256('x'), 7)");
segments_agree('... of two workspaces');
$cp->sql("DELETE FROM workspace WHERE name = 'brief'");
segments_agree('... of one that is left');
$cp->sql("DELETE FROM revocation WHERE revision < 3");
segments_agree('... and what there was');
is_deeply [map { $of->(now_changed(3), $_) } 1, 2], [undef, undef], 'a segment without rows has no document';

# Digests that nobody has: their records are removed, as there are none.
$cp->sql("INSERT INTO outbox (workspace_id, digest, revision) SELECT w.id, sha256(convert_to('o' || i, 'UTF8')), 1"
    . " FROM workspace w, generate_series(1, 6000) i WHERE w.name = 'default'; NOTIFY relay_changes");
awaits('rows that left the outbox are swept at once',
    sub { $cp->sql('SELECT count(*) FROM outbox') == 0 && $cp->sql("SELECT pg_relation_size('outbox')") == 0 });

# ---- Redis forgets, lies, is away -------------------------------------------

$res = $cp->post("$w/relay-keys?wait=applied&wait_ms=25000", {name => 'kept', policy => 'team'});
$key = $res->json->{key};
my $kept = record($key);

my $good = $cp->redis(GET => 'relay:head');
$cp->redis('FLUSHALL');
awaits('all is back after Redis was emptied', sub { revision() == $json->decode((split /\n/, $good, 2)[1])->{revision} });
is_deeply record($key), $kept, 'relay keys, too';
is_deeply [grep { raw($_) eq '' } values %{digests()}], [], 'and all documents';

is events('store'), 0, 'an empty Redis is nobody\'s fault';
$cp->redis(SET => 'relay:head', "forged AAAA\n{}");
awaits('a forged head is overwritten', sub { head() });
is events('store'), 1, 'and is on record';
changed({max_attempts => 5});
$cp->redis(SET => 'relay:head', $good);
awaits('an older head is overwritten', sub { revision() > $json->decode((split /\n/, $good, 2)[1])->{revision} });
is events('store'), 2, 'and is on record';

$cp->redis(DEL => 'relay:document:' . digests()->{'workspace/default'});
awaits('a document that is missing is written again', sub { raw(digests()->{'workspace/default'}) ne '' });

$cp->stop_redis;
my $stored = $cp->post("$w/relay-keys", {name => 'meanwhile', policy => 'team'});
is $stored->status, 201, 'a relay key is made while Redis is away';
is $cp->get('/readyz', token => undef)->status, 503, 'which readyz says';
cmp_ok $cp->sql('SELECT count(*) FROM outbox'), '>', 0, 'its record waits';
$cp->start_redis;
awaits('the record is there when Redis is', sub { ref record($stored->json->{key}) });
is_deeply record($key), $kept, 'those that an empty Redis lacked, too';
awaits('the outbox is empty', sub { $cp->sql('SELECT count(*) FROM outbox') == 0 });

# ---- restarts ---------------------------------------------------------------

my ($lines, $now) = (published_lines(), revision());
is $cp->stop_relayd, 0, 'relayd stops';
$cp->start;
sleep 1;
is revision(), $now, 'a start without a change makes no revision';
is published_lines(), $lines, 'and publishes nothing';

$cp->sql('UPDATE installation SET revision = 3');
changed({max_attempts => 6});
awaits('a database from a backup catches up', sub { revision() > $now });
is $cp->sql('SELECT revision FROM installation'), revision(), 'both have one revision';

# ---- a set that does not build ----------------------------------------------

$now = revision();
$cp->sql(q(UPDATE policy SET spec = jsonb_set(spec, '{max_attempts}', '99') WHERE name = 'team';
    UPDATE installation SET revision = revision + 1; NOTIFY relay_changes));
awaits('what workers would refuse is said',
    sub { grep { ($_->{reason} // '') =~ /workspace\/default.*max_attempts/ } $cp->log });
is revision(), $now, 'and not published';
$res = $cp->post("$w/relay-keys", {name => 'still', policy => 'team'});
awaits('relay keys still go out', sub { ref record($res->json->{key}) });
changed({max_attempts => 7});
cmp_ok revision(), '>', $now, 'mended, it is published';

# ---- nodes ------------------------------------------------------------------

sub node {
    my ($name, %o) = @_;
    $cp->redis(HSET => 'relay:nodes', "$name/0", $json->encode({node => $name, worker => 0, pid => 1,
        revision => 0, state => 'applied', at => int time, version => '0', %o}));
}

sub waited {
    my ($attempts, $wait_ms) = @_;
    return $cp->patch("$w/policies/team?wait=applied&wait_ms=$wait_ms", {max_attempts => $attempts}, 'If-Match' => '*', timeout => 90);
}

node('dead', at => int(time) - 60);
node('leaving', state => 'leaving');
$cp->redis(HSET => 'relay:nodes', 'junk/0', 'no JSON');
is waited(1, 60000)->status, 200, 'nodes that are dead or leaving are not waited for';
node('slow');
$res = waited(2, 3000);    # time enough to publish it
is $res->status, 504, 'a node that lags is' or diag $res->body;
like $res->json->{detail}, qr/slow/, 'and named';
$now = revision();
node('slow', state => 'refused', revision => $now - 1, refused_revision => $now + 1, reason => 'policies.team: no');
$res = waited(3, 60000);
is $res->status, 504, 'a refusal is no success';
like $res->json->{detail}, qr/refused.*policies\.team: no/, 'and its reason is told';
awaits('it is on record', sub { events('node') == 1 });
$cp->redis(DEL => 'relay:nodes');

# ---- two relayd -------------------------------------------------------------

my $first = $cp->{pids}{relayd};
{
    local $cp->{settings} = {listen => 'unix:' . $cp->dir . '/second.sock'};
    $cp->spawn(second => [$cp->relayd_binary], env => $cp->settings);
}
awaits('a second relayd', sub { -S $cp->dir . '/second.sock' });
sleep 1;
$now = revision();
changed({max_attempts => $_}) for 1 .. 5;
is revision(), $now + 5, 'two relayd make no more revisions than one';
# Not in the middle of a pass: what it has begun, nobody else can.
sub passing { $cp->sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") }
awaits('one stands still', sub {
    return 0 if passing();
    kill STOP => $first;
    return 1 if !passing();
    kill CONT => $first;
    return 0;
});
$cp->sql('UPDATE installation SET revision = revision + 1; NOTIFY relay_changes');
awaits('one publishes what the other has no time for', sub { revision() == $now + 6 });
kill CONT => $first;
is $cp->end_process(second => 'TERM', $generous_s), 0, 'the second one stops';
unlike Relay::ControlPlane::slurp($cp->dir . '/second.log'), qr/"level":"error"/, 'without a complaint';

# ---- many -------------------------------------------------------------------

$cp->sql(q(INSERT INTO relay_key (id, workspace_id, name, spec, public_id, digest, revision)
    SELECT gen_random_uuid(), w.id, 'many-' || n, jsonb_build_object('policy', p.id), 'p', sha256(n::text::bytea), 1
    FROM workspace w, policy p, generate_series(1, 20000) n));
$cp->redis('FLUSHALL');
my $started = time;
awaits('20,000 relay keys are written again', sub { head() });
cmp_ok $cp->redis('DBSIZE'), '>', 20000, sprintf 'in %.1f s', time - $started;
is record(12345)->{name}, 'many-12345', 'signed like any other';

# ---- TLS --------------------------------------------------------------------

$cp->stop_relayd;
my $leaf = Relay::Mock->certificate(names => ['localhost', '127.0.0.1']);
my $port = do { my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1); $s->sockport };
$cp->spawn(tls => ['redis-server', '--port', 0, '--tls-port', $port, '--bind', '127.0.0.1', '--tls-cert-file', $leaf->{cert},
    '--tls-key-file', $leaf->{key}, '--tls-auth-clients', 'no', '--save', '', '--unixsocket', $cp->dir . '/tls.sock',
    '--user', 'default', 'off', '--user', 'relayd', 'on', '>planted-redis-password', '~*', '&*', '+@all']);
sub tls_redis {
    my $out = qx(redis-cli --user relayd --pass planted-redis-password --no-auth-warning -s @{[$cp->dir]}/tls.sock --raw @_ 2>/dev/null);
    return $out =~ s/\n\z//r;
}
awaits('Redis with TLS', sub { tls_redis('PING') eq 'PONG' });
my %tls = (redis_user => 'relayd', redis_password => 'planted-redis-password');
for (["rediss://localhost:$port", Relay::Mock->ca->{cert}, 1, 'a name'], ["rediss://127.0.0.1:$port/2", Relay::Mock->ca->{cert}, 1, 'an address and a database'],
    ["rediss://localhost:$port", undef, 0, 'an authority that is not known'], ["redis://localhost:$port", undef, 0, 'no TLS']) {
    my ($url, $ca, $works, $what) = @$_;
    tls_redis('FLUSHALL');
    local $cp->{settings} = {%tls, redis_url => $url, redis_ca_file => $ca};
    $cp->start_relayd;
    my $database = $url =~ m{/(\d)$} ? $1 : 0;
    my $there = sub { tls_redis('-n', $database, 'EXISTS', 'relay:head') eq '1' };
    if ($works) { awaits("published over TLS: $what", $there) } else { sleep 2; ok !$there->(), "not published: $what" }
    $cp->stop_relayd;
}
is $cp->end_process(tls => 'TERM', $generous_s), 0, 'Redis with TLS stops';
unlike $cp->log_text, qr/planted-redis-password/, 'the log has no password';

$cp->start_relayd;
awaits('relayd', sub { -S $cp->socket });
$cp->done;
