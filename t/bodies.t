#!/usr/bin/perl

# Request bodies: any size up to the limit, in every framing and encoding, whole
# or cut, slow or at once. Beyond the limit 413, too slow 408, always in the
# caller's dialect and without a provider seeing any of it.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

use Relay::Http2;

use IO::Compress::Deflate qw(deflate);

my $mock = provider();
my $config = relay_config({policy => {passthrough => \1}}, a => {mock => $mock, passthrough => \1});
my $t = Relay::Test->new(
    http2 => 1, http => 'relay_max_body_size 1m;', location => 'client_body_timeout 400ms;',
    server => 'location /tiny/ { relay_pass; relay_max_body_size 100; }');
$t->relay($config)->start;
my $whole = Relay::Test->new(http2 => 1);
$whole->relay($config)->start;

my $limit = 1024 * 1024;
my $default_limit = 32 * 1024 * 1024;
my %dialect = ('/v1/chat/completions' => 'openai', '/v1/messages' => 'anthropic');
my @paths = sort keys %dialect;

# A request of exactly so many bytes.
sub sized {
    my ($size, $model) = @_;
    my ($head, $tail) = ('{"messages":[],"pad":"', '","model":"' . ($model || 'm') . '"}');
    return $head . 'x' x ($size - length($head) - length $tail) . $tail;
}

sub spliced { $_[0] =~ s/"m"\}\z/"up-a"}/r }

