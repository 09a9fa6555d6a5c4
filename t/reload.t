#!/usr/bin/perl

# A reload of nginx under open streams (O6): they finish on the old worker,
# new requests meet the new configuration, and the old worker leaves.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

# Sequence numbers go on from event to event.
sub numbered { my ($event, $n) = @_; $event =~ s/("sequence_number":)(\d+)/$1 . ($2 + $n - 1)/e; return $event }

# The authored stream, its first content repeated: one event each 100 ms.
sub slow {
    my ($req, $dialect, $count) = @_;
    my @parts = authored($dialect);
    my ($at) = grep { $parts[$_] =~ /na\xC3\xAFve/ } 0 .. $#parts;
    return {type => 'text/event-stream', chunked => 1, steps => [[chunk => joined(@parts[0 .. $at - 1])],
        (map { ([chunk => numbered($parts[$at], $_)], [sleep => 100]) } 1 .. $count), [chunk => joined(@parts[$at + 1 .. $#parts])], [chunk => '']]};
}

sub slow_text { joined(map { $_->[1] } grep { ref && $_->[0] eq 'chunk' } @{slow(undef, @_)->{steps}}) }

my $old = player(slow => \&slow, whole => sub { my ($req, $dialect) = @_; sse([authored($dialect)]) });
my $new = player(slow => \&slow, whole => sub { my ($req, $dialect) = @_; sse([authored($dialect)]) });

my $t = Relay::Test->new(http2 => 1, allow => [qr{relay\.json:1:12: JSON ends too early}]);
$t->relay(relay_config(old => $old));
$t->start;

my %asked = (chat => {stream_options => {include_usage => \1}}, responses => {}, messages => {});
sub asking { my ($dialect, %more) = @_; (body => {%{$asked{$dialect}}, %more}) }

my $first = first_worker($t);
my @dialects = map { (dialects())[$_ % 3] } 0 .. 29;
my @streams = map { begin($t, $_ => "slow $_ 15", asking($_)) } @dialects;
my @h2 = map { {%{curl_begin($t, $_ => "slow $_ 15", asking($_))}, dialect => $_} } dialects();
$old->requests(@streams + @h2);
$streams[$_]->read_until(qr/na\xC3\xAFve/) for 0 .. $#streams;

$t->relay(relay_config(new => $new));
ok $t->reload, 'O6 a reload under open streams';
my ($second) = grep { $_ != $first } $t->workers;
ok $second, 'O6 there is a new worker';
ok scalar(grep { $_ == $first } $t->workers), 'O6 and the old one still works';

for my $dialect (dialects()) {
    my $res = ask($t, $dialect => "whole $dialect", asking($dialect));
    is $res->header('x-relay-host'), 'new', "O6 $dialect: a new request meets the new configuration";
    same_bytes $res->body, joined(authored($dialect)), "O6 $dialect: and its stream is whole";
}

# a broken document changes nothing for anybody
$t->relay('{"hosts": [');
ok !$t->reload, 'O6 a broken document is refused';
is ask($t, chat => 'whole chat')->header('x-relay-host'), 'new', 'O6 and the configuration before it serves';

my @all = finish(8, @streams);
for my $i (0 .. $#all) {
    my ($dialect, $res) = ($dialects[$i], $all[$i]);
    next if $i > 2;
    is $res->header('x-relay-host'), 'old', "O6 $dialect: an open stream stays where it began";
    logged($t, $res, {status => 200, host => 'old', error => '', %{spent($dialect)}}, "O6 $dialect: and is metered there");
}
my @broken = grep { !$all[$_]->clean || $all[$_]->body ne slow_text($dialects[$_], 15) } 0 .. $#all;
is scalar(@broken), 0, 'O6 all ' . @all . ' open streams end whole' or diag("streams @broken");

for my $curl (@h2) {
    my $body = do { local $/; readline $curl->{out} };
    same_bytes $body, slow_text($curl->{dialect}, 15), "O6 $curl->{dialect}: over HTTP/2 too";
    ok close($curl->{out}), "O6 $curl->{dialect}: with a clean end";
}

ok wait_for(3, sub { !grep { $_ == $first } $t->workers }), 'O6 the old worker leaves once they have ended';
is scalar($t->workers), 1, 'O6 one worker is left';

# ---- longer than the drain time ---------------------------------------------

my $short = Relay::Test->new(http2 => 1);
{
    # the harness gives 20 s; the same configuration with 1 s
    no warnings 'redefine';
    my $conf = Relay::Test->can('_conf');
    local *Relay::Test::_conf = sub { my $text = $conf->(@_); $text =~ s/worker_shutdown_timeout \d+s/worker_shutdown_timeout 1s/; $text };
    $short->relay(relay_config(old => $old));
    $short->start;
}
my @long = map { begin($short, $_ => "slow $_ 60", asking($_)) } dialects();
$_->read_until(qr/na\xC3\xAFve/) for @long;
my $at = time;
ok $short->reload, 'O6 a reload with a drain time of 1 s';
@all = finish(5, @long);
for my $dialect (dialects()) {
    my $res = shift @all;
    my $took = $res->{end} - $at;
    ok $took > 0.8 && $took < 3, "O6 $dialect: a stream that is longer than the drain time is ended" or diag("$took s");
    unlike $res->body, success_mark($dialect), "O6 $dialect: and not passed off as whole";
    sse_ok $dialect => $res->body, "O6 $dialect: with an error event", error => 1;
}

$t->done;
