#!/usr/bin/perl

# Event streams as they occur in the field: line ends, multi-line data,
# comments and pings, encodings and lengths. Events pass byte for byte, as they
# complete, and nothing goes out before the first content.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

use IO::Uncompress::Gunzip qw(gunzip);

# ---- the provider -----------------------------------------------------------

my %ends = (LF => "\n", CRLF => "\r\n", CR => "\r");

sub with_ends {
    my ($how, @parts) = @_;
    return map { s/\n/$ends{$how}/gr } @parts if $ends{$how};
    my @turn = ("\n", "\r", "\r\n");    # a CR before an LF would be one end
    my $i = 0;
    return map { s/\n/$turn[$i++ % @turn]/gre } @parts if $how eq 'mixed';
    die "no line ends $how";
}

# Parts of a stream up to and with the first content, and the others.
sub halves {
    my ($dialect) = @_;
    my @parts = authored($dialect);
    my ($first) = grep { $parts[$_] =~ /na\xC3\xAFve/ } 0 .. $#parts;
    return ([@parts[0 .. $first]], [@parts[$first + 1 .. $#parts]]);
}

# The first text of the stream is 700 KB long.
sub long_event { my ($dialect) = @_; map { s/na\xC3\xAFve (?!\xE6)/"\xF0\x9F\x99\x82" x 175000/er } authored($dialect) }

my %keep_alive = (
    chat => [": keep-alive\n\n", ":\n\n", ": a\n: b\n\n", ":\n"],
    responses => [": keep-alive\n\n", ":\n\n", event(keepalive => {type => 'keepalive'})],
    messages => [": keep-alive\n\n", ":\n\n", event(ping => {type => 'ping'})],
);

# Silence and signs of life around the events.
sub commented {
    my ($dialect, $gap_ms) = @_;
    my ($first, $rest) = halves($dialect);
    my $content = pop @$first;
    # whatever else precedes content in a stream that begins by "created"
    $content = joined(splice(@$first, 1), $content) if $dialect eq 'responses';
    my @signs = (@{$keep_alive{$dialect}}) x 2;
    my $step = sub { ([chunk => $_[0]], [sleep => $gap_ms]) };
    return {type => 'text/event-stream; charset=utf-8', chunked => 1, steps => [
        (map { $step->($_) } @signs), (map { $step->($_) } @$first),
        (map { $step->($_) } @signs), [chunk => $content],
        (map { $step->($_) } @signs), map({ [chunk => $_] } @$rest), [chunk => '']]};
}

my $mock = player(
    ends => sub {
        my ($req, $dialect, $how) = @_;
        my ($first, $rest) = map { joined(with_ends($how, @$_)) } halves($dialect);
        return sse([$first, $rest], gap_ms => 300);
    },
    whole => sub { my ($req, $dialect, %o) = @_; sse([authored($dialect)], %o) },
    lines => sub { my ($req, $dialect) = @_; sse([map { s/^data: \{/data:{\r\ndata: /mr } authored($dialect)]) },
    long => sub { my ($req, $dialect, @cuts) = @_; sse([long_event($dialect)], @cuts ? (cut => \@cuts, cut_ms => 1) : ()) },
    odd => sub {
        my ($req, $dialect) = @_;
        my $i = 0;
        return sse(["\xEF\xBB\xBF", map { 'id: ' . $i++ . "\nretry: 10\nx-new: 1\n" . s/^(event|data): /$1:/gmr } authored($dialect)]);
    },
    commented => sub { my ($req, $dialect, $gap_ms) = @_; commented($dialect, $gap_ms) },
    gzip => sub { my ($req, $dialect) = @_; sse([authored($dialect)], gzip => 1) },
    gzip_error => {status => 500, body => {error => {message => 'inside', type => 'server_error'}}, gzip => 1},
    empty_error => {status => 503, body => ''},
    html_error => {status => 502, type => 'text/html', body => '<html>Bad gateway</html>'},
    empty => {type => 'text/event-stream', body => ''},
    no_done => sub { my ($req, $dialect) = @_; my @p = authored($dialect); pop @p; sse(\@p, framing => 'length') },
);

my $t = Relay::Test->new(http2 => 1);
$t->relay(relay_config({timeouts => {idle_ms => 700, first_token_ms => 5000}}, a => $mock));
$t->start;

# Another server, whose operator turned gzip on for everything.
my $zip = Relay::Test->new(http => 'gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; gzip_http_version 1.0;');
$zip->relay($t->{config});
$zip->start;

my %asked = (chat => {stream_options => {include_usage => \1}}, responses => {}, messages => {});

sub asking { my ($dialect, %more) = @_; (body => {%{$asked{$dialect}}, %more}) }

# ---- F2 ---------------------------------------------------------------------

{
    my @cases = map { my $d = $_; map { [$d, $_] } qw(LF CRLF CR mixed) } dialects();
    my @all = finish(5, map { begin($t, $_->[0] => "ends @$_", asking($_->[0])) } @cases);
    for (@cases) {
        my ($dialect, $ends) = @$_;
        my $res = shift @all;
        my @plain = map { $_->{data} } Relay::Sse::events(joined(authored($dialect)));
        is_deeply [map { $_->{data} } $res->events], \@plain, "F2 $dialect, $ends: the same events";
        my ($first, $rest) = halves($dialect);
        same_bytes $res->body, joined(with_ends($ends, @$first), with_ends($ends, @$rest)), "F2 $dialect, $ends: byte for byte";
        # the rest comes 300 ms after it
        my $arrived = $res->arrived(qr/na\xC3\xAFve.*?(\n\n|\r\r|\r\n\r\n|\r\n\r|\n\r)/s);
        ok defined $arrived && $arrived < 0.25, "F2 $dialect, $ends: the first event at once" or diag($arrived);
        my $entry = entry($t, $res);
        cmp_ok $entry->{first_token_ms}, '<', 250, "F2 $dialect, $ends: the same time to the first token";
        logged($t, $res, {error => '', %{spent($dialect)}}, "F2 $dialect, $ends: the same usage");
    }
}

# ---- F5 ---------------------------------------------------------------------

for my $dialect (dialects()) {
    my $res = ask($t, $dialect => "lines $dialect", asking($dialect));
    same_bytes $res->body, joined(map { s/^data: \{/data:{\r\ndata: /mr } authored($dialect)),
        "F5 $dialect: two data lines pass untouched";
    sse_ok $dialect => $res->body, "F5 $dialect: joined with one newline they are the stream";
    logged($t, $res, spent($dialect), "F5 $dialect: and its usage is read");

    $res = ask($t, $dialect => "odd $dialect", asking($dialect));
    like $res->body, qr/\A\xEF\xBB\xBFid: 0\nretry: 10\nx-new: 1\n/, "F5 $dialect: byte order mark, id, retry and unknown fields pass";
    logged($t, $res, {error => '', %{spent($dialect)}}, "F5 $dialect: without a space after the colon, usage is read");
}

# images, whole tool arguments: one event of 700 KB
for my $dialect (dialects()) {
    my $wanted = joined(long_event($dialect));
    for my $cuts ('', join ' ', map { 1 + $_ * 99991 } 0 .. 6) {
        my $res = ask($t, $dialect => "long $dialect $cuts", asking($dialect));
        same_bytes $res->body, $wanted, "F5 $dialect: an event of 700 KB, in " . ($cuts ? 'many reads' : 'what reads there are');
        logged($t, $res, {error => '', %{spent($dialect)}}, "F5 $dialect: and what follows it is read");
    }
    same_bytes ask($t, $dialect => "long $dialect", asking($dialect), http2 => 1)->body, $wanted, "F5 $dialect: an event of 700 KB over HTTP/2";
}

# ---- F6 ---------------------------------------------------------------------

# The data of all events but pings and their like.
sub real_data { grep { !/"type":"(ping|keepalive)"/ } map { $_->{data} } Relay::Sse::events($_[0]) }

# 150 ms a step: more than idle_ms before the first content, and again after it.
my @commented = finish(10, map { begin($t, $_ => "commented $_ 150", asking($_)) } dialects());
for my $dialect (dialects()) {
    my $res = shift @commented;
    my $sent = joined(map { $_->[1] } grep { ref && $_->[0] eq 'chunk' } @{commented($dialect, 0)->{steps}});
    same_bytes $res->body, $sent, "F6 $dialect: comments and pings pass in place";
    is scalar(grep { exists $_->{comment} && ($_->{inside} || /data/) } $res->events), 0, "F6 $dialect: none inside an event";
    is_deeply [real_data($res->body)], [real_data(joined(authored($dialect)))], "F6 $dialect: and never become data";
    my $content = $res->arrived(qr/na\xC3\xAFve/);
    cmp_ok $res->first_byte, '>', 0.9, "F6 $dialect: they are no first byte";
    cmp_ok $content - $res->first_byte, '<', 0.02, "F6 $dialect: held back until there is content";
    my $entry = entry($t, $res);
    cmp_ok abs($entry->{first_token_ms} - 1000 * $content), '<', 100, "F6 $dialect: nor a first token"
        or diag("first_token_ms $entry->{first_token_ms}");
    logged($t, $res, {status => 200, error => '', %{spent($dialect)}},
        "F6 $dialect: they keep the idle timer from ending the stream");
}

# ---- F8 ---------------------------------------------------------------------

for my $dialect (dialects()) {
    my $wanted = joined(authored($dialect));
    $mock->forget;
    my $res = ask($t, $dialect => "whole $dialect", asking($dialect), headers => ['Accept-Encoding' => 'gzip, br']);
    is join(',', $mock->request(0)->header('accept-encoding')), 'identity', "F8 $dialect: the provider is asked for identity";
    same_bytes $res->body, $wanted, "F8 $dialect: the body is readable";
    is $res->header('content-encoding'), undef, "F8 $dialect: and says so";
    logged($t, $res, spent($dialect), "F8 $dialect: usage is metered");

    $res = ask($t, $dialect => "gzip $dialect", headers => ['Accept-Encoding' => 'gzip']);
    is $res->header('content-encoding'), 'gzip', "F8 $dialect: a provider that zips all the same";
    my $body = $res->body;
    gunzip(\$body, \my $plain);
    same_bytes $plain, $wanted, "F8 $dialect: its bytes pass untouched, once";

    $res = ask($zip, $dialect => "ends $dialect LF", asking($dialect), headers => ['Accept-Encoding' => 'gzip']);
    $body = $res->body;
    if (($res->header('content-encoding') || '') eq 'gzip') { gunzip(\$body, \$plain) }
    else { $plain = $body }
    same_bytes $plain, $wanted, "F8 $dialect: with gzip on in nginx the caller can read it";
    cmp_ok $res->first_byte, '<', 0.1, "F8 $dialect: and events are not held";
    $res = ask($zip, $dialect => "whole $dialect", asking($dialect));
    same_bytes $res->body, $wanted, "F8 $dialect: no gzip for those who did not ask";
}

# ---- F9 ---------------------------------------------------------------------

{
    my $wanted = joined(without_usage(authored('chat')));
    for my $framing (qw(length chunked close)) {
        my $res = ask($t, chat => "whole chat framing $framing");
        same_bytes $res->body, $wanted, "F9 chat by $framing: an event is taken out";
        ok $res->clean, "F9 chat by $framing: the length is right all the same";
        is $res->header('content-length'), undef, "F9 chat by $framing: no stale length";
        $res = ask($t, chat => "whole chat framing $framing", http2 => 1);
        same_bytes $res->body, $wanted, "F9 chat by $framing: over HTTP/2";
        ok $res->clean, "F9 chat by $framing: with a clean end";
    }
    my $res = ask($t, chat => 'no_done chat', asking('chat'));
    like $res->body, qr/data: \[DONE\]\n\n\z/, 'F9 chat: an event is added to a body with a length';
    ok $res->clean, 'F9 chat: and the end is clean';
}

# an error of ours leaves the caller's connection as it is
for my $error (qw(empty_error empty)) {
    my $c = $t->client;
    my $res = ask($t, chat => $error, client => $c);
    isnt lc($res->header('connection') || ''), 'close', "F9 $error: the caller's connection is kept";
    is $c->wait_close(0.1), undef, "F9 $error: and stays";
    is ask($t, chat => 'whole chat', client => $c)->status, 200, "F9 $error: the next request is served on it";
}

for my $dialect (dialects()) {
    my $res = ask($t, $dialect => "whole $dialect", asking($dialect), headers => ['Connection' => 'close']);
    same_bytes $res->body, joined(authored($dialect)), "F9 $dialect: a caller that closes";
    for my $error (qw(gzip_error empty_error html_error empty)) {
        for my $h2 (0, 1) {
            $res = ask($t, $dialect => $error, $h2 ? (http2 => 1) : ());
            my $name = "F9 $dialect, $error" . ($h2 ? ' over HTTP/2' : '');
            ok ref $res->json->{error}, "$name: an error object" or diag($res->body);
            is $res->header('content-length'), length $res->body, "$name: its length";
            is $res->header('content-encoding'), undef, "$name: no stale encoding";
            like $res->header('content-type') // '', qr{^application/json}, "$name: its type";
            my %status = (gzip_error => 500, empty_error => 503, html_error => 502, empty => 502);
            is $res->status, $status{$error}, "$name: its status" unless $error eq 'empty';
            cmp_ok $res->status, '>=', 500, "$name: no success" if $error eq 'empty';
        }
    }
}

$t->done;
