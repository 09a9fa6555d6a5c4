#!/usr/bin/perl

# Provider keys: sealed in the database and again for the workers, bound to
# their place, never in clear anywhere; references and their refresh.

use lib 't/lib';
use Relay::ControlPlane;

use Crypt::AuthEnc::GCM qw(gcm_decrypt_verify);
use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);

my $json = JSON::PP->new->utf8;
my $w = '/api/v1/workspaces/default';
my %planted = (value => 'planted-value-7f3a', file => 'planted-file-9c1d', env => 'planted-env-55e0',
    vault => 'planted-vault-e21b');

my $vault = vault();
my $cp = Relay::ControlPlane->new(
    role     => 'owner',
    env      => {TEST_PROVIDER_KEY => $planted{env}},
    settings => {reference_refresh_s => 1, vault_addr => "http://127.0.0.1:$vault->{port}",
        vault_token => 'planted-vault-token'},
    allow => [qr/does not open/]);
$cp->start;
$cp->setup;

# ---- helpers ----------------------------------------------------------------

# Vault in miniature: answers from a file, so that this process can change them.
sub vault {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "listen: $!";
    my $file = File::Temp->new;
    my $self = {port => $listener->sockport, file => "$file", keep => $file, owner => $$};
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    while (my $client = $listener->accept) {
        my $request = '';
        while (my $line = <$client>) { $request .= $line; last if $line eq "\r\n" }
        my ($status, $body) = split /\n/, Relay::ControlPlane::slurp("$file"), 2;
        $status = '403 Forbidden' if $request !~ /^X-Vault-Token: planted-vault-token\r$/m;
        $status = '404 Not Found' if $request !~ m{^GET /v1/secret/data/team/example };
        print $client "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
        close $client;
    }
    POSIX::_exit(0);
}

sub vault_says {
    my ($status, $body) = @_;
    open my $fh, '>', $vault->{file} or die $!;
    print $fh "$status\n$body";
    close $fh;
}

END { kill KILL => $vault->{pid} if $vault && $vault->{owner} == $$ }

sub head { $json->decode((split /\n/, $cp->redis(GET => 'relay:head'), 2)[1]) }

sub document {
    my ($name) = @_;
    my ($entry) = grep { $_->{name} eq $name } @{head()->{documents}};
    return $entry && $json->decode($cp->redis(GET => "relay:document:$entry->{sha256}"));
}

sub keys_published { document('workspace/default')->{provider_keys} }

sub published {
    my ($what, $ready) = @_;
    Relay::ControlPlane::wait_until($what, 10, sub { my $keys = keys_published(); $ready->($keys) });
}

# As a worker opens it: STORE.md.
sub opened {
    my ($name, $origin) = @_;
    my $key = keys_published()->{$name} or return;
    my ($id, $text) = split /\./, $key->{sealed}, 2;
    my ($ring_id, $ring_key) = split ' ', $cp->{dataplane_key};
    my $bytes = decode_base64url($text);
    my @parts = ('relay-dataplane-1', 'default', $name, $key->{version}, $origin);
    return if $id ne $ring_id;
    my ($nonce, $sealed, $tag) = unpack "a12 a" . (length($bytes) - 28) . " a16", $bytes;
    return gcm_decrypt_verify("AES", decode_base64url($ring_key), $nonce,
        join("", map { pack("N", length) . $_ } @parts), $sealed, $tag);
}

sub add {
    my ($name, %o) = @_;
    my $res = $cp->post("$w/provider-keys?wait=applied", {name => $name, host => 'own', %o});
    is $res->status, 201, "provider key $name" or diag $res->body;
    return $res;
}

