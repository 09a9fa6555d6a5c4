#!/usr/bin/perl

# How streams end, every caller's format in front of every upstream: broken ones
# with the caller's error and never with a mark of success (F14, F15), ends that
# the provider left out are supplied (F17), input that lies or has no end is
# refused within a bound.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Frames;
use Relay::Grid;
use Relay::Streams;

# ---- the providers ----------------------------------------------------------------

sub first_of { my ($to, $k) = @_; my @parts = story($to); return @parts[0 .. $k - 1] }

# Nothing but signs of life, longer than any limit of the stream.
my %beat = (chat => ": keep-alive\n\n", messages => event(ping => {type => 'ping'}), gemini => "\n",
    converse => frame(contentBlockStop => {contentBlockIndex => 0}));

# What is read at once is judged at once: the answer has begun before the rest comes.
sub late { my ($to, $parts, %o) = @_; my $play = play($to, $parts, gap_ms => 2, %o); splice @{$play->{steps}}, 2 * (content_at($to) + 1), 0, [sleep => 80]; return $play }

my %plays = (
    whole => sub { my ($req, $to) = @_; play($to, [story($to)], gap_ms => 1) },
    lost => sub { my ($req, $to, $k, $how) = @_; late($to, [first_of($to, $k)], after_ms => 3, end => $how) },
    torn => sub {
        my ($req, $to, $k, $bytes) = @_;
        my @parts = story($to);
        return late($to, [@parts[0 .. $k - 1], substr $parts[$k], 0, $bytes], end => 'close');
    },
    fails => sub { my ($req, $to, $k) = @_; late($to, [first_of($to, $k), stream_error($to, "It broke \x{6f22}.", $k),
        (story($to))[$k .. finish_at($to)]]) },
    finish => sub { my ($req, $to, $how) = @_; play($to, [first_of($to, finish_at($to) + 1)], gap_ms => 2, after_ms => 3, end => $how) },
    beats => sub {
        my ($req, $to) = @_;
        return {%{play($to, [])}, steps => [[chunk => joined(first_of($to, finish_at($to) + 1))],
            map { ([sleep => 300], [chunk => $beat{$to}]) } 1 .. 30]};
    },
    hangs => sub { my ($req, $to) = @_; play($to, [story($to)], end => 'hang') },
    bare_done => sub { my ($req, $to, $k) = @_; play($to, [first_of($to, $k), event('[DONE]')]) },
    endless => sub {
        my ($req, $to) = @_;
        my $write = sub { my ($c) = @_; $c->chunk('x' x 1e6) for 1 .. 20 };
        my $begin = $to eq 'converse' ? pack('NN', 20e6, 100) : 'data: {"x":"';
        return {%{play($to, [])}, steps => [[chunk => joined(first_of($to, content_at($to) + 1))], [sleep => 150], [chunk => $begin],
            [code => $write], [chunk => "\"}\n\n"], 'hang']};
    },
    lies => sub {
        my ($req, $to, $what) = @_;
        my $bad = (story($to))[content_at($to) + 1];
        substr($bad, -2, 1) ^= "\x01" if $what eq 'checksum';
        substr($bad, 9, 1) ^= "\x01" if $what eq 'prelude';
        substr($bad, 0, 4) = pack 'N', 5 if $what eq 'short';
        $bad = substr $bad, 0, 30 if $what eq 'header';
        return late($to, [first_of($to, content_at($to) + 1), $bad], $what eq 'header' ? (end => 'close') : ());
    },
    nonsense => sub {
        my ($req, $to) = @_;
        my @parts = story($to);
        my $at = content_at($to) + 1;
        return play($to, [@parts[0 .. $at - 1], "data: {\"choices\":[{\"delta\":\n\n", "data: \xFF\xFE\n\n", "data: [1,2]\n\n", @parts[$at .. $#parts]], gap_ms => 1);
    },
    broken_call => sub {
        my ($req, $to) = @_;
        my @parts = story($to);
        return play($to, [map { s/\\"\}/\\"/r } @parts]) if $to ne 'converse';
        return play($to, [frame(messageStart => {role => 'assistant'}), frame(contentBlockStart => {contentBlockIndex => 0,
            start => {toolUse => {toolUseId => 'c', name => 'find'}}}), frame(contentBlockDelta => {contentBlockIndex => 0,
            delta => {toolUse => {input => '{"q":"'}}}), frame(contentBlockStop => {contentBlockIndex => 0}),
            frame(messageStop => {stopReason => 'tool_use'}), frame(metadata => {usage => {inputTokens => 8, outputTokens => 7}})]);
    },
);

my $grid = Relay::Grid->new(\%plays, timeouts => {idle_ms => 3000});
my $t = $grid->t;
my $worker = first_worker($t);
sub rss_kb { my ($kb) = slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m; return $kb }
sub peak_kb { my ($kb) = slurp("/proc/$worker/status") =~ /^VmHWM:\s+(\d+)/m; return $kb }
my $scale = ($ENV{RELAY_MODULE} || '') eq 'static' ? 8 : 1;

# ---- what every end is checked for ------------------------------------------------------

my $said = "na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97 \xF0\x9F\x99\x82";
sub text_of { my ($from, $res) = @_; my $text = Relay::Sse::text($from, $res->body); utf8::encode($text); return $text }

# How much of the text the first events hold.
sub said_by {
    my ($to, $k) = @_;
    my $bytes = joined(first_of($to, $k));
    return $bytes =~ /\xF0\x9F\x99\x82/ ? $said : $bytes =~ /\xE6\xBC\xA2/ ? "na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97" : "na\xC3\xAFve ";
}

sub faults_of {
    my ($from, $to, $res, %o) = @_;
    my @faults = Relay::Sse::faults($from, $res->body, $o{good} ? ($from eq 'chat' ? (usage => 1) : ()) : (error => 1));
    push @faults, 'status ' . $res->status if $res->status != 200;
    push @faults, 'no clean end: ' . $res->why unless $res->clean;
    push @faults, 'a mark of success' if !$o{good} && $res->body =~ success_of($from);
    push @faults, 'the text is ' . text_of($from, $res) if defined $o{text} && index(text_of($from, $res), $o{text}) != 0;
    push @faults, "no error like $o{message}" if $o{message} && (error_of($from, $res->body) || {message => ''})->{message} !~ $o{message};
    my $entry = entry($t, $res);
    my %log = (status => 200, attempts => 1, error => $o{good} ? '' : 'upstream_cut', %{$o{log} || {}});
    push @faults, map { "$_ logged as '$entry->{$_}'" } grep { ref $log{$_} ? $entry->{$_} !~ $log{$_} : $entry->{$_} ne $log{$_} } sort keys %log;
    return @faults;
}

# Each case is [from, to, play, options of faults_of].
sub all_end {
    my ($name, $seconds, @cases) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @all = $grid->ask_all($seconds, @cases);
    my @bad;
    for my $case (@cases) {
        my ($from, $to, $play, %o) = @$case;
        my $res = shift @all;
        my @faults = faults_of($from, $to, $res, %o);
        push @faults, sprintf 'took %.1f s', $res->elapsed if $o{within} && $res->elapsed > $o{within};
        push @bad, "$from to $to, $play: @faults", (@bad < 6 ? substr $res->body, -600 : ()) if @faults;
    }
    ok !@bad, sprintf '%s (%d)', $name, scalar @cases or diag join "\n", @bad[0 .. ($#bad < 20 ? $#bad : 20)];
}

# What is known of usage in the middle of a stream: only Messages tells at its start.
my %known = (messages => {input_tokens => 16, cached_tokens => 3, finish_reason => ''});

# ---- F14, F15 -----------------------------------------------------------------------

for my $to (upstreams()) {
    my ($from_k, $until_k) = (content_at($to) + 1, finish_at($to));
    for my $how (qw(reset close good)) {
        all_end("F15 lost after every event ($how), $to to all callers", 10, map { my $k = $_;
            map { [$_, $to, "lost $k $how", text => said_by($to, $k), message => qr/./, log => $known{$to} || {input_tokens => '', finish_reason => ''}] }
            callers() } $from_k .. $until_k);
    }
    my $next = length((story($to))[$from_k]);
    all_end("F14 torn at every byte of an event, $to to all callers", 10, map { my $bytes = $_;
        map { [$_, $to, "torn $from_k $bytes", message => qr/./] } callers() } grep { $_ % 7 == 1 } 1 .. $next - 2);
    all_end("F15 an error in the stream of $to keeps its message, to all callers", 10, map { my $k = $_;
        map { [$_, $to, "fails $k", text => said_by($to, $k), message => qr/^It broke \x{6f22}\.$/, log => {error => 'upstream_error'}] }
        callers() } $from_k .. $until_k);
}

# ---- F17 ------------------------------------------------------------------------------

for my $how (qw(good close reset)) {
    all_end("F17 a reason to stop and then the end of the connection ($how) is a good end", 10,
        map { my $to = $_; map { [$_, $to, "finish $how", good => $_ ne 'chat', text => $said] } grep { $_ ne 'chat' } callers() } qw(chat messages gemini converse));
}
all_end('F17 heart-beats behind the reason to stop: ended within 5 s', 10,
    map { my $to = $_; map { [$_, $to, 'beats', good => 1, text => $said, within => 5.5] } grep { $_ ne 'chat' } callers() } qw(chat messages gemini converse));
all_end('F17 silence behind the end', 10, map { [@$_, 'hangs', good => 1, text => $said, within => 5.5] } pairs());
all_end('F17 [DONE] without a reason to stop', 10, map { my $k = $_; map { [$_, 'chat', "bare_done $k", good => 1] } qw(messages responses gemini) } 3, 8);

# ---- input that lies ----------------------------------------------------------------------

all_end('S18 broken arguments of a call fail nothing', 10, map { [@$_, 'broken_call', good => 1] } grep { $_->[1] ne 'gemini' } pairs());
all_end('events that are no JSON are passed over', 10, map { [@$_, 'nonsense', good => 1, text => $said] }
    grep { my ($from, $to) = @$_; $from ne $to && $to ne 'converse' } pairs());
for my $what (qw(checksum prelude short)) {
    all_end("a binary event with a wrong $what ends the stream", 10,
        map { [$_, 'converse', "lies $what", text => "na\xC3\xAFve", message => qr/./, log => {error => 'upstream_invalid'}] } callers());
}
all_end('a binary stream that is cut in a header', 10, map { [$_, 'converse', 'lies header', text => "na\xC3\xAFve", message => qr/./] } callers());

{
    my @cases = map { [@$_, 'endless', text => "na\xC3\xAFve", message => qr/./, log => {error => 'upstream_invalid'}] } pairs();
    all_end('a line of 20 MB ends the stream, every pair', 30, @cases);
    my $before = rss_kb();
    all_end('and once more', 30, @cases) for 1, 2;
    # what the allocator holds back comes and goes; 40 lines would be 160 MB
    cmp_ok rss_kb() - $before, '<', 64 * 1024 * $scale, 'its memory comes back' or diag($before);
    # an event may have 4 MB, and 16 streams are there at once
    cmp_ok peak_kb(), '<', 160 * 1024 * $scale, 'and never was the line';
}

my ($last) = $grid->ask_all(5, ['chat', 'messages', 'whole']);
sse_ok chat => $last->body, 'the worker serves', usage => 1;
is_deeply [$t->workers], [$worker], 'and is the same';

$t->done;
