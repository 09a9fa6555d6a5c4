#!/usr/bin/perl

# What takes milliseconds is done in a thread: that it is, that nothing of it is
# different from what the loop does itself, that callers may leave at any time, and
# that attempts fail while their request is still being written.

use lib 't/lib';
use Relay::Test;
use Digest::SHA qw(sha256_hex);
use File::Temp ();
use IO::Compress::Gzip qw(gzip);
use JSON::PP ();
use Relay::Frames;
use Relay::Steps;

my $json = JSON::PP->new->canonical;
my @secret = ('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY');
my $signed = {secret => join(':', @secret), auth => {type => 'sigv4', service => 'bedrock', region => 'us-east-1'}};
my %path = (chat => '/v1/chat/completions', messages => '/v1/messages', embed => '/v1/embeddings', count => '/v1/messages/count_tokens');

# ---- hosts ------------------------------------------------------------------------

my $word = join ' ', map { "word$_ \"x\"\n\\" } 1 .. 50_000;
my $vector = [map { -0.012345678 + $_ / 777 } 1 .. 1536];
my %answer = (
    chat => sub { my $m = $json->decode(chat_answer()); $m->{choices}[0]{message}{content} = $_[0]; $m },
    messages => sub { my $m = $json->decode(message_answer()); $m->{content}[0]{text} = $_[0]; $m },
    converse => sub { {output => {message => {role => 'assistant', content => [{text => $_[0]}]}}, stopReason => 'end_turn',
        usage => {inputTokens => 11, outputTokens => 5, totalTokens => 16}, metrics => {latencyMs => 1}} },
    embed => sub { {embeddings => [map { {values => $vector} } 1 .. 50]} },
);
$answer{invoke} = $answer{messages};
$answer{$_} = $answer{chat} for qw(chat2 chat3);
my %long = map { $_ => $json->encode($answer{$_}->(length $_[0] ? $_[0] : $word x 4)) } keys %answer;
my %short = map { $_ => $json->encode($answer{$_}->('Hello')) } keys %answer;

# Long bodies are not kept by the mock's reader of JSON, but by their sums.
my %mock = map {
    my $name = $_;
    $name => Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $mode = $req->flag('mode') || '';
        if ($mode eq 'limit') { sleep 0.005 while $req->flag('wait') }
        return {status => 429, body => error_body('openai', 'rate_limit_error', 'Slow down.')} if $mode eq 'limit';
        return 'close' if $mode eq 'stale' && $req->{nth};
        return {body => $mode eq 'long' || $name eq 'embed' ? $long{$name} : $short{$name}, headers => ['x-body-sum', sha256_hex($req->body)]};
    });
} keys %answer;

sub config {
    my $closed = 'http://127.0.0.1:' . Relay::Mock->refused . '/v1';
    my $version = {'anthropic-version' => '2023-06-01'};
    my %only = map { ("only_$_" => {offers => [{host => $_}]}) } keys %answer;
    my $chain = sub { {offers => [map { {host => $_} } @_]} };
    return relay_config({models => {%only, late => $chain->(qw(chat messages)), late_signed => $chain->(qw(chat converse)),
            cannot => $chain->(qw(chat messages chat2)), closed => $chain->(qw(chat closed converse)), stale => $chain->(qw(chat invoke)),
            cannot_first => $chain->(qw(messages converse chat2)), nobody => $chain->(qw(messages converse))}},
        (map { $_ => {mock => $mock{$_}, formats => ['openai-chat']} } qw(chat)),
        messages => {mock => $mock{messages}, formats => ['anthropic-messages'], headers => $version},
        closed => {base_url => $closed, formats => ['anthropic-messages'], headers => $version},
        converse => {base_url => $mock{converse}->url, formats => ['bedrock-converse'], %$signed},
        invoke => {base_url => $mock{invoke}->url, formats => ['bedrock-invoke'], %$signed},
        embed => {base_url => $mock{embed}->url . '/v1beta', formats => ['gemini-embed']},
        (map { $_ => {mock => $mock{$_}, formats => ['openai-chat']} } qw(chat2 chat3)));
}