sub inactive_in_log { grep { ($_->{message} // '') eq 'a provider key does not open' } $cp->log }

# ---- sealed, and sealed again -----------------------------------------------

my $origin = 'https://own.example.com:443';
is $cp->post("$w/hosts", {name => 'own', base_url => 'https://OWN.example.com/v1', formats => ['openai-chat']})->status,
    201, 'a host';
add(one => value => $planted{value});
is opened('one', $origin), $planted{value}, 'a worker opens it';
is opened('one', 'https://evil.example.com:443'), undef, 'for another origin it does not';
is keys_published()->{one}{version}, 1, 'its version';

my $sealed = keys_published()->{one}{sealed};
add(two => value => "$planted{value}-two");
is keys_published()->{one}{sealed}, $sealed, 'a key that did not change keeps its bytes';

my $res = $cp->patch("$w/provider-keys/one?wait=applied", {value => "$planted{value}-next"}, 'If-Match' => '*');
is $res->status, 200, 'a new value' or diag $res->body;
is opened('one', $origin), "$planted{value}-next", 'is published';
is keys_published()->{one}{version}, 2, 'with a new version';

add(empty => value => '');
is_deeply keys_published()->{empty}, {host => 'own', value => ''}, 'an empty value is no secret';

# ---- left out ---------------------------------------------------------------

is $cp->post("$w/pools?wait=applied", {name => 'all', members => [map { {key => $_} } qw(one two empty)]})->status,
    201, 'a pool';
sub members { [map { $_->{key} } @{document('workspace/default')->{pools}{all}{members}}] }
is_deeply members(), [qw(one two empty)], 'with all three';

is $cp->post("$w/provider-keys/two:disable?wait=applied", undef, 'If-Match' => '*')->status, 200, 'disabled';
ok !keys_published()->{two}, 'a disabled key is not published';
is_deeply members(), [qw(one empty)], 'nor its membership';
is $cp->post("$w/provider-keys/two:enable?wait=applied", undef, 'If-Match' => '*')->status, 200, 'enabled';
is_deeply members(), [qw(one two empty)], 'it is back';

# ---- whoever can write to the database --------------------------------------

sub bump { $cp->sql("UPDATE installation SET revision = revision + 1; NOTIFY relay_changes") }

my ($one, $two) = map { $cp->sql("SELECT sealed FROM provider_key WHERE name = '$_'") } qw(one two);
$cp->sql("UPDATE provider_key SET sealed = '$two' WHERE name = 'one'");
bump();
published('the swapped ciphertext is out', sub { !$_[0]{one} });
ok opened('two', $origin), 'the other key is not disturbed';
is $cp->get("$w/provider-keys/one")->json->{state}, 'undecryptable', 'it is shown as what it is';
ok inactive_in_log() > 0, 'and logged';
$cp->sql("UPDATE provider_key SET sealed = '$one' WHERE name = 'one'");
bump();
published('put back, it is in', sub { $_[0]{one} });

$cp->sql(q(UPDATE host SET spec = jsonb_set(spec, '{base_url}', '"https://evil.example.com/v1"')));
bump();
published('no key goes to a host that was re-pointed', sub { !$_[0]{one} && !$_[0]{two} });
$cp->sql("UPDATE provider_key SET origin = 'https://evil.example.com:443'");
bump();
sleep 0.5;
ok !keys_published()->{one}, 'not with the origin changed, either';
$cp->sql(q(UPDATE host SET spec = jsonb_set(spec, '{base_url}', '"https://own.example.com/v1"');
    UPDATE provider_key SET origin = 'https://own.example.com:443'));
bump();
published('as it was', sub { $_[0]{one} && $_[0]{two} });

# ---- references -------------------------------------------------------------

for (['env:RELAY_MASTER_KEY', 'a variable of Relay itself'], ['env:not a name', 'no name'], ['file:/x/../' . "\n", 'a control character'],
    ['vault:no-field/path', 'no field'], ['vault:mount/../sys#f', 'dots in a path'], ['vault:mount#f', 'no path']) {
    my ($reference, $what) = @$_;
    my $res = $cp->post("$w/provider-keys", {name => 'bad', host => 'own', value_from => $reference});
    is $res->status, 422, "refused: $what" or diag $res->body;
    is_deeply [$res->pointers], ['/value_from'], '… with a pointer';
}

add(env => value_from => 'env:TEST_PROVIDER_KEY');
is opened('env', $origin), $planted{env}, 'env: is resolved';

my $file = $cp->dir . '/provider-key';
sub write_file { open my $fh, '>', $file or die $!; print $fh $_[0]; close $fh }
write_file("$planted{file}\n");
add(file => value_from => "file:$file");
is opened('file', $origin), $planted{file}, 'file: is resolved, without its line feed';

my ($revision, $version) = (head()->{revision}, keys_published()->{file}{version});
write_file("$planted{file}-next\n");
published('a new value of the file is published by itself', sub { $_[0]{file}{version} > $version });
is opened('file', $origin), "$planted{file}-next", 'the new one';
ok head()->{revision} > $revision, 'with a revision of its own';
unlink $file;
sleep 2.5;
is opened('file', $origin), "$planted{file}-next", 'a file that is missing for a moment does not take the key away';
is $cp->get("$w/provider-keys/file")->json->{state}, 'stale', '... but is said';
published('one that stays away does', sub { !$_[0]{file} });
is $cp->get("$w/provider-keys/file")->json->{state}, 'unresolved', '... and that, too';

for (["two words\n", 'spaces'], ['', 'nothing'], ['x' x 8193, 'too much'], ["a\n\n", 'two line feeds']) {
    my ($text, $what) = @$_;
    write_file($text);
    my $name = 'bad-' . sha256_hex($what);
    $name = substr $name, 0, 20;
    link $file, "$file-$name" or die $!;
    my $res = add($name => value_from => "file:$file-$name");
    is $res->json->{state}, 'unresolved', "a file with $what";
    ok length $res->json->{state_reason}, '… says why: ' . ($res->json->{state_reason} // '');
    ok !keys_published()->{$name}, '… and is not published';
    unlink $file;
}

vault_says('200 OK', $json->encode({data => {data => {key => $planted{vault}, other => 1}, metadata => {}}}));
add(vault => value_from => 'vault:secret/team/example#key');
is opened('vault', $origin), $planted{vault}, 'vault: is resolved';
$version = keys_published()->{vault}{version};
vault_says('503 Service Unavailable', '');
sleep 2.5;
is keys_published()->{vault}{version}, $version, 'a Vault that is away changes nothing';
vault_says('200 OK', $json->encode({data => {data => {key => "$planted{vault}-\x{41}next"}}}));
published('a new value in Vault is published', sub { $_[0]{vault}{version} > $version });
is opened('vault', $origin), "$planted{vault}-Anext", 'the new one';

for (['secret/team/nothing#key', '200 OK', '{}', qr/nothing at this path/], ['secret/team/example#other', '200 OK',
        '{"data":{"data":{"other":1}}}', qr/no such field/], ['secret/team/example#gone', '200 OK', '{"data":{"data":null}}', qr/no current version/],
    ['secret/team/example#long', '200 OK', 'x' x 70000, qr/longer/], ['secret/team/example#denied', '403 Forbidden', '', qr/403/]) {
    my ($path, $status, $body, $why) = @$_;
    vault_says($status, $body);
    my $res = $cp->post("$w/provider-keys?dry_run=true", {name => 'vault-bad', host => 'own', value_from => "vault:$path"});
    is $res->json->{state}, 'unresolved', "vault:$path";
    like $res->json->{state_reason}, $why, '… in plain words';
}

# ---- nowhere in clear -------------------------------------------------------

my %dumps = (
    postgres => sub { join '', map { $cp->sql("SELECT t::text FROM $_ t") } qw(provider_key data_key event idempotency) },
    redis    => sub { join "\n", map { $cp->redis(GET => $_) } split /\n/, $cp->redis(KEYS => 'relay:document:*') },
    log      => sub { $cp->log_text },
    vault    => sub { $cp->log_text . $cp->sql('SELECT t::text FROM event t') });
for my $where (sort keys %dumps) {
    my $text = $dumps{$where}->();
    ok length $text > 100, "there is something in $where";
    is_deeply [grep { index($text, $_) >= 0 } values %planted, 'planted-vault-token'], [], 'none of the secrets';
}

$cp->done;
