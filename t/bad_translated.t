#!/usr/bin/perl

# Requests that no upstream of another format can be sent: every caller's format in front
# of each. The answer is a 400 of the caller's dialect that names the field, and no
# provider sees any of it. Then answers that no caller can be told.

use lib 't/lib';
use Relay::Test;
use Relay::Frames;
use Relay::Upstreams;
use JSON::PP ();

my $json = JSON::PP->new->canonical->utf8;
my @formats = qw(anthropic-messages bedrock-converse gemini openai-chat openai-responses);
my %own = (chat => 'openai-chat', responses => 'openai-responses', messages => 'anthropic-messages', gemini => 'gemini');
my %base = (gemini => '/v1beta', 'bedrock-converse' => '');
my $type = 'application/vnd.amazon.eventstream';

# What providers say that are asked; a story is a stream of their format.
my %story = (hello => {text => ['Hello']}, big => {text => ['x' x 1_000_000]}, long => {text => ['x' x 20_000_000]});
my @broken = ('{"a": [1, ', '"b\\');
my $broken = join '', @broken;
sub frames_of { my ($format, $events) = @_; my $a = sse($events); $a->{type} = $type if $format eq 'bedrock-converse'; return $a }
sub broken_events {
    my ($format) = @_;
    return messages_stream(text => [], tools => [['call_1', 'f', @broken]]) if $format eq 'anthropic-messages';
    return chat_stream(text => [], tools => [['call_1', 'f', @broken]]) if $format eq 'openai-chat';
    return (frame(messageStart => {role => 'assistant'}), frame(contentBlockStart => {contentBlockIndex => 0, start => {toolUse => {toolUseId => 'call_1', name => 'f'}}}),
        (map { frame(contentBlockDelta => {contentBlockIndex => 0, delta => {toolUse => {input => $_}}}) } @broken), frame(contentBlockStop => {contentBlockIndex => 0}),
        frame(messageStop => {stopReason => 'tool_use'}), frame(metadata => {usage => {inputTokens => 1, outputTokens => 1, totalTokens => 2}, metrics => {latencyMs => 1}}))
        if $format eq 'bedrock-converse';
    my %item = (type => 'function_call', id => 'fc_1', call_id => 'call_1', name => 'f', status => 'completed');
    my ($n, %at) = (0, output_index => 0, item_id => 'fc_1');
    my $response = sub { {id => 'resp_1', object => 'response', created_at => 1700000000, model => 'up', status => $_[0], output => $_[1]} };
    my $put = sub { my ($name, %rest) = @_; event("response.$name", {type => "response.$name", sequence_number => $n++, %rest}) };
    return ($put->('created', response => $response->('in_progress', [])), $put->('output_item.added', output_index => 0, item => {%item, arguments => '', status => 'in_progress'}),
        (map { $put->('function_call_arguments.delta', %at, delta => $_) } @broken), $put->('function_call_arguments.done', %at, arguments => $broken),
        $put->('output_item.done', output_index => 0, item => {%item, arguments => $broken}), $put->('completed', response => $response->('completed', [{%item, arguments => $broken}])));
}
sub broken_whole {
    my ($format) = @_;
    my %call = (id => 'call_1', type => 'function', function => {name => 'f', arguments => $broken});
    my $answer = $json->decode($format eq 'openai-chat' ? chat_answer() : response_answer());
    $answer->{choices}[0] = {index => 0, message => {role => 'assistant', content => undef, tool_calls => [\%call]}, finish_reason => 'tool_calls'} if $format eq 'openai-chat';
    $answer->{output} = [{type => 'function_call', id => 'fc_1', call_id => 'call_1', name => 'f', status => 'completed', arguments => $broken}] if $format eq 'openai-responses';
    return {body => $answer};
}
# A binary message that ends in the middle of its own header, behind a good beginning.
sub cut_frames { my @frames = tell('bedrock-converse', $story{hello}, 1); return (@frames[0, 1], substr $frames[2], 0, 30) }

sub respond {
    my ($format, $story, $req) = @_;
    return broken_whole($format) if $story eq 'broken' && !($req->path =~ /stream/i || $req->json->{stream});
    my @events = $story eq 'broken' ? broken_events($format) : $story eq 'cut' ? cut_frames() : tell($format, $story{$story}, 1);
    return frames_of($format, \@events);
}
my %mock = map { my $format = $_; $format => Relay::Mock->new(on => sub { my ($req) = @_; my $story = $req->flag('story');
    $story ? respond($format, $story, $req) : {status => 500, body => {error => {message => 'was asked'}}} }) } @formats;
