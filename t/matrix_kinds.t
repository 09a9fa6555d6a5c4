#!/usr/bin/perl

# Every caller's format in front of every upstream, whole and streamed, with what is not
# plain text: images, documents, a schema for the answer, stop sequences and which one
# matched, thinking and what signed it, a refusal, tokens read from a cache and written
# to it. Texts, tools, the end for length and errors are in matrix.t.

use lib 't/lib';
use Relay::Test;
use Relay::Frames;
use JSON::PP ();

my $json = JSON::PP->new->canonical->utf8;
my $schema = {type => 'object', properties => {city => {type => 'string'}}, required => ['city'], additionalProperties => JSON::PP::false()};
my $png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
my $pdf = 'JVBERi0xLjQgbm90IG11Y2g=';
my ($thought, $signature) = ('First this, then that.', 'c2lnbmF0dXJlLW9mLXRoZS10aG91Z2h0cw==');
my $said = '{"city":"Lule\u00e5"}';
my $no = 'I will not "do" that.';
my %look = (id => 'call_1aA', name => 'look', input => {at => 'a'});

# 49 tokens in, of them 7 from a cache and 30 written to one; 25 out, 5 of them thinking.
my %chat_usage = (prompt_tokens => 49, completion_tokens => 25, total_tokens => 74, prompt_tokens_details => {cached_tokens => 7, cache_write_tokens => 30},
    completion_tokens_details => {reasoning_tokens => 5});
my %responses_usage = (input_tokens => 49, output_tokens => 25, total_tokens => 74, input_tokens_details => {cached_tokens => 7, cache_write_tokens => 30},
    output_tokens_details => {reasoning_tokens => 5});
my %messages_usage = (input_tokens => 12, cache_read_input_tokens => 7, cache_creation_input_tokens => 30, output_tokens => 25,
    output_tokens_details => {thinking_tokens => 5});
my %gemini_usage = (promptTokenCount => 49, cachedContentTokenCount => 7, candidatesTokenCount => 20, thoughtsTokenCount => 5, totalTokenCount => 74);
my %converse_usage = (inputTokens => 12, cacheReadInputTokens => 7, cacheWriteInputTokens => 30, outputTokens => 25, totalTokens => 74);

# ---- upstreams -----------------------------------------------------------------------
#
# A story has thinking or not, and a text, a call or a refusal. `whole` and `events` tell
# it; `heard` reads a request: {images, documents, schema, stop, thinking, signed}.

sub types_of { my ($url) = @_; return $url =~ m{^data:([a-z/]+);base64,(.*)$} ? "$1 " . ($2 eq $png || $2 eq $pdf ? 'whole' : 'broken') : $url }
sub halves { my ($text) = @_; return (substr($text, 0, 5), substr($text, 5)) }

sub messages_blocks { my ($s) = @_; return (($s->{thinking} ? {type => 'thinking', thinking => $thought, signature => $signature} : ()),
    (defined $s->{text} ? {type => 'text', text => $s->{text}} : ()), ($s->{call} ? {type => 'tool_use', %look} : ())) }
sub messages_end { my ($s) = @_; return $s->{refusal} ? (stop_reason => 'refusal', stop_sequence => undef, stop_details => {type => 'refusal', category => undef, explanation => $no})
    : $s->{call} ? (stop_reason => 'tool_use', stop_sequence => undef) : (stop_reason => 'stop_sequence', stop_sequence => 'END') }
sub messages_whole { my ($s) = @_; return {id => 'msg_1', type => 'message', role => 'assistant', model => 'up', content => [messages_blocks($s)], messages_end($s), usage => \%messages_usage} }
sub messages_events {
    my ($s) = @_;
    my ($i, @events) = (0);
    my $put = sub { my ($type, %rest) = @_; push @events, {type => $type, %rest} };
    $put->('message_start', message => {%{messages_whole($s)}, content => [], stop_reason => undef, stop_sequence => undef, usage => {%messages_usage, output_tokens => 1}});
    for my $b (messages_blocks($s)) {
        my %begun = $b->{type} eq 'text' ? (text => '') : $b->{type} eq 'thinking' ? (thinking => '', signature => '') : (input => {});
        $put->('content_block_start', index => $i, content_block => {%$b, %begun});
        my @deltas = $b->{type} eq 'text' ? map { {type => 'text_delta', text => $_} } halves($b->{text})
            : $b->{type} eq 'thinking' ? ((map { {type => 'thinking_delta', thinking => $_} } halves($thought)), {type => 'signature_delta', signature => $signature})
            : map { {type => 'input_json_delta', partial_json => $_} } halves($json->encode($b->{input}));
        $put->('content_block_delta', index => $i, delta => $_) for @deltas;
        $put->('content_block_stop', index => $i++);
    }
    $put->('message_delta', delta => {messages_end($s)}, usage => \%messages_usage);
    $put->('message_stop');
    return @events;
}
sub messages_heard {
    my ($body) = @_;
    my %heard = (stop => $body->{stop_sequences}, schema => ($body->{output_config} || {})->{format}{schema}, effort => ($body->{output_config} || {})->{effort});
    for my $b (map { ref $_->{content} ? @{$_->{content}} : () } @{$body->{messages}}) {
        my $source = $b->{source} && types_of("data:$b->{source}{media_type};base64,$b->{source}{data}");
        push @{$heard{images}}, $source if $b->{type} eq 'image';
        push @{$heard{documents}}, $source if $b->{type} eq 'document';
        $heard{thinking} = [@$b{qw(thinking signature)}] if $b->{type} eq 'thinking';
    }
    return \%heard;
}

