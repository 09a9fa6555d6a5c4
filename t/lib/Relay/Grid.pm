package Relay::Grid;

# Every caller's format in front of every upstream, for tests of streams
# (t/translate_*.t): one mock for each upstream, which plays what the request's
# x-play header asks for, and one model for each.

=head1 SYNOPSIS

    use Relay::Test;
    use Relay::Streams;
    use Relay::Grid;

    my %plays = (whole => sub { my ($req, $to, @words) = @_; play($to, [story($to)]) });
    my $grid = Relay::Grid->new(\%plays, location => '...', timeouts => {idle_ms => 3000});
    for my $pair (pairs()) {
        my ($from, $to) = @$pair;
        my $c = $grid->begin($from, $to, 'whole');
        ...
    }
    my ($res) = finish(5, $c);
    $grid->mock('chat')->request(0); $grid->t->done;

C<story(upstream)> is a text with characters of every length and a call, one
string for each event, of which C<content_at> is the first one of content and
C<finish_at> the one that says why it stopped. C<play> is C<sse> in the framing
of the upstream.

=cut

use strict;
use warnings;
use utf8;
use Exporter qw(import);
use JSON::PP ();

use Relay::Client;
use Relay::Frames;
use Relay::Mock;
use Relay::Sse;
use Relay::Streams qw(authored request_body path_of finish);
use Relay::Test ();

our @EXPORT = qw(callers upstreams pairs story content_at finish_at saying before_content
    behind_content stream_error play success_of);

my $json = JSON::PP->new->canonical->utf8;
my @secret = ('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY');
my $asked = 0;

sub callers { qw(chat messages responses gemini) }
sub upstreams { qw(chat messages responses gemini converse) }
sub pairs { map { my $to = $_; map { [$_, $to] } callers() } upstreams() }

# ---- what upstreams say ---------------------------------------------------------

my @text = ('naïve ', '漢字', ' 🙂');
my %call = (q => 'é漢🙂');

sub _gemini_chunk {
    my ($part, %o) = @_;
    my $finish = delete $o{finishReason};
    return event({candidates => [{index => 0, content => {role => 'model', parts => [$part]},
        $finish ? (finishReason => $finish) : ()}], responseId => 'r1', modelVersion => 'up', %o});
}

sub _gemini {
    return ((map { _gemini_chunk({text => $_}) } @text),
        _gemini_chunk({functionCall => {id => 'call_1', name => 'find', args => {%call}}}),
        _gemini_chunk({text => ''}, finishReason => 'STOP', usageMetadata => {promptTokenCount => 11,
            cachedContentTokenCount => 3, candidatesTokenCount => 7, totalTokenCount => 18}));
}

sub _converse {
    my $said = $json->encode({%call});
    utf8::decode($said);
    return (frame(messageStart => {role => 'assistant'}),
        (map { frame(contentBlockDelta => {contentBlockIndex => 0, delta => {text => $_}}) } @text),
        frame(contentBlockStop => {contentBlockIndex => 0}),
        frame(contentBlockStart => {contentBlockIndex => 1, start => {toolUse => {toolUseId => 'call_1', name => 'find'}}}),
        (map { frame(contentBlockDelta => {contentBlockIndex => 1, delta => {toolUse => {input => $_}}}) }
            substr($said, 0, 5), substr $said, 5),
        frame(contentBlockStop => {contentBlockIndex => 1}), frame(messageStop => {stopReason => 'tool_use'}),
        frame(metadata => {usage => {inputTokens => 8, cacheReadInputTokens => 3, outputTokens => 7, totalTokens => 18},
            metrics => {latencyMs => 1}}));
}

sub story {
    my ($to) = @_;
    return $to eq 'gemini' ? _gemini() : $to eq 'converse' ? _converse() : grep { !/^event: ping/ } authored($to);
}

my %content = (chat => qr/na\xC3\xAFve/, messages => qr/na\xC3\xAFve/, responses => qr/na\xC3\xAFve/,
    gemini => qr/na\xC3\xAFve/, converse => qr/na\xC3\xAFve/);
my %finish = (chat => qr/"finish_reason":"/, messages => qr/message_delta/, responses => qr/response\.completed/,
    gemini => qr/finishReason/, converse => qr/messageStop/);
my %success = (chat => qr/^data: \[DONE\]/m, messages => qr/^event: message_stop/m,
    responses => qr/^event: response\.(?:completed|incomplete)/m, gemini => qr/"finishReason"/);

