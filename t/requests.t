#!/usr/bin/perl

# What becomes of a request on its way to hosts of other formats, one behaviour at a
# time and by its id: what the upstream is sent, what it is spared, and what the caller
# is told of that. What becomes of each single field is tested in t/unit.

use lib 't/lib';
use Relay::Test;
use Relay::Upstreams;
use Compress::Zlib ();
use JSON::PP ();

my $json = JSON::PP->new->canonical->utf8;
my ($true, $false) = (JSON::PP::true(), JSON::PP::false());
my $png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
my %host = (
    chat => {format => 'openai-chat'}, responses => {format => 'openai-responses'}, messages => {format => 'anthropic-messages'},
    gemini => {format => 'gemini', base => '/v1beta'}, converse => {format => 'bedrock-converse', base => ''},
    old => {format => 'openai-chat', dialect => {'openai-chat' => {max_tokens_field => 'max_tokens', echo_reasoning => $true}}},
    new => {format => 'openai-chat', dialect => {'openai-chat' => {developer_role => $true}}},
    mid => {format => 'anthropic-messages', dialect => {'anthropic-messages' => {mid_system => $true}}},
    budget => {format => 'anthropic-messages', model => {thinking => 'budget', output_tokens => 8000}},
    oldschema => {format => 'gemini', base => '/v1beta', dialect => {gemini => {json_schema => $false}}},
    vertex => {format => 'vertex-anthropic', base => '/v1/projects/p/locations/l'},
    invoke => {format => 'bedrock-invoke', base => ''},
    down => {format => 'gemini', base => '/v1beta'},
);
my %mock = map { my $name = $_; my $format = $host{$_}{format} =~ s/^(?:vertex-anthropic|bedrock-invoke)$/anthropic-messages/r; $name => Relay::Mock->new(on => sub { my ($req) = @_;
    return {status => 503, body => {error => {code => 503, message => 'Down', status => 'UNAVAILABLE'}}} if $name eq 'down';
    return {status => 418, body => {error => {message => 'heard'}}} }) } keys %host;
