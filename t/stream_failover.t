#!/usr/bin/perl

# When a stream may still go to another provider: until its first content has
# been released (X4), and never after that (X6).

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

# ---- the providers ----------------------------------------------------------

my %overloaded = (
    chat => {error => {message => 'Overloaded', type => 'service_unavailable_error', param => undef,
        code => 'server_is_overloaded'}},
    responses => {type => 'error', sequence_number => 0, error => {type => 'server_error',
        code => 'server_is_overloaded', message => 'Overloaded', param => undef}},
    messages => {type => 'error', error => {type => 'overloaded_error', message => 'Overloaded'}},
);
my %status = (chat => 503, responses => 503, messages => 529);

sub error_event {
    my ($dialect, $number) = @_;
    my %error = %{$overloaded{$dialect}};
    $error{sequence_number} = $number if $number;
    return event($dialect eq 'chat' ? () : 'error', \%error);
}

# What may come before an answer has any content.
sub prelude {
    my ($dialect, $kind) = @_;
    my @parts = authored($dialect);
    return () if $kind eq 'nothing';
    return (": connected\n\n", ":\n\n") if $kind eq 'comments';
    return @parts[0 .. 2] if $kind eq 'items';    # created, output_item.added, content_part.added
    return ": connected\n\n", $dialect eq 'messages' ? (event(ping => {type => 'ping'})) x 2
        : $dialect eq 'responses' ? event(keepalive => {type => 'keepalive'}) : ":\n\n" if $kind eq 'pings';
    return ($parts[0], ": still thinking\n\n", $dialect eq 'messages' ? @parts[1, 2]
        : $dialect eq 'responses' ? event('response.in_progress', {type => 'response.in_progress', sequence_number => 1,
            response => {id => 'resp_1', object => 'response', created_at => 1, model => 'up', status => 'in_progress', output => []}})
        : $parts[0]);
}

my @kinds = qw(nothing comments pings prelude);

# The prelude, and what comes instead of content.
sub fails {
    my ($req, $dialect, $kind, $end) = @_;
    my @parts = prelude($dialect, $kind);
    push @parts, error_event($dialect) if $end eq 'error';
    push @parts, substr((authored($dialect))[-2], 0, 30) if $end eq 'half';
    my %end = (error => 'good', done => 'good', half => 'close');
    push @parts, $dialect eq 'messages' ? event(message_stop => {type => 'message_stop'}) : event('[DONE]')
        if $end eq 'done';
    return sse(\@parts, gap_ms => 2, end => $end{$end} || $end);
}

# Content, and then the failure.
sub breaks {
    my ($req, $dialect, $end) = @_;
    my @parts = authored($dialect);
    my $middle = $dialect eq 'chat' ? 2 : $dialect eq 'messages' ? 5 : 6;
    @parts = @parts[0 .. $middle];
    push @parts, error_event($dialect, scalar @parts) if $end eq 'error';
    return sse(\@parts, gap_ms => 2, after_ms => 5, end => $end eq 'error' ? 'good' : $end);
}

# A lot that is no content.
sub chatter { my ($dialect, $kb) = @_; (': ' . 'x' x 1021 . "\n") x $kb }

my $a = player(
    chatter => sub {
        my ($req, $dialect, $kb, $good) = @_;
        return sse([chatter($dialect, $kb), $good ? authored($dialect) : error_event($dialect)]);
    },
    fails => \&fails, breaks => \&breaks);
my $whole = sub { my ($req, $dialect) = @_; sse([authored($dialect)]) };
my $b = player({tls => 1}, chatter => $whole, fails => $whole, breaks => $whole);
my $t = Relay::Test->new(http2 => 1);
$t->relay(relay_config({timeouts => {first_token_ms => 400, idle_ms => 400},
    models => {alone => {offers => [{host => 'a', id => 'up-a'}]}}}, a => $a, b => tls_host($b)));
$t->start;

my %asked = (chat => {stream_options => {include_usage => \1}}, responses => {}, messages => {});
sub asking { my ($dialect, %more) = @_; (body => {%{$asked{$dialect}}, %more}) }

# ---- X4 ---------------------------------------------------------------------

sub failed_over_ok {
    my ($dialect, $res, $name, %log) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    same_bytes $res->body, joined(authored($dialect)), "$name: the caller sees the second provider alone";
    my @faults;
    push @faults, 'status ' . $res->status if $res->status != 200;
    push @faults, 'the body has no clean end' unless $res->clean;
    push @faults, "x-relay-host $_" for grep { $_ ne 'b' } $res->header('x-relay-host');
    push @faults, "x-relay-attempts $_" for grep { $_ ne '2' } $res->header('x-relay-attempts');
    ok !@faults, "$name: a good answer" or diag(join "\n", @faults);
    logged($t, $res, {status => 200, host => 'b', attempts => 2, error => '', %{spent($dialect)}, %log}, "$name: its log");
}