sub _first { my ($pattern, @parts) = @_; return (grep { $parts[$_] =~ $pattern } 0 .. $#parts)[0] }

sub content_at { my ($to) = @_; return _first($content{$to}, story($to)) }
sub finish_at { my ($to) = @_; return _first($finish{$to}, story($to)) }
sub success_of { $success{$_[0]} }

# An event of content that says this, and the story around it.
sub saying {
    my ($to, $said) = @_;
    return frame(contentBlockDelta => {contentBlockIndex => 0, delta => {text => $said}}) if $to eq 'converse';
    return (story($to))[content_at($to)] =~ s/na\xC3\xAFve /$said/r;
}

sub before_content { my ($to) = @_; return join '', (story($to))[0 .. content_at($to) - 1] }
sub behind_content { my ($to) = @_; my @parts = story($to); return join '', @parts[content_at($to) + 1 .. $#parts] }

# The provider's trouble behind so many events, in its own words.
sub stream_error {
    my ($to, $message, $sequence) = @_;
    return event({error => {message => $message, type => 'server_error', param => undef, code => undef}}) if $to eq 'chat';
    return event(error => {type => 'error', error => {type => 'api_error', message => $message}}) if $to eq 'messages';
    return event({error => {code => 500, message => $message, status => 'INTERNAL'}}) if $to eq 'gemini';
    return frame(modelStreamErrorException => {message => $message}, type => 'exception') if $to eq 'converse';
    return event('response.failed' => {type => 'response.failed', sequence_number => $sequence || 0, response => {id => 'resp_1',
        object => 'response', created_at => 1700000000, model => 'up', status => 'failed', output => [],
        error => {code => 'server_error', message => $message}}});
}

sub play {
    my ($to, $parts, %o) = @_;
    return {%{sse($parts, %o)}, type => $to eq 'converse' ? 'application/vnd.amazon.eventstream' : 'text/event-stream'};
}

# ---- the stack --------------------------------------------------------------------

my %host = (chat => ['openai-chat', '/v1'], messages => ['anthropic-messages', '/v1'],
    responses => ['openai-responses', '/v1'], gemini => ['gemini', '/v1beta'], converse => ['bedrock-converse', '']);

# Options: timeouts of the hosts, mock (options of the mocks), others are those of Relay::Test.
sub new {
    my ($class, $plays, %o) = @_;
    my ($timeouts, $mock) = map { delete $o{$_} } qw(timeouts mock);
    my %mock = map { my $to = $_; $to => Relay::Mock->new(%{$mock || {}}, on => sub {
        my ($req) = @_;
        my ($name, @words) = split / /, $req->header('x-play') || '';
        my $play = $plays->{$name // ''} or return {status => 500, body => {error => {message => 'no such play'}}};
        return $play->($req, $to, @words);
    }) } upstreams();
    my $t = Relay::Test->new(allow => [qr/reset by peer|prematurely closed/], %o);
    $t->relay(Relay::Test::relay_config({models => {map { ("to_$_" => {offers => [{host => $_, id => "up-$_"}]}) } upstreams()},
        $timeouts ? (timeouts => $timeouts) : ()},
        map { $_ => {mock => $mock{$_}, base_url => $mock{$_}->url . $host{$_}[1], formats => [$host{$_}[0]],
            $_ eq 'converse' ? (secret => join(':', @secret), auth => {type => 'sigv4', service => 'bedrock', region => 'us-east-1'}) : ()} }
        upstreams()));
    $t->start;
    return bless {t => $t, mock => \%mock}, $class;
}

sub t { $_[0]{t} }
sub mock { $_[0]{mock}{$_[1]} }

sub _path {
    my ($from, $to) = @_;
    return $from eq 'gemini' ? "/gemini/v1beta/models/to_$to:streamGenerateContent?alt=sse" : path_of($from);
}

sub _body {
    my ($from, $to) = @_;
    return {contents => [{role => 'user', parts => [{text => 'Hi'}]}]} if $from eq 'gemini';
    return request_body($from, model => "to_$to", $from eq 'chat' ? (stream_options => {include_usage => \1}) : ());
}

# Sends the request; the client, for finish() of Relay::Streams. connection: options of it.
sub begin {
    my ($self, $from, $to, $play, %o) = @_;
    my $c = $self->{t}->client(%{$o{connection} || {}});
    my $id = "g$$-" . ++$asked;
    $c->request(POST => _path($from, $to), headers => [@{Relay::Test::auth($from eq 'messages' ? 'x-api-key' : 'bearer')},
        'x-play' => $play, 'x-relay-request-id' => $id], body => $json->encode(_body($from, $to)));
    @$c{qw(id sent_at)} = ($id, Time::HiRes::time());
    return $c;
}

# All of [from, to, play], some at a time; their answers, in order.
sub ask_all {
    my ($self, $seconds, @cases) = @_;
    my @all;
    while (my @some = splice @cases, 0, 16) {
        push @all, finish($seconds, map { $self->begin(@$_) } @some);
    }
    return @all;
}

1;
