package Relay::Upstreams;

# What providers of each format hear and say, one turn of a conversation at a
# time and in the same words for all of them, so that one script of a session
# serves every format. The readers die on what the real ones would refuse.

=head1 SYNOPSIS

    my $heard = hear('gemini', $req->json);
    # {system => 'text', tools => {name => schema}, turns => [{side => 'user', text => '...'},
    #  {side => 'model', calls => [['c1', 'look', {at => 'a'}]], thinking => ['why', 'signature']},
    #  {side => 'user', results => {c1 => 'seen'}, images => ['image/png']}]}
    my @events = tell('gemini', {text => ['Hel', 'lo'], thinking => ['why', 'signature'],
        calls => [['c1', 'look', {at => 'a'}]]}, 3);       # the third answer of all

Messages of one side in a row are one turn; what a turn lacks is not there. Usage
of each answer is 11 tokens in and 5 out. bedrock-converse tells in binary frames.

=cut

use strict;
use warnings;
use Exporter qw(import);
use JSON::PP ();

use Relay::Frames;
use Relay::Sse;

our @EXPORT = qw(hear tell);

my $json = JSON::PP->new->canonical;    # of texts within others

# ---- hearing ------------------------------------------------------------------

sub _turn {
    my ($turns, $side) = @_;
    push @$turns, {side => $side} unless @$turns && $turns->[-1]{side} eq $side;
    return $turns->[-1];
}

# A system message in the middle is one of the user's, in a tag, where it has no place.
sub _say {
    my ($turn, $text) = @_;
    $text =~ s{\A<system>\n(.*)\n</system>\z}{$1}s;
    $turn->{text} = defined $turn->{text} ? "$turn->{text}\n$text" : $text;
}

sub _call {
    my ($turn, $id, $name, $input) = @_;
    die "a name like that: $name\n" unless $name =~ /^[a-zA-Z0-9_-]{1,64}$/;
    push @{$turn->{calls}}, [$id, $name, ref $input ? $input : $json->decode($input)];
}

# Each result once, and for a call of the turn before.
sub _result {
    my ($turns, $id, $text) = @_;
    my $turn = _turn($turns, 'user');
    my ($calls) = map { $_->{calls} || [] } grep { $_->{side} eq 'model' } reverse @$turns;
    die "a result without its call: $id\n" unless grep { $_->[0] eq $id } @{$calls || []};
    die "two results for $id\n" if exists $turn->{results}{$id};
    $turn->{results}{$id} = $text;
    return $turn;
}

sub _see { my ($turn, @types) = @_; push @{$turn->{images}}, @types if @types }

sub _data_type { $_[0] =~ m{^data:([a-z/]+);base64,[A-Za-z0-9+/=]+$} ? $1 : die "no data: $_[0]\n" }

sub _hear_chat {
    my ($body, $heard, $turns) = @_;
    for my $m (@{$body->{messages}}) {
        my @parts = !defined $m->{content} ? () : ref $m->{content} ? @{$m->{content}} : {type => 'text', text => $m->{content}};
        if ($m->{role} eq 'tool') { _result($turns, $m->{tool_call_id}, join '', map { $_->{text} } @parts); next }
        if ($m->{role} eq 'system' && !@$turns) { _say($heard, $_->{text}) for @parts; next }
        die "the role $m->{role}\n" unless $m->{role} =~ /^(?:system|user|assistant)$/;
        my $turn = _turn($turns, $m->{role} eq 'assistant' ? 'model' : 'user');
        for (@parts) {
            if ($_->{type} eq 'image_url') { _see($turn, _data_type($_->{image_url}{url})) }
            elsif ($_->{text} !~ /^Result of the tool call/) { _say($turn, $_->{text}) }
        }
        die "calls without a type of a function\n" if grep { $_->{type} ne 'function' } @{$m->{tool_calls} || []};
        _call($turn, $_->{id}, @{$_->{function}}{qw(name arguments)}) for @{$m->{tool_calls} || []};
    }
    return map { $_->{type} eq 'function' ? ($_->{function}{name} => $_->{function}{parameters}) : die "a tool: $_->{type}\n" } @{$body->{tools}};
}