# Byte for byte, without showing megabytes.
sub arrived_whole {
    my ($sent, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $req = $mock->requests(1)->[0];
    my $got = $req ? $req->body : '(no request)';
    ok($got eq spliced($sent), $name)
        or diag length($got) . ' bytes: ' . substr($got, 0, 100) . ' ... ' . substr $got, -60;
}

my %framing = (
    'with a length' => sub { my ($t, $path, $body, @h) = @_; $t->post($path, $body, headers => \@h) },
    'chunked' =>
        sub { my ($t, $path, $body, @h) = @_; $t->post($path, $body, headers => \@h, chunked => [1, 10, 4096]) },
    'one chunk' => sub { my ($t, $path, $body, @h) = @_; $t->post($path, $body, headers => \@h, chunked => 1) },
    'HTTP/2' => sub { my ($t, $path, $body, @h) = @_; $t->post($path, $body, headers => \@h, http2 => 1) },
    'HTTP/2 without a length' => sub {
        my ($t, $path, $body, @h) = @_;
        Relay::Http2->ask($t->{http2_port}, POST => $path, headers => ['x-relay-key' => RELAY_KEY, @h], body => $body,
            length => 0);
    },
);

# ---- sizes ------------------------------------------------------------------

for my $how (sort keys %framing) {
    for my $size (36, 1000, 4095, 4096, 16383, 16384, 16385, 65535, 65536, 65537, 300_000, $limit - 1, $limit) {
        $mock->forget;
        my $sent = sized($size);
        my $res = $framing{$how}->($t, '/v1/chat/completions', $sent);
        is $res->status, 200, "$size bytes, $how" or diag substr $res->body, 0, 200;
        arrived_whole($sent, "$size bytes, $how: arrives whole");
    }
}

subtest 'the smallest' => sub {
    untouched(
        $mock,
        'nothing reaches the provider',
        sub {
            for my $path (@paths) {
                for my $how (sort keys %framing) {
                    refused($framing{$how}->($t, $path, '1'), $dialect{$path} => 400, 'invalid_json', "1 byte, $how",
                        message => qr/object/);
                    refused($framing{$how}->($t, $path, '{}'), $dialect{$path} => 400, 'missing_field',
                        "2 bytes, $how", param => 'model');
                }
                refused($framing{$_}->($t, $path, ''), $dialect{$path} => 400, 'invalid_json', "no byte, $_",
                    message => qr/byte 0/)
                    for 'with a length', 'chunked', 'HTTP/2';
                my $res = $t->client->request(POST => $path, headers => auth())->response;
                refused($res, $dialect{$path} => 400, 'invalid_json', 'no body at all', message => qr/byte 0/);
            }
        });
};

subtest 'the default limit of 32 MB' => sub {
    for my $how ('with a length', 'chunked', 'HTTP/2 without a length') {
        $mock->forget;
        my $sent = sized($default_limit);
        my $res = $framing{$how}->($whole, '/v1/chat/completions', $sent);
        is $res->status, 200, "32 MB, $how" or diag substr $res->body, 0, 200;
        arrived_whole($sent, "32 MB, $how: arrives whole");
    }
    $mock->forget;
};

# ---- 413 --------------------------------------------------------------------

subtest 'too large' => sub {
    untouched(
        $mock,
        'nothing reaches the provider',
        sub {
            for my $path (@paths) {
                for my $how (sort keys %framing) {
                    next if $how eq 'HTTP/2';    # curl misses answers that come before the body was sent
                    refused($framing{$how}->($t, $path, sized($_)), $dialect{$path} => 413, 'body_too_large',
                        "$path: $_ bytes, $how")
                        for $limit + 1, 3 * $limit;
                }
                my $early = Relay::Http2->ask($t->{http2_port}, POST => $path, headers => ['x-relay-key' => RELAY_KEY],
                    body => sized(3 * $limit), hold => 0.2);
                refused($early, $dialect{$path} => 413, 'body_too_large', "$path: HTTP/2, a length that is too large");
                is $early->{sent}, 0, "$path: HTTP/2, is refused before the body comes";
                refused($whole->post($path, sized($default_limit + 1)), $dialect{$path} => 413, 'body_too_large',
                    "$path: 32 MB and one byte");
                refused($whole->post($path, sized(40_000_000), chunked => [100_000]), $dialect{$path} => 413,
                    'body_too_large', "$path: 40 MB, chunked");
                refused($t->post("/tiny$path", sized(101)), $dialect{$path} => 413, 'body_too_large',
                    "$path: the limit of a location");

                my $c = $t->client;
                $c->send(
                    "POST $path HTTP/1.1\r\nHost: a\r\nx-relay-key: ${\RELAY_KEY}\r\nContent-Type: application/json\r\n"
                        . "Content-Length: ${\($limit + 1)}\r\nExpect: 100-continue\r\n\r\n");
                push @{$c->{pending}}, 'POST';
                my $text = $c->read_until(qr/\r\n\r\n.*\}/s, 2);
                like $text, qr{\AHTTP/1\.1 413 },
                    "$path: a length that is too large is refused before the body is asked for";
                $c = $t->client;
                $c->send(
                    "POST $path HTTP/1.1\r\nHost: a\r\nx-relay-key: ${\RELAY_KEY}\r\nContent-Type: application/json\r\n"
                        . "Content-Length: 99999999999999999999\r\n\r\n");
                like $c->read_until(qr/\r\n\r\n/, 2), qr{\AHTTP/1\.1 4(00|13) }, "$path: so is one that is no number";
            }
            refused(
                $t->post('/v1/files', 'x' x ($limit + 1), headers => ['Content-Type' => 'audio/mpeg']), openai => 413,
                'body_too_large',
                'for a path that Relay does not know');
        });
    is $t->post("/tiny/v1/chat/completions", sized(100))->status, 200, 'the limit of the location itself';
    $mock->forget;
};

# ---- encodings --------------------------------------------------------------

sub gzip { Relay::Mock::gzip($_[0]) }
sub zlib { my ($bytes) = @_; deflate(\$bytes, \my $out) or die 'deflate'; return $out }