sub chat_message { my ($s) = @_; return {role => 'assistant', content => $s->{text}, $s->{refusal} ? (refusal => $no) : (), $s->{thinking} ? (reasoning_content => $thought) : (),
    $s->{call} ? (tool_calls => [{id => $look{id}, type => 'function', function => {name => 'look', arguments => $json->encode($look{input})}}]) : ()} }
sub chat_whole { my ($s) = @_; return {id => 'chatcmpl-1', object => 'chat.completion', created => 1700000000, model => 'up', usage => \%chat_usage,
    choices => [{index => 0, message => chat_message($s), finish_reason => $s->{call} ? 'tool_calls' : 'stop', logprobs => undef}]} }
sub chat_events {
    my ($s) = @_;
    my $chunk = sub { my ($delta, $finish) = @_; {id => 'chatcmpl-1', object => 'chat.completion.chunk', created => 1700000000, model => 'up',
        choices => [{index => 0, delta => $delta, finish_reason => $finish}]} };
    my $m = chat_message($s);
    my @calls = map { {index => 0, %$_} } @{$m->{tool_calls} || []};
    return ((map { $chunk->($_) } {role => 'assistant', content => ''}, ($s->{thinking} ? map { {reasoning_content => $_} } halves($thought) : ()),
        (defined $s->{text} ? map { {content => $_} } halves($s->{text}) : ()), (map { {tool_calls => [$_]} } @calls), ($s->{refusal} ? map { {refusal => $_} } halves($no) : ())),
        $chunk->({}, $s->{call} ? 'tool_calls' : 'stop'), {%{$chunk->({})}, choices => [], usage => \%chat_usage}, '[DONE]');
}
sub chat_heard {
    my ($body) = @_;
    my %heard = (effort => $body->{reasoning_effort}, stop => $body->{stop}, schema => ($body->{response_format} || {})->{json_schema}{schema});
    for my $p (map { ref $_->{content} ? @{$_->{content}} : () } @{$body->{messages}}) {
        push @{$heard{images}}, types_of($p->{image_url}{url}) if $p->{type} eq 'image_url';
        push @{$heard{documents}}, types_of($p->{file}{file_data}) if $p->{type} eq 'file';
    }
    return \%heard;
}

sub responses_items { my ($s) = @_; return (($s->{thinking} ? {type => 'reasoning', id => 'rs_1', summary => [{type => 'summary_text', text => $thought}], encrypted_content => $signature} : ()),
    (defined $s->{text} ? {type => 'message', id => 'msg_1', role => 'assistant', status => 'completed', content => [{type => 'output_text', text => $s->{text}, annotations => [], logprobs => []}]} : ()),
    ($s->{refusal} ? {type => 'message', id => 'msg_2', role => 'assistant', status => 'completed', content => [{type => 'refusal', refusal => $no}]} : ()),
    ($s->{call} ? {type => 'function_call', id => 'fc_1', call_id => $look{id}, name => 'look', arguments => $json->encode($look{input}), status => 'completed'} : ())) }
sub responses_whole { my ($s) = @_; return {id => 'resp_1', object => 'response', created_at => 1700000000, model => 'up', status => 'completed', error => undef,
    incomplete_details => undef, output => [responses_items($s)], usage => \%responses_usage} }
