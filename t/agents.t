#!/usr/bin/perl

# Whole sessions of coding agents with models of other vendors: every agent in front
# of every format that is not its own. The provider plays a script; each tool runs
# once, no call is made twice, and nothing that matters is lost on the way.

use lib 't/lib';
use Relay::Test;
use Relay::Agents;
use Relay::Frames;
use Relay::Upstreams;
use JSON::PP ();

my $json = JSON::PP->new->canonical->utf8;
my $signature = 'c2lnbmF0dXJlLW9mLWEtdGhvdWdodC10aGF0LWlzLWxvbmc=';
my $patch = "*** Begin Patch\n*** Add File: a.txt\n+Gr\x{fc}\x{df}e \x{201c}quoted\x{201d}\n+\ttab \\ end\n*** End Patch\n";

# ---- what the model does ------------------------------------------------------------
#
# The calls as the upstream has them: a tool in a namespace is one word, free text is
# an object. `back` is what must be in the result of each, `images` how many come.

my $think = [thinking => ['First a file.', $signature]];
my %script = (
    claude => [
        {@$think, text => ['I will ', 'look.'], calls => [['call_1', 'Bash', {command => "printf 'Gr\x{fc}\x{df}e \"\\n\"'", description => 'Says'}]], back => {call_1 => qr/^done$/}},
        {calls => [['call_2', 'Read', {file_path => '/w/a.txt'}], ['call_3', 'Read', {file_path => '/w/b.png'}]],
            back => {call_2 => qr/^1\tGr\x{fc}\x{df}e\n2\t\\end\n$/, call_3 => qr/^$/}, images => 1},
        {@$think, calls => [['call_4', 'ToolSearch', {query => 'select:WebFetch', max_results => 5}]], back => {call_4 => qr/WebFetch/}, then => "Tool loaded.\nA tool more.", adds => 1},
        {text => ['Now the page.'], calls => [['call_5', 'WebFetch', {url => 'https://a.example/?x=1&y=%22'}]], back => {call_5 => qr/no route$/}},
        {text => ['All ', 'done.']},
    ],
    codex => [
        {@$think, text => ['I will ', 'patch.'], calls => [['call_1', 'apply_patch', {input => $patch}]], back => {call_1 => qr/^Patched:\n\Q$patch\E$/}},
        {calls => [['call_2', 'exec_command', {cmd => 'cat a.txt'}], ['call_3', 'view_image', {path => 'b.png'}]],
            back => {call_2 => qr/^Exit code: 0\nOutput:\ncat a.txt\n$/, call_3 => qr/^$/}, images => 1},
        {@$think, calls => [['call_4', 'tool_search__tool_search', {query => 'spawn'}]], back => {call_4 => qr/agents__spawn/}, adds => 2},
        {text => ['Now another.'], calls => [['call_5', 'agents__spawn', {prompt => 'Go'}], ['call_6', 'goals__get', {}]], back => {call_5 => qr/^\{"id":"1"\}$/, call_6 => qr/^none$/}},
        {text => ['All ', 'done.']},
    ],
    codex_code => [
        {@$think, calls => [['call_1', 'functions__exec', {input => "text(await tools.exec_command({cmd: \"ls \\\"a b\\\"\"}));\n"}]], back => {call_1 => qr/^ran:\ntext\(await/}},
        {text => ['It runs.'], calls => [['call_2', 'functions__wait', {cell_id => '1'}]], back => {call_2 => qr/^finished$/}},
        {@$think, calls => [['call_3', 'agents__list', {}]], back => {call_3 => qr/^none yet$/}},
        {text => ['All ', 'done.']},
    ],
);
my %ran = (claude => [qw(Bash Read Read ToolSearch WebFetch)], codex => [qw(apply_patch exec_command view_image tool_search spawn get)],
    codex_code => [qw(exec wait list)]);
my %begins = (claude => qr/\A<reminder>\nMind the rules\.\n<\/reminder>\nDo the work\.\n# The environment\n.*\z/s, map { $_ => qr/\A<environment>bash<\/environment>\nDo the work\.\z/ } qw(codex codex_code));
my %ends = (claude => 'end_turn', codex => 'completed', codex_code => 'completed');

# What may be left out or changed for another format, and nothing beside it.
my %may_change = (
    claude => qr/^(?:(?:(?:system|tools|messages\.content(?:\.content)?)\.)?cache_control|context_management|tools\.defer_loading|messages\.output_config|metadata\.user_id|messages\.role|content\.thinking|messages\.content(?:\.content)?)$/,
    map { $_ => qr/^(?:client_metadata|prompt_cache_key|text\.verbosity|(?:input\.)?(?:tools\.)+(?:description|format|type|defer_loading)|reasoning\.(?:context|summary)|input\.(?:content|output)(?:\.detail)?|input\.(?:encrypted_content|summary)|parallel_tool_calls)$/ } qw(codex codex_code),
);

# ---- the stack -----------------------------------------------------------------------

my @formats = qw(anthropic-messages bedrock-converse gemini openai-chat openai-responses);
my %own = (claude => 'anthropic-messages', codex => 'openai-responses', codex_code => 'openai-responses');
my %base = (gemini => '/v1beta', 'bedrock-converse' => '');

# The mock knows where in the script it is by the results that are back.
my %mock = map {
    my $format = $_;
    $format => Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $turns = $script{$req->flag('kind')};
        my $heard = eval { hear($format, $req->json) } or return {status => 400, body => {error => {message => "not understood: $@"}}};
        my $n = grep { $_->{side} eq 'model' } @{$heard->{turns}};
        my $stream = join '', $req->flag('odd') ? odd($format, tell($format, {text => ['Hel', 'lo']}, 1)) : tell($format, $turns->[$n], $req->{seq});
        my $answer = sse($stream, cut => [map { $_ * 97 } 1 .. (length($stream) - 1) / 97], cut_ms => 0);
        $answer->{type} = 'application/vnd.amazon.eventstream' if $format eq 'bedrock-converse';
        return $answer;
    });
} @formats;