sub _hear_block {
    my ($turns, $turn, $b) = @_;
    if ($b->{type} eq 'text') { die "an empty text\n" if $b->{text} eq ''; _say($turn, $b->{text}) }
    elsif ($b->{type} eq 'image') { _see($turn, $b->{source}{media_type}) }
    elsif ($b->{type} eq 'thinking') { $turn->{thinking} = [@$b{qw(thinking signature)}] }
    elsif ($b->{type} eq 'tool_use') { _call($turn, @$b{qw(id name input)}) }
    elsif ($b->{type} eq 'tool_result') {
        my @content = ref $b->{content} ? @{$b->{content}} : {type => 'text', text => $b->{content} // ''};
        _result($turns, $b->{tool_use_id}, join '', map { $_->{text} } grep { $_->{type} eq 'text' } @content);
        _see($turn, map { $_->{source}{media_type} } grep { $_->{type} eq 'image' } @content);
    }
    else { die "a block: $b->{type}\n" }
}

sub _hear_messages {
    my ($body, $heard, $turns) = @_;
    _say($heard, $_->{text}) for map { ref $_ ? @$_ : {text => $_} } grep { defined } $body->{system};
    for my $m (@{$body->{messages}}) {
        my $turn = _turn($turns, $m->{role} eq 'assistant' ? 'model' : 'user');
        _hear_block($turns, $turn, $_) for ref $m->{content} ? @{$m->{content}} : {type => 'text', text => $m->{content}};
    }
    return map { $_->{name} => $_->{input_schema} } @{$body->{tools}};
}

sub _hear_responses {
    my ($body, $heard, $turns) = @_;
    _say($heard, $body->{instructions}) if defined $body->{instructions};
    for my $i (@{$body->{input}}) {
        my @parts = map { ref $_ ? @$_ : {type => 'input_text', text => $_} } grep { defined } $i->{content} // $i->{output};
        my $turn = _turn($turns, ($i->{role} || '') eq 'assistant' || $i->{type} =~ /^(?:function_call|reasoning)$/ ? 'model' : 'user');
        if ($i->{type} eq 'function_call') { _call($turn, @$i{qw(call_id name arguments)}) }
        elsif ($i->{type} eq 'function_call_output') { _result($turns, $i->{call_id}, join '', map { $_->{text} // '' } @parts) }
        elsif ($i->{type} ne 'message') { die "an item: $i->{type}\n" }
        else { _say($turn, $_->{text}) for grep { defined $_->{text} } @parts }
        _see($turn, map { _data_type($_->{image_url}) } grep { $_->{type} eq 'input_image' } @parts);
    }
    return map { $_->{type} eq 'function' ? ($_->{name} => $_->{parameters}) : die "a tool: $_->{type}\n" } @{$body->{tools}};
}

sub _hear_gemini {
    my ($body, $heard, $turns) = @_;
    _say($heard, $_->{text}) for @{$body->{systemInstruction}{parts}};
    for my $c (@{$body->{contents}}) {
        my $turn = _turn($turns, $c->{role} eq 'model' ? 'model' : 'user');
        for my $p (@{$c->{parts}}) {
            _see($turn, $p->{inlineData}{mimeType}) if $p->{inlineData};
            if ($p->{functionCall}) { _call($turn, @{$p->{functionCall}}{qw(id name args)}) }
            elsif (my $r = $p->{functionResponse}) {
                _result($turns, $r->{id}, $r->{response}{result} // $r->{response}{error} // $json->encode($r->{response}));
            }
            elsif (defined $p->{text} && $p->{text} !~ /^Result of the tool call/) { _say($turn, $p->{text}) }
            $turn->{signed} ||= $p->{thoughtSignature} if $p->{thoughtSignature};
        }
    }
    return map { $_->{name} => $_->{parametersJsonSchema} || $_->{parameters} } map { @{$_->{functionDeclarations}} } @{$body->{tools}};
}

sub _hear_converse {
    my ($body, $heard, $turns) = @_;
    _say($heard, $_->{text}) for grep { defined $_->{text} } @{$body->{system}};
    for my $m (@{$body->{messages}}) {
        my $turn = _turn($turns, $m->{role} eq 'assistant' ? 'model' : 'user');
        for my $b (@{$m->{content}}) {
            if (defined $b->{text}) { _say($turn, $b->{text}) }
            elsif ($b->{toolUse}) { _call($turn, @{$b->{toolUse}}{qw(toolUseId name input)}) }
            elsif (my $r = $b->{toolResult}) {
                _result($turns, $r->{toolUseId}, join '', map { $_->{text} // '' } @{$r->{content}});
                _see($turn, map { "image/$_->{image}{format}" } grep { $_->{image} } @{$r->{content}});
            }
            elsif ($b->{reasoningContent}) { $turn->{thinking} = [@{$b->{reasoningContent}{reasoningText}}{qw(text signature)}] }
            elsif (!$b->{cachePoint}) { die 'a block: ' . join(' ', keys %$b) . "\n" }
        }
    }
    return map { $_->{toolSpec}{name} => $_->{toolSpec}{inputSchema}{json} } grep { $_->{toolSpec} } @{$body->{toolConfig}{tools}};
}

my %hears = ('openai-chat' => \&_hear_chat, 'openai-responses' => \&_hear_responses, 'anthropic-messages' => \&_hear_messages,
    gemini => \&_hear_gemini, 'bedrock-converse' => \&_hear_converse);

sub hear {
    my ($format, $body) = @_;
    my ($heard, $turns) = ({}, []);
    my @tools = $hears{$format}->($body, $heard, $turns);
    my %tools = @tools;
    die "a tool twice\n" if keys %tools != @tools / 2;
    die "$_ has no schema of an object\n" for grep { lc($tools{$_}{type} || '') ne 'object' } keys %tools;
    die "calls without results\n" if @$turns && $turns->[-1]{side} eq 'model';
    return {system => $heard->{text}, tools => \%tools, turns => $turns};
}

# ---- telling ------------------------------------------------------------------

# Arguments come in pieces.
sub _pieces { my ($input) = @_; return unpack '(a7)*', $json->encode($input) }

sub _tell_chat {
    my ($turn, $n) = @_;
    my @events = chat_stream(id => "chatcmpl-$n", text => $turn->{text} || [],
        tools => [map { [@$_[0, 1], _pieces($_->[2])] } @{$turn->{calls} || []}],
        usage => {prompt_tokens => 11, completion_tokens => 5, total_tokens => 16});
    splice @events, 1, 0, event({id => "chatcmpl-$n", object => 'chat.completion.chunk', created => 1700000000, model => 'up',
        choices => [{index => 0, delta => {reasoning_content => $turn->{thinking}[0]}, finish_reason => undef}]}) if $turn->{thinking};
    return @events;
}

sub _tell_messages {
    my ($turn, $n) = @_;
    my @events = messages_stream(id => "msg_$n", text => $turn->{text} || [], ping => 1,
        tools => [map { [@$_[0, 1], _pieces($_->[2])] } @{$turn->{calls} || []}], usage => {input_tokens => 11, output_tokens => 5});
    return @events unless $turn->{thinking};
    s/"index":(\d+)/'"index":' . ($1 + 1)/e for @events;
    my $named = sub { my ($type, %rest) = @_; event($type, {type => $type, index => 0, %rest}) };
    splice @events, 2, 0, $named->('content_block_start', content_block => {type => 'thinking', thinking => '', signature => ''}),
        $named->('content_block_delta', delta => {type => 'thinking_delta', thinking => $turn->{thinking}[0]}),
        $named->('content_block_delta', delta => {type => 'signature_delta', signature => $turn->{thinking}[1]}),
        $named->('content_block_stop');
    return @events;
}

# The items of an answer, each with what streams it: [item, begun, [event, members]...].
sub _items {
    my ($turn, $n) = @_;
    my @items;
    if ($turn->{thinking}) {
        my $part = {type => 'summary_text', text => $turn->{thinking}[0]};
        my %at = (summary_index => 0);
        push @items, [{type => 'reasoning', id => "rs_$n", summary => [$part], encrypted_content => $turn->{thinking}[1]}, {summary => []},
            ['response.reasoning_summary_part.added', %at, part => {%$part, text => ''}],
            ['response.reasoning_summary_text.delta', %at, delta => $part->{text}],
            ['response.reasoning_summary_text.done', %at, text => $part->{text}],
            ['response.reasoning_summary_part.done', %at, part => $part]];
    }
    if ($turn->{text}) {
        my $said = join '', @{$turn->{text}};
        my $part = sub { {type => 'output_text', text => $_[0], annotations => [], logprobs => []} };
        my %at = (content_index => 0);
        push @items, [{type => 'message', id => "msg_$n", role => 'assistant', status => 'completed', content => [$part->($said)]},
            {status => 'in_progress', content => []}, ['response.content_part.added', %at, part => $part->('')],
            (map { ['response.output_text.delta', %at, delta => $_, logprobs => []] } @{$turn->{text}}),
            ['response.output_text.done', %at, text => $said, logprobs => []], ['response.content_part.done', %at, part => $part->($said)]];
    }
    for (@{$turn->{calls} || []}) {
        my ($id, $name, $input) = @$_;
        my $arguments = $json->encode($input);
        push @items, [{type => 'function_call', id => "fc_$id", call_id => $id, name => $name, arguments => $arguments, status => 'completed'},
            {status => 'in_progress', arguments => ''}, (map { ['response.function_call_arguments.delta', delta => $_] } _pieces($input)),
            ['response.function_call_arguments.done', arguments => $arguments]];
    }
    return @items;
}

sub _tell_responses {
    my ($turn, $n) = @_;
    my ($sequence, @events, @output) = (0);
    my $put = sub { my ($type, %rest) = @_; push @events, event($type, {type => $type, sequence_number => $sequence++, %rest}) };
    my $response = sub { my ($status) = @_; {id => "resp_$n", object => 'response', created_at => 1700000000, model => 'up', status => $status,
        output => [@output], usage => @output ? {input_tokens => 11, output_tokens => 5, total_tokens => 16} : undef} };
    $put->("response.$_", response => $response->('in_progress')) for qw(created in_progress);
    for my $item (_items($turn, $n)) {
        my ($whole, $begun, @between) = @$item;
        my %at = (output_index => scalar @output);
        $put->('response.output_item.added', %at, item => {%$whole, %$begun});
        for (@between) { my ($type, @rest) = @$_; $put->($type, %at, item_id => $whole->{id}, @rest) }
        $put->('response.output_item.done', %at, item => $whole);
        push @output, $whole;
    }
    $put->('response.completed', response => $response->('completed'));
    return @events;
}

sub _tell_gemini {
    my ($turn, $n) = @_;
    my @parts = ($turn->{thinking} ? {text => $turn->{thinking}[0], thought => \1} : (), map({ {text => $_} } @{$turn->{text} || []}),
        map { {functionCall => {id => $_->[0], name => $_->[1], args => $_->[2]}} } @{$turn->{calls} || []});
    my ($call) = grep { $_->{functionCall} } @parts;
    $call->{thoughtSignature} = $turn->{thinking}[1] if $call && $turn->{thinking};
    my %head = (modelVersion => 'up', responseId => "r$n",
        usageMetadata => {promptTokenCount => 11, candidatesTokenCount => 5, totalTokenCount => 16});
    return (map({ event({candidates => [{index => 0, content => {role => 'model', parts => [$_]}}], %head}) } @parts),
        event({candidates => [{index => 0, content => {role => 'model', parts => [{text => ''}]}, finishReason => 'STOP'}], %head}));
}

sub _tell_converse {
    my ($turn) = @_;
    my @blocks;
    push @blocks, [undef, {reasoningContent => {text => $turn->{thinking}[0]}}, {reasoningContent => {signature => $turn->{thinking}[1]}}] if $turn->{thinking};
    push @blocks, [undef, map { {text => $_} } @{$turn->{text}}] if $turn->{text};
    push @blocks, map { [{toolUse => {toolUseId => $_->[0], name => $_->[1]}}, map { {toolUse => {input => $_}} } _pieces($_->[2])] } @{$turn->{calls} || []};
    my @frames = frame(messageStart => {role => 'assistant'});
    for my $i (0 .. $#blocks) {
        my ($start, @deltas) = @{$blocks[$i]};
        push @frames, frame(contentBlockStart => {contentBlockIndex => $i, start => $start}) if $start;
        push @frames, map({ frame(contentBlockDelta => {contentBlockIndex => $i, delta => $_}) } @deltas), frame(contentBlockStop => {contentBlockIndex => $i});
    }
    return (@frames, frame(messageStop => {stopReason => $turn->{calls} ? 'tool_use' : 'end_turn'}),
        frame(metadata => {usage => {inputTokens => 11, outputTokens => 5, totalTokens => 16}, metrics => {latencyMs => 1}}));
}

my %tells = ('openai-chat' => \&_tell_chat, 'openai-responses' => \&_tell_responses, 'anthropic-messages' => \&_tell_messages,
    gemini => \&_tell_gemini, 'bedrock-converse' => \&_tell_converse);

sub tell {
    my ($format, $turn, $n) = @_;
    return $tells{$format}->($turn, $n);
}

1;