sub responses_events {
    my ($s) = @_;
    my ($n, $i, @events) = (0, 0);
    my $put = sub { my ($type, %rest) = @_; push @events, {type => "response.$type", sequence_number => $n++, %rest} };
    $put->($_, response => {%{responses_whole($s)}, status => 'in_progress', output => [], usage => undef}) for qw(created in_progress);
    for my $item (responses_items($s)) {
        my %at = (output_index => $i++, item_id => $item->{id});
        my $whole = sub { my ($type, $part, $name, %rest) = @_; $put->('content_part.added', %at, content_index => 0, part => {%$part, $name => ''});
            $put->("$type.delta", %at, content_index => 0, delta => $_, %rest) for halves($part->{$name});
            $put->("$type.done", %at, content_index => 0, $name => $part->{$name}, %rest); $put->('content_part.done', %at, content_index => 0, part => $part) };
        $put->('output_item.added', output_index => $at{output_index}, item => {%$item, $item->{type} eq 'reasoning' ? (summary => []) : $item->{type} eq 'message' ? (content => [])
            : (arguments => ''), status => 'in_progress'});
        if ($item->{type} eq 'reasoning') {
            my $part = $item->{summary}[0];
            $put->('reasoning_summary_part.added', %at, summary_index => 0, part => {%$part, text => ''});
            $put->('reasoning_summary_text.delta', %at, summary_index => 0, delta => $_) for halves($thought);
            $put->('reasoning_summary_text.done', %at, summary_index => 0, text => $thought);
            $put->('reasoning_summary_part.done', %at, summary_index => 0, part => $part);
        }
        elsif ($item->{type} eq 'function_call') {
            $put->('function_call_arguments.delta', %at, delta => $_) for halves($item->{arguments});
            $put->('function_call_arguments.done', %at, arguments => $item->{arguments});
        }
        elsif ($item->{content}[0]{type} eq 'refusal') { $whole->('refusal', $item->{content}[0], 'refusal') }
        else { $whole->('output_text', $item->{content}[0], 'text', logprobs => []) }
        $put->('output_item.done', output_index => $at{output_index}, item => $item);
    }
    $put->('completed', response => responses_whole($s));
    return @events;
}
sub responses_heard {
    my ($body) = @_;
    my %heard = (schema => ($body->{text} || {})->{format}{schema}, effort => ($body->{reasoning} || {})->{effort});
    for my $i (ref $body->{input} ? @{$body->{input}} : ()) {
        $heard{thinking} = [join('', map { $_->{text} } @{$i->{summary}}), $i->{encrypted_content}] if ($i->{type} || '') eq 'reasoning';
        for my $p (ref $i->{content} ? @{$i->{content}} : ()) {
            push @{$heard{images}}, types_of($p->{image_url}) if $p->{type} eq 'input_image';
            push @{$heard{documents}}, types_of($p->{file_data}) if $p->{type} eq 'input_file';
        }
    }
    return \%heard;
}

sub gemini_parts { my ($s) = @_; return (($s->{thinking} ? {text => $thought, thought => \1} : ()),
    (defined $s->{text} ? {text => $s->{text}, $s->{thinking} ? (thoughtSignature => $signature) : ()} : ()),
    ($s->{call} ? {functionCall => {id => $look{id}, name => 'look', args => $look{input}}, $s->{thinking} ? (thoughtSignature => $signature) : ()} : ())) }