my $t = Relay::Test->new;
# whose models sign what they think, is told by their names there
$t->relay(relay_config({models => {map { ("only_$_" => {offers => [{host => $_, id => $_ eq 'bedrock-converse' ? 'anthropic.claude-x-v1:0' : "up-$_"}]}) } @formats}},
    map { $_ => {mock => $mock{$_}, base_url => $mock{$_}->url . ($base{$_} // '/v1'), formats => [$_],
        $_ eq 'bedrock-converse' ? (secret => 'AKIDEXAMPLE:secret-of-bedrock-0123456789', auth => {type => 'sigv4', service => 'bedrock', region => 'us-east-1'}) : ()} } @formats))->start;

# ---- a session -------------------------------------------------------------------------

# What the upstream must have heard when n turns are over. Thinking goes back to where
# its signature is good.
sub conversation {
    my ($kind, $format, $n) = @_;
    my @turns = {side => 'user', text => 1};
    for my $turn (@{$script{$kind}}[0 .. $n - 1]) {
        push @turns, {side => 'model', map { $_ => $turn->{$_} } grep { $turn->{$_} } 'calls'};
        $turns[-1]{text} = join '', @{$turn->{text}} if $turn->{text};
        $turns[-1]{thinking} = $turn->{thinking} if $turn->{thinking} && $format =~ /^(?:anthropic-messages|bedrock-converse)$/;
        $turns[-1]{signed} = $signature if $turn->{thinking} && $format eq 'gemini';
        push @turns, {side => 'user', results => {map { $_ => 1 } keys %{$turn->{back}}}};
        $turns[-1]{images} = [('image/png') x $turn->{images}] if $turn->{images};
        $turns[-1]{text} = $turn->{then} if $turn->{then};
    }
    return \@turns;
}

# The same of what it did hear; texts that are right become 1.
sub simplified {
    my ($kind, @turns) = @_;
    my %back = map { %{$_->{back} || {}} } @{$script{$kind}};
    $turns[0]{text} = 1 if $turns[0]{text} =~ $begins{$kind};
    for my $results (grep { $_ } map { $_->{results} } @turns) { $results->{$_} =~ $back{$_} and $results->{$_} = 1 for keys %$results }
    return \@turns;
}

sub check_request {
    my ($kind, $format, $n, $req) = @_;
    my $heard = hear($format, $req->json);
    is_deeply simplified($kind, @{$heard->{turns}}), conversation($kind, $format, $n), 'the conversation so far';
    ok index($heard->{system}, 'How to work') >= 0, 'what it is told first';
    cmp_ok length $req->body, '>', 30_000, 'all of it';
    return keys %{$heard->{tools}};
}

sub names { my ($header) = @_; return map { s/^changed=//r } split /[,;] /, $header // '' }

sub session {
    my ($kind, $format) = @_;
    my $agent = Relay::Agents->new($kind, model => "only_$format");
    my $mock = $mock{$format};
    my $before = @{$mock->requests(0)};
    my ($turns, $tools) = ($script{$kind}, undef);
    $mock->flag(kind => $kind);
    for my $n (0 .. $#$turns) {
        my $res = $t->post($agent->path, $agent->request, headers => $agent->headers);
        is $res->status, 200, "turn $n" or return diag $res->body;
        is $res->header('x-relay-attempts'), 1, 'at the first attempt';
        is $res->header('content-encoding'), undef, 'not compressed';
        is_deeply [grep { $_ !~ $may_change{$kind} } names($res->header('x-relay-dropped'))], [], 'nothing that matters is lost';
        sse_ok $agent->dialect => $res->body, 'a valid stream';
        my $said = $agent->listen($res->body);
        is $said->{text}, join('', @{$turns->[$n]{text} || []}), 'its text';
        is_deeply [map { ref $_->[2] ? $_->[2] : {input => $_->[2]} } @{$said->{calls}}], [map { $_->[2] } @{$turns->[$n]{calls} || []}], 'its calls' or diag $res->body;
        my @tools = check_request($kind, $format, $n, $mock->requests($before + $n + 1)->[-1]);
        is scalar @tools, $tools, 'its tools' if defined $tools;
        $tools = @tools + ($turns->[$n]{adds} || 0);
        $agent->work;
    }
    is_deeply $agent->{ran}, $ran{$kind}, 'each tool ran once';
    is $agent->{stop}, $ends{$kind}, 'it is over';
    is @{$mock->requests(0)} - $before, @$turns, 'no call too many';
}

for my $kind (sort keys %script) {
    for my $format (grep { $_ ne $own{$kind} } @formats) {
        subtest "$kind with a model of $format" => sub { session($kind, $format) };
    }
}

# ---- answers with what nobody knows --------------------------------------------------------

# Events, blocks and parts that came into a format after this was written, or that its
# vendor's own tools leave behind, before and behind the first text.
sub odd {
    my ($format, @events) = @_;
    my %search = (type => 'web_search_call', id => 'ws_1', status => 'completed', action => {type => 'search', query => 'x'});
    my $chunk = sub { event({candidates => [{index => 0, content => {role => 'model', parts => [@_]}}], responseId => 'r1', modelVersion => 'up'}) };
    my %odd = (
        'openai-chat' => [event({id => 'chatcmpl-1', object => 'chat.completion.chunk', created => 1, model => 'up', choices => [{index => 0, delta => {hologram => 'x', reasoning_items => [{a => 1}]}, finish_reason => undef, odd => 1}], odd => {a => []}}),
            event(hologram => {a => 1})],
        'openai-responses' => [map { event($_->{type}, {sequence_number => 2, %$_}) } {type => 'response.output_item.added', output_index => 7, item => {%search, status => 'in_progress'}},
            {type => 'response.web_search_call.searching', output_index => 7, item_id => 'ws_1'}, {type => 'response.output_item.done', output_index => 7, item => \%search},
            {type => 'response.output_item.added', output_index => 8, item => {type => 'hologram', id => 'h_1'}}, {type => 'response.hologram.delta', output_index => 8, delta => 'x'},
            {type => 'response.output_item.done', output_index => 8, item => {type => 'hologram', id => 'h_1', a => 1}}],
        gemini => [$chunk->({executableCode => {language => 'PYTHON', code => '1'}}), $chunk->({codeExecutionResult => {outcome => 'OUTCOME_OK', output => '1'}}), $chunk->({hologram => {a => 1}})],
        'bedrock-converse' => [frame(contentBlockStart => {contentBlockIndex => 8, start => {hologram => {a => 1}}}), frame(contentBlockDelta => {contentBlockIndex => 8, delta => {hologram => {a => 1}}}),
            frame(contentBlockStop => {contentBlockIndex => 8}), frame(hologram => {a => 1})],
        'anthropic-messages' => [event(hologram => {type => 'hologram', a => 1}), (map { event($_->{type}, $_) } {type => 'content_block_start', index => 7, content_block => {type => 'hologram', a => 1}},
            {type => 'content_block_delta', index => 7, delta => {type => 'hologram_delta', a => 1}}, {type => 'content_block_stop', index => 7})],
    );
    my @odd = @{$odd{$format}};
    return (@events[0, 1], @odd, @events[2 .. $#events]) if $format ne 'anthropic-messages';
    return ($events[0], @odd, @events[1 .. $#events]);
}

for my $agent (qw(claude codex)) {
    for my $format (grep { $_ ne $own{$agent} } @formats) {
        my $self = Relay::Agents->new($agent, model => "only_$format");
        $mock{$format}->flag(kind => $agent);
        $mock{$format}->flag(odd => 1);
        my $res = $t->post($self->path, $self->request, headers => $self->headers);
        $mock{$format}->flag(odd => 0);
        is $res->status, 200, "$agent, $format: an answer with what nobody knows" or diag $res->body;
        sse_ok $self->dialect => $res->body, '... is a valid stream';
        unlike $res->body, qr/hologram"|_call"|[eE]xecut/, '... of what its reader knows' or diag $res->body;
        is eval { $self->listen($res->body)->{text} }, 'Hello', '... with the text' or diag $@ || $res->body;
    }
}

# ---- beside the sessions ------------------------------------------------------------------

subtest 'Claude Code counts the parts of its context, all at once' => sub {
    my $agent = Relay::Agents->new('claude', model => 'only_openai-chat');
    my $before = @{$mock{'openai-chat'}->requests(0)};
    my $whole = $agent->request;
    my @clients = map {
        my $tools = $_ % 3 ? [@{$whole->{tools}}[0 .. $_ % 7]] : [];
        $t->client->request(POST => '/v1/messages/count_tokens?beta=true', headers => [@{auth()}, @{$agent->headers}],
            body => {model => $whole->{model}, tools => $tools, messages => [{role => 'user', content => 'count'}], $_ % 2 ? (system => $whole->{system}) : ()});
    } 1 .. 25;
    my @answers = Relay::Client->gather(@clients);
    is_deeply [map { $_->status } @answers], [(200) x 25], 'each is answered';
    is scalar(grep { $_->json->{input_tokens} > 0 && $_->header('x-relay-estimated') } @answers), 25, 'by an estimate';
    cmp_ok $answers[0]->json->{input_tokens}, '>', $answers[1]->json->{input_tokens}, 'more for more';
    is @{$mock{'openai-chat'}->requests(0)}, $before, 'nothing is asked for that';
};

subtest 'Claude Code lists models and calls one by the name it got' => sub {
    my $agent = Relay::Agents->new('claude', model => 'claude/only_gemini');
    my $list = $t->get('/v1/models?limit=1000', headers => $agent->headers)->json;
    is_deeply [grep { !/claude|anthropic/ } map { $_->{id} } @{$list->{data}}], [], 'it keeps all of them';
    ok scalar(grep { $_->{id} eq 'claude/only_gemini' } @{$list->{data}}), 'the others under a prefix';
    $mock{gemini}->flag(kind => 'claude');
    my $res = $t->post($agent->path, $agent->request, headers => $agent->headers);
    is $res->header('x-relay-model'), 'only_gemini', 'which is not part of the name';
    sse_ok messages => $res->body, 'and it answers';
};

# What it may try where it believes in a server of its own: it looks for the type in the
# error, and from then on does without.
subtest 'Claude Code adds a tool in a way that others do not have' => sub {
    my $agent = Relay::Agents->new('claude', model => 'only_gemini');
    for my $format (grep { $_ ne $own{claude} } @formats) {
        my $before = @{$mock{$format}->requests(0)};
        my $body = {%{$agent->request}, model => "only_$format"};
        $body->{messages} = [@{$body->{messages}}, {role => 'system', content => [{type => 'text', text => 'One more.'},
            {type => 'tool_addition', tool => {type => 'tool_definition', definition => {name => 'late', input_schema => {type => 'object'}}}}]}];
        my $res = $t->post($agent->path, $body, headers => $agent->headers);
        is $res->status, 400, "$format: refused";
        like $res->json->{error}{message}, qr/^messages\.2\.content\.1: Input tag 'tool_addition' /, 'by its type and place';
        is @{$mock{$format}->requests(0)}, $before, 'before anything is sent';
    }
};

# Offered beside tools of the caller's own, a web search can be done without; what is
# asked for alone, or chosen, cannot.
subtest 'a web search by the provider, which there is none of' => sub {
    my %search = (type => 'web_search');
    my $own = {type => 'function', name => 'f', parameters => {type => 'object'}};
    my $ask = sub { $t->post('/v1/responses', {model => 'only_openai-chat', input => 'Hi', @_}) };
    $mock{'openai-chat'}->flag(kind => 'codex');
    my $res = $ask->(tools => [\%search]);
    is $res->status, 400, 'alone: refused';
    is $res->json->{error}{param}, 'tools[0].type', 'by its place';
    $res = $ask->(tools => [\%search, $own], tool_choice => {type => 'web_search'});
    is $res->status, 400, 'chosen: refused';
    is $res->json->{error}{param}, 'tool_choice', 'by its place';
    $res = $ask->(tools => [\%search, $own]);
    like $res->header('x-relay-dropped'), qr/\btools\.type\b/, 'beside another: left out, and named';
    is $t->post('/v1/responses', {model => 'only_openai-chat', input => 'Hi', tools => [\%search, $own]}, headers => ['x-relay-strict', 1])->status, 400,
        'strict: refused';
};

$t->done;