my $dir = File::Temp->newdir;
my $probe = Relay::Steps->new("$dir");
local $ENV{RELAY_NGINX} = $probe ? $probe->nginx : $ENV{RELAY_NGINX};
delete $ENV{RELAY_NGINX} unless defined $ENV{RELAY_NGINX};
my @allow = (qr/reset by peer|prematurely closed/);
my $t = Relay::Test->new(main => "thread_pool default threads=1;\n", allow => \@allow);
my $inline = Relay::Test->new(http => "    relay_thread_pool off;\n", allow => \@allow);
my $config = config();
$_->relay($config)->start for $t, $inline;

# ---- requests -----------------------------------------------------------------------

sub chat_body {
    my ($model, $bytes, %more) = @_;
    my $text = substr $word, 0, 4000;
    my $n = int($bytes / length $json->encode([$text])) | 1;
    return $json->encode({model => $model, max_tokens => 64, %more,
        messages => [map { {role => $_ % 2 ? 'user' : 'assistant', content => $text} } 1 .. $n]});
}
my %chat = map { $_ => chat_body('MODEL', $_ * 1e6) } 0.3, 2, 5;
sub chat { my ($model, $size, $more) = @_; my $body = $chat{$size}; $body =~ s/"MODEL"/$more ? "\"$model\",$more" : "\"$model\""/e; return $body }
sub zipped { my ($raw) = @_; gzip(\$raw => \my $zip, -Level => 1); return $zip }
sub mode { my ($name, $mode) = @_; $mock{$name}->flag(mode => $mode) }
sub post_to { my ($relay, $path, $body, @headers) = @_; $relay->post($path{$path}, $body, timeout => 60, headers => ['x-relay-request-id', 'same', @headers]) }

my %seen = ($t => 0, $inline => 0);
sub entry { my ($relay) = @_; return ($relay->logs(++$seen{$relay}))[-1] }

# The same to both; all that may differ is the time. Returns the one of the thread.
sub same {
    my ($name, @request) = @_;
    my $requests = sub { scalar map { @{$_->requests(0)} } values %mock };
    $probe->take if $probe;
    my ($one, $other) = map { my $res = post_to($_, @request); $res->{entry} = entry($_); $res } $t, $inline;
    s/"created":\d+|[0-9a-f]{32}//g for my ($a, $b) = ($one->body, $other->body);
    is $one->status, $other->status, "$name: $other->{status}";
    ok $a eq $b, '... the same answer' or diag join "\n", map { substr $_, 0, 300 } $a, $b;
    is $one->header('x-body-sum'), $other->header('x-body-sum'), '... to the same request';
    is $one->{entry}{$_}, $other->{entry}{$_}, "... and the same $_" for qw(attempts host input_tokens output_tokens finish_reason dropped);
    cmp_ok $one->{entry}{thread_us} || 0, '>', 0, '... by a thread';
    is $other->{entry}{thread_us}, '', '... and without one';
    return $one;
}

my $res = same('translated', chat => chat('only_messages', 2));
is $res->status, 200, 'a translated body of 2 MB';
is same('looked through', chat => chat('only_chat', 2))->status, 200, 'one that passes as it is';
same('signed', messages => chat('only_converse', 2));
is $mock{converse}->request(-1)->header('authorization'), signature($mock{converse}->request(-2), @secret, 'us-east-1', 'bedrock'), '... truly'
    if $mock{converse}->request(-1)->header('x-amz-date') eq $mock{converse}->request(-2)->header('x-amz-date');
