#!/usr/bin/perl

# Usage in streams: always asked for, shown to those who asked, read wherever
# providers put it (S19, S20, S22); and what the request must keep on its way:
# thinking blocks, order, number text, unknown fields, betas (S14, R15, R16, R20).

use strict;
use warnings;
use utf8;

use lib 't/lib';
use Relay::Test;
use Relay::Streams;

# ---- the provider -----------------------------------------------------------

sub chunk { event({id => 'chatcmpl-1', object => 'chat.completion.chunk', created => 1700000000, model => 'up', @_}) }
sub said { my ($text, $finish) = @_; [{index => 0, delta => {role => 'assistant', content => $text}, finish_reason => $finish}] }
sub counts { my ($in, $out, %more) = @_; {prompt_tokens => $in, completion_tokens => $out, total_tokens => $in + $out, %more} }

my @begin = (chunk(choices => said('Hel')), chunk(choices => said('lo')));
my $finish = chunk(choices => [{index => 0, delta => {}, finish_reason => 'stop'}]);
my $done = event('[DONE]');
my $usage = chunk(choices => [], usage => counts(9, 4, prompt_tokens_details => {cached_tokens => 5}));

my %chat = (
    last => [@begin, $finish, $usage, $done],
    twice => [@begin, $finish, $usage, $usage, $done],
    never => [@begin, $finish, $done],
    # choices without elements, absent, null: in the middle and at the end
    empty => [$begin[0], chunk(choices => []), $begin[1], $finish, $usage, $done],
    absent => [$begin[0], chunk(), $begin[1], $finish, chunk(usage => counts(9, 4)), $done],
    null => [$begin[0], chunk(choices => undef), $begin[1], $finish, chunk(choices => undef, usage => counts(9, 4)), $done],
    first => [chunk(choices => [], prompt_filter_results => [{prompt_index => 0}]), @begin, $finish, $usage, $done],
    early => [$begin[0], chunk(choices => [], usage => counts(9, 1)), $begin[1], $finish, chunk(choices => [], usage => counts(9, 4)), $done],
    in_finish => [@begin, chunk(choices => said('', 'stop'), usage => counts(9, 4)), $done],
    each => [chunk(choices => said('Hel'), usage => counts(9, 1)), chunk(choices => said('lo'), usage => counts(9, 2)),
        chunk(choices => said('', 'stop'), usage => counts(9, 4)), $done],
    cache_hit => [@begin, chunk(choices => said('', 'stop'), usage => counts(9, 4, prompt_cache_hit_tokens => 5)), $done],
    beside => [@begin, chunk(choices => said('', 'stop'), x_groq => {id => 'r', usage => counts(9, 4)}), $done],
    null_finish => [@begin, $finish, chunk(choices => said('', undef), usage => counts(9, 4)), $done],
    odd => [@begin, chunk(choices => said('', 'stop'), usage => {prompt_tokens => 'x', completion_tokens => -1, total_tokens => undef}), $done],
);

my $message_start = sub {
    event(message_start => {type => 'message_start', message => {id => 'msg_1', type => 'message', role => 'assistant',
        model => 'up', content => [], stop_reason => undef, stop_sequence => undef, usage => {@_}}});
};
my @block = (event(content_block_start => {type => 'content_block_start', index => 0, content_block => {type => 'text', text => ''}}),
    event(content_block_delta => {type => 'content_block_delta', index => 0, delta => {type => 'text_delta', text => 'Hello'}}),
    event(content_block_stop => {type => 'content_block_stop', index => 0}));
my $delta = sub { event(message_delta => {type => 'message_delta', delta => {stop_reason => $_[0], stop_sequence => undef}, usage => $_[1]}) };
my $stop = event(message_stop => {type => 'message_stop'});
my %start = (input_tokens => 19, cache_creation_input_tokens => 100, cache_read_input_tokens => 50, output_tokens => 1);