sub gemini_chunk { my ($parts, %more) = @_; return {candidates => [{index => 0, @$parts ? (content => {role => 'model', parts => $parts}) : (), %more}], responseId => 'r1', modelVersion => 'up'} }
sub gemini_whole { my ($s) = @_; return {%{gemini_chunk([gemini_parts($s)], finishReason => $s->{refusal} ? 'SAFETY' : 'STOP')}, usageMetadata => \%gemini_usage} }
sub gemini_events {
    my ($s) = @_;
    my @parts = gemini_parts($s);
    return ((map { gemini_chunk([$_]) } @parts), {%{gemini_chunk([], finishReason => $s->{refusal} ? 'SAFETY' : 'STOP')}, usageMetadata => \%gemini_usage});
}
sub gemini_heard {
    my ($body) = @_;
    my $settings = $body->{generationConfig} || {};
    my %heard = (stop => $settings->{stopSequences}, schema => $settings->{responseJsonSchema}, effort => lc(($settings->{thinkingConfig} || {})->{thinkingLevel} // ''));
    for my $p (map { @{$_->{parts}} } @{$body->{contents}}) {
        my $data = $p->{inlineData} && types_of("data:$p->{inlineData}{mimeType};base64,$p->{inlineData}{data}");
        push @{$heard{$data =~ /^image/ ? 'images' : 'documents'}}, $data if $data;
        $heard{signed} = $p->{thoughtSignature} if $p->{functionCall};
    }
    return \%heard;
}

sub converse_whole { my ($s) = @_; return {output => {message => {role => 'assistant', content => [
    ($s->{thinking} ? {reasoningContent => {reasoningText => {text => $thought, signature => $signature}}} : ()), (defined $s->{text} ? {text => $s->{text}} : ()),
    ($s->{call} ? {toolUse => {toolUseId => $look{id}, name => 'look', input => $look{input}}} : ())]}},
    stopReason => $s->{refusal} ? 'content_filtered' : $s->{call} ? 'tool_use' : 'stop_sequence', additionalModelResponseFields => {stop_sequence => 'END'}, usage => \%converse_usage, metrics => {latencyMs => 1}} }
sub converse_events {
    my ($s) = @_;
    my ($i, $whole, @frames) = (0, converse_whole($s));
    my $block = sub { my ($start, @deltas) = @_; push @frames, frame(contentBlockStart => {contentBlockIndex => $i, start => $start}) if $start;
        push @frames, map({ frame(contentBlockDelta => {contentBlockIndex => $i, delta => $_}) } @deltas), frame(contentBlockStop => {contentBlockIndex => $i}); $i++ };
    $block->(undef, (map { {reasoningContent => {text => $_}} } halves($thought)), {reasoningContent => {signature => $signature}}) if $s->{thinking};
    $block->(undef, map { {text => $_} } halves($s->{text})) if defined $s->{text};
    $block->({toolUse => {toolUseId => $look{id}, name => 'look'}}, map { {toolUse => {input => $_}} } halves($json->encode($look{input}))) if $s->{call};
    return (frame(messageStart => {role => 'assistant'}), @frames, frame(messageStop => {map { $_ => $whole->{$_} } qw(stopReason additionalModelResponseFields)}),
        frame(metadata => {usage => \%converse_usage, metrics => {latencyMs => 1}}));
}
sub converse_heard {
    my ($body) = @_;
    my $format = ($body->{outputConfig} || {})->{textFormat} || {};
    my $text = ($format->{structure} || {})->{jsonSchema}{schema};
    my %heard = (effort => ($body->{outputConfig} || {})->{effort}, stop => ($body->{inferenceConfig} || {})->{stopSequences}, schema => $text && !ref $text ? $json->decode($text) : $text);
    for my $b (map { @{$_->{content}} } @{$body->{messages}}) {
        push @{$heard{images}}, types_of("data:image/$b->{image}{format};base64,$b->{image}{source}{bytes}") if $b->{image};
        push @{$heard{documents}}, types_of("data:application/$b->{document}{format};base64,$b->{document}{source}{bytes}") if $b->{document};
        $heard{thinking} = [@{$b->{reasoningContent}{reasoningText}}{qw(text signature)}] if $b->{reasoningContent};
    }
    return \%heard;
}

sub named { my ($e) = @_; return event($e->{type}, $e) }
my %messages = (whole => \&messages_whole, heard => \&messages_heard, stream => sub { map { named($_) } messages_events(@_) }, signs => 'thinking', names_stop => 1);
my %chat = (whole => \&chat_whole, heard => \&chat_heard, stream => sub { map { event($_) } chat_events(@_) }, refuses => 1);
my %gemini = (whole => \&gemini_whole, heard => \&gemini_heard, stream => sub { map { event($_) } gemini_events(@_) }, signs => 'calls', unwritten => 1);
my %upstream = (
    chat => {%chat, format => 'openai-chat', base => '/v1'},
    azure => {%chat, format => 'azure-openai', base => ''},
    responses => {whole => \&responses_whole, heard => \&responses_heard, stream => sub { map { named($_) } responses_events(@_) }, format => 'openai-responses', base => '/v1',
        no_stop => 1, refuses => 1, signs => 'thinking', private => 1},
    messages => {%messages, format => 'anthropic-messages', base => '/v1'},
    vertex => {%messages, format => 'vertex-anthropic', base => '/v1/projects/p/locations/l'},
    invoke => {%messages, format => 'bedrock-invoke', base => '', binary => 1, stream => sub { map { bytes_frame($_) } messages_events(@_) }},
    gemini => {%gemini, format => 'gemini', base => '/v1beta'},
    vertexgemini => {%gemini, format => 'vertex-gemini', base => '/v1/projects/p/locations/l'},
    converse => {whole => \&converse_whole, heard => \&converse_heard, stream => \&converse_events, format => 'bedrock-converse', base => '', binary => 1, signs => 'thinking',
        thinks_uncounted => 1, names_stop => 1, wordless => 1},
);
my %story = (
    full => {thinking => 1, text => $said},
    refuses => {refusal => 1},
    ponders => {thinking => 1, call => 1},
    done => {text => $said},
);

# ---- callers ---------------------------------------------------------------------------
#
# `read` makes of an answer, or of the events of one: {text, thinking, stop, sequence,
# refusal, usage => [input, cached, written, output, thought], turn}; turn is what goes
# back into the history.

my %caller = (
    chat => {
        path => sub { '/v1/chat/completions' }, stream => {stream => \1, stream_options => {include_usage => \1}},
        full => sub { {max_tokens => 900, messages => [{role => 'user', content => [{type => 'text', text => 'Where?'}, {type => 'image_url', image_url => {url => "data:image/png;base64,$png"}},
            {type => 'file', file => {filename => 'a.pdf', file_data => "data:application/pdf;base64,$pdf"}}]}], stop => ['END', 'x y'], reasoning_effort => 'low',
            response_format => {type => 'json_schema', json_schema => {name => 'place', schema => $schema, strict => \1}}} },
        asks => sub { {max_tokens => 900, messages => [{role => 'user', content => 'Hi'}, @_], tools => [{type => 'function', function => {name => 'look', parameters => {type => 'object', properties => {at => {type => 'string'}}}}}]} },
        result => sub { {role => 'tool', tool_call_id => $_[0]{tool_calls}[0]{id}, content => 'seen'} },
        join => sub { my %m = (role => 'assistant', content => ''); my ($stop, $usage);
            for my $e (@_) { $usage = $e->{usage} || $usage; my $c = $e->{choices}[0] or next; my $d = $c->{delta}; $stop = $c->{finish_reason} || $stop;
                for (qw(content refusal reasoning_content)) { $m{$_} .= $d->{$_} if defined $d->{$_} }
                push @{$m{reasoning_details}}, @{$d->{reasoning_details}} if $d->{reasoning_details};
                for my $t (@{$d->{tool_calls} || []}) { my $at = $m{tool_calls}[$t->{index}] ||= {type => 'function', function => {name => '', arguments => ''}};
                    $at->{id} = $t->{id} if $t->{id}; $at->{function}{$_} .= $t->{function}{$_} // '' for qw(name arguments); $at->{extra_content} = $t->{extra_content} if $t->{extra_content} } }
            return {choices => [{message => \%m, finish_reason => $stop}], usage => $usage} },
        read => sub { my ($a) = @_; my ($c, $u) = ($a->{choices}[0], $a->{usage}); my $m = $c->{message};
            return {text => $m->{content}, thinking => $m->{reasoning_content}, stop => $c->{finish_reason}, refusal => $m->{refusal}, turn => [$m], call => ($m->{tool_calls} || [])->[0],
                usage => [$u->{prompt_tokens}, $u->{prompt_tokens_details}{cached_tokens}, $u->{prompt_tokens_details}{cache_write_tokens}, $u->{completion_tokens}, $u->{completion_tokens_details}{reasoning_tokens}]} },
        ends => 'stop', refusal => {words => 'stop', silent => 'content_filter'}, shows_unsigned => 1},
    responses => {
        path => sub { '/v1/responses' }, stream => {stream => \1},
        full => sub { {max_output_tokens => 900, reasoning => {effort => 'low'}, include => ['reasoning.encrypted_content'], input => [{role => 'user', content => [{type => 'input_text', text => 'Where?'},
            {type => 'input_image', image_url => "data:image/png;base64,$png"}, {type => 'input_file', filename => 'a.pdf', file_data => "data:application/pdf;base64,$pdf"}]}],
            text => {format => {type => 'json_schema', name => 'place', schema => $schema, strict => \1}}} },
        asks => sub { {max_output_tokens => 900, store => \0, include => ['reasoning.encrypted_content'], input => [{role => 'user', content => 'Hi'}, @_],
            tools => [{type => 'function', name => 'look', strict => \0, parameters => {type => 'object', properties => {at => {type => 'string'}}}}]} },
        result => sub { my ($call) = grep { $_->{type} eq 'function_call' } @_; {type => 'function_call_output', call_id => $call->{call_id}, output => 'seen'} },
        join => sub { my ($last) = grep { $_->{type} =~ /^response\.(?:completed|incomplete)$/ } @_; $last->{response} },
        read => sub { my ($a) = @_; my @items = @{$a->{output}}; my @parts = map { @{$_->{content}} } grep { $_->{type} eq 'message' } @items; my ($r) = grep { $_->{type} eq 'reasoning' } @items;
            my $u = $a->{usage};
            return {text => join('', map { $_->{text} // '' } @parts), thinking => $r && join('', map { $_->{text} } @{$r->{summary}}), refusal => scalar((map { $_->{refusal} // () } @parts)[0]),
                stop => $a->{incomplete_details} ? $a->{incomplete_details}{reason} : $a->{status}, turn => \@items,
                usage => [$u->{input_tokens}, $u->{input_tokens_details}{cached_tokens}, $u->{input_tokens_details}{cache_write_tokens}, $u->{output_tokens}, $u->{output_tokens_details}{reasoning_tokens}]} },
        ends => 'completed', refusal => {words => 'completed', silent => 'content_filter'}, no_stop => 1, shows_unsigned => 1},
    messages => {
        path => sub { '/v1/messages' }, stream => {stream => \1},
        full => sub { {max_tokens => 900, messages => [{role => 'user', content => [{type => 'text', text => 'Where?'}, {type => 'image', source => {type => 'base64', media_type => 'image/png', data => $png}},
            {type => 'document', source => {type => 'base64', media_type => 'application/pdf', data => $pdf}}]}], stop_sequences => ['END', 'x y'],
            output_config => {effort => 'low', format => {type => 'json_schema', schema => $schema}}} },
        asks => sub { {max_tokens => 900, messages => [{role => 'user', content => 'Hi'}, @_], tools => [{name => 'look', input_schema => {type => 'object', properties => {at => {type => 'string'}}}}]} },
        result => sub { my ($call) = grep { $_->{type} eq 'tool_use' } @{$_[0]{content}}; {role => 'user', content => [{type => 'tool_result', tool_use_id => $call->{id}, content => 'seen'}]} },
        join => sub { my (%m, @input);
            for my $e (@_) { my $b = $m{content}[$e->{index} // 0];
                if ($e->{type} eq 'message_start') { %m = %{$e->{message}} } elsif ($e->{type} eq 'content_block_start') { $m{content}[$e->{index}] = $e->{content_block} }
                elsif ($e->{type} eq 'message_delta') { @m{keys %{$e->{delta}}} = values %{$e->{delta}}; $m{usage} = {%{$m{usage}}, %{$e->{usage}}} }
                elsif (my $d = $e->{delta}) { $b->{text} .= $d->{text} // '' if $d->{type} eq 'text_delta'; $b->{thinking} .= $d->{thinking} if $d->{type} eq 'thinking_delta';
                    $b->{signature} = $d->{signature} if $d->{type} eq 'signature_delta'; $input[$e->{index}] .= $d->{partial_json} if $d->{type} eq 'input_json_delta' } }
            $m{content}[$_]{input} = $json->decode($input[$_]) for grep { defined $input[$_] } 0 .. $#input;
            return \%m },
        read => sub { my ($a) = @_; my ($b) = grep { $_->{type} eq 'thinking' } @{$a->{content}}; my $u = $a->{usage};
            return {text => join('', map { $_->{text} } grep { $_->{type} eq 'text' } @{$a->{content}}), thinking => $b && $b->{thinking}, signature => $b && $b->{signature}, stop => $a->{stop_reason},
                sequence => $a->{stop_sequence}, refusal => ($a->{stop_details} || {})->{explanation}, turn => [{role => 'assistant', content => $a->{content}}],
                usage => [$u->{input_tokens} + ($u->{cache_read_input_tokens} || 0) + ($u->{cache_creation_input_tokens} || 0), $u->{cache_read_input_tokens}, $u->{cache_creation_input_tokens},
                    $u->{output_tokens}, ($u->{output_tokens_details} || {})->{thinking_tokens}]} },
        ends => 'end_turn', refusal => {words => 'refusal', silent => 'refusal'}},
    gemini => {
        path => sub { my ($model, $stream) = @_; "/gemini/v1beta/models/$model:" . ($stream ? 'streamGenerateContent?alt=sse' : 'generateContent') }, stream => {}, unwritten => 1,
        full => sub { {contents => [{role => 'user', parts => [{text => 'Where?'}, {inlineData => {mimeType => 'image/png', data => $png}}, {inlineData => {mimeType => 'application/pdf', data => $pdf}}]}],
            generationConfig => {maxOutputTokens => 900, stopSequences => ['END', 'x y'], responseMimeType => 'application/json', responseJsonSchema => $schema, thinkingConfig => {includeThoughts => \1, thinkingLevel => 'LOW'}}} },
        asks => sub { {contents => [{role => 'user', parts => [{text => 'Hi'}]}, @_], generationConfig => {maxOutputTokens => 900, thinkingConfig => {includeThoughts => \1}},
            tools => [{functionDeclarations => [{name => 'look', description => 'Looks', parametersJsonSchema => {type => 'object', properties => {at => {type => 'string'}}}}]}]} },
        result => sub { my ($call) = grep { $_->{functionCall} } @{$_[0]{parts}}; {role => 'user', parts => [{functionResponse => {id => $call->{functionCall}{id}, name => 'look', response => {output => 'seen'}}}]} },
        join => sub { my (@parts, $stop, $usage);
            for my $e (@_) { my $c = $e->{candidates}[0] || {}; push @parts, @{($c->{content} || {})->{parts} || []}; $stop = $c->{finishReason} || $stop; $usage = $e->{usageMetadata} || $usage }
            return {candidates => [{content => {role => 'model', parts => \@parts}, finishReason => $stop, finishMessage => $_[-1]{candidates}[0]{finishMessage}}], usageMetadata => $usage} },
        read => sub { my ($a) = @_; my ($c, $u) = ($a->{candidates}[0], $a->{usageMetadata}); my @parts = @{($c->{content} || {})->{parts} || []}; my @thoughts = grep { $_->{thought} } @parts;
            return {text => join('', map { $_->{text} // '' } grep { !$_->{thought} } @parts), thinking => @thoughts ? join('', map { $_->{text} // '' } @thoughts) : undef, stop => $c->{finishReason}, refusal => $c->{finishMessage}, turn => [$c->{content}],
                usage => [$u->{promptTokenCount}, $u->{cachedContentTokenCount}, undef, $u->{candidatesTokenCount} + ($u->{thoughtsTokenCount} || 0), $u->{thoughtsTokenCount}]} },
        ends => 'STOP', refusal => {words => 'SAFETY', silent => 'SAFETY'}, shows_unsigned => 1},
);

# ---- the stack ---------------------------------------------------------------------------

my %mock = map {
    my ($name, $up) = ($_, $upstream{$_});
    $name => Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $story = $story{$req->flag('story')};
        $story = $story{done} if $req->flag('story') eq 'ponders' && $req->body =~ /seen/;
        return {body => $up->{whole}->($story)} unless $req->path =~ /stream/i || $req->json->{stream};
        my $answer = sse([$up->{stream}->($story)], cut => [1 .. 150], cut_ms => 0);
        $answer->{type} = 'application/vnd.amazon.eventstream' if $up->{binary};
        return $answer;
    });
} keys %upstream;
my $t = Relay::Test->new;
$t->relay(relay_config({models => {map { ("only_$_" => {offers => [{host => $_, id => $_ =~ /converse|invoke/ ? 'anthropic.claude-x-v1:0' : "up-$_"}]}) } keys %upstream}},
    map { my $up = $upstream{$_}; $_ => {mock => $mock{$_}, base_url => $mock{$_}->url . $up->{base}, formats => [$up->{format}],
        $up->{binary} ? (secret => 'AKIDEXAMPLE:secret-of-bedrock-0123456789', auth => {type => 'sigv4', service => 'bedrock', region => 'us-east-1'}) : ()} } sort keys %upstream))->start;

sub events_of { map { $_->{data} eq '[DONE]' ? () : $json->decode($_->{data}) } grep { defined $_->{data} && length $_->{data} } Relay::Sse::parse($_[0]) }

sub ask {
    my ($from, $to, $story, $stream, $body) = @_;
    my $c = $caller{$from};
    $mock{$to}->flag(story => $story);
    my $res = $t->post($c->{path}->("only_$to", $stream), {$from eq 'gemini' ? () : (model => "only_$to"), %$body, $stream ? %{$c->{stream}} : ()});
    return ($res, undef) unless $res->status == 200;
    sse_ok $from => $res->body, '... a valid stream', $from eq 'chat' ? (usage => 1) : () if $stream && $from ne 'gemini';
    return ($res, $c->{read}->($stream ? $c->{join}->(events_of($res->body)) : $res->json));
}

sub heard { my ($to) = @_; return $upstream{$to}{heard}->($mock{$to}->request(-1)->json) }

# What is told of thinking by one that signs it, or to one that does not mind.
sub shows { my ($from, $to) = @_; my $up = $upstream{$to}; return $caller{$from}{shows_unsigned} || (($up->{signs} || '') eq 'thinking' && !$up->{private}) || own($from, $to) }
sub own { my ($from, $to) = @_; return $upstream{$to}{whole} == $upstream{$from}{whole} }

sub check_full {
    my ($from, $to, $stream) = @_;
    my ($c, $up) = ($caller{$from}, $upstream{$to});
    my $body = $c->{full}->();
    if ($up->{no_stop} && !$c->{no_stop}) {
        my $before = @{$mock{$to}->requests(0)};
        my ($res) = ask($from, $to, 'full', $stream, $body);
        is $res->status, 400, 'a stop sequence for an upstream that has none: refused';
        like $res->body, qr/stop/, '... by its name';
        is @{$mock{$to}->requests(0)}, $before, '... before anything is sent';
        delete @$body{qw(stop stop_sequences)};
        delete $body->{generationConfig}{stopSequences} if $body->{generationConfig};
    }
    my ($res, $answer) = ask($from, $to, 'full', $stream, $body);
    return diag $res->body unless is $res->status, 200, 'answered';
    my $heard = heard($to);
    is_deeply $heard->{images}, ['image/png whole'], 'an image arrives' or diag $mock{$to}->request(-1)->body;
    is_deeply $heard->{documents}, ['application/pdf whole'], 'a document does';
    is_deeply $heard->{schema}, $schema, 'a schema does' or diag $mock{$to}->request(-1)->body;
    is_deeply $heard->{stop}, $up->{no_stop} || $c->{no_stop} ? undef : ['END', 'x y'], 'stop sequences do';
    is $heard->{effort}, 'low', 'how much it is to think does' or diag $mock{$to}->request(-1)->body;
    is $answer->{text}, $said, 'what it says';
    is $answer->{thinking}, shows($from, $to) ? $thought : undef, 'what it thinks' or diag $res->body;
    is $answer->{signature}, $signature, 'and what signed that' if $from eq 'messages' && $answer->{thinking};
    my $told = $from eq 'messages' && $up->{names_stop};
    is $answer->{stop}, $told ? 'stop_sequence' : $c->{ends}, 'why it stops';
    is $answer->{sequence}, $told ? 'END' : undef, 'and at which sequence';
    my @usage = @{$answer->{usage}};
    $_ ||= 0 for @usage;
    is_deeply \@usage, [49, 7, $c->{unwritten} || $up->{unwritten} ? 0 : 30, 25, $up->{thinks_uncounted} ? 0 : 5], 'tokens of each kind' or diag $res->body;
    my $log = $t->log_of($res);
    is_deeply [@$log{qw(input_tokens cached_tokens output_tokens)}], [49, 7, 25], '... in the log, too';
}

sub check_refusal {
    my ($from, $to, $stream) = @_;
    my ($c, $up) = ($caller{$from}, $upstream{$to});
    my ($res, $answer) = ask($from, $to, 'refuses', $stream, $c->{asks}->());
    return diag $res->body unless is $res->status, 200, 'a refusal is an answer';
    my $words = $up->{refuses} || ($up->{names_stop} && !$up->{wordless});
    if (own($from, $to)) { like $res->body, qr/SAFETY|refus/, 'as it came' }
    else {
        my $stop = $c->{refusal}{$up->{refuses} || ($words && $from eq 'responses') ? 'words' : 'silent'};
        is $answer->{stop}, $stop, 'why it stops' or diag $res->body;
        is $answer->{refusal} // $answer->{text}, $no, 'and in which words' or diag $res->body if $words;
    }
}

# What it thought goes back with the call that it made, and with what signed it.
sub check_signed {
    my ($from, $to, $stream) = @_;
    my ($c, $up) = ($caller{$from}, $upstream{$to});
    my ($res, $answer) = ask($from, $to, 'ponders', $stream, $c->{asks}->());
    return diag $res->body unless is $res->status, 200, 'it thinks and calls';
    my @turn = @{$answer->{turn}};
    ($res) = ask($from, $to, 'ponders', $stream, $c->{asks}->(@turn, $c->{result}->(@turn)));
    return diag $res->body unless is $res->status, 200, 'the turn goes back';
    my $heard = heard($to);
    is_deeply $heard->{thinking}, [$thought, $signature], 'with what it thought, signed' or diag $mock{$to}->request(-1)->body if shows($from, $to) && ($up->{signs} || '') eq 'thinking';
    is $heard->{signed}, $signature, 'with its signature on the call' or diag $mock{$to}->request(-1)->body if ($up->{signs} || '') eq 'calls';
}

for my $to (sort keys %upstream) {
    for my $from (sort keys %caller) {
        for my $stream (0, 1) {
            subtest "$from to $to" . ($stream ? ', streamed' : '') => sub {
                check_full($from, $to, $stream);
                check_refusal($from, $to, $stream);
                check_signed($from, $to, $stream);
            };
        }
    }
}

$t->done;
