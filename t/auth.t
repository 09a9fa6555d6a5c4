#!/usr/bin/perl

# Relay keys: the three ways to present one, which wins, and that a refused key
# gets one fixed answer that tells nothing. Credentials and cookies of the
# caller never reach a provider.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;
use Relay::Http2;

use Digest::SHA qw(sha256_hex);

my $mock = provider();
my $custom = provider();

my $real = base62_key('abcdEFGH', 'ThirtyTwoCharactersOfSecretTextX');
my $stored = base62_key('storedAs', 'OnlyItsSha256IsInTheDocument0000');
my $ended = base62_key('endedKey', 'ExpiredOneSecondAfterTheEpoch000');
my $off = base62_key('disabled', 'SomebodyTurnedThisOneOff00000000');
my $later = base62_key('laterKey', 'ExpiresInAnotherCentury000000000');

my $config = relay_config(a => $mock);
$config->{relay_keys} = {
    plain => {policy => 'default', key => RELAY_KEY},
    real => {policy => 'default', key => $real},
    stored => {policy => 'default', sha256 => sha256_hex($stored)},
    upper => {policy => 'default', sha256 => uc sha256_hex('upper-case-hex-of-this-key')},
    ended => {policy => 'default', key => $ended, expires_at => '1970-01-01T00:00:01Z'},
    later => {policy => 'default', key => $later, expires_at => '2126-01-01T00:00:00+02:00'},
    off => {policy => 'default', key => $off, disabled => \1},
};
$config->{hosts}{x} = {
    base_url => $custom->url . '/v1', local => \1, formats => ['openai-chat', 'anthropic-messages'],
    auth => {header => 'X-Vendor-Token', prefix => 'Token '}};
$config->{provider_keys}{kx} = {host => 'x', value => secret('x')};
push @{$config->{pools}{p}{members}}, 'kx';
$config->{models}{custom} = {offers => [{host => 'x'}]};

my $t = Relay::Test->new(http2 => 1);
$t->relay($config)->start;

my %body = map { $_->{path} => $_->{body} } endpoints();

# One request with exactly these headers.
sub with {
    my ($headers, $path, %o) = @_;
    $path ||= '/v1/chat/completions';
    my $method = $body{$path} ? 'POST' : 'GET';
    return $t->ask($method => $path, key => undef, headers => $headers, body => $body{$path}, %o);
}

# ---- good keys --------------------------------------------------------------

my %style = (
    bearer => sub { [Authorization => "Bearer $_[0]"] },
    'x-api-key' => sub { ['X-Api-Key' => $_[0]] },
    'x-relay-key' => sub { ['X-Relay-Key' => $_[0]] },
);

for my $name (sort keys %style) {
    for my $e (endpoints()) {
        answered(with($style{$name}->(RELAY_KEY), $e->{path}), $e, "$name on $e->{path}");
    }
    is with($style{$name}->(RELAY_KEY), $_)->status, 200, "$name on $_"
        for '/v1/models', '/anthropic/v1/models', '/v1/models/m';
    is with($style{$name}->(RELAY_KEY), $_, http2 => 1)->status, 200, "$name on $_ over HTTP/2"
        for '/v1/messages', '/v1/models';
}

my %good = (
    'a key of the real shape' => $real, 'one that is stored as its SHA-256' => $stored,
    'a SHA-256 in upper case' => 'upper-case-hex-of-this-key', 'one that expires later' => $later,
    'sk- in front' => "sk-$real", 'sk- in front of a stored one' => "sk-$stored",
);
for my $name (sort keys %good) {
    is with($style{$_}->($good{$name}))->status, 200, "$name, as $_" for sort keys %style;
}
is with([Authorization => $_ . RELAY_KEY])->status, 200, "the scheme as '$_'" for 'bearer ', 'BEARER ', 'Bearer  ';

subtest 'which key wins' => sub {
    my ($ok, $bad) = (RELAY_KEY, 'wrong-relay-key-000000001');
    my @cases = (
        [200, 'x-relay-key before both', 'x-relay-key' => $ok, Authorization => "Bearer $bad", 'x-api-key' => $bad],
        [   401, 'x-relay-key before both, also if it is wrong', 'x-relay-key' => $bad, Authorization => "Bearer $ok",
            'x-api-key' => $ok],
        [200, 'bearer before x-api-key', 'x-api-key' => $bad, Authorization => "Bearer $ok"],
        [401, 'bearer before x-api-key, also if it is wrong', 'x-api-key' => $ok, Authorization => "Bearer $bad"],
        [   200, 'an Authorization of another scheme does not count', 'x-api-key' => $ok,
            Authorization => 'Basic dXNlcjpwYXNz'],
        [401, 'x-relay-key before both, also if it is empty', 'x-relay-key' => '', Authorization => "Bearer $ok"],
        [401, 'a key in the query does not count', undef],
    );
    for my $case (@cases) {
        my ($status, $name, @headers) = @$case;
        my $res =
            defined $headers[0]
            ? with(\@headers)
            : $t->post("/v1/chat/completions?key=$stored&api_key=$stored", $body{'/v1/messages'}, key => undef);
        is $res->status, $status, $name;
    }
};