my %messages = (
    split => [$message_start->(%start), @block, $delta->('end_turn', {output_tokens => 12}), $stop],
    nulls => [$message_start->(%start), @block, $delta->('end_turn', {input_tokens => undef,
        cache_creation_input_tokens => undef, cache_read_input_tokens => undef, output_tokens => 12}), $stop],
    repeated => [$message_start->(%start), @block, $delta->('end_turn', {%start, output_tokens => 12}), $stop],
    replaced => [$message_start->(%start), @block, $delta->('end_turn', {input_tokens => 20, output_tokens => 12}), $stop],
    cumulative => [$message_start->(%start), @block, $delta->(undef, {output_tokens => 5}), $delta->('end_turn', {output_tokens => 12}), $stop],
    late => [$message_start->(input_tokens => 0, output_tokens => 0), @block, $delta->('end_turn', {%start, output_tokens => 12}), $stop],
);
my %input = (replaced => 170);

my %responses = (
    whole => [authored('responses')],
    incomplete => [map { s/"status":"completed"(?=,"usage")/"status":"incomplete"/r =~ s/response\.completed/response.incomplete/gr
        =~ s/("id":"resp_1",)/$1"incomplete_details":{"reason":"max_output_tokens"},/r } authored('responses')],
);

my $mock = player(
    chat => sub { my ($req, $case) = @_; sse($chat{$case}, gap_ms => 1) },
    messages => sub { my ($req, $case) = @_; sse($messages{$case}, gap_ms => 1) },
    responses => sub { my ($req, $case) = @_; sse($responses{$case}, gap_ms => 1) },
    whole => sub { my ($req, $dialect) = @_; sse([authored($dialect)]) },
    answer => sub { {body => chat_answer(usage => counts(9, 4))} },
);
my $t = Relay::Test->new(http2 => 1);
$t->relay(relay_config({models => {silent => {offers => [{host => 'silent', id => 'up-silent'}]}}},
    a => $mock, silent => {mock => $mock, stream_usage => \0}));
$t->start;
my $c = $t->client;

# ---- S20 --------------------------------------------------------------------

my $text = '{"messages":[{"role":"user","content":"Hi"}], "model": "m" ,"stream":true';
my @options = (
    ['', 0], [',"stream_options":{}', 0], [',"stream_options":null', 0], [', "stream_options" : { "include_usage" : false }', 0],
    [',"stream_options":{"include_obfuscation":false}', 0], [',"stream_options":{"include_usage":null,"x":[1]}', 0],
    [',"stream_options":{"include_usage":true}', 1], [',"stream_options":{"x":{"include_usage":false},"include_usage":true}', 1],
);

for (@options) {
    my ($options, $asked) = @$_;
    my $name = 'S20 ' . ($options || 'no stream_options');
    for my $case (qw(last twice)) {
        $mock->forget;
        my $res = ask($t, chat => "chat $case", client => $c, body => "$text$options}");
        my $sent = $mock->request(0);
        is $sent->json->{stream_options}{include_usage}, JSON::PP::true(), "$name: the provider is asked for usage";
        is $sent->header('content-length'), length $sent->body, "$name: with the right length";
        my $body = $sent->body =~ s/"up-a"/"m"/r;
        my $mine = "$text$options}";
        s/,\s*"stream_options"\s*:\s*(null|\{("x":\{[^}]*\}|[^{}])*\})// for $body, $mine;
        same_bytes $body, $mine, "$name: nothing else is touched";
        sse_ok chat => $res->body, "$name: the caller gets " . ($asked ? 'one usage chunk' : 'none'), usage => $asked;
        same_bytes $res->body, joined(@begin, $finish, $asked ? $usage : (), $done), "$name: and every other byte ($case)";
        logged($t, $res, {input_tokens => 9, output_tokens => 4, cached_tokens => 5, finish_reason => 'stop'}, "$name: it is metered ($case)");
    }
}

