# Relay keys and provider keys: minted, rotated, revoked, tested.

use lib 't/lib';
use JSON::PP ();
use Relay::Admin;
use Relay::Mock;

my $mock = Relay::Mock->new(on => sub {
    my ($req) = @_;
    my $status = $req->flag('status') || 200;
    return 'close' if $status eq 'close';
    return {status => 302, headers => [Location => 'http://127.0.0.1:1/'], body => ''} if $status eq '302';
    return {status => $status, body => {error => {message => 'sk-probe-echo ' . ($req->header('authorization') // '')}, data => []}};
});
my $admin = Relay::Admin->begin(env => {TEAM_KEY => 'sk-from-env-0123456789', BAD_KEY => "a\nX-Injected: 1"});
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my ($keys, $relay_keys, $hosts) = map { $admin->path($_) } qw(provider-keys relay-keys hosts);
my @any = ('If-Match' => '*');
$admin->make(policies => {name => 'team'});

sub introspect { $admin->post("$relay_keys:introspect", {key => $_[0]})->json }
sub record { my ($digest) = @_; $admin->redis(HGET => "relay:key:$digest", 'record') }
sub digest { require Digest::SHA; Digest::SHA::sha256_hex($_[0]) }
sub soon { my ($what, $ok) = @_; Relay::ControlPlane::wait_until($what, 5, $ok); pass $what }
sub in_seconds { my @t = gmtime(time + $_[0]); sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0] }

my $value = $admin->secret('sk-provider-0123456789');

# First, for its calls take seconds to end, and relayd ends with them.
subtest 'a test holds no connection to the database' => sub {
    my $hole = Relay::Mock->blackhole;
    $admin->make(hosts => {name => 'hole', base_url => "http://127.0.0.1:$hole", formats => ['openai-chat'], local => $true});
    $admin->make('provider-keys' => {name => 'h', host => 'hole', value => $value});
    my @children = map {
        my $pid = fork // die "fork: $!";
        if (!$pid) { $admin->post("$keys/h:test"); POSIX::_exit(0) }
        $pid;
    } 1 .. 10;
    sleep 0.3;
    my $began = time;
    is $admin->get($keys)->status, 200, 'ten that wait';
    cmp_ok time - $began, '<', 1, '... are in nobody\'s way';
    kill KILL => @children;
    waitpid $_, 0 for @children;
};

# ---- relay keys ---------------------------------------------------------------

subtest 'a relay key is shown once' => sub {
    my $res = $admin->post($relay_keys, {name => 'app', policy => 'team'});
    my $key = $admin->secret($res->json->{key});
    like $key, qr/^rly_[0-9A-Za-z]{46}$/, 'its form';
    is $res->json->{public_id}, substr($key, 4, 8), 'by which it is recognised';
    ok !exists $admin->get("$relay_keys/app")->json->{key}, 'not again';
    is $admin->sql("SELECT encode(digest, 'hex') FROM relay_key WHERE name = 'app'"), digest($key), 'what is kept is its digest';
    is introspect($key)->{active}, $true, 'it is accepted';
    is introspect("sk-$key")->{relay_key}{name}, 'app', 'with sk- before it, too';
    is introspect($_)->{known}, $false, 'no key' for 'x', $key =~ s/.$/$& eq 'a' ? 'b' : 'a'/er, 'rly_' . 'a' x 46;
    soon 'its record is published', sub { record(digest($key)) =~ /"name":"app"/ };
    $admin->{key} = $key;
};

subtest 'rotation with an overlap' => sub {
    my $old = $admin->{key};
    problem $admin->post("$relay_keys/app:rotate", {}), 428, 'precondition_required', 'If-Match';
    my $res = $admin->post("$relay_keys/app:rotate", {overlap_s => 3600}, 'If-Match' => '"1"');
    is $res->status, 200, 'rotated' or diag $res->body;
    my $new = $admin->secret($res->json->{key});
    isnt $new, $old, 'another key';
    like $res->json->{previous_until}, qr/^20/, 'until when the old one is good';
    is introspect($new)->{active}, $true, 'the new one is accepted';
    is_deeply [@{introspect($old)}{qw(active previous)}], [$true, $true], 'and the old one';
    soon 'both have a record', sub { record(digest($new)) && record(digest($old)) =~ /"expires_at"/ };
    $admin->sql("UPDATE relay_key SET previous_until = now() - interval '1 second' WHERE name = 'app'");
    is_deeply [@{introspect($old)}{qw(known active)}], [$true, $false], 'afterwards the old one is not';
    is introspect($new)->{active}, $true, '... the new one is';

    my $third = $admin->post("$relay_keys/app:rotate", {}, @any)->json;
    $admin->secret($third->{key});
    is $third->{previous_until}, undef, 'without an overlap';
    is introspect($new)->{active}, $false, '... the one before is out at once';
    is introspect($third->{key})->{active}, $true, '... for the new one';
    soon 'what is out has no good record', sub { my $r = record(digest($new)); $r eq '' || $r =~ /"disabled":true|"expires_at"/ };
    problem $admin->post("$relay_keys/app:rotate", {overlap_s => 2592001}, @any), 422, 'invalid_document', 'an overlap of months', '/overlap_s';
    is_deeply [map { $_->{verb} } $admin->events('app')], [qw(created rotated rotated)], 'events';
    $admin->{key} = $third->{key};
};

subtest 'disabled, expired, revoked' => sub {
    my $key = $admin->{key};
    my $state = sub { [introspect($key)->{active}, introspect($key)->{relay_key}{state}] };
    $admin->patch("$relay_keys/app", {disabled => $true}, @any);
    is_deeply $state->(), [$false, 'disabled'], 'disabled';
    soon 'its record says so', sub { record(digest($key)) =~ /"disabled":true/ };
    $admin->patch("$relay_keys/app", {disabled => $false, expires_at => '2020-01-01T00:00:00Z'}, @any);
    is_deeply $state->(), [$false, 'expired'], 'expired';
    $admin->patch("$relay_keys/app", {expires_at => in_seconds(2)}, @any);
    is_deeply $state->(), [$true, 'active'], 'not yet';
    soon 'now', sub { !introspect($key)->{active} };
    $admin->patch("$relay_keys/app", {expires_at => '2040-01-31T02:00:00+02:00'}, @any);
    is_deeply $state->(), [$true, 'active'], 'a time of another zone';
    is $admin->get("$relay_keys/app")->json->{expires_at}, '2040-01-31T02:00:00+02:00', '... shown as given';
    is $admin->sql("SELECT expires_at AT TIME ZONE 'UTC' FROM relay_key WHERE name = 'app'"), '2040-01-31 00:00:00', '... and understood';
    my $revoked = $admin->post("$relay_keys/app:revoke", undef, @any)->json;
    is $revoked->{state}, 'revoked', 'revoked';
    like $revoked->{revoked_at}, qr/^20/, '... when';
    is_deeply $state->(), [$false, 'revoked'], 'not accepted';
    soon 'no record', sub { record(digest($key)) eq '' };
    problem $admin->post("$relay_keys/app:rotate", {}, @any), 409, 'conflict', 'it stays so';
    is $admin->patch("$relay_keys/app", {description => 'old'}, @any)->json->{state}, 'revoked', '... whatever is changed';
    is $admin->delete("$relay_keys/app", @any)->status, 204, 'and goes';
    is introspect($key)->{known}, $false, 'nobody knows it';
};

# ---- provider keys ------------------------------------------------------------

$admin->make(hosts => {name => 'mock', base_url => $mock->url . '/v1', formats => ['openai-chat'], local => $true, headers => {'x-extra' => 'yes'}});

subtest 'a value' => sub {
    my $res = $admin->post($keys, {name => 'k', host => 'mock', value => $value});
    is $res->status, 201, 'taken';
    my $shown = $res->json;
    ok !exists $shown->{value}, 'not shown';
    is $shown->{state}, 'ready', 'ready';
    is $shown->{secret_version}, 1, 'its first';
    is $shown->{origin}, 'http://127.0.0.1:' . $mock->port, 'for this place';
    unlike $admin->sql("SELECT sealed FROM provider_key WHERE name = 'k'"), qr/provider/, 'sealed';
    problem $admin->post($keys, {name => 'x', host => 'mock'}), 422, 'invalid_document', 'without', '/value';
    problem $admin->post($keys, {name => 'x', host => 'mock', value => 'a', value_from => 'env:TEAM_KEY'}), 422, 'invalid_document', 'twice', '/value';
    problem $admin->post($keys, {name => 'x', host => 'mock', value => $_}), 422, 'invalid_document', 'no header value', '/value' for "a b", "a\nb", 'é', 'x' x 8193;
    unlike $admin->post($keys, {name => 'x', host => 'mock', value => 'sk-wrong wrong'})->body, qr/wrong/, 'a fault does not repeat it';
    is $admin->post($keys, {name => 'empty', host => 'mock', value => ''})->json->{state}, 'ready', 'an empty one: the host needs none';
    problem $admin->patch("$keys/k", {value => undef}, @any), 422, 'invalid_document', 'it cannot be taken away', '/value';
    is $admin->patch("$keys/k", {description => 'x'}, @any)->json->{secret_version}, 1, 'a change of something else keeps it';
    is $admin->put("$keys/k", {name => 'k', host => 'mock'}, @any)->json->{secret_version}, 1, 'PUT without one, too';
    is $admin->patch("$keys/k", {value => "$value-2"}, @any)->json->{secret_version}, 2, 'a new one';
    $admin->secret("$value-2");
};

subtest 'a reference' => sub {
    my $res = $admin->post($keys, {name => 'r', host => 'mock', value_from => 'env:TEAM_KEY'});
    is $res->json->{state}, 'ready', 'resolved';
    is $res->json->{value_from}, 'env:TEAM_KEY', 'shown: it is no secret';
    is $admin->sql("SELECT sealed IS NULL FROM provider_key WHERE name = 'r'"), 't', 'nothing is stored';
    my $missing = $admin->post($keys, {name => 'm', host => 'mock', value_from => 'env:NO_SUCH_VARIABLE'})->json;
    is $missing->{state}, 'unresolved', 'one that leads nowhere, yet';
    like $missing->{state_reason}, qr/NO_SUCH_VARIABLE/, '... and why';
    for my $bad ('env:RELAY_MASTER_KEY', 'env:', 'env:a b', 'file:relative', 'vault:secret/x', 'vault:x', 'http://x', 'env:a=b') {
        problem $admin->post($keys, {name => 'x', host => 'mock', value_from => $bad}), 422, 'invalid_document', $bad, '/value_from';
    }
    problem $admin->patch("$keys/r", {value_from => undef}, @any), 422, 'invalid_document', 'it cannot be taken away', '/value_from';
    my $changed = $admin->patch("$keys/r", {value => $value}, @any)->json;
    ok !exists $changed->{value_from}, 'a value instead';
    is $admin->patch("$keys/r", {value_from => 'env:TEAM_KEY'}, @any)->json->{state}, 'ready', 'and back';
    is $admin->sql("SELECT sealed IS NULL FROM provider_key WHERE name = 'r'"), 't', 'the value is gone';
};

subtest 'rotation, and back' => sub {
    problem $admin->post("$keys/k:rotate", {value => 'x'}), 428, 'precondition_required', 'If-Match';
    problem $admin->post("$keys/k:rotate", {}, @any), 422, 'invalid_document', 'without a value', '/value';
    problem $admin->post("$keys/k:rollback", undef, @any), 409, 'conflict', 'nothing to go back to';
    my $bearer = sub { my $n = @{$mock->requests}; $admin->post("$keys/k:test"); $mock->requests($n + 1)->[-1]->header('authorization') };
    my $rotated = $admin->post("$keys/k:rotate", {value => $admin->secret('sk-rotated-0123456789'), overlap_s => 60}, @any)->json;
    is $rotated->{secret_version}, 3, 'a new value';
    like $rotated->{previous_until}, qr/^20/, 'the one before is kept';
    is $bearer->(), 'Bearer sk-rotated-0123456789', 'the new one is used';
    my $back = $admin->post("$keys/k:rollback", undef, @any)->json;
    is $back->{secret_version}, 4, 'back: as a newer one';
    is $back->{previous_until}, undef, '... which is kept no longer';
    is $bearer->(), "Bearer $value-2", '... and used';
    problem $admin->post("$keys/k:rollback", undef, @any), 409, 'conflict', 'once';
    $admin->post("$keys/k:rotate", {value => 'sk-again-0123456789', overlap_s => 60}, @any);
    $admin->sql("UPDATE provider_key SET previous_until = now() - interval '1 second' WHERE name = 'k'");
    problem $admin->post("$keys/k:rollback", undef, @any), 409, 'conflict', 'nor after its time';
    $admin->post("$keys/k:rotate", {value => $value}, @any);
    is $admin->sql("SELECT previous_sealed IS NULL FROM provider_key WHERE name = 'k'"), 't', 'without an overlap nothing is kept';
    is_deeply [map { $_->{verb} } grep { $_->{verb} !~ /updated|created/ } $admin->events('k')], ['rotated', 'rolled back', 'rotated', 'rotated'], 'events';
};

subtest 'disabled and enabled' => sub {
    problem $admin->post("$keys/k:disable"), 428, 'precondition_required', 'If-Match';
    is $admin->post("$keys/k:disable", undef, @any)->json->{state}, 'disabled', 'disabled';
    is $admin->get("$keys/k")->json->{disabled}, $true, '... and stays so';
    is $admin->post("$keys/k:enable", undef, @any)->json->{state}, 'ready', 'enabled';
    is $admin->get("$keys/k")->json->{secret_version}, $admin->post("$keys/k:disable", undef, @any)->json->{secret_version}, 'its value stays';
    $admin->post("$keys/k:enable", undef, @any);
};

subtest ':test says what happened' => sub {
    my $test = sub { my ($key, $status) = @_; $mock->flag(status => $status) if defined $status; $admin->post("$keys/$key:test") };
    my %said = (200 => ['accepted', qr/took the key/], 401 => ['refused', qr/refused the key .*401/], 403 => ['refused', qr/403/],
        402 => ['refused', qr/asks for payment/], 429 => ['limited', qr/limits it at this moment/], 500 => ['unavailable', qr/trouble of its own .*500/],
        503 => ['unavailable', qr/503/], 404 => ['unexpected', qr/404/], 302 => ['unexpected', qr/302/]);
    for my $status (sort keys %said) {
        my $res = $test->('k', $status);
        my ($outcome, $words) = @{$said{$status}};
        is $res->json->{outcome}, $outcome, "$status: $outcome";
        like $res->json->{message}, $words, '... in words';
        is $res->json->{ok}, $status == 200 ? $true : $false, '... ok';
        is $res->json->{status}, $status, '... status';
        unlike $res->body, qr/\Q$value\E|probe-echo|Bearer/, '... without the key and the host\'s words';
    }
    my $seen = $mock->requests->[-1];
    is $seen->method . ' ' . $seen->path, 'GET /v1/models', 'it asks for the list of models';
    is $seen->header('authorization'), "Bearer $value", 'with the key';
    is $seen->header('x-extra'), 'yes', 'and the host\'s headers';
    is scalar(grep { $_->path ne '/v1/models' } @{$mock->requests}), 0, 'redirects are not followed';

    is $test->('k', 'close')->json->{outcome}, 'unreachable', 'no answer';
    is $test->('r', 200)->json->{ok}, $true, 'a reference';
    is $mock->requests->[-1]->header('authorization'), 'Bearer sk-from-env-0123456789', '... resolved';
    is $test->('empty', 200)->json->{ok}, $true, 'an empty value';
    is $mock->requests->[-1]->header('authorization'), undef, '... is not sent';
    my $missing = $test->('m', 200)->json;
    is $missing->{outcome}, 'unavailable', 'a reference that leads nowhere';
    like $missing->{message}, qr/NO_SUCH_VARIABLE/, '... says so';
    $admin->make('provider-keys' => {name => 'lines', host => 'mock', value_from => 'env:BAD_KEY'});
    my $before = @{$mock->requests};
    like $test->('lines', 200)->json->{message}, qr/line feed|characters/, 'a value with a line feed';
    is scalar @{$mock->requests}, $before, '... is not sent';
    problem $admin->post("$keys/none:test"), 404, 'not_found', 'no such key';

    $admin->make(hosts => {name => 'nobody', base_url => 'http://127.0.0.1:' . Relay::Mock->refused, formats => ['openai-chat'], local => $true});
    $admin->make('provider-keys' => {name => 'n', host => 'nobody', value => $value});
    my $nobody = $test->('n')->json;
    is $nobody->{outcome}, 'unreachable', 'nobody listens';
    is $nobody->{status}, undef, '... no status';
    $admin->make(hosts => {name => 'private', base_url => $mock->url, formats => ['openai-chat']});
    $admin->make('provider-keys' => {name => 'p', host => 'private', value => $value});
    my $count = @{$mock->requests};
    my $private = $test->('p')->json;
    is $private->{outcome}, 'unreachable', 'a private address that is not marked local';
    like $private->{message}, qr/private one, and it is not marked local/, '... says so';
    is scalar @{$mock->requests}, $count, '... and nothing was sent';
    is $admin->sql('SELECT count(*) FROM event WHERE verb LIKE \'test%\''), 0, 'a test changes nothing';
    my ($other) = split /\n/, $admin->sql("SELECT name FROM catalog_host WHERE document #>> '{auth,type}' NOT IN ('header', 'none') AND document ->> 'base_url' NOT LIKE '%{%' ORDER BY name");
    $admin->make('provider-keys' => {name => 'signed', host => $other, value => $value});
    like $test->('signed')->json->{message}, qr/does not take its key in a header/, "another way to authenticate ($other)";
};

subtest 'a value that does not open is shown as such' => sub {
    $admin->sql("UPDATE provider_key SET sealed = (SELECT sealed FROM provider_key WHERE name = 'k') WHERE name = 'empty'");
    my $shown = $admin->get("$keys/empty")->json;
    is $shown->{state}, 'undecryptable', 'moved from another row';
    like $shown->{state_reason}, qr/does not open/, '... why';
    is $admin->post("$keys/empty:test")->json->{outcome}, 'unavailable', 'it is not sent';
    is $admin->patch("$keys/empty", {value => ''}, @any)->json->{state}, 'ready', 'sent again, it is good';
};

$admin->{allow} = [qr/a provider key does not open/];
$admin->done;
