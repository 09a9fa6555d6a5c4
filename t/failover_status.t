#!/usr/bin/perl

# Which answers of a provider move a request to the next one, which reach the
# caller as they are, and what is said when everybody has failed (X16, X4 for
# whole answers).

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;

# ---- the providers ----------------------------------------------------------

# The headers x-a and x-b say, as JSON, what the host of that name answers.
sub provider {
    my ($name) = @_;
    return Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $script = $req->header("x-$name") || return good($req, $name);
        my $answer = JSON::PP->new->utf8->decode($script);
        return $answer->[0] if ref $answer eq 'ARRAY';
        $answer->{body} = 'x' x $answer->{size} if $answer->{size};
        return $answer;
    });
}

sub good {
    my ($req, $name) = @_;
    return {body => $req->path =~ /messages/ ? message_answer(text => $name) : chat_answer(text => $name)};
}

my ($a, $b) = (provider('a'), provider('b'));
my $refused = Relay::Mock->refused;
my $t = Relay::Test->new(http2 => 1);
sub offers { {offers => [map { {host => $_, id => "up-$_"} } @_]} }
$t->relay(relay_config({models => {m => offers('a', 'b'), one => offers('a'), gone => offers('a', 'z')},
    timeouts => {first_token_ms => 1500}}, a => $a, b => $b, z => "http://127.0.0.1:$refused/v1"))->start;

my %path = (openai => '/v1/chat/completions', anthropic => '/v1/messages');

sub ask {
    my ($dialect, $a_says, %o) = @_;
    $_->forget for $a, $b;
    my @headers = map { ("X-$_" => Relay::Sse::encode($o{$_} || $a_says)) } $o{b} ? qw(a b) : 'a';
    $headers[1] = Relay::Sse::encode($a_says);
    return $t->post($path{$dialect}, {model => $o{model} || 'm', max_tokens => 5, messages => []},
        headers => \@headers, $o{http2} ? (http2 => 1) : ());
}

# A provider's error in its own words; nobody would word it like this but itself.
sub words {
    my ($dialect, $status) = @_;
    return error_body($dialect, "type_of_$status", "the provider's own words for $status", "code_$status");
}

# ---- on to the next ---------------------------------------------------------

my @failing = (401, 402, 403, 408, 429, 500, 501, 502, 503, 504, 520, 529, 599);

for my $dialect (qw(openai anthropic)) {
    for my $status (@failing) {
        my $res = ask($dialect, {status => $status, body => words($dialect, $status)});
        is $res->status . ' ' . ($res->header('x-relay-host') || '-'), '200 b', "$dialect: $status goes to the next";
        is $res->header('retry-after'), undef, "$dialect: $status leaves no retry-after behind";
        is $res->header('x-relay-error'), undef, "$dialect: $status leaves no error mark behind";
        like $res->body, qr/"b"/, "$dialect: $status: the second answer alone";
    }
    my $res = ask($dialect, {status => 529, body => words($dialect, 529)}, http2 => 1);
    is $res->status . ' ' . $res->header('x-relay-host'), '200 b', "$dialect: over HTTP/2";

    # ---- straight to the caller ---------------------------------------------

    for my $status (400, 404, 405, 409, 413, 415, 422, 424) {
        my $body = words($dialect, $status);
        $res = ask($dialect, {status => $status, body => $body, headers => ['X-Odd' => 'kept', 'Retry-After' => 3]});
        is $res->status, $status, "$dialect: $status reaches the caller";
        is $res->body, $body, "$dialect: $status: as the provider wrote it";
        is $res->header('x-odd'), 'kept', "$dialect: $status: with its headers";
        is $res->header('x-relay-attempts') . ' ' . $b->requests->@*, '1 0', "$dialect: $status: one attempt";
        is $res->header('x-relay-error'), undef, "$dialect: $status: not marked as ours";
        ok $res->header($dialect eq 'openai' ? 'x-request-id' : 'request-id'), "$dialect: $status: a request id";
    }
}

# ---- answers that are not whole ---------------------------------------------

