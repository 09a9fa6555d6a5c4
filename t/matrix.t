#!/usr/bin/perl

# Every caller's format in front of every upstream, whole and streamed: a text,
# two calls of tools with their results back, the end of an answer that was cut
# for length, usage, an error before and one in the stream, a stream that is cut.
# Other kinds of content are in matrix_kinds.t.

use lib 't/lib';
use Relay::Test;
use Relay::Frames;
use JSON::PP ();

my $json = JSON::PP->new->canonical->utf8;
my $chat_usage = {prompt_tokens => 11, completion_tokens => 5, total_tokens => 16};
my @calls = (['call_1', 'look', '{"at":"a"}'], ['call_2', 'look', '{"at":"b"}']);

# ---- upstreams: what they are asked and how they answer ---------------------------

my $gemini_part = sub {
    my ($story) = @_;
    return map { {functionCall => {name => $_->[1], args => $json->decode($_->[2])}} } @calls if $story eq 'tools';
    return {text => 'Hello'};
};
my %gemini = (
    format => 'gemini', base => '/v1beta', error => sub { {error => {code => 429, message => $_[0], status => 'RESOURCE_EXHAUSTED'}} },
    whole => sub { my ($story) = @_; {candidates => [{index => 0, content => {role => 'model', parts => [$gemini_part->($story)]},
        finishReason => $story eq 'length' ? 'MAX_TOKENS' : 'STOP'}], responseId => 'r1', modelVersion => 'up',
        usageMetadata => {promptTokenCount => 11, candidatesTokenCount => 5, totalTokenCount => 16}} },
    stream => sub { my ($story) = @_; my @parts = $gemini_part->($story);
        my $last = pop @parts;
        return ((map { event({candidates => [{index => 0, content => {role => 'model', parts => [$_]}}], responseId => 'r1'}) } @parts),
            event({candidates => [{index => 0, content => {role => 'model', parts => [$last]}, finishReason => $story eq 'length' ? 'MAX_TOKENS' : 'STOP'}],
                usageMetadata => {promptTokenCount => 11, candidatesTokenCount => 5, totalTokenCount => 16}, responseId => 'r1'})) },
    said => sub { my ($body) = @_; join '|', map { my $c = $_; map { exists $_->{text} ? "$c->{role}:$_->{text}"
        : $_->{functionCall} ? "call:$_->{functionCall}{name}" : "result:$_->{functionResponse}{name}" } @{$c->{parts}} } @{$body->{contents}} },
    path => qr{:generateContent$}, stream_path => qr{:streamGenerateContent\?alt=sse$});
my $messages_said = sub { my ($body) = @_; join '|', map { my $m = $_; map { my $b = ref $_ ? $_ : {type => 'text', text => $_};
    $b->{type} eq 'text' ? "$m->{role}:$b->{text}" : $b->{type} eq 'tool_use' ? "call:$b->{name}" : 'result:look' }
    ref $m->{content} ? @{$m->{content}} : $m->{content} } @{$body->{messages}} };
my $message_events = sub {
    my ($story) = @_;
    messages_stream(usage => {input_tokens => 11, output_tokens => 5}, $story eq 'tools' ? (text => [], tools => \@calls) : (text => ['Hel', 'lo']),
        $story eq 'length' ? (stop => 'max_tokens') : ());
};
my %messages = (
    format => 'anthropic-messages', base => '/v1', error => sub { $json->decode(error_body('anthropic', 'rate_limit_error', $_[0])) },
    whole => sub { my ($story) = @_; my $answer = $json->decode(message_answer(usage => {input_tokens => 11, output_tokens => 5}));
        @$answer{qw(content stop_reason)} = ([map { {type => 'tool_use', id => $_->[0], name => $_->[1], input => $json->decode($_->[2])} } @calls], 'tool_use')
            if $story eq 'tools';
        $answer->{stop_reason} = 'max_tokens' if $story eq 'length';
        return $answer },
    stream => $message_events, said => $messages_said, path => qr{^/v1/messages$}, stream_path => qr{^/v1/messages$});
