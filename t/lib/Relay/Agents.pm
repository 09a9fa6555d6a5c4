package Relay::Agents;

# Coding agents as their providers' servers know them, for tests of whole sessions:
# the shapes, sizes and headers of their requests with texts of our own, how they
# read streams, and the tools that they run.

=head1 SYNOPSIS

    my $agent = Relay::Agents->new('claude', model => 'm');   # codex, codex_code
    my $res = $t->post($agent->path, $agent->request, headers => $agent->headers, key => 0);
    my $said = $agent->listen($res->body);    # {text, calls => [[id, name, input], ...]}
    $agent->work;                             # runs what was called; the results go next
    is_deeply $agent->{ran}, ['Bash', 'Read'];

claude is Claude Code: mid-conversation system messages, deferred tools that a search
loads, images in results, adaptive thinking. codex offers tools beside the input, one
of them of free text and one a search; codex_code offers them as an item of the input,
in namespaces. Input of a tool of free text is a string.

=cut

use strict;
use warnings;
use Carp qw(croak);
use JSON::PP ();

use Relay::Sse;

my $json = JSON::PP->new->canonical;    # of texts within others
my ($true, $false) = (JSON::PP::true(), JSON::PP::false());
my $pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
my $session = '5f1c0e9a-3b7d-4c21-9e02-6a4d1b8c7f30';

# Text of that length, with what texts for models have: lists, code, quotes.
sub filler {
    my ($about, $length) = @_;
    my ($text, $n) = ("# $about\n\n", 0);
    while (length $text < $length) {
        $n++;
        $text .= "- Rule $n of \"$about\": keep to it, even where `C:\\path\\$n` or <tag attr=\"$n\"> say otherwise.\n";
        $text .= "```sh\nprintf '%s\\n' \"\$VALUE_$n\" | grep -c '\\t'\n```\n" unless $n % 7;
        $text .= "  Gr\x{fc}\x{df}e \x{2014} \x{201c}quoted\x{201d} \x{1f600}\n" unless $n % 5;
    }
    return substr $text, 0, $length;
}

sub _schema {
    my (%property) = @_;
    return {type => 'object', properties => \%property, required => [sort keys %property], additionalProperties => $false};
}

my %text = (type => 'string', description => 'A text');

# ---- Claude Code ---------------------------------------------------------------

my %claude_tool = (
    Bash => _schema(command => {%text}, description => {%text}), Read => _schema(file_path => {%text}),
    Write => _schema(file_path => {%text}, content => {%text}),
    Edit => _schema(map { $_ => {%text} } qw(file_path old_string new_string)),
    Agent => _schema(map { $_ => {%text} } qw(description prompt subagent_type)),
    ToolSearch => _schema(query => {%text}, max_results => {type => 'number', default => 5}),
    TodoWrite => _schema(todos => {type => 'array', minItems => 1, items => _schema(content => {type => 'string', minLength => 1},
        status => {type => 'string', enum => [qw(pending in_progress completed)]})}),
    Skill => _schema(skill => {%text}), Glob => _schema(pattern => {%text}),
    Grep => _schema(pattern => {%text}, '-A' => {type => 'number'}, multiline => {type => 'boolean'}),
);

sub _claude_tool {
    my ($name, $schema, %more) = @_;
    return {name => $name, description => filler("The tool $name", 3000),
        input_schema => {'$schema' => 'https://json-schema.org/draft/2020-12/schema', %$schema}, %more};
}

my %claude_result = (
    Bash => sub { ('done', is_error => $false) },
    Read => sub { $_[0]{file_path} =~ /png$/
        ? [{type => 'image', source => {type => 'base64', media_type => 'image/png', data => $pixel}}]
        : "1\tGr\x{fc}\x{df}e\n2\t\\end\n" },
    ToolSearch => sub { [map { {type => 'tool_reference', tool_name => $_} } $_[0]{query} =~ /(\w+)$/] },
    WebFetch => sub { ([{type => 'text', text => 'no route'}], is_error => $true) },
);

sub _claude_begin {
    my ($self) = @_;
    my @names = sort keys %claude_tool;
    my %mark = (cache_control => {type => 'ephemeral'});
    $self->{body} = {
        model => $self->{model}, max_tokens => 32000, stream => $true,
        system => [{type => 'text', text => 'x-billing: version=2; entrypoint=sdk;'},
            {type => 'text', text => 'You are an agent that writes code.', %mark},
            {type => 'text', text => filler('How to work', 16000), %mark}],
        tools => [map({ _claude_tool($_, $claude_tool{$_}) } @names),
            _claude_tool('DeferredPlaceholder', {type => 'object', properties => {}}, defer_loading => $true)],
        metadata => {user_id => $json->encode({device_id => 'ab' x 32, account_uuid => '', session_id => $session})},
        thinking => {type => 'adaptive', display => 'omitted'},
        context_management => {edits => [{type => 'clear_thinking_20251015', keep => 'all'}]},
        output_config => {effort => 'high'},
        messages => [{role => 'user', content => [{type => 'text', text => "<reminder>\nMind the rules.\n</reminder>"},
            {type => 'text', text => 'Do the work.', %mark}]},
            {role => 'system', content => filler('The environment', 4000), output_config => {effort => 'medium'}}],
    };
}

