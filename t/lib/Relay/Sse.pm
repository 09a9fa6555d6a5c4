package Relay::Sse;

# Server-sent events for the tests: a parser, strict validators of the four
# streams that Relay serves, and makers of streams and answers for the mock.

=head1 SYNOPSIS

    my @events = Relay::Sse::parse($bytes);     # {event, data, raw, comment}
    sse_ok(chat => $res->body, 'a whole stream', usage => 1);
    sse_ok(messages => $res->body, 'cut', error => 1);
    my @faults = Relay::Sse::faults('responses', $bytes);   # empty: valid
    my $text = Relay::Sse::text('chat', $bytes);            # what the model said

    my @parts = chat_stream(text => ['Hel', 'lo'], usage => {prompt_tokens => 3,
        completion_tokens => 2, total_tokens => 5});        # one string per event
    my @parts = messages_stream(text => ['Hel', 'lo'], tools => [['t1', 'f', '{}']]);
    my @parts = responses_stream(text => ['Hel', 'lo']);
    my $json = chat_answer(text => 'Hello');    # message_answer, response_answer
    my $json = error_body('anthropic', 'overloaded_error', 'Overloaded');

C<sse_ok> options: usage (chat: exactly one usage chunk must come; 0: none
may), error (the stream must end in its error form and never in success).

=cut

use strict;
use warnings;
use Exporter qw(import);
use JSON::PP ();
use Test::More ();

our @EXPORT = qw(sse_ok chat_stream messages_stream responses_stream chat_answer
    message_answer response_answer error_body event);

my $writer = JSON::PP->new->canonical->utf8;
my $reader = JSON::PP->new->utf8;

sub encode { $writer->encode(shift) }

# ---- parser -----------------------------------------------------------------

# As the standard says, but comments come out too and an event that lacks its
# blank line comes out with unterminated set.
sub parse {
    my ($bytes) = @_;
    $bytes =~ s/\A\xEF\xBB\xBF//;
    my (@items, %field, $raw);
    while ($bytes =~ /\G([^\r\n]*)(\r\n|\r|\n|\z)/gc) {
        my ($line, $end) = ($1, $2);
        last if $line eq '' && $end eq '';
        $raw .= "$line$end";
        if ($line eq '') {
            push @items, {%field, raw => $raw} if %field;
            %field = ();
            $raw = '';
        }
        elsif ($line =~ /^:\s?(.*)/s) { push @items, {comment => $1, inside => %field ? 1 : 0} }
        else {
            my ($name, $value) = $line =~ /^([^:]*)(?::[ ]?(.*))?$/s;
            $value = '' unless defined $value;
            if ($name eq 'data') {
                $field{data} = defined $field{data} ? "$field{data}\n$value" : $value;
            }
            elsif ($name eq 'event') { $field{event} = $value }
            elsif ($name eq 'id' || $name eq 'retry') { $field{$name} = $value }
            else { $field{unknown} = $name }
        }
    }
    push @items, {%field, raw => $raw, unterminated => 1} if %field;
    return @items;
}

sub events { grep { exists $_->{data} || exists $_->{event} } parse(@_) }

# ---- validators -------------------------------------------------------------

my %validator = (chat => \&_chat, messages => \&_messages, responses => \&_responses, gemini => \&_gemini);