my $t = Relay::Test->new(allow => [qr/prematurely closed|reset by peer/]);
$t->relay(relay_config({models => {map { ("only_$_" => {offers => [{host => $_, id => "up-$_"}]}) } @formats}},
    map { $_ => {mock => $mock{$_}, base_url => $mock{$_}->url . ($base{$_} // '/v1'), formats => [$_],
        $_ eq 'bedrock-converse' ? (secret => 'AKIDEXAMPLE:secret-of-bedrock-0123456789', auth => {type => 'sigv4', service => 'bedrock', region => 'us-east-1'}) : ()} } @formats))->start;

my %path = (chat => '/v1/chat/completions', responses => '/v1/responses', messages => '/v1/messages');

sub ask {
    my ($from, $to, $body, $stream) = @_;
    return $t->post("/gemini/v1beta/models/only_$to:" . ($stream ? 'streamGenerateContent?alt=sse' : 'generateContent'), $body) if $from eq 'gemini';
    return $t->post($path{$from}, {model => "only_$to", $from eq 'messages' ? (max_tokens => 90) : (), $stream ? (stream => \1) : (), %$body});
}

sub others { my ($from, @but) = @_; return grep { my $to = $_; $to ne $own{$from} && !grep { $to eq $_ } @but } @formats }

# The same for every upstream (but some); where is the field, as a pattern.
sub refused {
    my ($name, $from, $where, $body, %o) = @_;
    for my $to ($o{to} ? @{$o{to}} : others($from, @{$o{but} || []})) {
        my $before = @{$mock{$to}->requests(0)};
        my $res = ask($from, $to, $body);
        my $error = eval { $res->json->{error} } || {};
        is $res->status, 400, "$from to $to: $name: refused" or diag $res->body;
        my ($violation) = map { @{$_->{fieldViolations} || []} } @{$error->{details} || []};
        like $from eq 'messages' ? $error->{message} : $violation ? $violation->{field} : $error->{param}, qr/\A$where/, '... by its place' or diag $res->body;
        cmp_ok length $error->{message}, '>', 10, '... and why';
        is $error->{type} // $error->{status}, $from eq 'gemini' ? 'INVALID_ARGUMENT' : 'invalid_request_error', '... in the type of the dialect';
        is @{$mock{$to}->requests(0)}, $before, '... before anything is sent';
    }
}

my $hi = {role => 'user', content => 'Hi'};
my %chat_call = (id => 'call_1', type => 'function', function => {name => 'f', arguments => '{}'});
my $gemini_hi = {role => 'user', parts => [{text => 'Hi'}]};

# ---- tool results without calls, and the other way round ---------------------------------

refused('a result without a call', 'chat', 'messages\[1\]', {messages => [$hi, {role => 'tool', tool_call_id => 'call_9', content => 'x'}]});
refused('a result without a call', 'responses', 'input\[1\]', {input => [$hi, {type => 'function_call_output', call_id => 'call_9', output => 'x'}]});
refused('a result without a call', 'messages', 'messages\.1', {messages => [$hi, {role => 'user', content => [{type => 'tool_result', tool_use_id => 'call_9', content => 'x'}]}]});
refused('a result without a call', 'gemini', 'contents\[1\]', {contents => [$gemini_hi, {role => 'user', parts => [{functionResponse => {name => 'f', response => {}}}]}]});
refused('a call without a result', 'chat', 'messages\[1\]', {messages => [$hi, {role => 'assistant', content => undef, tool_calls => [\%chat_call]}, $hi]});
refused('one of two calls without a result', 'chat', 'messages\[1\]', {messages => [$hi, {role => 'assistant', content => undef, tool_calls => [\%chat_call, {%chat_call, id => 'call_2'}]},
    {role => 'tool', tool_call_id => 'call_1', content => 'x'}, $hi]});
refused('a call without a result', 'responses', 'input\[1\]', {input => [$hi, {type => 'function_call', call_id => 'call_1', name => 'f', arguments => '{}'}, $hi]});
refused('a call without a result', 'messages', 'messages\.1', {messages => [$hi, {role => 'assistant', content => [{type => 'tool_use', id => 'call_1', name => 'f', input => {}}]}, $hi]});
refused('a call without a result', 'gemini', 'contents\[1\]', {contents => [$gemini_hi, {role => 'model', parts => [{functionCall => {name => 'f', args => {}}}]}, $gemini_hi]});
refused('two results for one call', 'chat', 'messages\[3\]', {messages => [$hi, {role => 'assistant', content => undef, tool_calls => [\%chat_call]},
    map { {role => 'tool', tool_call_id => 'call_1', content => $_} } 'x', 'y']});
# ---- roles that there are not ----------------------------------------------------------------

refused('an unknown role', 'chat', 'messages\[1\]\.role', {messages => [$hi, {role => 'clown', content => 'x'}]});
refused('no role', 'chat', 'messages\[0\]\.role', {messages => [{content => 'x'}]});
refused('an unknown role', 'responses', 'input\[0\]\.role', {input => [{role => 'clown', content => 'x'}]});
refused('an unknown role', 'messages', 'messages\.1\.role: Input should be', {messages => [$hi, {role => 'clown', content => 'x'}]});
refused('an unknown role', 'gemini', 'contents\[0\]\.role', {contents => [{role => 'clown', parts => [{text => 'x'}]}]});

# ---- images that are none ------------------------------------------------------------------------

for my $case (['no base64', 'data:image/png;base64,%%%'], ['a text', 'data:text/plain;base64,aGVsbG8='], ['no URL', 'hello'], ['nothing', ''], ['a file', 'file:///etc/passwd'],
    ['nothing in it', 'data:image/png;base64,'], ['no picture', 'data:image/png;base64,aGVsbG8gd29ybGQ='],
    ['no type', 'data:;base64,iVBORw0KGgo='])
{
    my ($what, $url) = @$case;
    refused("an image: $what", 'chat', 'messages\[0\]\.content\[0\]\.image_url', {messages => [{role => 'user', content => [{type => 'image_url', image_url => {url => $url}}]}]});
    refused("an image: $what", 'responses', 'input\[0\]\.content\[0\]\.image_url', {input => [{role => 'user', content => [{type => 'input_image', image_url => $url}]}]});
}
for my $case (['no base64', 'image/png', '%%%'], ['a text', 'text/plain', 'aGVsbG8='], ['nothing in it', 'image/png', ''], ['no picture', 'image/png', 'aGVsbG8gd29ybGQ=']) {
    my ($what, $media, $data) = @$case;
    refused("an image: $what", 'messages', 'messages\.0\.content\.0', {messages => [{role => 'user', content => [{type => 'image', source => {type => 'base64', media_type => $media, data => $data}}]}]});
    next if $media !~ /image/;
    refused("an image: $what", 'gemini', 'contents\[0\]\.parts\[0\]', {contents => [{role => 'user', parts => [{inlineData => {mimeType => $media, data => $data}}]}]});
}

# ---- more answers than one -----------------------------------------------------------------------

my @one_only = qw(anthropic-messages bedrock-converse openai-responses);
refused('two answers', 'chat', 'n\z', {messages => [$hi], n => 2}, to => \@one_only);
refused('two answers', 'gemini', 'generationConfig\.candidateCount', {contents => [$gemini_hi], generationConfig => {candidateCount => 2}}, to => \@one_only);

# ---- schemas that lead to themselves, and very many of them ---------------------------------------

my $tool = sub { my ($from, $name, $schema) = @_;
    $from eq 'chat' ? {type => 'function', function => {name => $name, parameters => $schema}} : $from eq 'responses' ? {type => 'function', name => $name, strict => \0, parameters => $schema}
    : $from eq 'messages' ? {name => $name, input_schema => $schema} : {functionDeclarations => [{name => $name, description => 'x', parametersJsonSchema => $schema}]} };
my $with = sub { my ($from, @tools) = @_; my %user = $from eq 'gemini' ? (contents => [$gemini_hi]) : $from eq 'responses' ? (input => 'Hi') : (messages => [$hi]); return {%user, tools => [@tools]} };

$mock{$_}->flag(story => 'hello') for @formats;
my %cycle = ('into itself' => {type => 'object', properties => {next => {'$ref' => '#'}}},
    'into its definition' => {type => 'object', properties => {a => {'$ref' => '#/$defs/n'}}, '$defs' => {n => {type => 'object', properties => {n => {'$ref' => '#/$defs/n'}}}}},
    'of two' => {type => 'object', properties => {a => {'$ref' => '#/$defs/a'}}, '$defs' => {a => {'$ref' => '#/$defs/b'}, b => {'$ref' => '#/$defs/a'}}},
    'to nothing' => {type => 'object', properties => {a => {'$ref' => '#/$defs/none'}}}, 'of many' => {type => 'object', properties => {map { ("p$_" => {'$ref' => '#/$defs/n'}) } 1 .. 12},
        '$defs' => {n => {type => 'object', properties => {map { ("q$_" => {'$ref' => '#/$defs/n'}) } 1 .. 12}}}});
for my $from (sort keys %own) {
    for my $to (others($from)) {
        for my $what (sort keys %cycle) {
            my $res = ask($from, $to, $with->($from, $tool->($from, 'f', $cycle{$what})), 1);
            is $res->status, 200, "$from to $to: a schema with a cycle $what" or diag $res->body;
            my $req = $mock{$to}->request(-1);
            cmp_ok length $req->body, '<', 20_000, '... is not written out for ever';
            my ($schema) = values %{hear($to, $req->json)->{tools}};
            is_deeply $schema, $cycle{$what}, '... arrives';
        }
        next if $to ne (others($from))[0];
        my $before = time;
        my $res = ask($from, $to, $with->($from, map { $tool->($from, "tool_$_", {type => 'object', properties => {a => {type => 'string'}}}) } 1 .. 10_000), 1);
        is $res->status, 200, "$from to $to: 10,000 tools" or diag substr $res->body, 0, 300;
        my $tools = eval { hear($to, $mock{$to}->request(-1)->json)->{tools} };
        is scalar(keys %{$tools || {}}), 10_000, '... all arrive';
        cmp_ok time - $before, '<', 20, '... in time';
    }
}

# ---- arguments that are no JSON, from the model ---------------------------------------------------

sub events_of { map { $_->{data} eq '[DONE]' ? () : $json->decode($_->{data}) } grep { defined $_->{data} && length $_->{data} } Relay::Sse::parse($_[0]) }

# What of arguments arrives; wrapped, where only an object can be told.
my %arguments = (
    chat => sub { join '', map { $_->{function}{arguments} // '' } map { @{$_->{choices}[0]{delta}{tool_calls} || $_->{choices}[0]{message}{tool_calls} || []} } grep { @{$_->{choices}} } @_ },
    responses => sub { my ($last) = map { $_->{response} || $_ } grep { !$_->{type} || $_->{type} eq 'response.completed' } @_; $last->{output}[0]{arguments} },
    messages => sub { @_ == 1 ? $_[0]{content}[0]{input}{raw_arguments} : join '', map { $_->{delta}{partial_json} // '' } grep { $_->{type} eq 'content_block_delta' } @_ },
    gemini => sub { my ($call) = map { $_->{functionCall} || () } map { @{$_->{candidates}[0]{content}{parts} || []} } @_; $call->{args}{raw_arguments} },
);
$mock{$_}->flag(story => 'broken') for @formats;
for my $from (sort keys %own) {
    for my $to (others($from, 'gemini')) {
        my $res = ask($from, $to, $with->($from, $tool->($from, 'f', {type => 'object'})), 1);
        is $res->status, 200, "S18 $from to $to: broken arguments, streamed" or diag $res->body;
        sse_ok $from => $res->body, '... in a valid stream' if $from ne 'gemini';
        is $arguments{$from}->(events_of($res->body)), $broken, '... as they came' or diag $res->body;
        is $t->log_of($res)->{error}, '', '... which is no error';
        next if $to !~ /^openai/;
        $res = ask($from, $to, $with->($from, $tool->($from, 'f', {type => 'object'})));
        is $res->status, 200, "S18 $from to $to: broken arguments" or diag $res->body;
        is $arguments{$from}->($res->json), $broken, '... as they came' or diag $res->body;
    }
}

# ---- a stream that is cut in the header of a message; a line that is very long ------------------

for my $from (sort keys %own) {
    $mock{'bedrock-converse'}->flag(story => 'cut');
    my $res = ask($from, 'bedrock-converse', $with->($from, $tool->($from, 'f', {type => 'object'})), 1);
    is $res->status, 200, "F15 $from: a message that is cut in its header";
    sse_ok $from => $res->body, '... ends the stream in an error', error => 1 if $from ne 'gemini';
    like $res->body, qr/"error"/, '... which says so';
    is $t->log_of($res)->{error}, 'upstream_cut', '... and so does the log';
    for my $to ((others($from))[0, -1]) {
        $mock{$to}->flag(story => 'long');
        $res = ask($from, $to, $with->($from, $tool->($from, 'f', {type => 'object'})), 1);
        my $whole = length $res->body > 20_000_000;
        ok $whole || $res->status == 502 || $res->body =~ /"error"/, "$from to $to: a line of 20 MB arrives, or the stream ends in an error: " . ($whole ? 'arrives' : $res->status);
        sse_ok $from => $res->body, '... as it should', $whole ? () : (error => 1) if $from ne 'gemini' && $res->status == 200;
        $mock{$to}->flag(story => 'big');
        like ask($from, $to, $with->($from, $tool->($from, 'f', {type => 'object'})), 1)->body, qr/(?:x{30000}){33}/, '... one of 1 MB does, behind it';
    }
}

$t->done;
