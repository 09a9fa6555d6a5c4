#!/usr/bin/perl

# A test of a provider key where it takes more than a header: requests that are
# signed, paths with variables, hosts that list no models, and hosts that are
# somewhere else for one value of a variable.

use lib 't/lib';
use Relay::ControlPlane;
use Relay::Endpoint;

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use JSON::PP ();

my $true = JSON::PP::true;
my $w = '/api/v1/workspaces/default';
my ($id, $secret, $token) = ('AKIDPROBE', 'planted-secret+of/a=long.kind', 'planted-session-token==');

# ---- those that are asked -----------------------------------------------------

# What is wrong with the signature, by the rules of Signature Version 4; '': nothing.
sub wrong {
    my ($request, $secret, $token, $place) = @_;
    my %h = %{$request->{headers}};
    my ($key, $date, $region, $service, $signed, $signature) = ($h{authorization} // '') =~
        m{^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$}
        or return 'authorization';
    return "place: $region/$service" if "$region/$service" ne $place;
    return 'date' if ($h{'x-amz-date'} // '') !~ /^${date}T\d{6}Z$/;
    return 'token' if ($h{'x-amz-security-token'} // '') ne $token || ($token ne '' && $signed !~ /x-amz-security-token/);
    return 'host' if $signed !~ /\bhost\b/;
    my ($path, $query) = split /\?/, $request->{path}, 2;
    my $headers = join '', map { "$_:$h{$_}\n" } split /;/, $signed;
    my $canonical = join "\n", $request->{method}, $path, $query // '', $headers, $signed, sha256_hex('');
    my $text = join "\n", 'AWS4-HMAC-SHA256', $h{'x-amz-date'}, "$date/$region/$service/aws4_request", sha256_hex($canonical);
    my $derived = "AWS4$secret";
    $derived = hmac_sha256($_, $derived) for $date, $region, $service, 'aws4_request';
    return hmac_sha256_hex($text, $derived) eq $signature ? '' : 'signature';
}

my $signing = Relay::Endpoint->new(answer => sub {
    my ($request, $place) = @_;
    my $auth = $request->{headers}{authorization} // '';
    return (200, '{}') if $auth eq 'Bearer planted-key-of-another-kind';
    my $with = $request->{headers}{'x-amz-security-token'} ? $token : '';
    my $fault = wrong($request, $secret, $with, $place);
    return (403, "{\"message\":\"planted-words $fault\"}") if $fault;
    return $request->{path} eq '/async-invoke?maxResults=1' ? (200, '{}') : (404, '{}');
});
my $paths = Relay::Endpoint->new(answer => sub {
    my ($request, $path) = @_;
    return $request->{path} eq $path ? (200, '{}') : (404, '{}');
});

my $cp = Relay::ControlPlane->new;
$cp->start;
$cp->setup;

sub tested {
    my ($what, $key, $outcome, $words) = @_;
    my $res = $cp->post("$w/provider-keys/$key:test", undef);
    is $res->json->{outcome}, $outcome, $what or diag $res->body;
    like $res->json->{message}, $words, '... in words' if $words;
    unlike $res->body, qr/planted/, '... without the key or what the host said';
}

sub key {
    my ($name, $host, $value) = @_;
    my $res = $cp->post("$w/provider-keys", {name => $name, host => $host, value => $value});
    is $res->status, 201, "key $name" or diag $res->body;
}

sub patch_host {
    my ($name, $patch) = @_;
    my $res = $cp->patch("$w/hosts/$name", $patch, 'If-Match' => '*');
    is $res->status, 200, "host $name" or diag $res->body;
}

# ---- signed -------------------------------------------------------------------

$signing->state('eu-test-1/bedrock');
patch_host(bedrock => {base_url => $signing->url, local => $true, variables => {region => 'eu-test-1'}});
key(pair => 'bedrock', "$id:$secret");
key(triple => 'bedrock', "$id:$secret:$token");
key(mistaken => 'bedrock', "$id:planted-another-secret");
key(bearer => 'bedrock', 'planted-key-of-another-kind');
tested('a request is signed', 'pair', 'accepted', qr/took the key/);
tested('... with a session token', 'triple', 'accepted');
tested('... and refused with another secret', 'mistaken', 'refused', qr/refused the key \(status 403\)/);
tested('a key of another kind is sent in its header', 'bearer', 'accepted');
$signing->state('us-test-2/other');
tested('the signature is for the region and service of the host', 'pair', 'refused');
patch_host(bedrock => {auth => {region => 'us-test-2', service => 'other'}});
tested('... as they are said', 'pair', 'accepted');

# ---- variables ----------------------------------------------------------------

$paths->state('/v9/team/models?in=here');
is $cp->post("$w/hosts", {name => 'placed', base_url => $paths->url . '/{version}', formats => ['openai-chat'], local => $true,
    variables => {version => 'v9', team => 'team', place => 'here'}, facts => {test_path => '/{team}/models?in={place}'}})->status, 201, 'a host with variables';
key(placed => 'placed', 'planted-key');
tested('variables are filled in', 'placed', 'accepted');
patch_host(placed => {variables => {place => undef}});
tested('one without a value is said', 'placed', 'unavailable', qr/variables/);
patch_host(placed => {facts => {test_path => undef, models_path => 'https://elsewhere.example/models'}});
$paths->state('/v9/models');
tested('the key goes nowhere else', 'placed', 'accepted');

is $cp->post("$w/hosts", {name => 'moving', base_url => 'http://127.0.0.1:' . $signing->{port} . '/{place}', formats => ['openai-chat'], local => $true,
    base_url_for => {place => {everywhere => $paths->url . '/all'}}, variables => {place => 'everywhere'}})->status, 201, 'a host that is elsewhere for one value';
key(moving => 'moving', 'planted-key');
is $cp->get("$w/provider-keys/moving")->json->{origin}, $paths->url, 'its key is for there';
$paths->state('/all/models');
tested('... and tested there', 'moving', 'accepted');
patch_host(moving => {variables => {place => 'somewhere'}});
is $cp->get("$w/provider-keys/moving")->json->{state}, 'moved', 'for another value it is not sent';

# ---- the catalog's ------------------------------------------------------------

for (['eu-test1', 'https://eu-test1-aiplatform.googleapis.com:443'], ['global', 'https://aiplatform.googleapis.com:443']) {
    my ($location, $origin) = @$_;
    patch_host(vertex => {variables => {location => $location, project => 'p'}});
    my $res = $cp->post("$w/provider-keys?dry_run=true", {name => 'v', host => 'vertex', value_from => 'env:ABSENT'});
    is $res->json->{origin}, $origin, "vertex in $location" or diag $res->body;
}

$cp->done;
