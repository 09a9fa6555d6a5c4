#!/usr/bin/perl

# How streams end. Broken ones end with the dialect's error as an event of its
# own and a clean end of the body, never with a mark of success (F15); ends
# that the provider left out are supplied (F17, F18).

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

# ---- the provider -----------------------------------------------------------

my %in_stream = (
    chat => event({error => {message => 'It broke', type => 'server_error', param => undef, code => undef}}),
    responses => event(error => {type => 'error', sequence_number => 4,
        error => {type => 'server_error', code => 'server_error', message => 'It broke', param => undef}}),
    messages => event(error => {type => 'error', error => {type => 'overloaded_error', message => 'It broke'}}),
);

# The stream up to the event with the finish reason, with it, and the rest.
my %finish = (chat => qr/"finish_reason":"/, responses => qr/response\.completed/, messages => qr/message_delta/);

sub around_finish {
    my ($dialect) = @_;
    my @parts = authored($dialect);
    my ($at) = grep { $parts[$_] =~ /$finish{$dialect}/ } 0 .. $#parts;
    return ([@parts[0 .. $at - 1]], $parts[$at], [@parts[$at + 1 .. $#parts]]);
}

sub chunk { {id => 'chatcmpl-7', object => 'chat.completion.chunk', created => 1700000007, model => 'up', @_} }
sub choice { my ($i, $delta, $finish) = @_; {index => $i, delta => $delta, finish_reason => $finish} }
sub said { my ($i, $text) = @_; event(chunk(choices => [choice($i, {role => 'assistant', content => $text})])) }

my %beat = (chat => ": keep-alive\n\n", responses => ": keep-alive\n\n", messages => event(ping => {type => 'ping'}));

# A beat each 300 ms, longer than any limit of the stream.
sub beating { my ($dialect) = @_; map { ([chunk => $beat{$dialect}], [sleep => 300]) } 1 .. 30 }

my $mock = player(
    # k events, then the end
    lost => sub {
        my ($req, $dialect, $k, $how) = @_;
        my @parts = authored($dialect);
        return sse([@parts[0 .. $k - 1]], gap_ms => 2, after_ms => 3, end => $how);
    },
    half => sub {
        my ($req, $dialect, $how) = @_;
        my ($before, $last) = around_finish($dialect);
        return sse([@$before, substr $last, 0, 20], gap_ms => 2, end => $how);
    },
    bad_chunk => sub {
        my ($req, $dialect) = @_;
        my ($before) = around_finish($dialect);
        return {type => 'text/event-stream', chunked => 1, steps => [[chunk => joined(@$before)],
            [sleep => 5], [send => "zz\r\nno chunk\r\n"], 'hang']};
    },
    short => sub {
        my ($req, $dialect) = @_;
        my ($before) = around_finish($dialect);
        return {type => 'text/event-stream', length => 100000, steps => [[send => joined(@$before)], [sleep => 5], 'close']};
    },
    long_event => sub {
        my ($req, $dialect) = @_;
        my ($before) = around_finish($dialect);
        return sse([joined(@$before), 'data: "' . 'x' x 4400000], gap_ms => 5, end => 'hang');
    },
    many => sub {
        my ($req, $dialect) = @_;
        my ($before) = around_finish($dialect);
        return sse([joined(@$before, ($before->[-1]) x 5000)], after_ms => 5, end => 'close');
    },
    in_stream => sub {
        my ($req, $dialect) = @_;
        my ($before) = around_finish($dialect);
        return sse([joined(@$before), $in_stream{$dialect}, "data: [DONE]\n\n", ": late\n\n"], gap_ms => 5);
    },
    finish => sub {
        my ($req, $dialect, $how) = @_;
        my ($before, $last) = around_finish($dialect);
        return sse([@$before, $last], gap_ms => 2, after_ms => 3, end => $how);
    },
    beats_after_finish => sub {
        my ($req, $dialect) = @_;
        my ($before, $last) = around_finish($dialect);
        return {type => 'text/event-stream', chunked => 1, steps => [[chunk => joined(@$before, $last)], beating($dialect)]};
    },
    beats_after_end => sub {
        my ($req, $dialect) = @_;
        return {type => 'text/event-stream', chunked => 1, steps => [[chunk => joined(authored($dialect))], beating($dialect)]};
    },
    silent_after_end => sub { my ($req, $dialect) = @_; sse([authored($dialect)], end => 'hang') },
    after_end => sub {
        my ($req, $dialect) = @_;
        return sse([authored($dialect), said(0, 'ghost'), ": late\n\n", "data: [DONE]\n\n", $in_stream{$dialect}], gap_ms => 1);
    },
    unterminated => sub {
        my ($req, $dialect, $lines) = @_;
        my $text = joined(authored($dialect));
        return sse([substr $text, 0, length($text) - $lines]);
    },
    bare_done => sub {
        my ($req, $kind) = @_;
        my @tool = event(chunk(choices => [choice(0, {role => 'assistant', tool_calls => [{index => 0, id => 'c1',
            type => 'function', function => {name => 'f', arguments => '{}'}}]})]));
        my @two = (said(0, 'one'), said(1, 'two'));
        my %said = (text => [said(0, 'Hello')], tool => \@tool, two => \@two,
            one_of_two => [@two, event(chunk(choices => [choice(0, {}, 'stop')]))],
            usage => [said(0, 'Hello'), event(chunk(choices => [], usage => {prompt_tokens => 5,
                completion_tokens => 1, total_tokens => 6}))]);
        return sse([@{$said{$kind}}, event('[DONE]')], gap_ms => 2);
    },
);

my $t = Relay::Test->new(http2 => 1);
$t->relay(relay_config({timeouts => {idle_ms => 3000}}, a => $mock));
$t->start;

my %asked = (chat => {stream_options => {include_usage => \1}}, responses => {}, messages => {});
sub asking { my ($dialect, %more) = @_; (body => {%{$asked{$dialect}}, %more}) }

# ---- heart-beats run beside all that follows --------------------------------

my %beats = map { $_ => begin($t, $_ => "beats_after_finish $_", asking($_)) } qw(chat messages);

# ---- F15 --------------------------------------------------------------------

my %content = (chat => qr/na\xC3\xAFve/, responses => qr/output_text\.delta/, messages => qr/content_block_delta/);
my %error_type = (chat => 'type', responses => 'code', messages => 'type');

sub failed_ok {
    my ($dialect, $res, $parts, $name, %log) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $error = error_of($dialect, $res->body) || {};
    my @faults = Relay::Sse::faults($dialect, $res->body, error => 1);
    push @faults, 'the body does not begin with the events as they came' if index($res->body, joined(@$parts)) != 0;
    push @faults, 'no clean end: ' . $res->why unless $res->clean;
    push @faults, 'a mark of success' if $res->body =~ success_mark($dialect);
    push @faults, 'an error without message' unless length($error->{message} || '');
    push @faults, "an error without $error_type{$dialect}" unless length($error->{$error_type{$dialect}} || '');
    my %event = (chat => '', responses => 'response.failed', messages => 'error');
    push @faults, "the error's event is " . ($error->{event} || '(none)') if ($error->{event} || '') ne $event{$dialect};
    push @faults, "sequence number $error->{sequence_number}, expected " . @$parts
        if $dialect eq 'responses' && ($error->{sequence_number} // -1) != @$parts;
    push @faults, 'the failed response is not the one that began'
        if $dialect eq 'responses' && (($error->{whole}{response}{id} || '') ne 'resp_1'
        || ($error->{whole}{response}{status} || '') ne 'failed');
    ok(!@faults, $name) or diag(join "\n", @faults, $res->body);
    logged($t, $res, {status => 200, error => 'upstream_cut', attempts => 1, %log}, "$name: its log");
}

# What is known of usage after the first events.
sub known {
    my ($dialect, $k) = @_;
    return $dialect eq 'messages' ? (input_tokens => 16, cached_tokens => 3, output_tokens => 1, finish_reason => '')
        : (input_tokens => '', output_tokens => '', finish_reason => '');
}

for my $dialect (dialects()) {
    my @parts = authored($dialect);
    my ($before) = around_finish($dialect);
    my ($first) = grep { $parts[$_] =~ $content{$dialect} } 0 .. $#parts;
    for my $k ($first + 1 .. @$before) {
        for my $how (qw(reset close good)) {
            my $res = ask($t, $dialect => "lost $dialect $k $how", asking($dialect));
            failed_ok($dialect, $res, [@parts[0 .. $k - 1]], "F15 $dialect: lost after $k events ($how)", known($dialect, $k));
        }
    }
    my $res = ask($t, $dialect => "lost $dialect " . @$before . ' reset', asking($dialect), http2 => 1);
    failed_ok($dialect, $res, $before, "F15 $dialect: lost, over HTTP/2", protocol => 'HTTP/2.0');
    for my $how (qw(half bad_chunk short long_event)) {
        $res = ask($t, $dialect => "$how $dialect reset", asking($dialect));
        my $why = $how eq 'bad_chunk' || $how eq 'long_event' ? 'upstream_invalid' : 'upstream_cut';
        failed_ok($dialect, $res, $before, "F15 $dialect: $how", error => $why, known($dialect));
    }
}

# a caller that reads late gets all that there was, and then the error
for my $dialect (qw(chat messages)) {
    my $c = begin($t, $dialect => "many $dialect", asking($dialect), connection => {receive_buffer => 65536});
    sleep 0.3;
    my ($res) = finish(5, $c);
    my ($before) = around_finish($dialect);
    my $wanted = joined(@$before, ($before->[-1]) x 5000);
    same_bytes substr($res->body, 0, length $wanted), $wanted, "F15 $dialect: a caller that reads late gets every event";
    ok $res->clean && error_of($dialect, $res->body), "F15 $dialect: and then the error" or diag(substr $res->body, -300);
    logged($t, $res, {error => 'upstream_cut'}, "F15 $dialect: and it is logged");
}

# the provider's own error is the one that the caller gets, and the last word
for my $dialect (dialects()) {
    my ($before) = around_finish($dialect);
    my $res = ask($t, $dialect => "in_stream $dialect", asking($dialect));
    same_bytes $res->body, joined(@$before) . $in_stream{$dialect}, "F15 $dialect: an error event ends the stream, byte for byte";
    ok $res->clean, "F15 $dialect: with a clean end";
    logged($t, $res, {status => 200, error => 'upstream_error', attempts => 1, known($dialect)}, "F15 $dialect: and is logged as failed");
}

# ---- F17 --------------------------------------------------------------------

for my $how (qw(good close reset)) {
    my ($before, $last) = around_finish('chat');
    my $res = ask($t, chat => "finish chat $how", asking('chat'));
    same_bytes $res->body, joined(@$before, $last, "data: [DONE]\n\n"), "F17 chat: a finish reason, then EOF ($how): [DONE] is added";
    ok $res->clean, "F17 chat: with a clean end ($how)";
    logged($t, $res, {status => 200, error => '', finish_reason => 'tool_calls'}, "F17 chat: and is no failure ($how)");

    ($before, $last) = around_finish('messages');
    $res = ask($t, messages => "finish messages $how");
    same_bytes $res->body, joined(@$before, $last, event(message_stop => {type => 'message_stop'})),
        "F17 messages: a stop reason, then EOF ($how): message_stop is added";
    ok $res->clean, "F17 messages: with a clean end ($how)";
    logged($t, $res, {status => 200, error => '', %{spent('messages')}}, "F17 messages: and is no failure ($how)");
}

{
    my $res = ask($t, chat => 'finish chat reset', asking('chat'), http2 => 1);
    like $res->body, qr/data: \[DONE\]\n\n\z/, 'F17 chat: over HTTP/2';
    ok $res->clean, 'F17 chat: over HTTP/2, with a clean end';
}

for my $dialect (dialects()) {
    my $wanted = joined(authored($dialect));
    my $res = ask($t, $dialect => "after_end $dialect", asking($dialect));
    same_bytes $res->body, $wanted, "F17 $dialect: nothing follows the end";
    logged($t, $res, {error => '', %{spent($dialect)}}, "F17 $dialect: nor changes what it was");

    for my $lines (1, 2) {
        $res = ask($t, $dialect => "unterminated $dialect $lines", asking($dialect));
        sse_ok $dialect => $res->body, "F17 $dialect: $lines line ends missing after the last event: supplied";
        is index($res->body, substr $wanted, 0, -2), 0, "F17 $dialect: behind the provider's bytes";
        logged($t, $res, {error => '', %{spent($dialect)}}, "F17 $dialect: and is no failure");
    }
}

{
    my @cases = map { my $d = $_; map { [$d, $_] } qw(beats_after_end silent_after_end) } dialects();
    my @all = finish(5, map { my ($dialect, $play) = @$_; begin($t, $dialect => "$play $dialect", asking($dialect)) } @cases);
    for (@cases) {
        my ($dialect, $play) = @$_;
        my $res = shift @all;
        same_bytes $res->body, joined(authored($dialect)), "F17 $dialect, $play: the stream";
        ok $res->clean && $res->elapsed < 1, "F17 $dialect, $play: ended soon after its end" or diag($res->elapsed);
        logged($t, $res, {error => '', %{spent($dialect)}}, "F17 $dialect, $play: its log");
    }
}

# ---- F17 (c), F18 -----------------------------------------------------------

for my $case ([text => 'stop'], [tool => 'tool_calls'], [usage => 'stop']) {
    my ($kind, $finish) = @$case;
    my $res = ask($t, chat => "bare_done $kind", asking('chat'));
    sse_ok chat => $res->body, "F17 chat, $kind: [DONE] without a finish reason";
    my @events = $res->events;
    my $chunk = JSON::PP->new->utf8->decode($events[-2]{data});
    is $chunk->{choices}[0]{finish_reason}, $finish, "F17 chat, $kind: a finish chunk is supplied";
    is_deeply [@$chunk{qw(id object created model)}], ['chatcmpl-7', 'chat.completion.chunk', 1700000007, 'up'],
        "F17 chat, $kind: of the same answer";
    is $events[-1]{data}, '[DONE]', "F18 chat, $kind: before [DONE], framed on its own";
    is scalar(@events), $kind eq 'usage' ? 4 : 3, "F18 chat, $kind: two events for one";
    logged($t, $res, {error => '', finish_reason => $finish}, "F17 chat, $kind: its log");
}

for my $kind (qw(two one_of_two)) {
    my $res = ask($t, chat => "bare_done $kind", body => {n => 2});
    sse_ok chat => $res->body, "F17 chat, $kind: every choice gets its finish reason";
}

# ---- F17 (b) ----------------------------------------------------------------

{
    my @order = sort keys %beats;
    my @all = finish(8, @beats{@order});
    for my $dialect (@order) {
        my $res = shift @all;
        ok $res->clean, "F17 $dialect: heart-beats after the finish reason: ended";
        sse_ok $dialect => $res->body, "F17 $dialect: as a good stream";
        my ($req) = grep { $_->header('x-play') =~ /^beats_after_finish $dialect/ } $mock->requests;
        my $took = $mock->connection($req->conn)->{closed} - $req->{time};
        ok $took > 2 && $took < 5.3, "F17 $dialect: within 5 s" or diag("$took s");
        logged($t, $res, {status => 200, error => '', finish_reason => spent($dialect)->{finish_reason}},
            "F17 $dialect: its log");
    }
}

# ---- a debug log ------------------------------------------------------------

{
    my $debug = Relay::Test->new(log_level => 'debug');
    $debug->relay(relay_config(a => $mock))->start;
    my $c = $debug->client;
    for my $dialect (dialects()) {
        sse_ok $dialect => ask($debug, $dialect => "lost $dialect 6 $_", client => $c)->body,
            "$dialect: with a debug log, $_", error => 1 for qw(close reset);
    }
    like $debug->error_log, qr/\[debug\].*relay attempt 1 at/, 'it is one';
    is index($debug->error_log, secret('a')), -1, 'without the provider key';
    $debug->finish;
}

$t->done;