{
    my $res = ask($t, chat => 'chat last', http2 => 1);
    sse_ok chat => $res->body, 'S20 over HTTP/2: no usage chunk', usage => 0;
    logged($t, $res, {protocol => 'HTTP/2.0', input_tokens => 9, output_tokens => 4}, 'S20 over HTTP/2: it is metered');

    $mock->forget;
    $res = ask($t, chat => 'answer', body => {stream => \0});
    ok !exists $mock->request(0)->json->{stream_options}, 'S20 not a stream: nothing is asked for';
    logged($t, $res, {input_tokens => 9, output_tokens => 4, finish_reason => 'stop'}, 'S20 not a stream: it is metered');

    $mock->forget;
    $res = ask($t, chat => 'chat in_finish', body => {model => 'silent'});
    ok !exists $mock->request(0)->json->{stream_options}, 'S20 a host that reports usage unasked: is not asked';
    logged($t, $res, {input_tokens => 9, output_tokens => 4}, 'S20 a host that reports usage unasked: it is metered');

    for my $dialect (qw(responses messages)) {
        $mock->forget;
        my $more = $dialect eq 'responses' ? {stream_options => {include_obfuscation => \0}} : {};
        ask($t, $dialect => "whole $dialect", body => $more);
        is_deeply $mock->request(0)->json, {%{request_body($dialect, %$more)}, model => 'up-a', stream => JSON::PP::true(),
            %$more ? (stream_options => {include_obfuscation => JSON::PP::false()}) : ()}, "S20 $dialect: needs no asking";
    }
}

# ---- S19 --------------------------------------------------------------------

my %cached = map { $_ => 5 } qw(empty first cache_hit);