# Frames of raw and run-length blocks (RFC 8878); the window is 2 MB.
sub zstd {
    my ($bytes, %o) = @_;
    my $out = "\x28\xb5\x2f\xfd\x00" . chr(defined $o{window} ? $o{window} : 0x58);
    my @blocks = $o{repeat} ? () : unpack '(a65536)*', $bytes;
    @blocks = ('') unless @blocks || $o{repeat};
    my $block = sub { my ($last, $type, $size) = @_; substr pack('V', $last | $type << 1 | $size << 3), 0, 3 };
    $out .= $block->(0, 1, 131_072) . 'x' for 1 .. $o{repeat} || 0;
    $out .= $block->(1, 0, 0) if $o{repeat};
    $out .= $block->($_ == $#blocks, 0, length $blocks[$_]) . $blocks[$_] for 0 .. $#blocks;
    return $out;
}

my %packed = (gzip => \&gzip, deflate => \&zlib, zstd => \&zstd);

for my $coding (sort keys %packed) {
    for my $size (36, 20_000, 300_000, $limit) {
        for my $how ('with a length', 'chunked', 'HTTP/2') {
            next if $how ne 'with a length' && $size != 300_000;
            my $sent = sized($size);
            my $bytes = $packed{$coding}->($sent);
            next if length $bytes > $limit;
            $mock->forget;
            my $res = $framing{$how}->($t, '/v1/chat/completions', $bytes, 'Content-Encoding' => $coding);
            is $res->status, 200, "R26 $coding, $size bytes, $how" or diag substr $res->body, 0, 200;
            arrived_whole($sent, "R26 $coding, $size bytes, $how: arrives inflated");
            my $req = $mock->request(0) or next;
            is_deeply [$req->header('content-encoding'), $req->header('content-length')], [length spliced($sent)],
                "R26 $coding, $size bytes, $how: and says so";
        }
    }
}
for my $name ('GZIP', 'identity', 'Zstd') {
    my $pack = $packed{lc $name} || sub { $_[0] };
    is $t->post('/v1/messages', $pack->(sized(99)), headers => ['Content-Encoding' => $name])->status, 200,
        "R26 Content-Encoding: $name";
}

subtest 'R26 bombs' => sub {
    my $before = worker_memory_kb($whole, 'VmHWM');
    my $small = worker_memory_kb($t, 'VmHWM');
    my $zeros = '{"model":"m","pad":"' . ' ' x 80_000_000 . '"}';
    my %bomb = map { $_ => $packed{$_}->($zeros) } qw(gzip deflate);
    $bomb{zstd} = zstd('', repeat => 1000);
    untouched(
        $mock,
        'R26 nothing reaches the provider',
        sub {
            for my $coding (sort keys %bomb) {
                cmp_ok length $bomb{$coding}, '<', 200_000, "a bomb of $coding: " . length($bomb{$coding}) . ' bytes';
                for my $path (@paths) {
                    refused(
                        $t->post($path, $bomb{$coding}, headers => ['Content-Encoding' => $coding]),
                        $dialect{$path} => 413, 'body_too_large',
                        "R26 $path: $coding");
                    refused(
                        $whole->post(
                            $path, $bomb{$coding}, headers => ['Content-Encoding' => $coding], chunked => [1, 100]),
                        $dialect{$path} => 413,
                        'body_too_large',
                        "R26 $path: $coding, chunked, default limit");
                }
                my $one_more = $packed{$coding}->(sized($limit + 1));
                refused(
                    $t->post('/v1/chat/completions', $one_more, headers => ['Content-Encoding' => $coding]),
                    openai => 413, 'body_too_large',
                    "R26 $coding: one byte too many");
            }
        });
    # whatever the bomb, the worker holds no more than the limit allows (under a
    # sanitizer also what it has freed before, up to the quarantine's 256 MB)
    my $kept = ($ENV{RELAY_MODULE} || '') eq 'static' ? 300_000 : 0;
    cmp_ok worker_memory_kb($t, 'VmHWM') - $small, '<', 12_000 + $kept, 'R26 memory, limit 1 MB';
    cmp_ok worker_memory_kb($whole, 'VmHWM') - $before, '<', 130_000 + $kept, 'R26 memory, limit 32 MB';
};

subtest 'R26 broken ones' => sub {
    my $body = sized(2000);
    my $gz = gzip($body);
    my %broken = (
        'gzip, cut in its header' => [gzip => substr $gz, 0, 5],
        'gzip, cut' => [gzip => substr $gz, 0, length($gz) / 2],
        'gzip, cut in its checksum' => [gzip => substr $gz, 0, -3],
        'gzip, wrong checksum' => [gzip => substr($gz, 0, -8) . "\0" x 8],
        'gzip, garbage' => [gzip => 'this is no gzip at all'], 'gzip, not packed' => [gzip => $body],
        'gzip with more behind it' => [gzip => "${gz}more"],
        'gzip with a byte changed' => [gzip => substr($gz, 0, 15) . "\xff\xff\xff" . substr $gz, 18],
        'deflate, cut' => [deflate => substr zlib($body), 0, 12], 'deflate, garbage' => [deflate => "\x78\x9c garbage"],
        'zstd, cut' => [zstd => substr zstd($body), 0, 500], 'zstd, garbage' => [zstd => 'no zstd'],
        'zstd, cut in its header' => [zstd => substr zstd($body), 0, 5],
        'zstd, a window of 8 GB' => [zstd => zstd($body, window => 0xb8)],
        'zstd with more behind it' => [zstd => zstd($body) . 'more'],
        'an unknown encoding' => ['x-unknown' => $body], 'brotli' => [br => $body],
        'gzip twice' => ['gzip, gzip' => gzip($gz)],
    );
    untouched(
        $mock,
        'R26 nothing reaches the provider',
        sub {
            for my $name (sort keys %broken) {
                my ($coding, $bytes) = @{$broken{$name}};
                for my $path (@paths) {
                    refused(
                        $t->post($path, $bytes, headers => ['Content-Encoding' => $coding]), $dialect{$path} => 415,
                        'content_encoding', "R26 $path: $name",
                        message => qr/encoding/);
                }
            }
            refused(
                $t->post('/v1/messages', gzip('{"model":'), headers => ['Content-Encoding' => 'gzip']),
                anthropic => 400, 'invalid_json',
                'R26 what is inside is judged like any other', message => qr/byte 9/);
        });
};

subtest 'R26 a path that Relay does not know' => sub {
    my $gz = gzip('anything');
    $mock->forget;
    is $t->post('/v1/files', $gz, headers => ['Content-Encoding' => 'gzip', 'Content-Type' => 'text/plain'])->status,
        200, 'passes';
    is $mock->request(0)->body, $gz, 'as it is';
    is $mock->request(0)->header('content-encoding'), 'gzip', 'and says so';
};

# ---- slow, cut, malformed ---------------------------------------------------

# The head of a request and the part of its body that comes.
sub begun {
    my ($path, $framing, $body, @headers) = @_;
    my $c = $t->client;
    $c->send( "POST $path HTTP/1.1\r\nHost: a\r\nx-relay-key: ${\RELAY_KEY}\r\nContent-Type: application/json\r\n"
            . join('', map { "$_\r\n" } @headers)
            . "$framing\r\n\r\n$body");
    push @{$c->{pending}}, 'POST';
    return $c;
}

subtest 'slow-loris' => sub {
    untouched(
        $mock,
        'nothing reaches the provider',
        sub {
            for my $path (@paths) {
                my %stalled = (
                    'no byte' => ['Content-Length: 100', ''], 'half' => ['Content-Length: 100', '{"model":"m"'],
                    'chunked' => ['Transfer-Encoding: chunked', "c\r\n{\"model\":\"m\"\r\n"],
                    'chunked, no byte' => ['Transfer-Encoding: chunked', '']);
                my @names = sort keys %stalled;
                my @clients = map { begun($path, @{$stalled{$_}}) } @names;
                my @res = Relay::Client->gather(@clients, 5);
                for my $i (0 .. $#names) {
                    refused($res[$i], $dialect{$path} => 408, 'body_timeout', "$path: $names[$i]");
                    ok $res[$i]->elapsed > 0.3 && $res[$i]->elapsed < 1.5,
                        "$path: $names[$i], after client_body_timeout"
                        or diag $res[$i]->elapsed;
                    ok defined $clients[$i]->wait_close(3), "$path: $names[$i], and the connection is closed";
                }
                my $http2 = Relay::Http2->ask(
                    $t->{http2_port}, POST => $path, headers => ['x-relay-key' => RELAY_KEY], body => '{"model":"m"',
                    length => 0, unfinished => 1, timeout => 3);
                refused($http2, $dialect{$path} => 408, 'body_timeout', "$path: HTTP/2");
            }
        });
    my $c = begun('/v1/chat/completions', 'Content-Length: 2000', '');
    $mock->forget;
    $c->send_slowly(sized(2000), 400, 100);
    is $c->response->status, 200, 'slow but steady is served';
};

subtest 'the caller leaves in the middle' => sub {
    untouched(
        $mock,
        'nothing reaches the provider',
        sub {
            for my $end (qw(close abort half_close)) {
                begun('/v1/chat/completions', 'Content-Length: 100', '{"model":"m"')->$end;
                begun('/v1/messages', 'Transfer-Encoding: chunked', "c\r\n{\"model\":\"m\"\r\n")->$end;
                begun('/v1/messages', 'Transfer-Encoding: chunked', "3\r\n{}\n\r\n")->$end;
            }
        });
    is $t->get('/v1/models')->status, 200, 'and the next one is served';
};

subtest 'malformed framing' => sub {
    my %chunks = (
        'no number' => "zz\r\n{}\r\n0\r\n\r\n", 'negative' => "-2\r\n{}\r\n0\r\n\r\n",
        'too long a number' => 'f' x 17 . "\r\n{}\r\n0\r\n\r\n",
        'no line end behind the data' => "2\r\n{}0\r\n\r\n", 'empty size' => "\r\n{}\r\n0\r\n\r\n");
    untouched(
        $mock,
        'nothing reaches the provider',
        sub {
            for my $path (@paths) {
                for my $name (sort keys %chunks) {
                    my $c = begun($path, 'Transfer-Encoding: chunked', $chunks{$name});
                    refused($c->response, $dialect{$path} => 400, 'invalid_request', "$path: chunk size, $name",
                        message => qr/chunked/);
                    ok defined $c->wait_close(3), "$path: chunk size, $name: the connection is closed";
                }
            }
        });
};

# ---- 100-continue, pipelines ------------------------------------------------

subtest 'Expect: 100-continue' => sub {
    my $body = sized(5000);
    $mock->forget;
    my $c = begun('/v1/chat/completions', 'Content-Length: 5000', '', 'Expect: 100-continue');
    is $c->read_until(qr/\r\n\r\n/, 2), "HTTP/1.1 100 Continue\r\n\r\n", 'the body is asked for';
    $c->send($body);
    is $c->response->status, 200, 'and then served';
    arrived_whole($body, 'whole');
    is $mock->request(0)->header('expect'), undef, 'the provider is not asked';
};

subtest 'pipelines' => sub {
    my $chat = endpoint('chat');
    my $c = $t->client;
    my $ask = sub {
        $c->build_request(POST => $_[0], headers => [@{auth()}, @{$_[3] || []}], body => $_[1],
            $_[2] ? (chunked => $_[2]) : ());
    };
    my $good = $ask->($chat->{path}, $chat->{body});
    my $bad_key = $c->build_request(POST => $chat->{path}, headers => auth('bearer', 'wrong-key-0000000000001'),
        body => sized(3000));
    my @lines = (
        ['two', [$good, 200], [$good, 200]],
        [   'chunked and with a length', [$ask->($chat->{path}, $chat->{body}, [1, 2]), 200], [$good, 200],
            [$ask->($chat->{path}, $chat->{body}, 1), 200]],
        ['behind a refused key', [$bad_key, 401], [$good, 200], [$bad_key, 401], [$good, 200]],
        ['behind bad JSON', [$ask->($chat->{path}, '{"model":'), 400], [$good, 200]],
        ['behind an unknown model', [$ask->($chat->{path}, {model => 'none', pad => 'x' x 3000}), 404], [$good, 200]],
        [   'behind a wrong method',
            [$c->build_request(PUT => $chat->{path}, headers => auth(), body => sized(3000)), 405], [$good, 200]],
        [   'behind a wrong type',
            [
                $c->build_request(
                    POST => $chat->{path}, headers => [@{auth()}, 'Content-Type' => 'text/plain'], body => sized(3000)),
                415],
            [$good, 200]],
        [   'behind a body with a GET',
            [$c->build_request(GET => '/v1/models', headers => auth(), body => sized(3000)), 200], [$good, 200]],
        ['behind OPTIONS with a body', [$c->build_request(OPTIONS => '/', body => sized(3000)), 204], [$good, 200]],
        [   'behind a chunked body that is refused',
            [$ask->($chat->{path}, sized(3000), [7, 100], ['Content-Encoding' => 'br']), 415], [$good, 200]],
        [   'a request inside a refused body',
            [$c->build_request(POST => $chat->{path}, headers => [], body => $good), 401], [$good, 200]],
    );
    for my $line (@lines) {
        my ($name, @requests) = @$line;
        my $pipe = $t->client;
        $mock->forget;
        $pipe->send(join '', map { $_->[0] } @requests);
        $pipe->{pending} = [map { (split / /, $_->[0])[0] } @requests];
        is_deeply [map { $pipe->response->status } @requests], [map { $_->[1] } @requests], $name;
        sleep 0.02;
        is scalar(@{$mock->requests}), scalar(grep { $_->[1] == 200 && $_->[0] =~ /^POST/ } @requests),
            "$name: the provider sees the good ones";
    }
};

$t->done;
