#!/usr/bin/perl

# The provider's bytes cut at every offset: what the caller gets does not
# depend on the cuts (F1, F3, F5), and a stream that dies at any byte ends with
# whole events and an error of its own (F14).

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

my %whole = map { $_ => [authored($_)] } dialects();
my %crlf = map { $_ => [crlf(map { two_lines($_) } @{$whole{$_}})] } dialects();

# One event's JSON over two data lines; joined they are the same JSON.
sub two_lines { my ($event) = @_; $event =~ s/^data: \{/data: {\ndata: /m; return $event }
sub crlf { map { s/\n/\r\n/gr } @_ }

# Chunk framing whose own bytes are cut as well.
sub slowly {
    my ($bytes, @sizes) = @_;
    my $wire = Relay::Client::chunked($bytes, @sizes);
    return {type => 'text/event-stream', chunked => 1, steps => [[cut => $wire, [1 .. length($wire) - 1], 0.02]]};
}

my %plays = (
    cut => sub { my ($req, $dialect, @at) = @_; sse($whole{$dialect}, cut => \@at) },
    crlf => sub { my ($req, $dialect, @at) = @_; sse($crlf{$dialect}, cut => \@at) },
    bytes => sub { my ($req, $dialect) = @_; slowly(joined(@{$whole{$dialect}}), 7, 300) },
    crlf_bytes => sub { my ($req, $dialect) = @_; slowly(joined(@{$crlf{$dialect}}), 7, 300) },
    unframed => sub {
        my ($req, $dialect) = @_;
        my $bytes = joined(@{$whole{$dialect}});
        return {type => 'text/event-stream', length => length $bytes,
            steps => [[cut => $bytes, [1 .. length($bytes) - 1], 0.02]]};
    },
    # the stream's first bytes, and then the end of it
    die => sub {
        my ($req, $dialect, $bytes, $how) = @_;
        my $head = substr joined(@{$whole{$dialect}}), 0, $bytes;
        return sse([$head], after_ms => $how eq 'good' ? 0 : 2, end => $how);
    },
);

my $mock = player(%plays);
my $tls = player({tls => 1}, %plays);
my $t = Relay::Test->new(http2 => 1, http => 'keepalive_requests 100000;');
$t->relay(relay_config({models => {s => {offers => [{host => 'tls', id => 'up-tls'}]}}}, a => $mock, tls => tls_host($tls)));
$t->start;

my %asked = (chat => {stream_options => {include_usage => \1}}, responses => {}, messages => {});
my $c = $t->client;

# The offsets for which the caller got other bytes.
sub differing {
    my ($dialect, $play, $body, $wanted, @offsets) = @_;
    my @bad;
    for my $at (@offsets) {
        my $res = ask($t, $dialect => "$play $dialect $at", client => $c, body => $body);
        push @bad, $at unless $res->status == 200 && $res->clean && $res->body eq $wanted;
    }
    return @bad;
}

sub none_differ {
    my ($name, @bad) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is scalar(@bad), 0, $name or diag("offsets: @bad[0 .. ($#bad > 20 ? 20 : $#bad)]");
}

for my $dialect (dialects()) {
    my $wanted = joined(@{$whole{$dialect}});
    none_differ("F1 $dialect: cut at every byte offset, the same bytes",
        differing($dialect, cut => $asked{$dialect}, $wanted, 1 .. length($wanted) - 1));
    sse_ok $dialect => $wanted, "F1 $dialect: and they are a valid stream", $dialect eq 'chat' ? (usage => 1) : ();
}

{
    my $wanted = joined(without_usage(@{$whole{chat}}));
    my $usage = index joined(@{$whole{chat}}), '"choices":[],';
    none_differ('F1 chat, usage not asked for: cut around the hidden event, the same bytes',
        differing('chat', cut => {}, $wanted, $usage - 100 .. length(joined(@{$whole{chat}})) - 1));
}

{
    my @how = (['bytes' => 'm', 'one byte per read, chunk framing too'], ['unframed' => 'm', 'one byte per read, by length'],
        ['bytes' => 's', 'one byte per TLS record']);
    my @all = finish(8, map { my ($play, $model) = @$_;
        map { begin($t, $_ => "$play $_", body => {%{$asked{$_}}, model => $model}) } dialects() } @how);
    for (@how) {
        my ($play, $model, $name) = @$_;
        for my $dialect (dialects()) {
            my $res = shift @all;
            same_bytes $res->body, joined(@{$whole{$dialect}}), "F1 $dialect: $name";
            is $res->header('x-relay-host'), $model eq 's' ? 'tls' : 'a', "F1 $dialect: $name, from that provider";
            logged($t, $res, {status => 200, error => '', %{spent($dialect)}}, "F1 $dialect: $name, usage and finish reason are read");
        }
    }
    for my $dialect (dialects()) {
        my $res = ask($t, $dialect => "bytes $dialect", body => $asked{$dialect}, http2 => 1);
        same_bytes $res->body, joined(@{$whole{$dialect}}), "F1 $dialect: one byte per read, HTTP/2 caller";
    }
}

# ---- lines that end in CR LF ------------------------------------------------

sub data_of { map { $_->{data} } Relay::Sse::events($_[0]) }

for my $dialect (dialects()) {
    my $wanted = joined(@{$crlf{$dialect}});
    my @between;
    push @between, $-[0] + 1 while $wanted =~ /\r\n/g;
    my @data = data_of($wanted);
    my (@events, @bytes, $res);
    for my $at (@between) {
        $res = ask($t, $dialect => "crlf $dialect $at", client => $c, body => $asked{$dialect});
        push @events, $at unless $res->clean && join("\0", data_of($res->body)) eq join("\0", @data);
        push @bytes, $at unless $res->body eq $wanted;
    }
    none_differ("F3 $dialect: cut between CR and LF at every place, the same events", @events);
    none_differ("F3 $dialect: and the same bytes", @bytes);
    logged($t, $res, {error => '', %{spent($dialect)}}, "F3 $dialect: usage of multi-line events is read");
    is scalar(@data), scalar(@{$whole{$dialect}}), "F3 $dialect: one event each";
}

my @slow = finish(8, map { begin($t, $_ => "crlf_bytes $_", body => $asked{$_}) } dialects());
for my $dialect (dialects()) {
    is join("\n", data_of(shift(@slow)->body)), join("\n", data_of(joined(@{$crlf{$dialect}}))),
        "F3 $dialect: one byte per read, multi-line data intact";
}

# ---- one event over many reads, many events in one --------------------------

for my $dialect (dialects()) {
    my $wanted = joined(map { two_lines($_) } @{$whole{$dialect}});
    $whole{"two_$dialect"} = [$wanted];
}

# the mock has its own copy of %whole: a second one knows the new entries
my $multi = player(%plays);
$t->relay(relay_config(a => $multi));
ok $t->reload, 'F5 the multi-line provider is configured';
$c = $t->client;    # the old worker has taken its connections with it

for my $dialect (dialects()) {
    my $wanted = $whole{"two_$dialect"}[0];
    my $half = int(length($wanted) / 2);
    for my $cuts ('', $half, join ' ', map { $_ * 11 } 1 .. length($wanted) / 11) {
        my $res = ask($t, $dialect => "cut two_$dialect $cuts", client => $c, body => $asked{$dialect});
        my $reads = 1 + split / /, $cuts;
        same_bytes $res->body, $wanted, "F5 $dialect: two data lines each, in $reads reads";
        logged($t, $res, {error => '', %{spent($dialect)}}, "F5 $dialect: joined with one newline, usage is read");
    }
    is join("\n", map { s/\n//r } data_of($wanted)), join("\n", data_of(joined(@{$whole{$dialect}}))),
        "F5 $dialect: the same data as in one line";
}

# ---- death at every byte ----------------------------------------------------

# From where on the stream is as good as ended, and must be committed.
my %finish = (chat => qr/"finish_reason":"tool_calls"/, responses => qr/^event: response\.completed/m,
    messages => qr/^event: message_delta/m);
my %content = (chat => qr/"content":"na/, responses => qr/^event: response\.output_text\.delta/m,
    messages => qr/^event: content_block_delta/m);

# Most offsets within an event give the same answer.
my %known;
sub stream_faults {
    my ($dialect, $bytes, $failed) = @_;
    my $faults = $known{"$dialect $failed $bytes"} ||= [Relay::Sse::faults($dialect, $bytes, error => $failed)];
    return @$faults;
}

sub faults_of_death {
    my ($dialect, $bytes, $res) = @_;
    my @parts = @{$whole{$dialect}};
    my ($finish) = grep { $parts[$_] =~ $finish{$dialect} } 0 .. $#parts;
    my ($content) = grep { $parts[$_] =~ $content{$dialect} } 0 .. $#parts;
    my $end_of = sub { length joined(@parts[0 .. $_[0]]) };
    my @faults = $res->clean ? () : 'the body has no clean end: ' . $res->why;
    if ($res->status != 200) {
        push @faults, 'status ' . $res->status . ' after content' if $bytes >= $end_of->($content);
        push @faults, 'an event in an error answer' if $res->body =~ /^data:/m;
        push @faults, 'no error object' unless ref $res->json->{error};
        return @faults;
    }
    push @faults, '200 before any content' if $bytes < length $parts[0];
    # an event whose data is whole counts; only its blank line is missing
    my $whole = whole_events($bytes, @parts);
    $whole++ if $whole < @parts && $bytes >= $end_of->($whole) - 2;
    my $sent = joined(@parts[0 .. $whole - 1]);
    my $ours = substr $res->body, length $sent;
    push @faults, "it does not begin with the provider's events"
        unless substr($res->body, 0, length($sent) - 2) eq substr $sent, 0, -2;
    my $good = $bytes >= $end_of->($finish) - 2;
    my $owed = () = $ours =~ /^data: /mg;
    push @faults, "$owed events of ours" if $owed != ($whole == @parts ? 0 : 1);
    push @faults, stream_faults($dialect, $res->body, $good ? 0 : 1);
    if (!$good && $dialect eq 'responses') {
        my $error = error_of($dialect, $res->body);
        push @faults, 'sequence number' unless $error && $error->{sequence_number} == $whole;
    }
    return @faults;
}

sub die_at {
    my ($name, $dialect, $how, @offsets) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @bad;
    for my $at (@offsets) {
        my $res = ask($t, $dialect => "die $dialect $at $how", client => $c, body => $asked{$dialect});
        my @faults = faults_of_death($dialect, $at, $res);
        push @bad, "offset $at: " . join('; ', @faults) if @faults;
    }
    is scalar(@bad), 0, $name or diag(join "\n", @bad[0 .. ($#bad > 10 ? 10 : $#bad)]);
}

for my $dialect (dialects()) {
    my $length = length joined(@{$whole{$dialect}});
    die_at("F14 $dialect: ended at every byte, whole events and then the error alone", $dialect, 'good', 0 .. $length);
    my ($at, @edges) = (0);
    for (@{$whole{$dialect}}) { $at += length; push @edges, $at - 20, $at - 2 .. $at }
    my @some = grep { $_ <= $length } @edges;
    die_at("F14 $dialect: the connection closed, around the ends of events", $dialect, 'close', @some);
    die_at("F14 $dialect: the connection reset, around the ends of events", $dialect, 'reset', @some);
}

$c->close;
$t->done;