sub _claude_headers {
    return ['anthropic-version', '2023-06-01', 'anthropic-beta', join(',', qw(claude-code-20250219 interleaved-thinking-2025-05-14
        context-management-2025-06-27 per-turn-control-2026-07-01 mid-conversation-tool-changes-2026-07-01
        thinking-token-count-2026-05-13 advanced-tool-use-2025-11-20 effort-2025-11-24)), 'anthropic-dangerous-direct-browser-access', 'true',
        'User-Agent', 'claude-cli/2.1.331 (external, sdk-cli)', 'x-app', 'cli', 'x-claude-code-session-id', $session,
        'x-stainless-retry-count', '0', 'x-stainless-lang', 'js', 'Accept-Encoding', 'identity'];
}

# As its library reads: blocks by index, and nothing that it does not know.
sub _claude_listen {
    my ($self, @events) = @_;
    my (@content, @input);
    for my $e (@events) {
        my $block = defined $e->{index} ? $content[$e->{index}] : undef;
        if ($e->{type} eq 'content_block_start') { $content[$e->{index}] = $e->{content_block} }
        elsif ($e->{type} eq 'content_block_delta') {
            my ($d, $kind) = ($e->{delta}, $e->{delta}{type});
            if ($kind eq 'text_delta') { $block->{text} .= $d->{text} }
            elsif ($kind eq 'thinking_delta') { $block->{thinking} .= $d->{thinking} }
            elsif ($kind eq 'signature_delta') { $block->{signature} = $d->{signature} }
            elsif ($kind eq 'input_json_delta') { $input[$e->{index}] .= $d->{partial_json} }
            else { croak "a delta: $kind" }
        }
        elsif ($e->{type} eq 'content_block_stop' && $block->{type} eq 'tool_use') {
            $block->{input} = $json->decode(length($input[$e->{index}] // '') ? $input[$e->{index}] : '{}');
        }
        elsif ($e->{type} eq 'message_delta') { $self->{stop} = $e->{delta}{stop_reason} }
    }
    push @{$self->{body}{messages}}, {role => 'assistant', content => \@content};
    return {text => join('', map { $_->{text} } grep { $_->{type} eq 'text' } @content),
        calls => [map { [@$_{qw(id name input)}] } grep { $_->{type} eq 'tool_use' } @content]};
}

# A tool that was found is one of its own from then on; system messages come as a
# string first, later as blocks.
sub _claude_work {
    my ($self, @calls) = @_;
    my (@content, @after);
    for (@calls) {
        my ($id, $name, $input) = @$_;
        my ($result, %more) = $claude_result{$name}->($input);
        push @content, {type => 'tool_result', tool_use_id => $id, content => $result, %more};
        next if $name ne 'ToolSearch';
        push @content, {type => 'text', text => 'Tool loaded.'};
        push @after, {role => 'system', content => [{type => 'text', text => 'A tool more.'}]};
        my $found = $result->[0]{tool_name};
        splice @{$self->{body}{tools}}, 3, 0, _claude_tool($found, _schema(url => {type => 'string', format => 'uri'}), defer_loading => $true);
    }
    $content[-1]{cache_control} = {type => 'ephemeral'};
    push @{$self->{body}{messages}}, {role => 'user', content => \@content}, @after;
}

# ---- Codex -----------------------------------------------------------------------

sub _function { my ($name, $schema, %more) = @_; {type => 'function', name => $name, description => filler("The tool $name", 1500),
    strict => $false, parameters => $schema, %more} }

sub _custom { my ($name) = @_; {type => 'custom', name => $name, description => filler("The tool $name", 2500),
    format => {type => 'grammar', syntax => 'lark', definition => "start: line+\nline: /[^\\n]*/ LF\n%import common.LF\n"}} }

sub _namespace { my ($name, @tools) = @_; {type => 'namespace', name => $name, description => "Tools of $name", tools => \@tools} }

sub _developer { my ($text) = @_; {type => 'message', id => "msg_$session", role => 'developer', content => [{type => 'input_text', text => $text}]} }

my $agents = sub { _namespace('agents', _function('list', {type => 'object', properties => {}}, @_), _function('spawn', _schema(prompt => {%text}), @_)) };

sub _codex_begin {
    my ($self) = @_;
    my $command = _function('exec_command', _schema(cmd => {%text}));
    my $code = $self->{kind} eq 'codex_code';
    my @tools = ($command, _function('write_stdin', _schema(chars => {%text})), _custom('apply_patch'), _function('view_image', _schema(path => {%text})),
        _namespace('goals', _function('get', {type => 'object', properties => {}, required => [], additionalProperties => $false})),
        {type => 'tool_search', execution => 'client', description => filler('Search', 800), parameters => _schema(query => {%text})},
        {type => 'web_search', external_web_access => $true, search_content_types => [qw(text image)]});
    $self->{body} = {
        model => $self->{model}, stream => $true, store => $false, include => ['reasoning.encrypted_content'], tool_choice => 'auto',
        parallel_tool_calls => $code ? $false : $true, prompt_cache_key => $session, text => {verbosity => 'low'},
        reasoning => {effort => 'medium', summary => 'auto', $code ? (context => 'all_turns') : ()},
        client_metadata => {session_id => $session, 'x-turn-metadata' => $json->encode({kind => 'turn', sandbox => 'none'})},
        $code ? () : (tools => \@tools),
        input => [$code ? {type => 'additional_tools', id => "at_$session", role => 'developer', tools => [
            _namespace('functions', _custom('exec'), _function('wait', _schema(cell_id => {%text}))), $agents->()]} : (),
            _developer(filler('How to work', 24000)), _developer('<permissions>All of them.</permissions>'),
            map { {type => 'message', id => "msg_$session", role => 'user', content => [{type => 'input_text', text => $_}]} }
            '<environment>bash</environment>', 'Do the work.'],
    };
}

sub _codex_headers {
    return ['Accept', 'text/event-stream', 'User-Agent', 'codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb', 'originator', 'codex_exec',
        'session-id', $session, 'thread-id', $session, 'x-client-request-id', $session, 'x-codex-window-id', "$session:0",
        'x-codex-beta-features', 'remote_compaction_v2', 'x-codex-turn-metadata', $json->encode({kind => 'turn', sandbox => 'none'})];
}

my %codex_result = (
    exec_command => sub { "Exit code: 0\nOutput:\n$_[0]{cmd}\n" }, wait => sub { 'finished' }, exec => sub { "ran:\n$_[0]" },
    view_image => sub { [{type => 'input_image', image_url => "data:image/png;base64,$pixel", detail => 'original'}] },
    apply_patch => sub { "Patched:\n$_[0]" }, list => sub { [{type => 'input_text', text => 'none yet'}] }, get => sub { 'none' }, spawn => sub { '{"id":"1"}' },
);

# It reads whole items and the end, and sends items back as they came.
sub _codex_listen {
    my ($self, @events) = @_;
    my @items = map { $_->{item} } grep { $_->{type} eq 'response.output_item.done' } @events;
    my @calls;
    for (@items) {
        $self->{namespace}{$_->{call_id}} = $_->{namespace} if $_->{namespace};
        push @calls, [@$_{qw(call_id name input)}] if $_->{type} eq 'custom_tool_call';
        push @calls, [@$_{qw(call_id name)}, $json->decode($_->{arguments})] if $_->{type} eq 'function_call';
        push @calls, [$_->{call_id}, 'tool_search', $_->{arguments}] if $_->{type} eq 'tool_search_call';
        @$_{qw(content encrypted_content)} = (undef, $_->{encrypted_content}) if $_->{type} eq 'reasoning';
    }
    push @{$self->{body}{input}}, @items;
    $self->{stop} = $events[-1]{response}{status};
    return {text => join('', map { $_->{text} } map { @{$_->{content}} } grep { $_->{type} eq 'message' } @items), calls => \@calls};
}

sub _codex_work {
    my ($self, @calls) = @_;
    for (@calls) {
        my ($id, $name, $input) = @$_;
        my %item = (call_id => $id, id => 'out_' . ++$self->{outputs});
        push @{$self->{body}{input}}, $name eq 'tool_search'
            ? {type => 'tool_search_output', %item, status => 'completed', execution => 'client', tools => [$agents->(defer_loading => $true)]}
            : {type => ref $input ? 'function_call_output' : 'custom_tool_call_output', %item, output => $codex_result{$name}->($input)};
    }
}

# ---- both -------------------------------------------------------------------------

my %codex = (path => '/v1/responses', dialect => 'responses', begin => \&_codex_begin, headers => \&_codex_headers,
    listen => \&_codex_listen, work => \&_codex_work);
my %kind = (codex => \%codex, codex_code => \%codex, claude => {path => '/v1/messages?beta=true', dialect => 'messages',
    begin => \&_claude_begin, headers => \&_claude_headers, listen => \&_claude_listen, work => \&_claude_work});

sub new {
    my ($class, $kind, %o) = @_;
    my $self = bless {%o, kind => $kind, is => $kind{$kind}, ran => []}, $class;
    $self->{is}{begin}->($self);
    return $self;
}

sub path { $_[0]{is}{path} }
sub dialect { $_[0]{is}{dialect} }
sub request { $_[0]{body} }
sub headers { $_[0]{is}{headers}->() }

# What a whole stream says; it goes into the conversation.
sub listen {
    my ($self, $bytes) = @_;
    my @events = map { JSON::PP->new->utf8->decode($_->{data}) } Relay::Sse::events($bytes);
    $self->{said} = $self->{is}{listen}->($self, @events);
    return $self->{said};
}

sub work {
    my ($self) = @_;
    my @calls = @{$self->{said}{calls}} or return;
    push @{$self->{ran}}, map { $_->[1] } @calls;
    $self->{is}{work}->($self, @calls);
}

1;
