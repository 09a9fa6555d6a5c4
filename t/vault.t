#!/usr/bin/perl

# vault: references over TLS: whose certificate is believed; a Vault that is away
# when relayd starts, and comes back: until then the last value counts; and what
# is gone from it for good.

use lib 't/lib';
use Relay::ControlPlane;
use Relay::Endpoint;

use JSON::PP ();
use Relay::Mock;

my $json = JSON::PP->new->utf8;
my $w = '/api/v1/workspaces/default';
my $generous_s = 60;
my $reference = 'vault:secret/team/example#key';

sub answer {
    my ($request, $value) = @_;
    return (403, '{}') if ($request->{headers}{'x-vault-token'} // '') ne 'planted-vault-token';
    return (404, '{"errors":[]}') if $value eq 'gone' || "$request->{method} $request->{path}" ne 'GET /v1/secret/data/team/example';
    return (404, 'default backend - 404') if $value eq 'nobody';
    return (503, '{"errors":["Vault is sealed"]}') if $value eq 'sealed';
    return (200, $json->encode({data => {data => {key => $value}, metadata => {version => 1}}}));
}

my $vault = Relay::Endpoint->new(tls => {names => ['localhost']}, answer => \&answer);
$vault->state('planted-vault-value');
my $cp = Relay::ControlPlane->new(settings => {reference_refresh_s => 3600, vault_addr => $vault->url,
    vault_token => 'planted-vault-token', vault_ca_file => Relay::Mock->ca_file});

sub keys_published {
    my (undef, $payload) = split /\n/, $cp->redis(GET => 'relay:head'), 2;
    my ($entry) = grep { $_->{name} eq 'workspace/default' } @{$json->decode($payload)->{documents}};
    return $json->decode($cp->redis(GET => "relay:document:$entry->{sha256}"))->{provider_keys};
}

# What becomes of the reference with other settings or another server.
sub tried {
    my ($what, $want, %settings) = @_;
    my $ok = $cp->stop_relayd;
    local $cp->{settings} = {%{$cp->{settings}}, %settings};
    local $cp->{env} = delete $settings{env} || {};
    delete $cp->{settings}{env};
    $cp->start;
    my $key = $cp->get("$w/provider-keys/from-vault")->json;
    is $key->{state}, $want ? 'stale' : 'ready', $what;
    like $key->{state_reason}, $want, '... in plain words' if $want;
}

# ---- whose certificate --------------------------------------------------------

$cp->start;
$cp->setup;
is $cp->post("$w/hosts", {name => 'own', base_url => 'https://own.example.com/v1', formats => ['openai-chat']})->status, 201, 'a host';
my $res = $cp->post("$w/provider-keys?wait=applied&wait_ms=25000", {name => 'from-vault', host => 'own', value_from => $reference});
is $res->json->{state}, 'ready', 'vault_ca_file names the authority: the reference is read' or diag $res->body;
my $first = keys_published()->{'from-vault'};
ok $first && $first->{sealed}, '... and published';

my $verified = qr/certificate of the Vault server cannot be verified/;
my $elsewhere = Relay::Mock->certificate(names => ['other.example.com'], self_signed => 1)->{cert};
my $stranger = Relay::Endpoint->new(tls => {names => ['localhost'], self_signed => 1}, answer => \&answer);
my $misnamed = Relay::Endpoint->new(tls => {names => ['other.example.com']}, answer => \&answer);
tried('without it, the machine\'s authorities count', $verified, vault_ca_file => undef);
tried('another authority', $verified, vault_ca_file => $elsewhere);
tried('a file that is not there', qr/RELAY_VAULT_CA_FILE cannot be read/, vault_ca_file => $cp->dir . '/absent.pem');
tried('a certificate of its own', $verified, vault_addr => $stranger->url);
tried('a certificate for another name', $verified, vault_addr => "https://localhost:$misnamed->{port}");
tried('SSL_CERT_FILE counts without it', undef, vault_ca_file => undef, env => {SSL_CERT_FILE => Relay::Mock->ca_file});
tried('but not beside it', $verified, vault_ca_file => $elsewhere, env => {SSL_CERT_FILE => Relay::Mock->ca_file});
is $_->requests, 0, 'no token went to a server that is not believed' for $stranger, $misnamed;

# ---- away at the start --------------------------------------------------------

$cp->stop_relayd;
$cp->start;
Relay::ControlPlane::wait_until('as it was', $generous_s, sub { (keys_published()->{'from-vault'} || {})->{sealed} });
my $before = keys_published()->{'from-vault'};
$cp->stop_relayd;
$vault->stop;
my $lines = $cp->log;
$cp->start;
Relay::ControlPlane::wait_until('that it is away is in the log', $generous_s, sub {
    grep { ($_->{message} // '') =~ /^a reference can(?:not| no longer) be read/ } ($cp->log)[$lines .. $cp->log - 1]
});
sleep 1;
is_deeply keys_published()->{'from-vault'}, $before, 'Vault is away: what workers have stays';
is $cp->post("$w/hosts?wait=applied&wait_ms=25000", {name => 'other', base_url => 'https://other.example.com/v1', formats => ['openai-chat']})->status, 201,
    'something else is changed meanwhile';
is_deeply keys_published()->{'from-vault'}, $before, '... and the key stays';
my $key = $cp->get("$w/provider-keys/from-vault")->json;
is $key->{state}, 'stale', 'it is shown as what it is';
like $key->{state_reason}, qr/refuses the connection/, '... with the reason';
sub events { @{$cp->get("$w/events?object=from-vault&verb=$_[0]")->json->{items}} }
Relay::ControlPlane::wait_until('an event', $generous_s, sub { events('stale') });
my ($event) = events('stale');
is_deeply [@$event{qw(actor kind object workspace)}], ['relayd', 'provider_key', $key->{id}, 'default'], 'it is on record';
is $event->{after}{state_reason}, $key->{state_reason}, '... with the reason, too';
my $stale_events = events('stale');
is $cp->post("$w/provider-keys/from-vault:test", undef)->json->{outcome}, 'unreachable', 'its last value can be tested';

# The last value is bound to the reference and to the host.
$cp->stop_relayd;
$cp->sql(q(UPDATE provider_key SET spec = jsonb_set(spec, '{value_from}', '"vault:secret/team/example#other"')));
$cp->start;
is $cp->get("$w/provider-keys/from-vault")->json->{state}, 'unresolved', 'another reference does not get it';
$cp->stop_relayd;
$cp->sql(qq(UPDATE provider_key SET spec = jsonb_set(spec, '{value_from}', '"$reference"')));
$cp->start;
Relay::ControlPlane::wait_until('as it was', $generous_s, sub { keys_published()->{'from-vault'} });

# A new data key seals it, too.
my $sealed = $cp->sql('SELECT last_sealed FROM provider_key');
is $cp->post("$w/encryption:rotate-data-key", undef)->status, 200, 'a new data key';
my $on_record = events('stale');
isnt +($cp->sql('SELECT last_sealed FROM provider_key') =~ /^(\w+)\./)[0], ($sealed =~ /^(\w+)\./)[0], '... seals it';
$cp->stop_relayd;
$cp->start;
is $cp->get("$w/provider-keys/from-vault")->json->{state}, 'stale', '... and opens it';
is_deeply keys_published()->{'from-vault'}, $before, '... as it is published';
Relay::ControlPlane::wait_until('an event after each start', $generous_s, sub { events('stale') > $on_record });

$vault->state('planted-vault-value-next');
$vault->start;
ok eval { Relay::ControlPlane::wait_until('republished', $generous_s, sub {
    (keys_published()->{'from-vault'} || {version => 0})->{version} > $before->{version} }) },
    'it is back: the reference is read and published by itself, long before its time' or diag $@, $cp->log_text;
isnt keys_published()->{'from-vault'}{sealed}, $before->{sealed}, 'the new value';
my $asked = $vault->requests;
sleep 2;
is $vault->requests, $asked, 'once it is read it is not read again before its time';
is $cp->get("$w/provider-keys/from-vault")->json->{state}, 'ready', 'and shown as what it is';
Relay::ControlPlane::wait_until('that it is back is on record', $generous_s, sub { events('read again') == 1 });

# ---- away while relayd runs, and gone -----------------------------------------

$cp->stop_relayd;
$cp->{settings}{reference_refresh_s} = 1;
$cp->start;
for (['sealed', qr/sealed or in maintenance/], ['nobody', qr/nothing at this path/]) {
    my ($says, $why) = @$_;
    $vault->state($says);
    Relay::ControlPlane::wait_until("$says: stale", $generous_s, sub { $cp->get("$w/provider-keys/from-vault")->json->{state} eq 'stale' });
    like $cp->get("$w/provider-keys/from-vault")->json->{state_reason}, $why, "$says: the reason";
    sleep 7;
    ok keys_published()->{'from-vault'}, "$says: the last value is published";
    $vault->state('planted-vault-value-next');
    Relay::ControlPlane::wait_until("$says: it is over", $generous_s, sub { $cp->get("$w/provider-keys/from-vault")->json->{state} eq 'ready' });
}
ok events('stale') > $stale_events, 'outages are on record';
$vault->state('gone');
Relay::ControlPlane::wait_until('taken away', $generous_s, sub { !keys_published()->{'from-vault'} });
$key = $cp->get("$w/provider-keys/from-vault")->json;
is $key->{state}, 'unresolved', 'what Vault has no more is no longer used';
like $key->{state_reason}, qr/nothing at this path/, '... and why is said';
is $cp->sql('SELECT count(last_sealed) FROM provider_key'), 0, '... nor kept';
$cp->stop_relayd;
$vault->stop;
$cp->start;
sleep 2;
ok !keys_published()->{'from-vault'}, '... nor does it come back with a start';
$vault->start;

unlike $cp->log_text . $cp->sql('SELECT t::text FROM event t'), qr/planted-vault/, 'neither value nor token in log or events';

$cp->done;