for my $dialect (qw(openai anthropic)) {
    my $body = $dialect eq 'openai' ? chat_answer() : message_answer();
    my $half = substr $body, 0, length($body) / 2;
    my %cut = (
        'a length that is not kept' => {length => length $body, body => $half, steps => ['close']},
        'a length that is not kept, reset' => {length => length $body, body => $half, steps => [[sleep => 20], 'reset']},
        'nothing after the header' => {length => length $body, body => '', steps => ['close']},
        'no last chunk' => {chunked => 1, steps => [[chunk => $half], 'close']},
        'no last chunk, reset' => {chunked => 1, steps => [[chunk => $half], [sleep => 20], 'reset']},
        'half a chunk' => {chunked => 1, steps => [[send => sprintf("%x\r\n", length $body) . $half], 'close']},
        'a chunk that is none' => {chunked => 1, steps => [[send => "zz\r\n$body\r\n0\r\n\r\n"]]},
        'half a header' => {raw => "HTTP/1.1 200 OK\r\nContent-Ty"},
        'no header' => {raw => ''},
        'not HTTP' => {raw => "SSH-2.0-OpenSSH\r\n"},
        'an error status, its body cut' => {status => 400, length => 500, body => '{"error":', steps => ['close']},
    );
    for my $how (sort keys %cut) {
        my $res = ask($dialect, $cut{$how});
        is $res->status . ' ' . ($res->header('x-relay-host') || '-'), '200 b', "X4 $dialect: $how: the next one";
        is $res->header('x-relay-attempts'), 2, "X4 $dialect: $how: unseen by the caller";
        ok $res->clean, "X4 $dialect: $how: a whole answer";

        $res = ask($dialect, $cut{$how}, model => 'one');
        my $status = $res->status;
        is $status, 502, "X16 $dialect: $how, and nobody else: 502";
        like $res->header('x-relay-error'), qr/^upstream_(cut|invalid)$/, "X16 $dialect: $how: marked as ours";
        ok ref $res->json->{error}, "X16 $dialect: $how: in the caller's dialect";
    }
}

# ---- everybody has failed ---------------------------------------------------

# The last provider that said something has the word.
for my $dialect (qw(openai anthropic)) {
    for my $status (408, 429, 500, 502, 503, 504, 529) {
        my $body = words($dialect, $status);
        my $res = ask($dialect, {status => 500, body => words($dialect, 'first')}, b => {status => $status, body => $body});
        is $res->status, $status, "X16 $dialect: all failed, the last with $status: its status";
        is $res->body, $body, "X16 $dialect: $status: its words";
        is $res->header('x-relay-attempts'), 2, "X16 $dialect: $status: two attempts";
        is $res->header('x-relay-host'), 'b', "X16 $dialect: $status: from the last host";
        like $res->header('content-type'), qr{^application/json}, "X16 $dialect: $status: type";
        is $res->header('content-length'), length $body, "X16 $dialect: $status: length";
        my $entry = $t->log_of($res);
        is "$entry->{status} $entry->{attempts} $entry->{host}", "$status 2 b", "X16 $dialect: $status: in the log";
        next unless $status == 429 || $status == 503;
        like $res->header('retry-after'), qr/^([1-9]|[1-5]\d|60)$/, "X16 $dialect: $status: a time to retry";
        is scalar(my @all = $res->header('retry-after')), 1, "X16 $dialect: $status: one";
    }

    # a meaningful error counts more than a connection that was refused later
    my $body = words($dialect, 429);
    my $res = ask($dialect, {status => 429, body => $body, headers => ['Retry-After' => 7]}, model => 'gone');
    is $res->status . ' ' . $res->body, "429 $body", "X16 $dialect: 429, then refused: the 429";
    is $res->header('retry-after'), 7, "X16 $dialect: with its retry-after";
    is $res->header('x-relay-attempts'), 2, "X16 $dialect: after two attempts";

    # and more than the provider's displeasure with our key
    $res = ask($dialect, {status => 429, body => $body}, b => {status => 401, body => words($dialect, 401)});
    is $res->status . ' ' . $res->body, "429 $body", "X16 $dialect: 429, then 401: the 429";
}

# ---- retry-after ------------------------------------------------------------

{
    my @days = qw(Sun Mon Tue Wed Thu Fri Sat);
    my @months = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);
    my $date = sub {
        my ($s, $m, $h, $d, $mon, $y, $w) = gmtime(time + $_[0]);
        return sprintf '%s, %02d %s %d %02d:%02d:%02d GMT', $days[$w], $d, $months[$mon], $y + 1900, $h, $m, $s;
    };
    my @cases = (['7', 7], ['1', 1], ['0', 1], ['60', 60], ['61', 60], ['3600', 60], ['99999999999999999999', 60],
        ['2.5', qr/^[23]$/], ['-5', qr/^\d+$/], ['soon', qr/^\d+$/], ['', qr/^\d+$/], [undef, qr/^\d+$/],
        [$date->(20), qr/^(19|20)$/], [$date->(-500), 1], [$date->(5000), 60]);
    for my $status (429, 503) {
        for my $case (@cases) {
            my ($given, $want) = @$case;
            my $res = ask(openai => {status => $status, body => words('openai', $status),
                headers => defined $given ? ['Retry-After' => $given] : []}, model => 'one');
            my $name = "$status, retry-after " . (defined $given ? "\"$given\"" : 'missing');
            my @got = $res->header('retry-after');
            is scalar(@got), 1, "$name: one goes out";
            ref $want ? like($got[0], $want, "$name: an integer") : is($got[0], $want, "$name: $want");
            ok $got[0] >= 1 && $got[0] <= 60, "$name: from 1 to 60";
        }
    }
}