for (@{$mock{converse}->requests(0)}) { is $_->header('authorization'), signature($_, @secret, 'us-east-1', 'bedrock'), 'its signature is right' }
same('signed in the caller\'s format', messages => chat('only_invoke', 0.3), 'anthropic-beta', 'one-2025-01-01');
for (@{$mock{invoke}->requests(0)}) {
    is $_->header('authorization'), signature($_, @secret, 'us-east-1', 'bedrock'), 'so is this one';
    like $_->body, qr/"anthropic_beta":\["one-2025-01-01"\]/, '... over what was spliced in';
}
same('inflated', chat => zipped(chat('only_messages', 5)), 'Content-Encoding', 'gzip');
is same('cut off', chat => substr(zipped(chat('only_messages', 5)), 0, -1000), 'Content-Encoding', 'gzip')->status, 415, 'a gzip that is cut off';
is same('broken', chat => chat('only_messages', 2) . ',')->status, 400, 'invalid JSON';
is same('counted', count => chat('only_chat', 0.3))->json->{input_tokens} > 10_000, 1, 'an estimate of tokens';
$res = same('wrong', chat => chat('only_messages', 0.3, '"messages":[],"n":2'));
is $res->status, 400, 'a body with a field twice';

# ---- whole answers --------------------------------------------------------------------

mode($_ => 'long') for qw(chat messages converse);
for (['messages to chat', chat => 'only_messages'], ['chat to messages', messages => 'only_chat'], ['converse to chat', chat => 'only_converse'],
    ['chat to chat', chat => 'only_chat'])
{
    my ($name, $from, $model) = @$_;
    $res = same("long answer, $name", $from => $json->encode({model => $model, max_tokens => 9, messages => [{role => 'user', content => 'Hi'}]}));
    my $text = $from eq 'chat' ? $res->json->{choices}[0]{message}{content} : $res->json->{content}[0]{text};
    ok $text eq $word x 4, '... is whole';
}
$res = same('embeddings', embed => $json->encode({model => 'only_embed', input => [map { "x$_" } 1 .. 50]}));
is scalar @{$res->json->{data}}, 50, '... all of them';
mode($_ => '') for qw(chat messages converse);

# ---- later attempts -----------------------------------------------------------------

mode(chat => 'limit');
$res = same('failover', chat => chat('late', 2));
is join(' ', @{$res->{entry}}{qw(status attempts host)}), '200 2 messages', 'a second attempt is translated in a thread, too';
is same('signed failover', chat => chat('late_signed', 2))->{entry}{host}, 'converse', 'and signed';
is $_->header('authorization'), signature($_, @secret, 'us-east-1', 'bedrock'), 'its signature is right' for @{$mock{converse}->requests(0)}[-2, -1];
my $before = @{$mock{messages}->requests(0)};
$res = same('one that cannot', chat => chat('cannot', 0.3, '"n":2'));
is join(' ', @{$res->{entry}}{qw(status attempts host)}), '200 2 chat2', 'a candidate that cannot take it is no attempt';
is @{$mock{messages}->requests(0)}, $before, '... and hears nothing';
is same('first ones that cannot', chat => chat('cannot_first', 0.3, '"n":2'))->{entry}{host}, 'chat2', 'nor are the first ones';
$res = same('nobody can', chat => chat('nobody', 0.3, '"n":2'));
is $res->status, 400, 'if nobody can, the caller is told';
is $res->json->{error}{param}, 'n', '... which field it is';
is @{$mock{messages}->requests(0)}, $before, '... before anything is sent';
$res = same('a closed port between', chat => chat('closed', 2));
is join(' ', @{$res->{entry}}{qw(status attempts host)}), '200 3 converse', 'one that fails while its request is written is followed by the next';

# the host of the second attempt has closed the connection that is kept
mode(invoke => 'stale');
$res = post_to($t, chat => chat('stale', 0.3));
entry($t);
$res = post_to($t, chat => chat('stale', 0.3));
is join(' ', @{entry($t)}{qw(status attempts host)}), '200 2 invoke', 'over a connection that was closed it is sent anew';
ok !defined $mock{invoke}->request(-1)->{nth} || $mock{invoke}->request(-1)->body eq $mock{invoke}->request(-2)->body, '... the same';
mode(invoke => '');
mode(chat => '');

# ---- callers who leave ----------------------------------------------------------------

# They keep the one thread at work for a while.
my $heavy = zipped('{"model":"nobody_has_it","messages":[' . join(',', map { '"' . sha256_hex($_) x 60 . '"' } 1 .. 7000) . ']}');
sub block {
    my @blockers = map { $t->client } 1 .. $_[0];
    $_->request(POST => $path{chat}, headers => [@{auth()}, 'Content-Encoding', 'gzip'], body => $heavy) for @blockers;
    return @blockers;
}
my @workers = $t->workers;