for my $dialect (dialects()) {
    for my $kind (@kinds) {
        for my $end (qw(error good close reset half)) {
            $_->forget for $a, $b;
            my $res = ask($t, $dialect => "fails $dialect $kind $end", asking($dialect));
            failed_over_ok($dialect, $res, "X4 $dialect: 200, $kind, then $end");
            is join(' ', map { my $req = $_->request(0); $req ? ($req->key, $req->json->{model}) : 'none' } $a, $b),
                join(' ', secret('a'), 'up-a', secret('b'), 'up-b'), "X4 $dialect: each with its own key and model";
        }
    }
    my $res = ask($t, $dialect => "fails $dialect prelude error", asking($dialect), http2 => 1);
    failed_over_ok($dialect, $res, "X4 $dialect: over HTTP/2");
}

# an item and a part that are announced empty hold no content yet
for my $end (qw(error close)) {
    my $res = ask($t, responses => "fails responses items $end");
    failed_over_ok('responses', $res, "X4 responses: 200, an empty item, then $end");
}

# held back for as long as it takes, but not in any amount
for my $dialect (dialects()) {
    my $res = ask($t, $dialect => "chatter $dialect 600", asking($dialect));
    failed_over_ok($dialect, $res, "X4 $dialect: 600 KB of comments, then an error");
    $res = ask($t, $dialect => "chatter $dialect 3000 good", asking($dialect));
    is $res->body, joined(chatter($dialect, 3000), authored($dialect)), "X4 $dialect: 3 MB of comments, then an answer";
}

# [DONE] alone announces nothing: no answer either
for my $dialect (qw(chat messages)) {
    my $res = ask($t, $dialect => "fails $dialect comments done", asking($dialect));
    failed_over_ok($dialect, $res, "X4 $dialect: an end without an answer");
}

# the wait is bounded, whatever the provider sends meanwhile
{
    my %clients = map { my $d = $_; map { ("$d $_" => begin($t, $d => "fails $d $_ hang", asking($d))) } @kinds } dialects();
    my @order = sort keys %clients;
    my @all = finish(5, @clients{@order});
    for my $case (@order) {
        my ($dialect, $kind) = split / /, $case;
        my $res = shift @all;
        failed_over_ok($dialect, $res, "X4 $dialect: 200, $kind, then silence", first_token_ms => qr/^[45]\d\d$/);
        my $left = $res->first_byte;
        ok $left > 0.38 && $left < 0.6, "X4 $dialect: 200, $kind, then silence: for first_token_ms only" or diag($left);
    }
}

# nobody left: an error status, not a 200
for my $dialect (dialects()) {
    for my $kind (@kinds) {
        my $res = ask($t, $dialect => "fails $dialect $kind error", asking($dialect, model => 'alone'));
        is $res->status, $status{$dialect}, "X4 $dialect: $kind, then an error, from the last provider: its status";
        like $res->json->{error}{message} // '', qr/Overloaded/, "X4 $dialect: and its words";
        is $res->header('content-length'), length $res->body, "X4 $dialect: as a plain answer";
        like $res->header('content-type') // '', qr{^application/json}, "X4 $dialect: of JSON";
        like $res->header('retry-after') // '', qr/^([1-9]|[1-5]\d|60)$/, "X4 $dialect: with a time to retry" if $dialect ne 'messages';
        logged($t, $res, {status => $status{$dialect}, attempts => 1, error => qr/^upstream_/, input_tokens => qr/^\d*$/},
            "X4 $dialect: logged as failed");
    }
    for my $end (qw(good close reset half)) {
        my $res = ask($t, $dialect => "fails $dialect prelude $end", asking($dialect, model => 'alone'));
        is $res->status, 502, "X4 $dialect: prelude, then $end, from the last provider: 502";
        is $res->header('x-relay-error'), 'upstream_cut', "X4 $dialect: marked as ours";
        ok ref $res->json->{error}, "X4 $dialect: in the caller's dialect";
        logged($t, $res, {status => 502, attempts => 1, error => 'upstream_cut'}, "X4 $dialect: logged as failed");
    }
    my $res = ask($t, $dialect => "fails $dialect prelude hang", asking($dialect, model => 'alone'));
    is $res->status, 504, "X4 $dialect: prelude, then silence, from the last provider: 504";
    logged($t, $res, {status => 504, error => 'upstream_timeout'}, "X4 $dialect: logged as timed out");
}

# ---- X6 ---------------------------------------------------------------------

for my $dialect (dialects()) {
    for my $end (qw(error good close reset hang)) {
        $_->forget for $a, $b;
        my $res = ask($t, $dialect => "breaks $dialect $end", asking($dialect));
        sse_ok $dialect => $res->body, "X6 $dialect: content, then $end: one partial answer with an error", error => 1;
        ok $res->clean, "X6 $dialect: content, then $end: a clean end";
        my @others = $b->requests;
        is scalar(@others), 0, "X6 $dialect: content, then $end: no second provider was asked";
        my $why = $end eq 'error' ? 'upstream_error' : $end eq 'hang' ? 'upstream_timeout' : 'upstream_cut';
        logged($t, $res, {status => 200, host => 'a', attempts => 1, error => $why, first_token_ms => qr/^\d{1,2}$/},
            "X6 $dialect: content, then $end: its log");
    }
}

$t->done;