my $converse_block = sub {
    my ($story) = @_;
    return $story eq 'tools' ? map { {toolUse => {toolUseId => $_->[0], name => $_->[1], input => $json->decode($_->[2])}} } @calls : {text => 'Hello'};
};
my $converse_stop = sub { {tools => 'tool_use', length => 'max_tokens'}->{$_[0]} || 'end_turn' };
my %converse = (
    format => 'bedrock-converse', base => '', signed => 1, binary => 1, error => sub { {message => $_[0]} },
    whole => sub { my ($story) = @_; {output => {message => {role => 'assistant', content => [$converse_block->($story)]}},
        stopReason => $converse_stop->($story), usage => {inputTokens => 11, outputTokens => 5, totalTokens => 16}, metrics => {latencyMs => 1}} },
    stream => sub { my ($story) = @_; my $i = 0;
        my @blocks = $story eq 'tools'
            ? map { my $n = $i++; (frame(contentBlockStart => {contentBlockIndex => $n, start => {toolUse => {toolUseId => $_->[0], name => $_->[1]}}}),
                frame(contentBlockDelta => {contentBlockIndex => $n, delta => {toolUse => {input => $_->[2]}}}), frame(contentBlockStop => {contentBlockIndex => $n})) } @calls
            : ((map { frame(contentBlockDelta => {contentBlockIndex => 0, delta => {text => $_}}) } 'Hel', 'lo'), frame(contentBlockStop => {contentBlockIndex => 0}));
        return (frame(messageStart => {role => 'assistant'}), @blocks, frame(messageStop => {stopReason => $converse_stop->($story)}),
            frame(metadata => {usage => {inputTokens => 11, outputTokens => 5, totalTokens => 16}, metrics => {latencyMs => 1}})) },
    stream_error => sub { frame(modelStreamErrorException => {message => $_[0]}, type => 'exception') },
    said => sub { my ($body) = @_; join '|', map { my $m = $_; map { exists $_->{text} ? "$m->{role}:$_->{text}"
        : $_->{toolUse} ? "call:$_->{toolUse}{name}" : 'result:look' } @{$m->{content}} } @{$body->{messages}} },
    path => qr{^/model/up-\w+%3A1/converse$}, stream_path => qr{^/model/up-\w+%3A1/converse-stream$});