# ---- error bodies that are no JSON ------------------------------------------

for my $dialect (qw(openai anthropic)) {
    my %odd = (
        'HTML' => {type => 'text/html', body => '<html><h1>502 Bad Gateway</h1></html>'},
        'empty' => {body => ''},
        'broken JSON' => {body => '{"error": {"message": "half'},
        'JSON with no end of stream' => {body => '{"error": 1} trailing'},
        'gzip' => {gzip => 1, body => '{"error":{"message":"packed"}}'},
        '2 MB of text' => {size => 2_000_000, type => 'text/plain'},
        'text with a secret' => {type => 'text/plain', body => 'bad key ' . secret('a')},
    );
    for my $what (sort keys %odd) {
        for my $status (500, 503) {
            my $res = ask($dialect, {status => $status, %{$odd{$what}}}, model => 'one');
            is $res->status, $status, "X16 $dialect: $status with $what: the status is kept";
            my $error = $res->json->{error};
            ok ref $error && length($error->{message} || '') && length($error->{type} || ''),
                "X16 $dialect: $status with $what: an error in the caller's dialect" or diag($res->body);
            is $res->json->{type} || '', $dialect eq 'anthropic' ? 'error' : '', "X16 $dialect: $status with $what: its form";
            is $res->header('x-relay-error'), 'upstream_status', "X16 $dialect: $status with $what: marked as ours";
            is $res->header('content-encoding'), undef, "F9 $dialect: $status with $what: no stale encoding";
            is $res->header('content-length'), length $res->body, "F9 $dialect: $status with $what: the length fits";
            unlike $res->body, qr/secret-/, "X16 $dialect: $status with $what: no secret";
        }
    }
}

# ---- the provider refuses our key -------------------------------------------

for my $dialect (qw(openai anthropic)) {
    for my $status (401, 402, 403) {
        my $body = words($dialect, $status);
        my $res = ask($dialect, {status => $status, body => $body, headers => ['WWW-Authenticate' => 'Bearer']},
            b => {status => $status, body => $body});
        is $res->status, $dialect eq 'openai' ? 502 : 500, "X16 $dialect: our key refused with $status: not the caller's fault";
        is $res->header('x-relay-error'), 'upstream_key', "X16 $dialect: $status: marked";
        is $res->header('www-authenticate'), undef, "X16 $dialect: $status: no challenge";
        unlike $res->body, qr/own words/, "X16 $dialect: $status: the provider's words stay here";
        is $res->json->{error}{type}, 'api_error', "X16 $dialect: $status: type" if $dialect eq 'anthropic';
        ok length $res->json->{error}{message}, "X16 $dialect: $status: a message";
        is $t->log_of($res)->{error}, 'upstream_key', "X16 $dialect: $status: in the log";
    }
    my $res = $t->post($path{$dialect}, {model => 'gone', messages => []}, headers => ['X-A' => '["reset"]']);
    is $res->status . ' ' . ($res->header('x-relay-error') || ''), '502 upstream_unreachable', "$dialect: reset, then refused";
    is $res->header('x-relay-attempts'), 2, "$dialect: two attempts";
    ok length $res->json->{error}{message}, "$dialect: a message";

    $res = ask($dialect, ['hang'], model => 'one');
    is $res->status . ' ' . ($res->header('x-relay-error') || ''), '504 upstream_timeout', "$dialect: no answer is a 504";
}

# ---- a 200 that holds an error ----------------------------------------------

{
    my $error = error_body('openai', 'server_error', 'inside a 200', 'x');
    my $res = ask(openai => {type => 'text/event-stream', body => "data: $error\n\n"});
    is $res->status . ' ' . $res->header('x-relay-host'), '200 b', 'X4 an event stream that begins with an error';
    $res = ask(anthropic => {type => 'text/event-stream',
        body => "event: error\ndata: " . error_body('anthropic', 'overloaded_error', 'Overloaded') . "\n\n"});
    is $res->status . ' ' . $res->header('x-relay-host'), '200 b', 'X4 the same of the other dialect';
    $res = ask(anthropic => {type => 'text/event-stream',
        body => "event: error\ndata: " . error_body('anthropic', 'overloaded_error', 'Overloaded') . "\n\n"}, model => 'one');
    is $res->status, 529, 'X4 from the last provider: the status that fits';
    is $res->json->{error}{type}, 'overloaded_error', 'X4 and its words';
}

$t->done;