my $t = Relay::Test->new;
$t->relay(relay_config({models => {(map { ("to_$_" => {%{$host{$_}{model} || {}}, offers => [{host => $_, id => "up-$_"}]}) } keys %host),
        'fallback_chat' => {offers => [{host => 'down', id => 'up-down'}, {host => 'new', id => 'up-new'}]}, 'fallback_messages' => {offers => [{host => 'down', id => 'up-down'}, {host => 'messages', id => 'up-messages'}]}}},
    map { my $h = $host{$_}; $_ => {mock => $mock{$_}, base_url => $mock{$_}->url . ($h->{base} // '/v1'), formats => [$h->{format}], $h->{dialect} ? (dialect => $h->{dialect}) : ()} } ('down', grep { $_ ne 'down' } sort keys %host)))->start;

my %path = (chat => '/v1/chat/completions', responses => '/v1/responses', messages => '/v1/messages');
my $last;    # the answer to it

# The request that reaches the upstream, undef if none does.
sub sent {
    my ($from, $to, $body, @headers) = @_;
    my $before = @{$mock{$to} ? $mock{$to}->requests(0) : []};
    $last = $t->post($path{$from} || "/gemini/v1beta/models/to_$to:generateContent", {$path{$from} ? (model => "to_$to") : (), $from eq 'messages' ? (max_tokens => 90) : (), %$body}, headers => \@headers);
    return @{$mock{$to}->requests(0)} > $before ? $mock{$to}->request(-1)->json : (diag($last->body), undef)[1];
}
sub dropped { return $last->header('x-relay-dropped') // '' }
sub refusal { return $last->status == 400 ? $last->json->{error} : {message => 'no refusal: ' . $last->body} }
sub user { my ($text) = @_; return {role => 'user', content => $text} }
sub texts { my ($messages, $with) = @_; return join ' | ', map { my $m = $_; map { "$m->{role}: $_" } map { ref $_ ? $_->{text} // $with->($_) : $_ } map { ref $_ ? @$_ : $_ } $m->{content} } @$messages }
sub block_word { my ($b) = @_; return $b->{type} eq 'tool_use' ? "call $b->{id}" : $b->{type} eq 'tool_result' ? "result $b->{tool_use_id}" : $b->{type} }

# ---- R1, R2: instructions -------------------------------------------------------------------

my @mid = ({role => 'system', content => 'ALPHA'}, {role => 'developer', content => 'BETA'}, user('one'), {role => 'assistant', content => 'two'}, {role => 'system', content => 'GAMMA'}, user('three'));
my $body = sent('chat', 'messages', {messages => \@mid});
is_deeply [map { $_->{text} } @{$body->{system}}], ['ALPHA', 'BETA'], 'R1 leading instructions are the system\'s, each a block';
like texts($body->{messages}), qr/^user: one \| assistant: two \| user: .*GAMMA.* \| user: three$/s, 'R1 a later one stays where it was, as a user\'s';
$body = sent('chat', 'mid', {messages => \@mid});
is texts($body->{messages}), 'user: one | assistant: two | system: GAMMA | user: three', 'R1 or is itself, where that is taken';
$body = sent('chat', 'gemini', {messages => \@mid});
is_deeply [map { $_->{text} } @{$body->{systemInstruction}{parts}}], ['ALPHA', 'BETA'], 'R1 the same for Gemini';
like join(' | ', map { my $c = $_; map { "$c->{role}: $_->{text}" } @{$c->{parts}} } @{$body->{contents}}), qr/^user: one \| model: two \| user: .*GAMMA.* \| user: three$/s, 'R1 ... the later one, too';
$body = sent('chat', 'converse', {messages => \@mid});
like join(' | ', map { my $m = $_; map { "$m->{role}: $_->{text}" } @{$m->{content}} } @{$body->{messages}}), qr/^user: one \| assistant: two \| user: .*GAMMA.* \| user: three$/s, 'R1 and for Bedrock';
$body = sent('messages', 'chat', {system => [{type => 'text', text => 'ALPHA', cache_control => {type => 'ephemeral'}}], messages => [user('one'), {role => 'assistant', content => 'two'}, {role => 'system', content => 'GAMMA'}, user('three')]});
is texts($body->{messages}), 'system: ALPHA | user: one | assistant: two | system: GAMMA | user: three', 'R1 OpenAI takes them anywhere';
like dropped(), qr/cache_control/, 'R1 the mark of one is lost, and that is said';
$body = sent('responses', 'chat', {input => [{role => 'developer', content => 'ALPHA'}, user('one')]});
is $body->{messages}[0]{role}, 'system', 'R2 a developer is the system where the role is not known';
$body = sent('responses', 'new', {input => [{role => 'developer', content => 'ALPHA'}, user('one')]});
is $body->{messages}[0]{role}, 'developer', 'R2 and stays one where it is';

# ---- R3, R5, R6: turns -----------------------------------------------------------------------

my @calls = map { {id => "call_$_", type => 'function', function => {name => 'f', arguments => '{}'}} } 1 .. 3;
my @tools = (tools => [{type => 'function', function => {name => 'f', parameters => {type => 'object', properties => {}}}}]);
$body = sent('chat', 'messages', {@tools, messages => [user('go'), {role => 'assistant', content => undef, tool_calls => \@calls},
    (map { {role => 'tool', tool_call_id => "call_$_", content => "r$_"} } 3, 1, 2), user('and?')]});
is texts($body->{messages}, \&block_word), 'user: go | assistant: call call_1 | assistant: call call_2 | assistant: call call_3 | user: result call_3 | user: result call_1 | user: result call_2 | user: and?',
    'R3 results in a row are one turn, in their order, before the text';
is scalar(@{$body->{messages}}), 3, 'R3 ... one turn indeed';
$body = sent('messages', 'chat', {tools => [{name => 'f', input_schema => {type => 'object'}}], messages => [user('go'), {role => 'assistant', content => [map { {type => 'tool_use', id => "call_$_", name => 'f', input => {}} } 1, 2]},
    {role => 'user', content => [(map { {type => 'tool_result', tool_use_id => "call_$_", content => "r$_"} } 2, 1), {type => 'text', text => 'and?'}]}]});
is join(' ', map { $_->{tool_call_id} || $_->{role} } @{$body->{messages}}), 'user assistant call_2 call_1 user', 'R3 and a turn of results is as many messages, before its text';
for my $to (qw(messages converse)) {
    $body = sent('chat', $to, {@tools, messages => [user('one'), {role => 'assistant', content => ''}, user([{type => 'text', text => "  \n"}, {type => 'text', text => 'two'}]),
        {role => 'assistant', content => '', tool_calls => [$calls[0]]}, {role => 'tool', tool_call_id => 'call_1', content => 'r'}]});
    is scalar(@{$body->{messages}}), 3, "R5 $to: a message that says nothing is not there, its neighbours are one";
    is_deeply [map { $_->{text} // () } map { @{$_->{content}} } @{$body->{messages}}], ['one', 'two'], "R5 $to: nor is a blank text";
    is_deeply [map { $_->{role} } @{$body->{messages}}], [qw(user assistant user)], "R6 $to: turns take turns";
}
$body = sent('responses', 'old', {input => [user('one'), user([{type => 'input_text', text => '  '}])]});
is $body->{messages}[-1]{content}, '  ', 'R5 a blank text is none of Relay\'s business where it is taken' or diag $json->encode($body);

# ---- R7, R8: limits and thinking -----------------------------------------------------------------

my @hi = (messages => [user('Hi')]);
is_deeply [@{sent('chat', 'messages', {@hi, max_tokens => 50, max_completion_tokens => 40})}{qw(max_tokens max_completion_tokens)}], [40, undef], 'R7 of two limits the smaller one, as the one there is';
is sent('chat', 'budget', {@hi})->{max_tokens}, 8000, 'R7 no limit: the model\'s, where one has to be';
cmp_ok sent('chat', 'messages', {@hi})->{max_tokens}, '>', 0, 'R7 ... or one that does';
is_deeply [@{sent('messages', 'chat', {@hi})}{qw(max_tokens max_completion_tokens)}], [undef, 90], 'R7 the newer name';
is_deeply [@{sent('messages', 'old', {@hi})}{qw(max_tokens max_completion_tokens)}], [90, undef], 'R7 the older one, where only that is known';
$body = sent('chat', 'budget', {@hi, max_tokens => 9000});
is $body->{max_tokens}, 8000, 'R7 more than the model has is as much as it has';
like dropped(), qr/changed=max/, 'R7 and that is said';
for my $case ([low => 5000], [medium => 5000], [high => 5000], [max => 5000]) {
    my ($effort, $limit) = @$case;
    $body = sent('chat', 'budget', {@hi, reasoning_effort => $effort, max_tokens => $limit, temperature => 0.3, top_p => 0.5, @tools});
    my $budget = ($body->{thinking} || {})->{budget_tokens} // 0;
    ok $budget >= 1024 && $budget < $body->{max_tokens}, "R8 $effort of $limit: a budget below the limit" or diag $json->encode($body);
    ok !defined $body->{temperature} && !(defined $body->{top_p} && $body->{top_p} < 0.95), 'R8 ... without what does not go with thinking' or diag $json->encode($body);
    like dropped(), qr/temperature.*top_p|top_p.*temperature/, 'R8 ... which is said';
}
ok !sent('chat', 'budget', {@hi, reasoning_effort => 'low', max_tokens => 500})->{thinking}, 'R8 in a limit below the least budget there is no room to think';
like dropped(), qr/reasoning_effort/, 'R8 ... which is said';
$body = sent('chat', 'budget', {@hi, reasoning_effort => 'low', max_tokens => 5000, tool_choice => 'required', @tools});
is_deeply [$body->{thinking}, $body->{tool_choice}{type}], [undef, 'any'], 'R8 a tool that has to be called goes before thinking';
like dropped(), qr/reasoning_effort/, 'R8 ... which is said';
is sent('chat', 'messages', {@hi, reasoning_effort => $_})->{output_config}{effort}, $_, "R8 $_ stays $_" for qw(low medium high xhigh max);

# ---- R10, R11: schemas -----------------------------------------------------------------------------

my %schema = (type => 'object', '$schema' => 'http://json-schema.org/draft-07/schema#', additionalProperties => $false, properties => {'$ref' => {type => 'string'}, additionalProperties => {type => ['string', 'null']},
    list => {type => 'array', items => {'$ref' => '#/$defs/item'}}}, required => ['list'], '$defs' => {item => {type => 'object', properties => {n => {const => 1}}}});
my @schema_tool = (tools => [{type => 'function', function => {name => 'f', strict => $true, parameters => \%schema}}]);
$body = sent('chat', 'oldschema', {@hi, @schema_tool});
my $told = $body->{tools}[0]{functionDeclarations}[0]{parameters};
is_deeply [sort keys %{$told->{properties}}], ['$ref', 'additionalProperties', 'list'], 'R10 properties of any name stay';
ok $told->{properties}{additionalProperties}{nullable}, 'R10 or nothing: nullable';
is_deeply [sort keys %{$told->{properties}{list}{items}{properties}}], ['n'], 'R10 what is referred to is written out';
ok !grep({ exists $told->{$_} } qw($schema $defs additionalProperties)), 'R10 what is not taken is gone';
$body = sent('chat', 'oldschema', {@hi, messages => [user('go'), {role => 'assistant', content => undef, tool_calls => [$calls[0]]}, {role => 'tool', tool_call_id => 'call_1', content => '{"$ref":"#/x","a":{"$ref":"y"}}'}], @tools});
like $json->encode($body->{contents}), qr/\$ref/, 'R10 in a result it is left alone';
is_deeply sent('chat', $_->[0], {@hi, @schema_tool})->{tools}[0]{$_->[1]}, \%schema, "R11 $_->[0] gets the schema as it is" for ['messages', 'input_schema'], ['responses', 'parameters'];
is sent('chat', 'responses', {@hi, @schema_tool})->{tools}[0]{strict}, $true, 'R11 and strictness';

# ---- R12, R13: media, marks -------------------------------------------------------------------------

my $url = 'https://images.example/a.png';
is sent('chat', 'messages', {messages => [user([{type => 'image_url', image_url => {url => $url}}])]})->{messages}[0]{content}[0]{source}{url}, $url, 'R12 a URL stays one for those who read it';
my @seen = ({role => 'user', content => 'go'}, {role => 'assistant', content => [{type => 'tool_use', id => 'call_1', name => 'f', input => {}}]}, {role => 'user', content => [{type => 'tool_result', tool_use_id => 'call_1',
    content => [{type => 'text', text => 'see'}, {type => 'image', source => {type => 'base64', media_type => 'image/png', data => $png}}]}]});
for my $to (qw(chat responses gemini converse)) {
    $body = sent('messages', $to, {tools => [{name => 'f', input_schema => {type => 'object', properties => {}}}], messages => \@seen});
    is_deeply hear($host{$to}{format}, $body)->{turns}[-1]{images}, ['image/png'], "R12 $to: an image in a result of a tool is seen";
}
my %mark = (cache_control => {type => 'ephemeral'});
my %marked = (system => [{type => 'text', text => 's', %mark}], tools => [{name => 'f', input_schema => {type => 'object', properties => {}}, %mark}], messages => [
    user([{type => 'text', text => 't', %mark}, {type => 'image', source => {type => 'base64', media_type => 'image/png', data => $png}, %mark}]),
    {role => 'assistant', content => [{type => 'tool_use', id => 'call_1', name => 'f', input => {}, %mark}]}, user([{type => 'tool_result', tool_use_id => 'call_1', content => 'r', %mark}])]);
$body = sent('messages', 'converse', \%marked);
is scalar(() = $json->encode($body) =~ /"cachePoint"/g), 6, 'R13 each mark is a point of its own for Bedrock' or diag $json->encode($body);
unlike dropped(), qr/cache/, 'R13 and none is lost';
for my $to (qw(chat responses gemini)) { sent('messages', $to, \%marked); like dropped(), qr/cache_control/, "R13 $to: marks that are lost are named" }

# ---- R15, R16, R20 ------------------------------------------------------------------------------------

my %rich = (%marked, temperature => 0.5, stop_sequences => ['x'], thinking => {type => 'adaptive'});
for my $to (qw(chat responses gemini converse)) {
    my @bodies = map { sent('messages', $to, $to eq 'responses' ? {%marked} : \%rich); $mock{$to}->request(-1)->body } 1 .. 3;
    is_deeply [@bodies[1, 2]], [@bodies[0, 0]], "R15 $to: the same request is the same bytes";
}
sent('chat', 'messages', {@hi, new_field => {deep => 1}, messages => [{%{user('Hi')}, odd => 1}]});
like dropped(), qr/new_field/, 'R16 a field that nobody knows is named';
like dropped(), qr/messages\.odd/, 'R16 at any depth' or diag dropped();
for my $to (qw(vertex invoke)) {
    my $betas = 'context-1m-2025-08-07,never-heard-of-2031-01-01';
    $body = sent('messages', $to, {@hi}, 'anthropic-beta', $betas);
    my $header = $mock{$to}->request(-1)->header('anthropic-beta');
    my $named = $to eq 'invoke' ? join(',', @{$body->{anthropic_beta} || []}) : $header // '';
    is $named, $betas, "R20 $to: beta features of the caller's are where they belong";
}
# ---- R22, R23, R24, R26 -----------------------------------------------------------------------------------

my @thought = (messages => [user('one'), {role => 'assistant', content => 'two', reasoning_content => 'because'}, user('three')]);
is sent('chat', 'old', {@thought})->{messages}[1]{reasoning_content}, 'because', 'R22 reasoning in the history of one\'s own format stays';
my @signed = (messages => [user('one'), {role => 'assistant', content => [{type => 'thinking', thinking => 'because', signature => 'sig'}, {type => 'text', text => 'two'}]}, user('three')]);
is sent('messages', 'old', {@signed})->{messages}[1]{reasoning_content}, 'because', 'R22 and is told to those who want it back';
is sent('messages', 'chat', {@signed})->{messages}[1]{reasoning_content}, undef, 'R22 to others it is not';
ok !grep({ $_->{type} eq 'thinking' } map { ref $_->{content} ? @{$_->{content}} : () } @{sent('chat', 'messages', {@thought})->{messages}}), 'R22 nor is what nobody signed told to those who check';
my %history = (@tools, messages => [user('go'), {role => 'assistant', content => 'then', tool_calls => [{%{$calls[0]}, id => 'a b/c'}]}, {role => 'tool', tool_call_id => 'a b/c', content => 'r'}], seed => 7, reasoning_effort => 'low');
for my $case (['new', 'fallback_chat'], ['messages', 'fallback_messages']) {
    my ($to, $model) = @$case;
    sent('chat', $to, \%history);
    my $direct = $mock{$to}->request(-1)->json;
    $last = $t->post('/v1/chat/completions', {%history, model => $model});
    is $last->header('x-relay-attempts'), 2, "R23 $to: another format was tried first";
    is_deeply $mock{$to}->request(-1)->json, $direct, 'R23 ... of which nothing is left in the second attempt';
}
for my $to (qw(chat messages gemini converse)) {
    $last = $t->post('/v1/responses', {model => "to_$to", input => 'Hi', previous_response_id => 'resp_1'});
    is refusal()->{param}, 'previous_response_id', "R24 $to: what was said there before is not known here";
    $last = $t->post('/v1/responses', {model => "to_$to", input => [user('Hi'), {type => 'item_reference', id => 'rs_1'}]});
    is refusal()->{param}, 'input[1]', "R24 $to: nor is an item by its name";
    like refusal()->{message}, qr/item_reference/, '... which is said';
}
my $zipped = Compress::Zlib::memGzip($json->encode({model => 'to_messages', @hi}));
$last = $t->client->request(POST => '/v1/chat/completions', headers => [@{auth()}, 'Content-Type' => 'application/json', 'Content-Encoding' => 'gzip'], body => $zipped)->response;
is $mock{messages}->request(-1)->json->{messages}[0]{content}[0]{text}, 'Hi', 'R26 a body that is packed is translated, too';
is $mock{messages}->request(-1)->header('content-encoding'), undef, '... and goes on unpacked';

# ---- agents ------------------------------------------------------------------------------------------------

# An SDK of the newer kind: the key as a bearer, no sampling.
$last = $t->client->request(POST => '/v1/messages', headers => ['Authorization' => 'Bearer ' . RELAY_KEY, 'anthropic-version' => '2026-10-21'], body => {model => 'to_chat', max_tokens => 9, @hi})->response;
is $mock{chat}->request(-1)->json->{messages}[0]{content}, 'Hi', 'a newer SDK of Anthropic\'s: its key is a bearer';
is $mock{chat}->request(-1)->header('anthropic-version'), undef, '... its version is nobody else\'s';
$last = $t->post('/v1/messages', {model => 'to_chat', max_tokens => 9, @hi, context_management => {edits => []}}, headers => ['x-relay-strict', 1]);
like refusal()->{message}, qr/^context_management: Extra inputs are not permitted/, 'an agent that looks for these words finds them';
$body = sent('chat', 'messages', {@tools, store => $false, max_completion_tokens => 70, messages => [user('go'), {role => 'assistant', content => undef, tool_calls => [$calls[0]]},
    {role => 'assistant', content => 'Wait.'}, {role => 'tool', tool_call_id => 'call_1', content => 'r'}]});
is texts($body->{messages}, \&block_word), 'user: go | assistant: call call_1 | assistant: Wait. | user: result call_1', 'a text between a call and its result is of the same turn' or diag $json->encode($body);
is $body->{max_tokens}, 70, 'the newer name of the limit';

$t->done;