my %upstream = (
    chat => {
        format => 'openai-chat', base => '/v1', error => sub { $json->decode(error_body('openai', 'requests', $_[0], 'rate_limit_exceeded')) },
        whole => sub { my ($story) = @_; my $answer = $json->decode(chat_answer(usage => $chat_usage)); my $choice = $answer->{choices}[0];
            ($choice->{message}{content}, $choice->{message}{tool_calls}, $choice->{finish_reason}) = (undef,
                [map { {id => $_->[0], type => 'function', function => {name => $_->[1], arguments => $_->[2]}} } @calls], 'tool_calls') if $story eq 'tools';
            $choice->{finish_reason} = 'length' if $story eq 'length';
            return $answer },
        stream => sub { my ($story) = @_; chat_stream(usage => $chat_usage, $story eq 'tools' ? (text => [], tools => \@calls) : (),
            $story eq 'length' ? (finish => 'length') : ()) },
        stream_error => sub { event({error => {message => $_[0], type => 'server_error', code => undef}}) },
        said => sub { my ($body) = @_; join '|', map { my $m = $_; ($m->{role} eq 'tool' ? 'result:look' : defined $m->{content}
            ? map { "$m->{role}:$_" } ref $m->{content} ? map { $_->{text} } @{$m->{content}} : $m->{content} : ()),
            map { "call:$_->{function}{name}" } @{$m->{tool_calls} || []} } @{$body->{messages}} },
        path => qr{^/v1/chat/completions$}, stream_path => qr{^/v1/chat/completions$}},
    responses => {
        format => 'openai-responses', base => '/v1', error => sub { $json->decode(error_body('openai', 'requests', $_[0], 'rate_limit_exceeded')) },
        whole => sub { my ($story) = @_; my $answer = $json->decode(response_answer(usage => {input_tokens => 11, output_tokens => 5, total_tokens => 16}));
            $answer->{output} = [map { {type => 'function_call', id => "fc_$_->[0]", call_id => $_->[0], name => $_->[1], arguments => $_->[2], status => 'completed'} } @calls]
                if $story eq 'tools';
            @$answer{qw(status incomplete_details)} = ('incomplete', {reason => 'max_output_tokens'}) if $story eq 'length';
            return $answer },
        said => sub { my ($body) = @_; join '|', ref $body->{input} ? map { my $m = $_; ($m->{type} || 'message') eq 'message'
            ? map { "$m->{role}:$_" } ref $m->{content} ? map { $_->{text} } @{$m->{content}} : $m->{content}
            : $m->{type} eq 'function_call' ? "call:$m->{name}" : 'result:look' } @{$body->{input}} : "user:$body->{input}" },
        path => qr{^/v1/responses$}, stream_path => qr{^/v1/responses$}},
    messages => {%messages, stream_error => sub { event(error => {type => 'error', error => {type => 'api_error', message => $_[0]}}) }},
    gemini => {%gemini, stream_error => sub { event({error => {code => 500, message => $_[0], status => 'INTERNAL'}}) }},
    converse => \%converse,
    invoke => {%messages, format => 'bedrock-invoke', base => '', signed => 1, binary => 1,
        stream => sub { map { /^data: (.*)$/m; bytes_frame($json->decode($1)) } $message_events->(@_) },
        stream_error => sub { frame(modelStreamErrorException => {message => $_[0]}, type => 'exception') },
        path => qr{^/model/up-\w+%3A1/invoke$}, stream_path => qr{^/model/up-\w+%3A1/invoke-with-response-stream$},
        body => sub { my ($body) = @_; $body->{anthropic_version} eq 'bedrock-2023-05-31' && !exists $body->{model} && !exists $body->{stream} }},
    vertex => {%messages, format => 'vertex-anthropic', base => '/v1/projects/p/locations/l', stream_error => sub { event(error => {type => 'error', error => {type => 'api_error', message => $_[0]}}) },
        path => qr{/publishers/anthropic/models/up-\w+%3A1:rawPredict$}, stream_path => qr{:streamRawPredict$},
        body => sub { my ($body) = @_; $body->{anthropic_version} eq 'vertex-2023-10-16' && !exists $body->{model} }},
    vertexgemini => {%gemini, format => 'vertex-gemini', base => '/v1/projects/p/locations/l', stream_error => sub { event({error => {code => 500, message => $_[0], status => 'INTERNAL'}}) },
        path => qr{^/v1/projects/p/locations/l/publishers/google/models/up-\w+%3A1:generateContent$}},
    azure => {},
);
$upstream{azure} = {%{$upstream{chat}}, format => 'azure-openai', base => '',
    path => qr{^/openai/deployments/up-azure%3A1/chat/completions\?api-version=2024-10-21$}};