sub sse_ok {
    my ($format, $bytes, $name, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @faults = faults($format, $bytes, %o);
    my $good = Test::More::ok(!@faults, $name);
    Test::More::diag(join "\n", @faults, 'stream was:', substr $bytes, -2000) unless $good;
    return $good;
}

sub faults {
    my ($format, $bytes, %o) = @_;
    my @faults;
    my @items = parse($bytes);
    for my $item (@items) {
        push @faults, 'an event without its blank line: ' . $item->{raw} if $item->{unterminated};
        push @faults, 'a comment inside an event' if $item->{inside};
        push @faults, "an unknown field: $item->{unknown}" if exists $item->{unknown};
        push @faults, 'an event without data' if exists $item->{event} && !exists $item->{data};
        push @faults, 'invalid UTF-8' if defined $item->{data} && !utf8::decode(my $x = $item->{data});
        push @faults, 'U+FFFD' if defined $item->{data} && $item->{data} =~ /\xEF\xBF\xBD/;
    }
    my @events = grep { exists $_->{data} } @items;
    push @faults, 'no event at all' unless @events;
    for my $e (@events) {
        next if $e->{data} eq '[DONE]';
        $e->{json} = eval { $reader->decode($e->{data}) };
        push @faults, "not a JSON object: $e->{data}" unless ref $e->{json} eq 'HASH';
    }
    return @faults if @faults;
    return $validator{$format}->(\%o, @events);
}

sub _is_count { defined $_[0] && !ref $_[0] && $_[0] =~ /^\d+$/ }

sub _chat {
    my ($o, @events) = @_;
    my (@f, $id, $done, $error, %role, %finish, %tool, $usage);
    for my $e (@events) {
        push @f, 'an event after [DONE]' if $done;
        push @f, 'an event after the error' if $error;
        if ($e->{data} eq '[DONE]') { $done = 1; next }
        my $c = $e->{json};
        if (exists $c->{error}) {
            $error = 1;
            push @f, 'error without message' unless ref $c->{error} && length($c->{error}{message} || '');
            next;
        }
        push @f, "an event name: $e->{event}" if exists $e->{event};
        push @f, "object is not chat.completion.chunk" if ($c->{object} || '') ne 'chat.completion.chunk';
        for (qw(id created model)) { push @f, "no $_" unless defined $c->{$_} }
        $id = $c->{id} unless defined $id;
        push @f, "id changed: $id, $c->{id}" if defined $c->{id} && $c->{id} ne $id;
        if (ref $c->{choices} ne 'ARRAY') { push @f, 'choices is not an array'; next }
        if ($c->{usage}) {
            $usage++;
            push @f, 'usage without numbers'
                if grep { !_is_count($c->{usage}{$_}) } qw(prompt_tokens completion_tokens total_tokens);
        }
        elsif (!@{$c->{choices}}) { push @f, 'a chunk without choices and usage' }
        push @f, _chat_choice($_, \%role, \%finish, \%tool) for @{$c->{choices}};
    }
    if ($o->{error}) {
        push @f, 'no error event' unless $error;
        push @f, '[DONE] after a failure' if $done;
    }
    else {
        push @f, 'an error event' if $error;
        push @f, 'no [DONE]' unless $done;
        push @f, 'no finish_reason' unless %finish;
        push @f, "choice $_ has no finish_reason" for grep { !$finish{$_} } keys %role;
    }
    if (defined $o->{usage}) {
        push @f, 'no usage chunk' if $o->{usage} && !$usage;
        push @f, 'a usage chunk nobody asked for' if !$o->{usage} && $usage;
    }
    push @f, "$usage usage chunks" if ($usage || 0) > 1;
    return @f;
}

sub _chat_choice {
    my ($choice, $role, $finish, $tool) = @_;
    my @f;
    my $i = $choice->{index};
    return 'choice without index' unless _is_count($i);
    return 'choice without delta' unless ref $choice->{delta} eq 'HASH';
    push @f, 'first delta without role' if !$role->{$i} && ($choice->{delta}{role} || '') ne 'assistant';
    $role->{$i} = 1;
    push @f, "a delta after finish_reason of choice $i" if $finish->{$i} && %{$choice->{delta}};
    for my $t (@{$choice->{delta}{tool_calls} || []}) {
        if (!_is_count($t->{index})) { push @f, 'tool fragment without index'; next }
        my $first = !$tool->{"$i/$t->{index}"}++;
        my $named = defined $t->{id} && defined $t->{type} && defined $t->{function}{name};
        push @f, 'first tool fragment lacks id, type or name' if $first && !$named;
        push @f, 'a later tool fragment repeats its id' if !$first && defined $t->{id} && length $t->{id};
    }
    if (defined $choice->{finish_reason}) {
        push @f, "choice $i finished twice" if $finish->{$i}++;
    }
    return @f;
}

my %block = map { $_ => 1 } qw(text thinking redacted_thinking tool_use server_tool_use
    web_search_tool_result web_fetch_tool_result code_execution_tool_result
    bash_code_execution_tool_result text_editor_code_execution_tool_result
    tool_search_tool_result mcp_tool_use mcp_tool_result container_upload compaction fallback);
my %delta_of = (text_delta => 'text', input_json_delta => 'tool', thinking_delta => 'thinking',
    signature_delta => 'thinking', citations_delta => 'text', compaction_delta => 'compaction');

sub _messages {
    my ($o, @events) = @_;
    my (@f, $state, $open, $type, $next, $error);
    ($state, $next) = ('before', 0);
    for my $e (@events) {
        return (@f, 'data that is no event object') unless $e->{json};
        my $j = $e->{json};
        my $name = $j->{type} || '';
        push @f, 'event: ' . (defined $e->{event} ? $e->{event} : '(none)') . " but type $name"
            if !defined $e->{event} || $e->{event} ne $name;
        push @f, "$name after the end" if $state eq 'stopped' || $error;
        if ($name eq 'ping') {
            push @f, 'a ping before message_start' if $state eq 'before';
            next;
        }
        if ($name eq 'error') {
            $error = 1;
            push @f, 'error without type or message' unless $j->{error}{type} && length($j->{error}{message} || '');
        }
        elsif ($name eq 'message_start') {
            push @f, 'message_start twice' if $state ne 'before';
            $state = 'content';
            push @f, _message_start($j->{message});
        }
        elsif ($state eq 'before') { push @f, "$name before message_start" }
        elsif ($name eq 'content_block_start') {
            push @f, "$name after message_delta" if $state ne 'content';
            push @f, "$name while block $open is open" if defined $open;
            push @f, "index $j->{index}, expected $next" if $j->{index} != $next;
            ($open, $type) = ($j->{index}, $j->{content_block}{type} || '');
            push @f, "unknown block type $type" unless $block{$type};
            push @f, 'a text block that starts with text' if $type eq 'text' && $j->{content_block}{text} ne '';
            $next++;
        }
        elsif ($name eq 'content_block_delta') {
            push @f, "delta for block $j->{index}, open: " . (defined $open ? $open : 'none')
                if !defined $open || $open != $j->{index};
            my $kind = $delta_of{$j->{delta}{type} || ''} || 'unknown';
            push @f, "delta $j->{delta}{type} in a $type block" if ($type || '') !~ /$kind/;
        }
        elsif ($name eq 'content_block_stop') {
            push @f, "stop of block $j->{index} that is not open" if !defined $open || $open != $j->{index};
            undef $open;
        }
        elsif ($name eq 'message_delta') {
            push @f, "message_delta while block $open is open" if defined $open;
            push @f, 'message_delta without output_tokens' unless _is_count($j->{usage}{output_tokens});
            push @f, 'message_delta without stop_reason' unless $j->{delta}{stop_reason};
            $state = 'delta';
        }
        elsif ($name eq 'message_stop') {
            push @f, 'message_stop without message_delta' if $state ne 'delta';
            $state = 'stopped';
        }
        else { push @f, "unknown event $name" }
    }
    if ($o->{error}) {
        push @f, 'no error event' unless $error;
        push @f, 'message_stop in a failed stream' if $state eq 'stopped';
    }
    else {
        push @f, 'an error event' if $error;
        push @f, 'no message_stop' if $state ne 'stopped';
    }
    return @f;
}

sub _message_start {
    my ($m) = @_;
    my @f;
    return 'message_start without message' unless ref $m eq 'HASH';
    for (qw(id model role)) { push @f, "message without $_" unless defined $m->{$_} }
    push @f, 'message.content is not []' unless ref $m->{content} eq 'ARRAY' && !@{$m->{content}};
    for (qw(input_tokens output_tokens)) { push @f, "message.usage.$_ is no number" unless _is_count($m->{usage}{$_}) }
    return @f;
}

sub _responses {
    my ($o, @events) = @_;
    my (@f, %item, $sequence, $end, $text, @done);
    ($sequence, $text) = (0, '');
    my $position = 0;
    for my $e (@events) {
        return (@f, '[DONE] does not belong here') unless $e->{json};
        my $j = $e->{json};
        my $name = $j->{type} || '';
        push @f, "event: line differs from type $name" if !defined $e->{event} || $e->{event} ne $name;
        push @f, "$name after $end" if defined $end;
        push @f, "$name: sequence_number " . (defined $j->{sequence_number} ? $j->{sequence_number} : '(none)')
            . ", expected $sequence" if !_is_count($j->{sequence_number}) || $j->{sequence_number} != $sequence;
        $sequence++;
        next if $name eq 'keepalive';
        push @f, "first event is $name" if !$position++ && $name !~ /^(response\.created|error)$/
            && !($o->{error} && $name eq 'response.failed');
        if ($name eq 'response.output_item.added') {
            push @f, "item $j->{output_index} added twice" if $item{$j->{output_index}};
            push @f, "item without id" unless defined $j->{item}{id};
            $item{$j->{output_index}} = {id => $j->{item}{id}, open => 1, type => $j->{item}{type}};
        }
        elsif ($name eq 'response.output_item.done') {
            my $i = $item{$j->{output_index}};
            push @f, "item $j->{output_index} done before added" unless $i;
            push @f, 'item id changed' if $i && $i->{id} ne $j->{item}{id};
            push @f, 'items done out of order' if $j->{output_index} != @done;
            push @done, $j->{item};
            $i->{open} = 0 if $i;
        }
        elsif (defined $j->{output_index}) { push @f, _responses_part($name, $j, $item{$j->{output_index}}, \$text) }
        elsif ($name =~ /^(response\.(completed|incomplete|failed)|error)$/) {
            $end = $name;
            push @f, _responses_end($name, $j, \@done, grep { $_->{open} } values %item);
        }
    }
    my $failed = defined $end && $end =~ /^(response\.failed|error)$/;
    if ($o->{error}) { push @f, 'no response.failed or error' unless $failed }
    elsif (!defined $end) { push @f, 'no terminal event' }
    elsif ($failed) { push @f, "ended by $end" }
    return @f;
}

sub _responses_part {
    my ($name, $j, $item, $text) = @_;
    return "$name for an item that was not added" unless $item;
    my @f;
    push @f, "$name after the item was done" unless $item->{open};
    push @f, "$name: item_id $j->{item_id} is not $item->{id}" if defined $j->{item_id} && $j->{item_id} ne $item->{id};
    my $part = \$item->{part}{defined $j->{content_index} ? $j->{content_index} : 0};
    if ($name eq 'response.content_part.added') { $$part = '' }
    elsif ($name eq 'response.output_text.delta') {
        push @f, 'text before content_part.added' unless defined $$part;
        $$part .= $j->{delta};
    }
    elsif ($name eq 'response.output_text.done') { push @f, 'text differs from its deltas' if $$part ne $j->{text} }
    elsif ($name eq 'response.function_call_arguments.delta') { $item->{arguments} .= $j->{delta} }
    elsif ($name eq 'response.function_call_arguments.done') {
        push @f, 'arguments differ from their deltas' if ($item->{arguments} || '') ne $j->{arguments};
    }
    return @f;
}

sub _responses_end {
    my ($name, $j, $done, @open) = @_;
    my @f;
    if ($name eq 'error') {
        my $error = $j->{error} || $j;
        push @f, 'error without message' unless length($error->{message} || '');
    }
    elsif ($name eq 'response.failed') {
        push @f, 'response.failed without error' unless length($j->{response}{error}{message} || '');
    }
    elsif ($name eq 'response.completed') {
        push @f, 'completed with open items' if @open;
        push @f, 'completed without usage' unless _is_count($j->{response}{usage}{total_tokens});
        push @f, 'final output differs from the items'
            if encode($j->{response}{output}) ne encode($done);
    }
    return @f;
}

# A good one ends with the connection, behind a chunk that says why.
sub _gemini {
    my ($o, @events) = @_;
    my (@f, $id, $finish, $error);
    for my $e (@events) {
        my $j = $e->{json};
        push @f, '[DONE] does not belong here' unless $j;
        push @f, "an event name: $e->{event}" if exists $e->{event};
        push @f, 'an event after the end' if $finish || $error;
        if ($j->{error}) {
            $error = 1;
            push @f, 'error without code, message or status' if grep { !length($j->{error}{$_} || '') } qw(code message status);
            next;
        }
        $id = $j->{responseId} unless defined $id;
        push @f, 'responseId changed' if defined $id && ($j->{responseId} // '') ne $id;
        push @f, 'no candidate' unless ref $j->{candidates} eq 'ARRAY' && @{$j->{candidates}};
        push @f, _gemini_candidate($_) for @{$j->{candidates} || []};
        $finish = grep { $_->{finishReason} } @{$j->{candidates} || []};
        push @f, 'the end without usage' if $finish && !_is_count($j->{usageMetadata}{promptTokenCount});
    }
    push @f, $o->{error} ? 'no error' : 'an error' if !$o->{error} != !$error;
    push @f, $o->{error} ? 'finishReason in a failed stream' : 'no finishReason' if !$o->{error} == !$finish;
    return @f;
}

sub _gemini_candidate {
    my ($candidate) = @_;
    my @f;
    push @f, 'a candidate without the role model' if ($candidate->{content}{role} || 'model') ne 'model';
    for my $part (@{$candidate->{content}{parts} || []}) {
        my $call = $part->{functionCall};
        push @f, 'a part of nothing' unless exists $part->{text} || $call;
        push @f, 'a call without name or args' if $call && !(length $call->{name} && ref $call->{args} eq 'HASH');
    }
    return @f;
}

# What the model said, all choices and blocks joined.
sub text {
    my ($format, $bytes) = @_;
    my $text = '';
    for my $e (grep { defined $_->{data} } parse($bytes)) {
        my $j = eval { $reader->decode($e->{data}) } or next;
        if ($format eq 'chat') { $text .= defined $_->{delta}{content} ? $_->{delta}{content} : '' for @{$j->{choices} || []} }
        elsif ($format eq 'gemini') {
            $text .= $_->{thought} || !defined $_->{text} ? '' : $_->{text} for map { @{$_->{content}{parts} || []} } @{$j->{candidates} || []};
        }
        elsif ($format eq 'messages') { $text .= $j->{delta}{text} if ($j->{delta}{type} || '') eq 'text_delta' }
        else { $text .= $j->{delta} if ($j->{type} || '') eq 'response.output_text.delta' }
    }
    return $text;
}

# ---- makers -----------------------------------------------------------------

# event({...}) is an OpenAI chunk, event(name => {...}) a named event.
sub event {
    my $value = pop;
    my ($name) = @_;
    $value = encode($value) if ref $value;
    return (defined $name ? "event: $name\n" : '') . "data: $value\n\n";
}

# text (pieces), tools ([id, name, arguments...]), usage (hash or 0: none),
# finish, model, id, done (0: no [DONE]).
sub chat_stream {
    my %o = (text => ['Hel', 'lo'], model => 'up', id => 'chatcmpl-1', done => 1, tools => [], @_);
    my $chunk = sub {
        my ($delta, $finish) = @_;
        return event({id => $o{id}, object => 'chat.completion.chunk', created => 1700000000,
            model => $o{model}, choices => [{index => 0, delta => $delta, finish_reason => $finish}],
            $o{usage} ? (usage => undef) : ()});
    };
    my @parts = ($chunk->({role => 'assistant', content => ''}));
    push @parts, $chunk->({content => $_}) for @{$o{text}};
    for my $i (0 .. $#{$o{tools}}) {
        my ($id, $name, @arguments) = @{$o{tools}[$i]};
        push @parts, $chunk->({tool_calls => [{index => $i, id => $id, type => 'function',
            function => {name => $name, arguments => ''}}]});
        push @parts, map { $chunk->({tool_calls => [{index => $i, function => {arguments => $_}}]}) } @arguments;
    }
    my $finish = exists $o{finish} ? $o{finish} : @{$o{tools}} ? 'tool_calls' : 'stop';
    push @parts, $chunk->({}, $finish) if defined $finish;
    push @parts, event({id => $o{id}, object => 'chat.completion.chunk', created => 1700000000,
        model => $o{model}, choices => [], usage => $o{usage}}) if $o{usage};
    push @parts, event('[DONE]') if $o{done};
    return @parts;
}

# text, tools, usage ({input_tokens, output_tokens, ...}), stop, model, id, ping.
sub messages_stream {
    my %o = (text => ['Hel', 'lo'], model => 'up', id => 'msg_1', tools => [],
        usage => {input_tokens => 3, output_tokens => 2}, @_);
    my $named = sub { my ($type, %rest) = @_; event($type, {type => $type, %rest}) };
    my @parts = ($named->('message_start', message => {id => $o{id}, type => 'message',
        role => 'assistant', model => $o{model}, content => [], stop_reason => undef,
        stop_sequence => undef, usage => {%{$o{usage}}, output_tokens => 1}}));
    push @parts, $named->('ping') if $o{ping};
    my $index = 0;
    my $block = sub {
        my ($start, @deltas) = @_;
        push @parts, $named->('content_block_start', index => $index, content_block => $start);
        push @parts, $named->('content_block_delta', index => $index, delta => $_) for @deltas;
        push @parts, $named->('content_block_stop', index => $index++);
    };
    $block->({type => 'text', text => ''}, map { {type => 'text_delta', text => $_} } @{$o{text}})
        if @{$o{text}};
    for my $tool (@{$o{tools}}) {
        my ($id, $name, @arguments) = @$tool;
        $block->({type => 'tool_use', id => $id, name => $name, input => {}},
            map { {type => 'input_json_delta', partial_json => $_} } '', @arguments);
    }
    push @parts, $named->('message_delta', delta => {stop_sequence => undef,
        stop_reason => $o{stop} || (@{$o{tools}} ? 'tool_use' : 'end_turn')},
        usage => {output_tokens => $o{usage}{output_tokens}});
    push @parts, $named->('message_stop');
    return @parts;
}

# text, usage ({input_tokens, output_tokens, total_tokens}), model, id, status
# (completed, incomplete).
sub responses_stream {
    my %o = (text => ['Hel', 'lo'], model => 'up', id => 'resp_1', status => 'completed',
        usage => {input_tokens => 3, output_tokens => 2, total_tokens => 5}, @_);
    my ($n, $said) = (0, join '', @{$o{text}});
    my $named = sub { my ($type, %rest) = @_; event($type, {type => $type, sequence_number => $n++, %rest}) };
    my $response = sub {
        my ($status, @output) = @_;
        return {id => $o{id}, object => 'response', created_at => 1700000000, model => $o{model},
            status => $status, output => \@output, usage => @output ? $o{usage} : undef};
    };
    my %at = (output_index => 0, item_id => 'msg_1', content_index => 0);
    my $item = {type => 'message', id => 'msg_1', role => 'assistant'};
    my $part = sub { {type => 'output_text', text => $_[0], annotations => [], logprobs => []} };
    my $whole = {%$item, status => 'completed', content => [$part->($said)]};
    return ($named->('response.created', response => $response->('in_progress')),
        $named->('response.in_progress', response => $response->('in_progress')),
        $named->('response.output_item.added', output_index => 0,
            item => {%$item, status => 'in_progress', content => []}),
        $named->('response.content_part.added', %at, part => $part->('')),
        (map { $named->('response.output_text.delta', %at, delta => $_, logprobs => []) } @{$o{text}}),
        $named->('response.output_text.done', %at, text => $said, logprobs => []),
        $named->('response.content_part.done', %at, part => $part->($said)),
        $named->('response.output_item.done', output_index => 0, item => $whole),
        $named->("response.$o{status}", response => $response->($o{status}, $whole)));
}

sub chat_answer {
    my %o = (text => 'Hello', model => 'up', @_);
    return encode({id => 'chatcmpl-1', object => 'chat.completion', created => 1700000000,
        model => $o{model}, choices => [{index => 0, finish_reason => 'stop', logprobs => undef,
            message => {role => 'assistant', content => $o{text}, refusal => undef}}],
        usage => $o{usage} || {prompt_tokens => 3, completion_tokens => 2, total_tokens => 5}});
}

sub message_answer {
    my %o = (text => 'Hello', model => 'up', @_);
    return encode({id => 'msg_1', type => 'message', role => 'assistant', model => $o{model},
        content => [{type => 'text', text => $o{text}}], stop_reason => 'end_turn',
        stop_sequence => undef, usage => $o{usage} || {input_tokens => 3, output_tokens => 2}});
}

sub response_answer {
    my %o = (text => 'Hello', model => 'up', @_);
    return encode({id => 'resp_1', object => 'response', created_at => 1700000000,
        model => $o{model}, status => 'completed', output => [{type => 'message', id => 'msg_1',
            role => 'assistant', status => 'completed', content => [{type => 'output_text',
            text => $o{text}, annotations => [], logprobs => []}]}],
        usage => $o{usage} || {input_tokens => 3, output_tokens => 2, total_tokens => 5}});
}

# error_body(dialect, type, message, code)
sub error_body {
    my ($dialect, $type, $message, $code) = @_;
    return encode({type => 'error', error => {type => $type, message => $message}})
        if $dialect eq 'anthropic';
    return encode({error => {message => $message, type => $type, param => undef, code => $code}});
}

1;