# The entry of one who sends a request, and leaves after $seconds; ready is called between.
sub leave {
    my ($seconds, $ready, $path, $body, @headers) = @_;
    my $c = $t->client;
    $c->request(POST => $path{$path}, headers => [@{auth()}, 'x-relay-request-id', 'left', @headers], body => $body);
    my @blockers = $ready->();
    sleep $seconds;
    $c->abort;
    $_->response(timeout => 60) for @blockers;
    my @left;
    wait_for(20, sub { @left = grep { $_->{request_id} eq 'left' } ($t->logs)[$seen{$t} .. $#{[$t->logs]}] });
    $seen{$t} = @{[$t->logs]};
    return $left[0];
}

for my $case (
    ['is looked through', chat => chat('only_chat', 5)], ['is inflated', chat => zipped(chat('only_chat', 5)), 'Content-Encoding', 'gzip'],
    ['is translated', chat => chat('only_messages', 0.3)], ['is hashed', messages => chat('only_invoke', 0.3)],
    ['is counted', count => chat('only_chat', 0.3)])
{
    my ($name, @request) = @$case;
    my $left;
    for my $try (1 .. 8) {    # the thread may have been free
        my @blockers = block(8);
        $left = leave(0.01 * $try, sub { @blockers }, @request);
        last if $left && $left->{status} == 499 && $left->{upstream_addr} eq '';
    }
    is join(' ', @$left{qw(status upstream_addr)}), '499 ', "a caller leaves while a body $name, and no provider is asked";
    cmp_ok $left->{thread_us} || 0, '>', 0, '... by a thread';
}

# The first attempt's host fails late: by then the thread is busy.
my $left;
mode(chat => 'limit');
for my $try (1 .. 8) {
    my $got = @{$mock{chat}->requests(0)};
    $mock{chat}->flag(wait => 1);
    $left = leave(0.03 * $try, sub {
        $mock{chat}->requests($got + 1);
        my @blockers = block(12);
        $mock{chat}->flag(wait => 0);
        return @blockers;
    }, chat => chat('late', 2));
    last if $left->{status} == 499 && $left->{attempts} == 2;
}
is $left->{status}, 499, 'a caller leaves while a second attempt is written';
is $left->{attempts}, 2, '... which had begun';
mode(chat => '');

mode(messages => 'long');
my $hi = $json->encode({model => 'only_messages', messages => [{role => 'user', content => 'Hi'}]});
for my $try (1 .. 8) {
    my @blockers = block(12);
    $left = leave(0.03 * $try, sub { @blockers }, chat => $hi);
    last if $left->{status} == 499 && $left->{thread_us};    # or the answer had not come yet
}
is $left->{status}, 499, 'a caller leaves while an answer is translated';
cmp_ok $left->{thread_us} || 0, '>', 0, '... by a thread';
mode(messages => '');
is join(' ', $t->workers), "@workers", 'by the workers of the beginning';

# ---- steps of the loop -------------------------------------------------------------

if ($probe) {
    my $big = chat_body('MODEL', 20e6);
    for my $case (['20 MB as they are', chat => 'only_chat'], ['20 MB translated', chat => 'only_messages'],
        ['20 MB translated and signed', messages => 'only_converse'], ['20 MB in gzip', chat => 'only_chat', 1])
    {
        my ($name, $from, $model, $zip) = @$case;
        (my $body = $big) =~ s/"MODEL"/"$model"/;
        $body = zipped($body) if $zip;
        $probe->take;
        my $res = post_to($t, $from => $body, $zip ? ('Content-Encoding', 'gzip') : ());
        is $res->status, 200, $name;
        entry($t);
        sleep 0.1;
        my (undef, $over_1_ms, $over_2_ms, $most_ms) = $probe->take;
        diag sprintf '%s: longest step %.2f ms, over 1 ms %d, over 2 ms %d', $name, $most_ms, $over_1_ms, $over_2_ms;
    }
}

$t->done;
