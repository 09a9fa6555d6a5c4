#!/usr/bin/perl

# A caller's format in front of a host that speaks another: requests, answers,
# streams, errors, failover, what is dropped. What becomes of each field is
# tested in t/unit; here is that nginx carries it.

use lib 't/lib';
use Relay::Test;
use JSON::PP ();

my %usage = (chat => {prompt_tokens => 3, completion_tokens => 2, total_tokens => 5});
my $json = JSON::PP->new->canonical;

my %format = (
    chat => {name => 'openai-chat', path => '/v1/chat/completions', answer => \&chat_answer,
        stream => sub { chat_stream(usage => $usage{chat}, @_) }, dialect => 'openai',
        marks => [qw(chat.completion)], request => {messages => [{role => 'user', content => 'Hi'}]}},
    messages => {name => 'anthropic-messages', path => '/v1/messages', answer => \&message_answer,
        stream => \&messages_stream, dialect => 'anthropic',
        request => {max_tokens => 64, messages => [{role => 'user', content => 'Hi'}]}},
);

my %mock = map {
    my $name = $_;
    $name => Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $mode = $req->flag('mode') || '';
        my $error = sub { error_body($format{$name}{dialect}, @_) };
        return {status => 429, headers => ['Retry-After', 7], body => $error->('rate_limit_error', 'Slow down, please.')}
            if $mode eq 'limit';
        return {status => 400, body => $error->('invalid_request_error', 'The prompt is wrong.')} if $mode eq 'bad';
        return {status => 400, body => error_body('openai', 'invalid_request_error', 'This model\'s maximum context length is 128000'
            . ' tokens. However, your messages resulted in 130000 tokens. Please reduce the length of the messages.', 'context_length_exceeded')}
            if $mode eq 'long';
        return {status => 200, body => '<html>nonsense</html>', type => 'application/json'} if $mode eq 'html';
        my @stream = $format{$name}{stream}->();
        return sse([event(error => {type => 'error', error => {type => 'overloaded_error', message => 'Overloaded'}})])
            if $mode eq 'overloaded' && $name eq 'messages';
        return sse([@stream[0 .. 2]], framing => 'chunked', end => 'reset') if $mode eq 'cut';
        return sse([$stream[0], ": a comment\n\n", @stream[1 .. $#stream]], cut => [1 .. 400], cut_ms => 0)
            if length $req->body < 1e6 && $req->json->{stream};    # long ones take a second to read
        return {body => $format{$name}{answer}->(), headers => ['anthropic-ratelimit-requests-limit', 5,
            'openai-organization', 'org-secret', 'x-other', 'kept']};
    });
} keys %format;

my $t = Relay::Test->new(allow => [qr/upstream prematurely closed|reset by peer/]);
my $config = relay_config({models => {map { ("only_$_" => {offers => [{host => $_}]}) } keys %format}},
    map { $_ => {mock => $mock{$_}, formats => [$format{$_}{name}],
        headers => $_ eq 'messages' ? {'anthropic-version' => '2023-06-01'} : {}} } sort keys %format);
$config->{policies}{strict} = {pools => ['p'], strict => \1};
$config->{relay_keys}{strict} = {policy => 'strict', key => 'key-of-the-strict-one'};
$t->relay($config);
$t->start;

sub mode { my ($name, $mode) = @_; $mock{$name}->flag(mode => $mode) }

sub ask {
    my ($caller, $upstream, %more) = @_;
    my $headers = delete $more{headers} || [];
    my $model = $upstream eq 'any' ? 'm' : "only_$upstream";
    return $t->post($format{$caller}{path}, {model => $model, %{$format{$caller}{request}}, %more},
        headers => $headers);
}

for my $pair ([qw(chat messages)], [qw(messages chat)]) {
    my ($caller, $upstream) = @$pair;
    my $name = "$caller to $upstream";
    my $dialect = $format{$caller}{dialect};

    my $res = ask($caller, $upstream, headers => ['openai-beta', 'x', 'anthropic-beta', 'y',
        'x-stainless-lang', 'js', 'x-mine', 'z', 'accept', 'text/weird']);
    is $res->status, 200, "$name: answered" or diag $res->body;
    is_deeply [sort keys %{$res->json}], [sort keys %{$json->decode($format{$caller}{answer}->())}],
        "$name: in the caller's format" or diag $res->body;
    is $res->header('content-type'), 'application/json', "$name: of its type";
    is $res->header('content-length'), length $res->body, "$name: of its length";
    is $res->header('x-relay-host'), $upstream, "$name: by the host";
    is $res->header('x-relay-dropped'), undef, "$name: nothing was dropped";
    is $res->header('x-other'), 'kept', "$name: unknown headers of the provider pass";
    my ($own) = grep { $_ ne $upstream } qw(chat messages);
    is $res->header($upstream eq 'chat' ? 'openai-organization' : 'anthropic-ratelimit-requests-limit'),
        undef, "$name: those of its vendor do not";
    my $req = $mock{$upstream}->request(-1);
    is $req->path, $format{$upstream}{path}, "$name: the upstream's path";
    is $req->key, secret($upstream), "$name: with its key";
    is $req->json->{model}, "only_$upstream", "$name: its model";
    is $req->header('content-type'), 'application/json', "$name: the body's type";
    is $req->header('x-mine'), 'z', "$name: a header that nobody knows passes";
    is $req->header($caller eq 'chat' ? 'openai-beta' : 'anthropic-beta'), undef, "$name: one of the caller's vendor does not";
    is $req->header('x-stainless-lang'), undef, "$name: what the SDK says of itself does not";
    is $req->header('anthropic-version'), $upstream eq 'messages' ? '2023-06-01' : undef, "$name: the host's own header";
    is $t->log_of($res)->{host}, $upstream, "$name: logged";
    is $t->log_of($res)->{input_tokens}, 3, "$name: tokens are logged";

    $res = ask($caller, $upstream, stream => \1, $caller eq 'chat' ? (stream_options => {include_usage => \1}) : ());
    is $res->status, 200, "$name: streamed";
    like $res->header('content-type'), qr{^text/event-stream}, "$name: as events";
    sse_ok $caller => $res->body, "$name: a whole stream of the caller's format", $caller eq 'chat' ? (usage => 1) : ();
    is Relay::Sse::text($caller, $res->body), 'Hello', "$name: its text";
    is $t->log_of($res)->{output_tokens}, 2, "$name: tokens of the stream are logged";
    $caller eq 'messages'
        ? like $res->body, qr/^event: ping$/m, "S23 $name: a comment becomes a ping"
        : like $res->body, qr/^: /m, "S23 $name: a comment stays one";

    mode($upstream => 'limit');
    $res = ask($caller, $upstream);
    is $res->status, 429, "X16 $name: the provider's status";
    is $res->header('retry-after'), 7, "X16 $name: its retry-after";
    is $res->json->{error}{message}, 'Slow down, please.', "X16 $name: its message";
    is $res->json->{error}{type}, $caller eq 'chat' ? 'rate_limit_error' : 'rate_limit_error', "X16 $name: in the caller's type" or diag $res->body;
    is $res->header('x-relay-error'), undef, "X16 $name: not ours";

    mode($upstream => 'bad');
    $res = ask($caller, $upstream, stream => \1);
    is $res->status, 400, "X16 $name: a refusal of a stream";
    is $res->json->{error}{message}, 'The prompt is wrong.', "X16 $name: its message";
    is $res->json->{type}, 'error', "X16 $name: the dialect's shape" if $caller eq 'messages';

    mode($upstream => 'html');
    $res = ask($caller, $upstream);
    is $res->status, 502, "$name: nonsense with a good status";
    is $res->header('x-relay-error'), 'upstream_invalid', "$name: is said to be that" or diag $res->body;

    mode($upstream => 'cut');
    $res = ask($caller, $upstream, stream => \1);
    is $res->status, 200, "F15 $name: a stream that is cut";
    sse_ok $caller => $res->body, "F15 $name: ends with the caller's error", error => 1;
    is $t->log_of($res)->{error}, 'upstream_cut', "F15 $name: logged as cut" or diag explain $t->log_of($res);
    mode($upstream => '');
}

# ---- failover ----------------------------------------------------------------

mode(chat => 'limit');
my $body = {messages => [{role => 'user', content => 'Hi'}], max_tokens => 9};
my $res = ask('messages', 'any', %$body);
is $res->status, 200, 'R23 the first host fails, the second has another format';
is $res->header('x-relay-attempts'), 2, 'R23 after two attempts';
is $res->header('x-relay-host'), 'messages', 'R23 by the second';
is_deeply $mock{messages}->request(-1)->json, {model => 'up-messages', %$body}, 'R23 which got the caller\'s own bytes';
mode(chat => '');

mode(messages => 'overloaded');
mode(chat => 'limit');
$res = ask('chat', 'messages', stream => \1);
is $res->status, 503, 'X4 an error before any content is no stream: overloaded, as the caller\'s dialect has it' or diag $res->body;
is $res->header('x-should-retry'), 'true', 'X4 worth another try';
is $res->json->{error}{message}, 'Overloaded', 'X4 it is told in the caller\'s words';
mode($_ => '') for qw(chat messages);

mode(chat => 'long');
$res = ask('messages', 'chat');
is $res->status, 400, 'X10 a prompt that is too long';
like $res->json->{error}{message}, qr/^prompt is too long: 130000 tokens > 128000 maximum/,
    'X10 in the words that clients of the dialect look for' or diag $res->body;
is $res->header('x-should-retry'), 'false', 'X10 not worth another try';
mode(chat => '');

# ---- what is dropped ---------------------------------------------------------

$res = ask('chat', 'messages', seed => 7, store => \0, user => 'u1');
is $res->status, 200, 'R16 what the upstream does not know is left out';
like $res->header('x-relay-dropped'), qr/\bseed\b/, 'R16 and named';
like $t->log_of($res)->{dropped}, qr/\bseed\b/, 'R16 in the log, too';
$res = ask('chat', 'messages', seed => 7, headers => ['x-relay-strict', '1']);
is $res->status, 400, 'R16 strict: refused';
like $res->json->{error}{message}, qr/\bseed\b/, 'R16 strict: by name';
is $res->json->{error}{param}, 'seed', 'R16 strict: as the parameter';
$res = $t->post('/v1/chat/completions', {model => 'only_messages', seed => 7, messages => [{role => 'user', content => 'Hi'}]}, key => 'key-of-the-strict-one');
is $res->json->{error}{param}, 'seed', 'R16 a policy may be strict, too' or diag $res->body;
my $before = @{$mock{messages}->requests(0)};
$res = ask('chat', 'messages', messages => [{role => 'user', content => 'a'},
    {role => 'assistant', content => undef, tool_calls => [{id => 'call_1', type => 'function',
        function => {name => 'f', arguments => '{}'}}]}, {role => 'user', content => 'b'}]);
is $res->status, 400, 'R3 a call without its result is refused';
like $res->json->{error}{message}, qr/call_1/, 'R3 by its id';
is @{$mock{messages}->requests(0)}, $before, 'R3 before anything is sent';
is $res->header('x-relay-attempts'), 0, 'R3 no attempt is counted';

# ---- models of others for a client that lists only its vendor's --------------------------

my @agent = (headers => ['anthropic-version', '2023-06-01', 'User-Agent', 'claude-cli/2.0.1 (external, cli)']);
$res = $t->get('/v1/models?limit=1000', @agent);
is_deeply [map { $_->{id} } @{$res->json->{data}}], [map { "claude/$_" } 'm', 'only_chat', 'only_messages'],
    'under a prefix';
is $t->get('/v1/models/claude%2Fm', @agent)->json->{id}, 'claude/m', 'so is each of them';
is ask('messages', 'chat', model => 'claude/only_chat')->header('x-relay-model'), 'only_chat', 'a prefix that is no part of the name';
is $t->get('/v1/models?limit=1000', headers => ['anthropic-version', '2023-06-01'])->json->{data}[0]{id}, 'm',
    'not for others';

# ---- counting tokens for hosts that do not ------------------------------------------

$res = $t->post('/v1/messages/count_tokens', {model => 'only_chat', messages => [{role => 'user',
    content => 'word ' x 800}], tools => []});
is $res->status, 200, 'R25 counted';
cmp_ok $res->json->{input_tokens}, '>', 1000, 'R25 about right';
cmp_ok $res->json->{input_tokens}, '<', 1050, 'R25 from above, too';
is $res->header('x-relay-estimated'), 1, 'R25 marked as an estimate';
$res = $t->post('/v1/messages/count_tokens', {model => 'nobody', messages => []});
is $res->status, 404, 'R25 but not for a model that there is not';
$res = $t->post('/v1/messages/count_tokens', {model => 'only_messages', messages => [{role => 'user', content => 'x'}]});
is $res->header('x-relay-estimated'), undef, 'R25 nor where the host counts';
is $mock{messages}->request(-1)->path, '/v1/messages/count_tokens', 'R25 it is asked';

# ---- long bodies are translated in a thread ------------------------------------

my $long = join ' ', map { "word$_" } 1 .. 200_000;
$res = ask('chat', 'messages', messages => [{role => 'user', content => $long}]);
is $res->status, 200, 'a body of 2 MB';
ok $mock{messages}->request(-1)->json->{messages}[0]{content}[0]{text} eq $long, 'arrives whole';
$before = @{$mock{messages}->requests(0)};
$res = ask('chat', 'messages', messages => [{role => 'user', content => $long}, {role => 'clown', content => 'x'}]);
is $res->status, 400, 'a long one that is wrong';
is $res->json->{error}{param}, 'messages[1].role', 'is refused by its place';
is @{$mock{messages}->requests(0)}, $before, 'before anything is sent';
mode(messages => 'limit');
is ask('chat', 'messages', messages => [{role => 'user', content => $long}])->status, 429, 'one that fails';
mode(messages => '');
for (1 .. 5) {
    my $c = $t->client;
    $c->request(POST => '/v1/chat/completions', headers => auth(), body => {model => 'only_messages',
        messages => [{role => 'user', content => $long}]});
    $c->close;
}
is ask('chat', 'messages')->status, 200, 'callers who leave meanwhile do no harm';

$t->done;