# ---- bad keys ---------------------------------------------------------------

my %bad = (
    'an unknown key' => 'unknown-relay-key-00000001',
    'an unknown key of the real shape' => base62_key('unknownn', 'NobodyEverMintedThisKey000000000'),
    'a wrong checksum' => base62_key('abcdEFGH', 'ThirtyTwoCharactersOfSecretTextX', checksum => 0),
    'one character less' => substr($real, 0, -1), 'one character more' => "${real}0",
    'one character changed' => substr($real, 0, 20) . (substr($real, 20, 1) eq 'x' ? 'y' : 'x') . substr($real, 21),
    'other case' => lc RELAY_KEY ne RELAY_KEY ? lc RELAY_KEY : uc RELAY_KEY,
    'sk- twice' => "sk-sk-$real", 'sk- in front of a plain key' => 'sk-' . RELAY_KEY,
    'an expired key' => $ended, 'a disabled key' => $off, 'sk- in front of an expired key' => "sk-$ended",
    'the SHA-256 of a key' => sha256_hex($stored), 'a name of the configuration' => 'plain',
    'a provider key' => secret('a'), 'a short one' => 'x', 'rly_ alone' => 'rly_', 'sk- alone' => 'sk-',
    '8 KB' => 'k' x 8192, 'not ASCII' => "kl\xc3\xbcssel-0000000000000001", 'not UTF-8' => "\xff\xfe" x 20,
    'a tab inside' => substr(RELAY_KEY, 0, 9) . "\t" . substr(RELAY_KEY, 10),
    'a space inside' => RELAY_KEY . ' ' . RELAY_KEY,
    'escaped line ends' => RELAY_KEY . '%0d%0aX-Evil: 1', 'two keys' => RELAY_KEY . ',' . RELAY_KEY,
    'markup' => '"><script>alert(1)</script>', 'a quotation mark' => '"' . RELAY_KEY . '"',
);

# The whole answer but for what differs between any two.
sub essence {
    my ($res) = @_;
    my ($id) = $res->header('x-relay-request-id');
    my $text = join '', "$res->{status_line}\n",
        (map { "$_->[0]: $_->[1]\n" } grep { lc $_->[0] ne 'date' } @{$res->headers}), $res->body;
    $text =~ s/\Q$id\E/ID/g if defined $id;
    return $text;
}

my %dialect_of = (
    '/v1/chat/completions' => 'openai', '/v1/models' => 'openai', '/v1/files' => 'openai',
    '/v1/messages' => 'anthropic', '/anthropic/v1/models' => 'anthropic', '/v1/messages/count_tokens' => 'anthropic');
my %reference;
untouched(
    $mock,
    'no refused request reached the provider',
    sub {
        for my $path (sort keys %dialect_of) {
            my $dialect = $dialect_of{$path};
            my $none = with([], $path);
            refused($none, $dialect => 401, 'invalid_relay_key', "$path: no key", message => qr/^Invalid relay key\.$/);
            $reference{$dialect} ||= essence($none);
            for my $name (sort keys %bad) {
                my $how = (sort keys %style)[length($name) % 3];
                my $res = with($style{$how}->($bad{$name}), $path);
                is essence($res), $reference{$dialect}, "$path: $name as $how, the same answer";
            }
            is essence(with([Authorization => $_], $path)), $reference{$dialect},
                "$path: Authorization '$_', the same answer"
                for '', 'Bearer', 'Bearer ', 'Basic ' . RELAY_KEY, RELAY_KEY, 'Bearer' . RELAY_KEY;
            my $http2 = Relay::Http2->ask(
                $t->{http2_port}, $body{$path} ? 'POST' : 'GET', $path,
                headers => ['x-api-key' => $bad{'an unknown key'}],
                $body{$path} ? (body => 'x' x 1_000_000, hold => 0.05) : ());
            refused($http2, $dialect => 401, 'invalid_relay_key', "$path: over HTTP/2");
            is $http2->{sent}, 0, "$path: over HTTP/2, before the body comes";
        }
    });