for my $case (grep { !/^(last|twice|never|odd)$/ } sort keys %chat) {
    for my $asked (0, 1) {
        my $res = ask($t, chat => "chat $case", client => $c, body => $asked ? {stream_options => {include_usage => \1}} : {});
        my @wanted = @{$chat{$case}};
        @wanted = grep { !/"usage":\{/ || /"choices":\[\{/ } @wanted if !$asked;
        if ($case eq 'early' && $asked) { sse_ok chat => $res->body, 'S20 early: exactly one usage chunk', usage => 1 }
        else { same_bytes $res->body, joined(@wanted), "S19 $case, usage " . ($asked ? 'asked for' : 'hidden') . ': the stream goes on' }
        logged($t, $res, {status => 200, error => '', input_tokens => 9, output_tokens => 4, finish_reason => 'stop',
            cached_tokens => $cached{$case} || 0}, "S19 $case: usage is kept");
    }
}

for my $case (qw(never odd)) {
    my $res = ask($t, chat => "chat $case", client => $c);
    same_bytes $res->body, joined(@{$chat{$case}}), "S19 $case: the stream is whole";
    logged($t, $res, {error => '', finish_reason => 'stop', input_tokens => qr/^0?$/, output_tokens => qr/^0?$/}, "S19 $case: no usage is made up");
}

# ---- S22 --------------------------------------------------------------------

for my $case (sort keys %messages) {
    my $res = ask($t, messages => "messages $case", client => $c);
    same_bytes $res->body, joined(@{$messages{$case}}), "S22 $case: byte for byte";
    logged($t, $res, {error => '', input_tokens => $input{$case} || 169, cached_tokens => 50, output_tokens => 12,
        finish_reason => 'end_turn'}, "S22 $case: merged by field, the last one counts");
}

for my $case (sort keys %responses) {
    my $res = ask($t, responses => "responses $case", client => $c);
    same_bytes $res->body, joined(@{$responses{$case}}), "S22 responses, $case: byte for byte";
    logged($t, $res, {error => '', input_tokens => 11, cached_tokens => 3, output_tokens => 7,
        finish_reason => $case eq 'whole' ? 'completed' : 'max_output_tokens'}, "S22 responses, $case: from the final event");
}

# ---- S14 --------------------------------------------------------------------

# Texts as clients write them: odd white space, escapes, key order.
my $thinking = '[ {"signature" : "U0lH\/+==", "type":"thinking","thinking":"Step \u006fne \u2026 漢字 🙂\n"} ,' . "\n\t"
    . '{"data":"UkVE\u0041","type":"redacted_thinking"},{"type":"text","text":"So:"},'
    . '{"type":"thinking","thinking":"","signature":"eg=="},{"type":"tool_use","id":"t1","name":"f","input":{"b":1.0,"a":[ ]}}]';
my $replay = '{ "model":"m","max_tokens" : 64,"stream":true,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":'
    . "$thinking}," . '{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"ok"}]}]}';
utf8::encode($replay);

for my $dialect (qw(messages responses)) {
    my $body = $dialect eq 'messages' ? $replay : '{"model":"m","stream":true,"input":[{"summary":[ ],"type":"reasoning","id":"rs_1",'
        . '"encrypted_content":"gAAA\u002b\/=="},{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\": 1.0}"},'
        . '{"type":"function_call_output","call_id":"c","output":"ok"}]}';
    $mock->forget;
    my $res = ask($t, $dialect => "whole $dialect", body => $body);
    is $mock->request(0)->body, $body =~ s/"model":"m"/"model":"up-a"/r, "S14 $dialect: reasoning goes back byte for byte, in place";
    is $res->status, 200, "S14 $dialect: and is answered";
}

# ---- R15, R16 ---------------------------------------------------------------

my %wild = (
    chat => '"messages":[{"content":"Hi \ud83d\ude42","role":"user","x_new":{"deep":[{"y":null}]}}],"tools":[{"type":"function",'
        . '"function":{"parameters":{"z":1,"a":2,"m":{"$ref":"#/x"}},"name":"f"}},{"type":"future_tool","anything":{}}]',
    responses => '"input":[{"type":"future_item","x":[1,{"y":2e3}]},{"role":"user","content":[{"type":"input_text","text":"Hi","n":0.50}]}]',
    messages => '"max_tokens":64,"messages":[{"role":"user","content":[{"type":"future_block","k":{"z":1,"a":2}},{"type":"text","text":"Hi",'
        . '"cache_control":{"ttl":"1h","type":"ephemeral"}}]}]',
);

for my $dialect (dialects()) {
    my $options = $dialect eq 'chat' ? ',"stream_options":{"include_usage":true}' : '';
    my $body = "{\n  \"zeta\": 1.0, \"temperature\":1e0,\"top_p\":0.10 , \"seed\":12345678901234567890,\"big\":1E+400,\r\n"
        . $wild{$dialect} . ",\"model\"\t: \"m\", \"stream\":true$options, \"alpha\":{\"\\u0062\":[[],{},\"\"]},\"\":-0.0}\n";
    $mock->forget;
    ask($t, $dialect => "whole $dialect", body => $body) for 1 .. 2;
    my @sent = map { $_->body } $mock->requests(2);
    is $sent[1], $sent[0], "R15 $dialect: two equal requests, two equal bodies";
    is $sent[0], $body =~ s/"m", "stream"/"up-a", "stream"/r, "R16 $dialect: unknown fields, order and number text at any depth arrive unchanged";
}

# ---- R20 --------------------------------------------------------------------

{
    my @betas = ('anthropic-beta' => 'interleaved-thinking-2025-05-14,context-1m-2025-08-07', 'anthropic-beta' => 'future-flag-2099-01-01');
    for my $h2 (0, 1) {
        $mock->forget;
        my $res = ask($t, messages => 'whole messages', $h2 ? (http2 => 1) : (), headers => ['anthropic-version' => '2023-06-01', @betas]);
        my $sent = $mock->request(0);
        is_deeply [map { split /, */ } $sent->header('anthropic-beta')], [qw(interleaved-thinking-2025-05-14 context-1m-2025-08-07
            future-flag-2099-01-01)], 'R20 betas, in lists and repeated, known and future, all pass' . ($h2 ? ' (HTTP/2)' : '');
        is_deeply [$sent->header('anthropic-version')], ['2023-06-01'], 'R20 and so does the version';
        is $res->status, 200, 'R20 and the request is answered';
    }
}

$t->done;