$upstream{azure}{stream_path} = $upstream{azure}{path};
# a stream of Responses with tools is made of what a caller would get
$upstream{responses}{stream} = sub {
    my ($story) = @_;
    if ($story ne 'tools') {
        my @events = responses_stream(usage => {input_tokens => 11, output_tokens => 5, total_tokens => 16},
            $story eq 'length' ? (status => 'incomplete') : ());
        $events[-1] =~ s/"response":\{/"response":{"incomplete_details":{"reason":"max_output_tokens"},/ if $story eq 'length';
        return @events;
    }
    my ($n, @events) = (0);
    my $put = sub { my ($type, %rest) = @_; push @events, event($type, {type => $type, sequence_number => $n++, %rest}) };
    my $response = sub { {id => 'resp_1', object => 'response', created_at => 1700000000, model => 'up', status => $_[0], output => $_[1],
        usage => @{$_[1]} ? {input_tokens => 11, output_tokens => 5, total_tokens => 16} : undef} };
    $put->("response.$_", response => $response->('in_progress', [])) for qw(created in_progress);
    my @items;
    for my $i (0 .. $#calls) {
        my ($id, $name, $arguments) = @{$calls[$i]};
        my $item = sub { {type => 'function_call', id => "fc_$id", call_id => $id, name => $name, arguments => $_[0], status => $_[1]} };
        my %at = (output_index => $i, item_id => "fc_$id");
        $put->('response.output_item.added', output_index => $i, item => $item->('', 'in_progress'));
        $put->('response.function_call_arguments.delta', %at, delta => $arguments);
        $put->('response.function_call_arguments.done', %at, name => $name, arguments => $arguments);
        $put->('response.output_item.done', output_index => $i, item => $item->($arguments, 'completed'));
        push @items, $item->($arguments, 'completed');
    }
    $put->('response.completed', response => $response->('completed', \@items));
    return @events;
};
$upstream{responses}{stream_error} = sub { event('response.failed', {type => 'response.failed', sequence_number => 5, response => {id => 'resp_1',
    object => 'response', created_at => 1700000000, model => 'up', status => 'failed', output => [], error => {code => 'server_error', message => $_[0]}}}) };

# ---- callers ----------------------------------------------------------------------

my $schema = {type => 'object', properties => {at => {type => 'string'}}, required => ['at']};
my %caller = (
    chat => {
        path => sub { '/v1/chat/completions' }, stream => {stream => \1, stream_options => {include_usage => \1}},
        ask => sub { {messages => [{role => 'user', content => 'Hi'}], max_tokens => 50, tools => [{type => 'function', function => {name => 'look', parameters => $schema}}]} },
        back => sub { ({role => 'assistant', content => undef, tool_calls => [map { {id => $_->[0], type => 'function', function => {name => $_->[1], arguments => $_->[2]}} } @calls]},
            map { {role => 'tool', tool_call_id => $_->[0], content => 'seen'} } @calls) }, list => 'messages',
        text => sub { $_[0]{choices}[0]{message}{content} }, stop => sub { $_[0]{choices}[0]{finish_reason} }, length => 'length', tools => 'tool_calls',
        calls => sub { map { "$_->{function}{name} $_->{function}{arguments}" } @{$_[0]{choices}[0]{message}{tool_calls}} },
        usage => sub { @{$_[0]{usage}}{qw(prompt_tokens completion_tokens)} }, valid => [usage => 1],
        read => sub { my (%said, @calls); for my $e (@_) { next unless ref $e; my $c = ($e->{choices} || [])->[0];
            $said{usage} = [@{$e->{usage}}{qw(prompt_tokens completion_tokens)}] if $e->{usage};
            next unless $c; $said{text} .= $c->{delta}{content} // ''; $said{stop} = $c->{finish_reason} if $c->{finish_reason};
            for my $t (@{$c->{delta}{tool_calls} || []}) { $calls[$t->{index}]{name} ||= $t->{function}{name}; $calls[$t->{index}]{arguments} .= $t->{function}{arguments} // '' } }
            $said{calls} = [map { "$_->{name} $_->{arguments}" } @calls]; \%said }},
    responses => {
        path => sub { '/v1/responses' }, stream => {stream => \1},
        ask => sub { {input => [{role => 'user', content => 'Hi'}], max_output_tokens => 50, tools => [{type => 'function', name => 'look', parameters => $schema, strict => \0}]} },
        back => sub { ((map { {type => 'function_call', call_id => $_->[0], name => $_->[1], arguments => $_->[2]} } @calls),
            map { {type => 'function_call_output', call_id => $_->[0], output => 'seen'} } @calls) }, list => 'input',
        text => sub { $_[0]{output}[0]{content}[0]{text} }, stop => sub { $_[0]{incomplete_details} ? 'incomplete' : $_[0]{status} }, length => 'incomplete', tools => 'completed',
        calls => sub { map { "$_->{name} $_->{arguments}" } grep { $_->{type} eq 'function_call' } @{$_[0]{output}} },
        usage => sub { @{$_[0]{usage}}{qw(input_tokens output_tokens)} }, valid => [],
        read => sub { my ($last) = grep { ref && $_->{type} =~ /^response\.(completed|incomplete|failed)$/ } @_; my $r = ($last || {})->{response} || {};
            {text => join('', map { $_->{text} } map { @{$_->{content} || []} } @{$r->{output} || []}), stop => $r->{incomplete_details} ? 'incomplete' : $r->{status},
            usage => [@{$r->{usage} || {}}{qw(input_tokens output_tokens)}], calls => [map { "$_->{name} $_->{arguments}" } grep { $_->{type} eq 'function_call' } @{$r->{output} || []}]} }},
    messages => {
        path => sub { '/v1/messages' }, stream => {stream => \1},
        ask => sub { {messages => [{role => 'user', content => 'Hi'}], max_tokens => 50, tools => [{name => 'look', input_schema => $schema}]} },
        back => sub { ({role => 'assistant', content => [map { {type => 'tool_use', id => $_->[0], name => $_->[1], input => $json->decode($_->[2])} } @calls]},
            {role => 'user', content => [map { {type => 'tool_result', tool_use_id => $_->[0], content => 'seen'} } @calls]}) }, list => 'messages',
        text => sub { $_[0]{content}[0]{text} }, stop => sub { $_[0]{stop_reason} }, length => 'max_tokens', tools => 'tool_use',
        calls => sub { map { "$_->{name} " . $json->encode($_->{input}) } grep { $_->{type} eq 'tool_use' } @{$_[0]{content}} },
        usage => sub { @{$_[0]{usage}}{qw(input_tokens output_tokens)} }, valid => [],
        read => sub { my (%said, @calls); for my $e (@_) { next unless ref $e; $said{text} .= $e->{delta}{text} // '' if ($e->{delta}{type} // '') eq 'text_delta';
            push @calls, {name => $e->{content_block}{name}} if ($e->{content_block}{type} // '') eq 'tool_use';
            $calls[-1]{arguments} .= $e->{delta}{partial_json} if ($e->{delta}{type} // '') eq 'input_json_delta';
            if ($e->{type} eq 'message_start') { $said{usage}[0] = $e->{message}{usage}{input_tokens} }
            if ($e->{type} eq 'message_delta') { $said{stop} = $e->{delta}{stop_reason}; $said{usage} = [$e->{usage}{input_tokens} // $said{usage}[0], $e->{usage}{output_tokens}] } }
            $said{calls} = [map { "$_->{name} $_->{arguments}" } @calls]; \%said }},
    gemini => {
        path => sub { my ($model, $stream) = @_; "/gemini/v1beta/models/$model:" . ($stream ? 'streamGenerateContent?alt=sse' : 'generateContent') }, stream => {},
        ask => sub { {contents => [{role => 'user', parts => [{text => 'Hi'}]}], generationConfig => {maxOutputTokens => 50},
            tools => [{functionDeclarations => [{name => 'look', description => 'Looks', parameters => $schema}]}]} },
        back => sub { ({role => 'model', parts => [map { {functionCall => {id => $_->[0], name => $_->[1], args => $json->decode($_->[2])}} } @calls]},
            {role => 'user', parts => [map { {functionResponse => {id => $_->[0], name => $_->[1], response => {output => 'seen'}}} } @calls]}) }, list => 'contents',
        text => sub { $_[0]{candidates}[0]{content}{parts}[0]{text} }, stop => sub { $_[0]{candidates}[0]{finishReason} }, length => 'MAX_TOKENS', tools => 'STOP',
        calls => sub { map { "$_->{functionCall}{name} " . $json->encode($_->{functionCall}{args}) } grep { $_->{functionCall} } @{$_[0]{candidates}[0]{content}{parts}} },
        usage => sub { @{$_[0]{usageMetadata}}{qw(promptTokenCount candidatesTokenCount)} },
        read => sub { my %said = (calls => []); for my $e (@_) { my $c = ($e->{candidates} || [])->[0] || {};
            for (@{$c->{content}{parts} || []}) { $said{text} .= $_->{text} // ''; push @{$said{calls}}, "$_->{functionCall}{name} " . $json->encode($_->{functionCall}{args}) if $_->{functionCall} }
            $said{stop} = $c->{finishReason} if $c->{finishReason}; $said{usage} = [@{$e->{usageMetadata}}{qw(promptTokenCount candidatesTokenCount)}] if $e->{usageMetadata} } \%said }},
);

# ---- the stack ---------------------------------------------------------------------

my @secret = ('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY');
my %mock = map {
    my ($name, $up) = ($_, $upstream{$_});
    $name => Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $story = $req->flag('story') || 'text';
        my $streams = $req->path =~ /stream/i || $req->json->{stream};
        return {status => 429, headers => ['Retry-After', 9], body => $up->{error}->('Too much at once.')} if $story eq 'limit';
        return {body => $up->{whole}->($story)} unless $streams;
        my @events = $up->{stream}->($story =~ /cut|fails/ ? 'text' : $story);
        my $answer = $story eq 'cut' ? sse([@events[0 .. ($name =~ /gemini/ ? -1 : $#events / 2)]], end => 'reset', after_ms => 20)
            : $story eq 'fails' ? sse([@events[0 .. $#events / 2], $up->{stream_error}->('It broke.')], gap_ms => 15)
            : sse([@events], cut => [1 .. 150], cut_ms => 0);
        if ($up->{binary}) {
            my $h = $answer->{headers} ||= [];
            $answer->{type} = 'application/vnd.amazon.eventstream';
        }
        return $answer;
    });
} keys %upstream;

my %models = map { ("only_$_" => {offers => [{host => $_, id => "up-$_:1"}]}) } keys %upstream;
my $config = relay_config({models => \%models}, map { my $up = $upstream{$_};
    $_ => {mock => $mock{$_}, base_url => $mock{$_}->url . $up->{base}, formats => [$up->{format}],
        $up->{signed} ? (secret => join(':', @secret), auth => {type => 'sigv4', service => 'bedrock', region => 'us-east-1'}) : ()} }
    sort keys %upstream);
my $t = Relay::Test->new(allow => [qr/reset by peer|prematurely closed/]);
$t->relay($config)->start;

sub events_of { map { $_->{data} eq '[DONE]' ? () : $json->decode($_->{data}) } grep { defined $_->{data} && length $_->{data} } Relay::Sse::parse($_[0]) }

for my $to (sort keys %upstream) {
    my $up = $upstream{$to};
    for my $from (sort keys %caller) {
        my $c = $caller{$from};
        my $as_it_came = "$from $to" =~ /^(?:chat (?:chat|azure)|responses responses|messages messages|gemini (?:vertex)?gemini)$/;
        my $ask = sub {
            my ($story, $stream, %more) = @_;
            $mock{$to}->flag(story => $story);
            my $body = {$c->{path}->('', 0) =~ /gemini/ ? () : (model => "only_$to"), %{$c->{ask}->()}, $stream ? %{$c->{stream}} : (), %more};
            return $t->post($c->{path}->("only_$to", $stream), $body);
        };
        subtest "$from to $to" => sub {
            my $res = $ask->('text');
            is $res->status, 200, 'answered' or return diag $res->body;
            is $c->{text}->($res->json), 'Hello', 'its text';
            is_deeply [$c->{usage}->($res->json)], [11, 5], 'its usage';
            my $req = $mock{$to}->requests(0)->[-1];
            like $req->path, $up->{path}, 'the path';
            is $up->{said}->($req->json), 'user:Hi', 'what the model is told' or diag $req->body;
            ok $up->{body}->($req->json), 'the body fits the variant' or diag $req->body if $up->{body};
            is $req->header('authorization'), signature($req, @secret, 'us-east-1', 'bedrock'), 'signed' if $up->{signed};
            is $t->log_of($res)->{input_tokens}, 11, 'tokens are logged';

            $res = $ask->('tools');
            is_deeply [$c->{calls}->($res->json)], ['look {"at":"a"}', 'look {"at":"b"}'], 'two calls' or diag $res->body;
            is $c->{stop}->($res->json), $c->{tools}, 'and why it stopped';
            $res = $ask->('text', 0, $c->{list} => [@{$c->{ask}->()->{$c->{list}}}, $c->{back}->()]);
            is $res->status, 200, 'the results go back' or diag $res->body;
            is $up->{said}->($mock{$to}->requests(0)->[-1]->json), 'user:Hi|call:look|call:look|result:look|result:look', 'in their order'
                or diag $mock{$to}->requests(0)->[-1]->body;
            is $c->{stop}->($ask->('length')->json), $c->{length}, 'cut for length';

            for my $story (qw(text tools length)) {
                $res = $ask->($story, 1);
                is $res->status, 200, "$story, streamed" or return diag $res->body;
                like $mock{$to}->requests(0)->[-1]->path, $up->{stream_path}, '... the path';
                is $mock{$to}->requests(0)->[-1]->header('authorization'), signature($mock{$to}->requests(0)->[-1], @secret, 'us-east-1', 'bedrock'), '... signed' if $up->{signed};
                sse_ok $from => $res->body, '... a valid stream', @{$c->{valid}} if $c->{valid};
                my $said = $c->{read}->(events_of($res->body));
                is $said->{text} // '', $story eq 'tools' ? '' : 'Hello', '... its text' or diag $res->body;
                is_deeply $said->{calls}, $story eq 'tools' ? ['look {"at":"a"}', 'look {"at":"b"}'] : [], '... its calls' or diag $res->body;
                is $said->{stop}, $story eq 'tools' ? $c->{tools} : $story eq 'length' ? $c->{length} : $c->{stop}->($ask->('text')->json), '... its end';
                is_deeply $said->{usage}, [11, 5], '... its usage' or diag $res->body;
                is $t->log_of($res)->{output_tokens}, 5, '... in the log';
            }

            for my $stream (0, 1) {
                $res = $ask->('limit', $stream);
                is $res->status, 429, 'a limit: the status';
                is $res->header('retry-after'), 9, '... when to try again';
                is $res->header('x-should-retry'), 'true', '... that it is worth it' unless $as_it_came;
                is $res->json->{error}{message}, 'Too much at once.', '... the message' or diag $res->body;
            }
            for my $story (qw(fails cut)) {
                $res = $ask->($story, 1);
                if ($to =~ /gemini/ && $story eq 'cut') {
                    is $res->status, 502, 'a stream that never begins';
                    next;
                }
                is $res->status, 200, "a stream that $story" or diag $res->body;
                sse_ok $from => $res->body, '... ends in an error', error => 1 if $c->{valid};
                like $res->body, qr/"error"/, '... says so';
                like $res->body, qr/It broke\./, '... in the provider\'s words' if $story eq 'fails';
                like $t->log_of($res)->{error}, $story eq 'cut' ? qr/^upstream_cut$/ : qr/^upstream_error$/, '... and so does the log';
            }
        };
    }
}

# ---- binary events that lie ----------------------------------------------------------

my $bad = frame(contentBlockDelta => {contentBlockIndex => 0, delta => {text => 'lo'}});
substr($bad, -6, 1) = 'X';
my $liar = Relay::Mock->new(on => sub { my ($req) = @_;
    my $answer = sse([frame(messageStart => {role => 'assistant'}), frame(contentBlockDelta => {contentBlockIndex => 0, delta => {text => 'Hel'}}), $bad], gap_ms => 15);
    $answer->{type} = 'application/vnd.amazon.eventstream'; return $answer });
$config->{hosts}{converse}{base_url} = $liar->url;
$t->relay($config)->reload;
my $res = $t->post('/v1/chat/completions', {model => 'only_converse', messages => [{role => 'user', content => 'Hi'}], stream => \1});
sse_ok chat => $res->body, 'a wrong checksum in the stream ends it in an error', error => 1;
is $t->log_of($res)->{error}, 'upstream_invalid', '... for what it is';

$t->done;
