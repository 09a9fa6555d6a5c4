#!/usr/bin/perl

# Hosts that take access tokens: a provider key whose value is a service account
# becomes a token that relayd asks for, publishes, renews, and never shows; the
# account itself stays where it is.

use lib 't/lib';
use Relay::ControlPlane;
use Relay::Endpoint;

use Crypt::AuthEnc::GCM qw(gcm_decrypt_verify);
use Crypt::PK::RSA;
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);
use Relay::Mock;

my $json = JSON::PP->new->utf8->canonical;
my $w = '/api/v1/workspaces/default';
my $generous_s = 60;    # what is awaited comes soon, unless the machine is busy
my $scope = 'https://scope.example.com/everything';
my @wait = 'wait=applied&wait_ms=25000';

sub rsa { my $key = Crypt::PK::RSA->new; $key->generate_key($_[0] / 8, 65537); return $key }
my $rsa = rsa(2048);
my $public = $rsa->export_key_pem('public');

# ---- those that are asked -----------------------------------------------------

# Gives token-1, token-2, … for a good assertion; its state may say otherwise:
# {status, body, lives}.
sub give_token {
    my ($request, $state, $self) = @_;
    my %say = (lives => 3600, %{$state ne '' ? $json->decode($state) : {}});
    return ($say{status}, $json->encode($say{body})) if $say{status};
    my %form = map { my ($name, $value) = split /=/, $_, 2; ($name, $value =~ s/%(..)/chr hex $1/ger) } split /&/, $request->{body};
    my ($head, $claims, $signature) = split /\./, $form{assertion} // '..';
    my $fault = $request->{method} ne 'POST' ? 'method'
        : $request->{path} ne '/token' ? 'path'
        : ($request->{headers}{'content-type'} // '') ne 'application/x-www-form-urlencoded' ? 'content type'
        : $form{grant_type} ne 'urn:ietf:params:oauth:grant-type:jwt-bearer' ? 'grant'
        : !Crypt::PK::RSA->new(\$public)->verify_message(decode_base64url($signature), "$head.$claims", 'SHA256', 'v1.5') ? 'signature'
        : undef;
    return (400, $json->encode({error => 'invalid_request', fault => $fault})) if $fault;
    ($head, $claims) = map { $json->decode(decode_base64url($_)) } $head, $claims;
    $fault = $json->encode($head) ne '{"alg":"RS256","kid":"key-1","typ":"JWT"}' ? 'head'
        : $claims->{iss} ne 'robot@project.example.com' ? 'iss'
        : $claims->{scope} ne $scope ? 'scope'
        : $claims->{aud} !~ m{^https://localhost:\d+/token$} ? 'aud'
        : abs($claims->{iat} - time) > 60 || $claims->{exp} - $claims->{iat} != 3600 ? 'time'
        : undef;
    return (401, $json->encode({error => 'invalid_grant', fault => $fault})) if $fault;
    return (200, $json->encode({access_token => 'token-' . $self->requests, token_type => 'Bearer', expires_in => $say{lives}}));
}

my $endpoint = Relay::Endpoint->new(tls => {names => ['localhost']}, answer => \&give_token);
my $host = Relay::Endpoint->new(answer => sub {
    my ($request) = @_;
    return (404, '{}') if $request->{path} ne '/v1/models';
    return ($request->{headers}{authorization} // '') =~ /^Bearer token-\d+$/ ? (200, '{"data":[]}') : (401, '{}');
});

my $cp = Relay::ControlPlane->new(env => {SSL_CERT_FILE => Relay::Mock->ca_file});
$cp->start;
$cp->setup;

# ---- helpers ------------------------------------------------------------------

sub account {
    my (%o) = @_;
    return {type => 'service_account', project_id => 'project', private_key_id => 'key-1', private_key => $rsa->export_key_pem('private'),
        client_email => 'robot@project.example.com', client_id => '1', token_uri => $endpoint->url . '/token', %o};
}
sub account_text { $json->encode(account(@_)) }

sub keys_published {
    my (undef, $payload) = split /\n/, $cp->redis(GET => 'relay:head'), 2;
    my ($entry) = grep { $_->{name} eq 'workspace/default' } @{$json->decode($payload)->{documents}};
    return $json->decode($cp->redis(GET => "relay:document:$entry->{sha256}"))->{provider_keys};
}

# What a worker gets of a provider key, as it opens it: STORE.md.
sub opened {
    my ($name) = @_;
    my $key = keys_published()->{$name} or return 'not published';
    my (undef, $text) = split /\./, $key->{sealed}, 2;
    my (undef, $ring_key) = split ' ', $cp->{dataplane_key};
    my $bytes = decode_base64url($text);
    my @parts = ('relay-dataplane-1', 'default', $name, $key->{version}, "http://127.0.0.1:$host->{port}");
    my ($nonce, $sealed, $tag) = unpack "a12 a" . (length($bytes) - 28) . " a16", $bytes;
    return gcm_decrypt_verify('AES', decode_base64url($ring_key), $nonce, join('', map { pack('N', length) . $_ } @parts), $sealed, $tag);
}

sub becomes {
    my ($what, $ready) = @_;
    ok eval { Relay::ControlPlane::wait_until($what, $generous_s, $ready) }, $what or diag $@;
}

sub says { $endpoint->state(@_ ? $json->encode({@_}) : '') }
sub add { my ($name, %o) = @_; $cp->post("$w/provider-keys?@wait", {name => $name, host => 'cloud', %o}) }
sub state_of { my $key = $cp->get("$w/provider-keys/$_[0]")->json; return $key->{state} . ': ' . ($key->{state_reason} // '') }
sub test_of { $cp->post("$w/provider-keys/$_[0]:test", undef)->json }

sub make_host {
    my ($name, %o) = @_;
    my $res = $cp->post("$w/hosts", {name => $name, base_url => $host->url . '/v1', formats => ['openai-chat'], local => JSON::PP::true,
        auth => {type => 'oauth-service-account', scope => $scope}, %o});
    is $res->status, 201, "host $name" or diag $res->body;
}

make_host('cloud');

# ---- what is no service account -----------------------------------------------

make_host('plain', auth => {type => 'header'});
make_host('far', base_url => 'https://cloud.example.com/v1', local => JSON::PP::false);
my $ec = Relay::Endpoint::slurp(Relay::Mock->certificate->{key});
for (['no JSON', 'sk-key-of-another-kind', qr/no JSON document/], ['nothing', '', qr/no JSON document/],
    ['another type', account_text(type => 'authorized_user'), qr/type is not "service_account"/],
    ['no address', account_text(client_email => undef), qr/no client_email/], ['no private key', account_text(private_key => undef), qr/no private_key/],
    ['a key that is none', account_text(private_key => "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), qr/no RSA key/],
    ['a key of another kind', account_text(private_key => $ec), qr/no RSA key/], ['a short key', account_text(private_key => rsa(1024)->export_key_pem('private')), qr/2048 bits/],
    ['no endpoint', account_text(token_uri => undef), qr/no token_uri/], ['another scheme', account_text(token_uri => 'ftp://localhost/'), qr/not https/]) {
    my ($what, $value, $why) = @$_;
    my $res = add(bad => value => $value);
    is $res->status, 422, "refused: $what" or diag $res->body;
    is_deeply [$res->pointers], ['/value'], '... with a pointer';
    like $res->body =~ s/\\"/"/gr, $why, '... in plain words';
}
like add(bad => value => account_text(token_uri => $endpoint->url =~ s/https/http/r), host => 'far')->body, qr/not https/, 'without TLS, but for a local host';
like add(bad => value => account_text(), host => 'plain')->body, qr/is a service account, and its host takes a key/, 'a service account is not for a host that takes keys';
is add(bad => value => "two words", host => 'plain')->status, 422, 'nor is anything with spaces';
is $endpoint->requests, 0, 'nobody was asked';

# ---- a token ------------------------------------------------------------------

my $res = add(one => value => account_text());
is $res->json->{state}, 'ready', 'a service account' or diag $res->body;
is opened('one'), 'token-1', 'workers get its token';
is $endpoint->requests, 1, 'which was asked for once';
my $test = test_of('one');
is $test->{outcome}, 'accepted', ':test shows it to the host' or diag $test->{message};
is $endpoint->requests, 1, '... the one that is kept';

my $file = $cp->dir . '/account.json';
sub write_file { open my $fh, '>', $file or die $!; print $fh $_[0]; close $fh }
write_file(JSON::PP->new->utf8->pretty->encode(account()));
is add(two => value_from => "file:$file")->json->{state}, 'ready', 'the same in a file, as it is downloaded';
is opened('two'), 'token-2', 'has a token, too';
is add(three => value => account_text())->json->{state}, 'ready', 'the same account once more';
is opened('three'), 'token-1', 'has the same token';
is add(four => value_from => "file:$file", host => 'plain')->json->{state_reason}, 'its value is a service account, and its host takes a key',
    'a file with an account is not for a host that takes keys';
is opened('four'), 'not published', '... and never reaches a worker';

is $cp->patch("$w/hosts/cloud?@wait", {auth => {type => 'header', scope => undef}}, 'If-Match' => '*')->status, 200, 'the host takes keys now';
is opened('one'), 'not published', 'no worker gets the account';
like state_of('one'), qr/unresolved: its value is a service account/, '... and it is said';
is $cp->patch("$w/hosts/cloud?@wait", {auth => {type => 'oauth-service-account', scope => $scope}}, 'If-Match' => '*')->status, 200, 'as it was';
is opened('one'), 'token-1', 'its token is still there';

# ---- renewed ------------------------------------------------------------------

says(lives => 8);
is add(brief => value => account_text(project_id => 'brief'))->json->{state}, 'ready', 'a token that lives 8 s';
my $first = opened('brief');
my $version = keys_published()->{brief}{version};
becomes('before it ends there is another one', sub { opened('brief') ne $first });
my $second = opened('brief');
is keys_published()->{brief}{version}, $version, 'the value is the same: so is its version';
becomes('and another one', sub { opened('brief') ne $second });

says(status => 503, body => {});
my $last = opened('brief');
becomes('that it cannot be renewed is in the log', sub { grep { ($_->{message} // '') =~ /cannot be renewed; the last one stays in use/ } $cp->log });
becomes('a token that has ended is taken away', sub { opened('brief') eq 'not published' });
like state_of('brief'), qr/^unresolved: the token endpoint has trouble of its own \(status 503\)$/, '... and why is shown';
is opened('one'), 'token-1', 'tokens that live are not concerned';
says(lives => 3600);
becomes('it is back by itself', sub { opened('brief') =~ /^token-/ });
like state_of('brief'), qr/^ready: $/, '... and shown as what it is';

# ---- not given ----------------------------------------------------------------

for ([400, {error => 'invalid_grant', error_description => 'planted-description'}, qr/refused the service account \(status 400, invalid_grant\): is its key/],
    [403, {error => 'planted-description'}, qr/gave no token \(status 403\)/], [200, {access_token => "a b", expires_in => 9}, qr/fits into no header/],
    [200, {token => 'x'}, qr/has no access_token/], [200, {access_token => 'x'}, qr/does not say how long/], [200, {access_token => 'x' x 70000}, qr/too long/]) {
    my ($status, $body, $why) = @$_;
    says(status => $status, body => $body);
    my $name = 'refused-' . $endpoint->requests;
    my $res = add($name => value => account_text(project_id => $name));
    is $res->json->{state}, 'unresolved', 'not given';
    like $res->json->{state_reason}, $why, '... in plain words';
    is opened($name), 'not published', '... nor published';
    my $test = test_of($name);
    is $test->{outcome}, 'unavailable', ':test';
    like $test->{message}, $why, '... says so, too';
    is $cp->delete("$w/provider-keys/$name?@wait", 'If-Match' => '*')->status, 204, 'away';
}
says();
sleep 2.5;
my $before = $endpoint->requests;
sleep 2;
is $endpoint->requests, $before, 'for keys that are gone nobody is asked again';

my $stranger = Relay::Endpoint->new(tls => {names => ['localhost'], self_signed => 1}, answer => sub { (200, '{}') });
like add(stranger => value => account_text(token_uri => $stranger->url))->json->{state_reason}, qr/certificate that cannot be verified/, 'an endpoint that is not believed';
is $stranger->requests, 0, '... is not told anything';
like add(closed => value => account_text(token_uri => 'https://localhost:' . Relay::Mock->refused))->json->{state_reason}, qr/refuses the connection/, 'one that is not there';
$before = $endpoint->requests;
like add(inside => value => account_text(), host => 'far')->json->{state_reason}, qr/private address/, 'a private address, for a host that is not local';
is $endpoint->requests, $before, '... is not asked';

# ---- a start ------------------------------------------------------------------

$cp->stop_relayd;
$endpoint->stop;
my $there = opened('one');
$before = $endpoint->requests;
$cp->start;
is state_of('one'), 'ready: ', 'after a start without the endpoint, tokens are what they were';
sleep 1;
is opened('one'), $there, '... and published';
is test_of('one')->{outcome}, 'accepted', '... and good';
$endpoint->start;
sleep 2;
is $endpoint->requests, $before, 'a token that lives is not asked for again';

$cp->stop_relayd;
$cp->sql('DELETE FROM access_token');
$endpoint->stop;
$cp->start;
becomes('the endpoint is away', sub { grep { ($_->{reason} // '') =~ /token endpoint refuses the connection/ } $cp->log });
sleep 1;
is opened('one'), $there, 'without one in the database, workers keep what they have';
$endpoint->start;
becomes('when it is back, tokens are new', sub { opened('one') =~ /^token-/ && opened('one') ne $there });

$cp->stop_relayd;
$cp->sql(q(UPDATE access_token SET sealed = (SELECT sealed FROM access_token ORDER BY digest LIMIT 1)));
$there = opened('one');
$cp->start;
becomes('tokens that do not open in their place are replaced', sub { $cp->sql('SELECT count(*) > 1 AND count(*) = count(DISTINCT sealed) FROM access_token') eq 't' });
like opened($_), qr/^token-/, "... and published: $_" for qw(one two);

# ---- two relayd ---------------------------------------------------------------

sub revision { $cp->redis(GET => 'relay:head') =~ /"revision":(\d+)/ ? $1 : die 'no head' }
sub second {
    my $socket = $cp->dir . '/second.sock';
    $cp->spawn(second => [Relay::ControlPlane::relayd_binary()], env => {%{$cp->settings}, %{$cp->{env}}, RELAY_LISTEN => "unix:$socket"});
    becomes('a second relayd', sub { -S $socket && Relay::ControlPlane::slurp($cp->dir . '/second.log') =~ /ready|listening/ });
}
says(lives => 12);
is add(shared => value => account_text(project_id => 'shared'))->json->{state}, 'ready', 'a token that lives 12 s';
$before = $endpoint->requests;
second();
sleep 1;
is $endpoint->requests, $before, 'a second relayd uses the first one\'s';
my (%tokens, %revisions);
becomes('it is renewed three times', sub {
    my $revision = revision();
    my $token = opened('shared');
    $tokens{$token} = $revisions{$revision} = 1 if $revision == revision();
    return keys %tokens > 3;
});
is keys %revisions, keys %tokens, 'each token has one revision: whoever asks for it, both publish it';
is $endpoint->requests - $before, keys(%tokens) - 1, '... and was asked for once';
$cp->kill_relayd;
$last = opened('shared');
becomes('the second one goes on when the first is gone', sub { opened('shared') =~ /^token-/ && opened('shared') ne $last });
$cp->start;
is state_of('shared'), 'ready: ', 'the first one is back';
is $cp->end_process(second => 'TERM', 30), 0, 'the second one stops';
$last = opened('shared');
becomes('... and the first renews', sub { opened('shared') =~ /^token-/ && opened('shared') ne $last });
is $cp->delete("$w/provider-keys/shared?@wait", 'If-Match' => '*')->status, 204, 'away';
says();

# ---- a host of the catalog ----------------------------------------------------

$cp->sql(sprintf q(UPDATE catalog_host SET document = document::jsonb || '%s' WHERE name = 'groq'; UPDATE installation SET catalog_version = 'another'),
    $json->encode({base_url => $host->url . '/v1', local => JSON::PP::true, auth => {type => 'oauth-service-account', scope => $scope}}));
is add(listed => value => account_text(), host => 'groq')->json->{state}, 'ready', 'a host of the catalog that takes tokens';
like opened('listed'), qr/^token-/, '... has its scope from there';

# ---- nowhere ------------------------------------------------------------------

my ($body) = $rsa->export_key_pem('private') =~ /\n(.{40})/;
my %dumps = (
    postgres => sub { join '', map { $cp->sql("SELECT t::text FROM $_ t") } qw(provider_key access_token event idempotency) },
    redis => sub { join "\n", map { $cp->redis(GET => $_) } split /\n/, $cp->redis(KEYS => 'relay:document:*') },
    log => sub { $cp->log_text });
for my $where (sort keys %dumps) {
    my $text = $dumps{$where}->();
    ok length $text > 100, "there is something in $where";
    unlike $text, qr/\Q$body\E|PRIVATE KEY|token-\d|planted-description|\beyJ[\w-]{8,}\./, 'neither key nor assertion nor token nor what the endpoint said';
}

$cp->done;