subtest 'a refused key costs nothing' => sub {
    for my $path ('/v1/chat/completions', '/v1/messages') {
        my $c = $t->client;
        $c->send(
            "POST $path HTTP/1.1\r\nHost: a\r\nx-relay-key: $bad{'an unknown key'}\r\nContent-Type: application/json\r\n"
                . "Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n");
        my $text = $c->read_until(qr/Invalid relay key/, 2);
        like $text, qr{\AHTTP/1\.1 401 }, "$path: answered before the body, which is not asked for";
    }
};

subtest 'no log tells it' => sub {
    my $text = $t->error_log . slurp($t->dir . '/access.log');
    for my $name (sort keys %bad) {
        next if length $bad{$name} < 20;
        ok index($text, $bad{$name}) < 0, "no log holds $name";
    }
    my ($entry) = grep { $_->{status} == 401 } $t->logs;
    is_deeply [@$entry{qw(error key_id policy model host)}], ['invalid_relay_key', '', '', '', ''],
        'the access log says only that';
};

# ---- nothing of it goes on --------------------------------------------------

subtest 'credentials and cookies stay here' => sub {
    my @secret = (
        Cookie => 'session=caller-cookie-1', Cookie => 'other=caller-cookie-2',
        'Proxy-Authorization' => 'Basic caller-proxy', 'X-Goog-Api-Key' => 'caller-goog', 'Api-Key' => 'caller-azure',
        'x-vendor-token' => 'Token caller-vendor');
    for my $how (sort keys %style) {
        my @all = (@secret, Authorization => 'Bearer caller-bearer-0000000000001',
            'X-Api-Key' => 'caller-api-key-00000000000001');
        my @sent =
              $how eq 'x-relay-key' ? (@all, 'X-Relay-Key' => RELAY_KEY)
            : $how eq 'bearer'
            ? (@secret, Authorization => 'Bearer ' . RELAY_KEY, 'X-Api-Key' => 'caller-api-key-00000000000001')
            : (@secret, 'X-Api-Key' => RELAY_KEY);
        for my $case ([$mock, 'm', 'Authorization', 'Bearer ' . secret('a')],
            [$custom, 'custom', 'x-vendor-token', 'Token ' . secret('x')])
        {
            my ($to, $model, $header, $value) = @$case;
            for my $path ('/v1/chat/completions', '/v1/messages') {
                for my $protocol (0, 1) {
                    $to->forget;
                    $t->ask(POST => $path, key => undef, headers => \@sent, body => {%{$body{$path}}, model => $model},
                        http2 => $protocol);
                    my $req = $to->request(0);
                    my $name = "$how, $path to $model" . ($protocol ? ' over HTTP/2' : '');
                    ok $req, "$name: arrived" or next;
                    my $head = $req->{raw_head};
                    unlike $head, qr/caller-(?!vendor)/, "$name: nothing of the caller's";
                    ok index($head, RELAY_KEY) < 0, "$name: not the relay key";
                    is_deeply [$req->header($header)], [$value], "$name: the provider's key, once";
                    is scalar(() = $head =~ /secret-/g), 1, "$name: and in no other header";
                    unlike $head, qr/^(cookie|proxy-authorization|x-relay-|x-goog-api-key|api-key):/mi,
                        "$name: no such header";
                    unlike $head, qr/caller-vendor/, "$name: where a provider takes its key, the caller has no say"
                        if $to == $custom;
                }
            }
        }
    }
    $mock->forget;
    # not Authorization: nginx refuses a second one, and says so in its log at the level "info"
    is with(
        [Authorization => 'Bearer ' . RELAY_KEY, map { ('x-api-key' => RELAY_KEY, 'X-Relay-KEY' => RELAY_KEY) } 1, 2])
        ->status,
        200, 'headers that are repeated';
    is scalar(grep { index($_->{raw_head}, RELAY_KEY) >= 0 } $mock->requests(1)), 0, 'do not pass either';
};

subtest 'keys differ in what they may do' => sub {
    my %more = %$config;
    $more{relay_keys} = {%{$config->{relay_keys}},
        narrow => {policy => 'default', key => 'narrow-relay-key-00000001', models => ['cust*']}};
    my $n = Relay::Test->new;
    $n->relay(\%more)->start;
    my %o = (key => 'narrow-relay-key-00000001');
    is $n->post('/v1/chat/completions', {%{$body{'/v1/chat/completions'}}, model => 'custom'}, %o)->status, 200,
        'its own model';
    untouched(
        $mock,
        'the other provider sees nothing',
        sub {
            refused($n->post('/v1/chat/completions', $body{'/v1/chat/completions'}, %o), openai => 403,
                'model_not_allowed', 'another model', param => 'model');
            refused($n->post('/v1/messages', $body{'/v1/messages'}, %o), anthropic => 403, 'model_not_allowed',
                'another model', param => 'model');
        });
    $n->finish;
};

$t->done;
