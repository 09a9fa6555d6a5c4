#!/usr/bin/perl

# F7: a stream that has begun and falls silent gets signs of life in the
# caller's format, between events only, and never before the first one.

use lib 't/lib';
use Relay::Test;

my %maker = (chat => \&chat_stream, messages => \&messages_stream, responses => \&responses_stream);
my %path = (chat => '/v1/chat/completions', messages => '/v1/messages', responses => '/v1/responses');
my %sign = (chat => qr/: ping\n/, responses => qr/: ping\n/, messages => qr/event: ping\ndata: \{"type":"ping"\}\n\n/);
my $format = '';
my $mock = Relay::Mock->new(on => sub {
    my ($req) = @_;
    my ($name) = grep { $path{$_} eq $req->path } keys %path;
    my @parts = $maker{$name}->();
    my $at = $name eq 'responses' ? 5 : 3;
    my $mode = $req->flag('mode') || '';
    return {steps => [[sleep => 700], [send => join '', @parts]], headers => ['Content-Type', 'text/event-stream'], chunked => 0}
        if $mode eq 'late';
    my @half = ($mode eq 'half') ? (substr($parts[$at], 0, 20), substr $parts[$at], 20) : ($parts[$at]);
    return {type => 'text/event-stream', steps => [[chunk => join '', @parts[0 .. $at - 1]],
        @half == 2 ? [chunk => shift @half] : (), [sleep => 700],
        [chunk => join '', @half, @parts[$at + 1 .. $#parts]], [chunk => '']], chunked => 1};
});
my $t = Relay::Test->new(location => 'relay_stream_keepalive 200ms;');
$t->relay(relay_config({models => {other => {offers => [{host => 'o'}]}}}, a => $mock,
    o => {mock => $mock, formats => ['openai-chat']}));
$t->start;

sub ask {
    my ($name, $model) = (@_, 'm');
    return $t->post($path{$name}, {model => $model, stream => \1, max_tokens => 9,
        $name eq 'responses' ? (input => 'Hi') : (messages => [{role => 'user', content => 'Hi'}])});
}

for my $name (sort keys %path) {
    my $body = ask($name)->body;
    my @signs = $body =~ /$sign{$name}/g;
    cmp_ok scalar @signs, '>=', 2, "F7 $name: signs of life";
    cmp_ok scalar @signs, '<=', 3, "F7 $name: not too many";
    $body =~ s/$sign{$name}//g;
    is $body, join('', $maker{$name}->()), "F7 $name: the stream is as it was otherwise";
}

my $body = ask('messages', 'other')->body;
cmp_ok scalar(() = $body =~ /$sign{messages}/g), '>=', 2, 'F7 translated: signs of the caller\'s format';
sse_ok messages => $body, 'F7 translated: a good stream';

$mock->flag(mode => 'half');
for my $name (sort keys %path) {
    my $body = ask($name)->body;
    cmp_ok scalar(() = $body =~ /$sign{$name}/g), '>=', 2, "F7 $name: while half an event is there";
    $body =~ s/$sign{$name}//g;
    is $body, join('', $maker{$name}->()), "F7 $name: it is not torn";
}

$mock->flag(mode => 'late');
unlike ask($_)->body, $sign{$_}, "F7 $_: nothing before the first event" for sort keys %path;

$t->done;
