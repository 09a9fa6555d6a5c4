#!/usr/bin/perl

# The built-in model relay/echo: answers in every format, streaming and not,
# with usage, where no provider is set up at all.

use strict;
use warnings;
use utf8;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);

my $t = Relay::Test->new(http2 => 1);
$t->relay({
    hosts => {relay => {echo => \1}},
    models => {'relay/echo' => {display_name => 'Relay echo', offers => [{host => 'relay'}], aliases => ['parrot']}},
    policies => {default => {pools => []}}, relay_keys => {k => {policy => 'default', key => RELAY_KEY}}});
$t->start;

my %path = (chat => '/v1/chat/completions', responses => '/v1/responses', messages => '/v1/messages',
    embeddings => '/v1/embeddings');

sub body {
    my ($format, $text, %more) = @_;
    return {model => 'relay/echo', input => $text, %more} if $format eq 'responses' || $format eq 'embeddings';
    return {model => 'relay/echo', messages => [{role => 'user', content => $text}],
        $format eq 'messages' ? (max_tokens => 100) : (), %more};
}

sub post { my ($format, $body, %o) = @_; $t->post($path{$format}, $body, %o) }

# What the answer says: its text and usage, and what is wrong with its shape.
my %whole = (
    chat => sub {
        my ($j) = @_;
        my $c = $j->{choices}[0] || {};
        my @f = grep { $_ } ($j->{object} || '') ne 'chat.completion' && 'object',
            ($j->{id} || '') !~ /^chatcmpl-\w+$/ && 'id', ($j->{created} || '') !~ /^\d{10}$/ && 'created',
            $j->{model} ne 'relay/echo' && 'model', @{$j->{choices}} != 1 && 'choices',
            ($c->{message}{role} || '') ne 'assistant' && 'role',
            ($c->{finish_reason} || '') ne 'stop' && 'finish_reason', !exists $c->{message}{refusal} && 'refusal',
            !exists $c->{logprobs} && 'logprobs',
            $j->{usage}{total_tokens} != $j->{usage}{prompt_tokens} + $j->{usage}{completion_tokens} && 'total_tokens';
        return ($c->{message}{content}, @{$j->{usage}}{qw(prompt_tokens completion_tokens)}, @f);
    },
    responses => sub {
        my ($j) = @_;
        my $item = $j->{output}[0] || {};
        my $part = $item->{content}[0] || {};
        my @f = grep { $_ } ($j->{object} || '') ne 'response' && 'object', ($j->{id} || '') !~ /^resp_\w+$/ && 'id',
            ($j->{created_at} || '') !~ /^\d{10}$/ && 'created_at',
            $j->{model} ne 'relay/echo' && 'model', ($j->{status} || '') ne 'completed' && 'status',
            ($item->{type} || '') ne 'message' && 'item', !$item->{id} && 'item id',
            ($item->{role} || '') ne 'assistant' && 'role', ($part->{type} || '') ne 'output_text' && 'part',
            ref $part->{annotations} ne 'ARRAY' && 'annotations',
            $j->{usage}{total_tokens} != $j->{usage}{input_tokens} + $j->{usage}{output_tokens} && 'total_tokens',
            (map { !exists $j->{$_} && $_ } qw(error incomplete_details));
        return ($part->{text}, @{$j->{usage}}{qw(input_tokens output_tokens)}, @f);
    },
    messages => sub {
        my ($j) = @_;
        my @f = grep { $_ } ($j->{type} || '') ne 'message' && 'type', ($j->{id} || '') !~ /^msg_\w+$/ && 'id',
            $j->{model} ne 'relay/echo' && 'model', ($j->{role} || '') ne 'assistant' && 'role',
            ($j->{stop_reason} || '') ne 'end_turn' && 'stop_reason', !exists $j->{stop_sequence} && 'stop_sequence',
            ($j->{content}[0]{type} || '') ne 'text' && 'content';
        return ($j->{content}[0]{text}, @{$j->{usage}}{qw(input_tokens output_tokens)}, @f);
    },
);
my %streamed = (
    chat => sub {
        my ($last) =
            grep { $_->{usage} }
            map { JSON::PP->new->utf8->decode($_) }
            grep { $_ ne '[DONE]' } map { $_->{data} } Relay::Sse::events($_[0]);
        $last ? @{$last->{usage}}{qw(prompt_tokens completion_tokens)} : ();
    },
    responses => sub {
        my @e = Relay::Sse::events($_[0]);
        @{JSON::PP->new->utf8->decode($e[-1]{data})->{response}{usage}}{qw(input_tokens output_tokens)};
    },
    messages => sub {
        my @e = map { JSON::PP->new->utf8->decode($_->{data}) } Relay::Sse::events($_[0]);
        my %u = map { my $x = $_->{usage} || $_->{message}{usage} || {}; %$x } @e;
        @u{qw(input_tokens output_tokens)};
    },
);

# ---- one answer, whole and streamed -----------------------------------------

my %said = (
    'a word' => 'Hello', 'a sentence' => 'The quick brown fox jumps over the lazy dog. ' x 3,
    'letters of every length' => "naïve 漢字 🙂 \x{10FFFD}",
    'quotation marks and backslashes' => q("a" \\b\\ 'c'), 'line ends and controls' => "a\nb\r\n\tc \x{01} \x{7f}",
    'what looks like an event' => "data: {}\n\nevent: error\n\n[DONE]",
    'markup' => '</script><b>&amp;', 'one character' => 'x', '20 KB' => join(' ', 1 .. 4000), 'no space' => '漢' x 3000);

for my $format (qw(chat responses messages)) {
    for my $name (sort keys %said) {
        my $text = $said{$name};
        my $res = post($format, body($format, $text));
        is $res->status, 200, "$format, $name";
        is $res->header('content-type'), 'application/json', "$format, $name: JSON" if $name eq 'a word';
        my ($back, $in, $out, @faults) = $whole{$format}->($res->json);
        is $back, $text, "$format, $name: comes back";
        is_deeply \@faults, [], "$format, $name: a whole answer";
        ok $in > 0 && $out > 0, "$format, $name: with usage";

        my $stream = post($format,
            body($format, $text, stream => \1, $format eq 'chat' ? (stream_options => {include_usage => \1}) : ()));
        sse_ok $format => $stream->body, "$format, $name: a valid stream", usage => 1;
        is Relay::Sse::text($format, $stream->body), $text, "$format, $name: of the same text";
        is_deeply [$streamed{$format}->($stream->body)], [$in, $out], "$format, $name: and the same usage";
        like $stream->header('content-type'), qr{^text/event-stream\b}, "$format, $name: an event stream"
            if $name eq 'a word';
    }
}

subtest 'include_usage' => sub {
    for my $options (undef, {}, {include_usage => \0}) {
        my $res = post(chat => body('chat', 'Hi', stream => \1, $options ? (stream_options => $options) : ()));
        sse_ok chat => $res->body, 'no usage chunk unless it was asked for', usage => 0;
        unlike $res->body, qr/"choices":\s*\[\]/, 'and none without choices';
    }
    my $res = post(chat => body('chat', 'Hi', stream_options => {include_usage => \1}));
    is $res->json->{object}, 'chat.completion', 'no stream, no matter';
};

subtest 'many pieces' => sub {
    for my $format (qw(chat responses messages)) {
        my $text = join ' ', map { "word$_" } 1 .. 40;
        my @deltas = grep { defined $_->{data} && $_->{data} =~ /word\d/ && $_->{data} !~ /word1 .*word40/ }
            Relay::Sse::events(post($format, body($format, $text, stream => \1))->body);
        cmp_ok scalar(@deltas), '>', 5, "$format: the text comes in pieces";
    }
};

# ---- what it hears ----------------------------------------------------------

subtest 'the last words of the user' => sub {
    my @turns = ({role => 'user', content => 'first'}, {role => 'assistant', content => 'answer'},
        {role => 'user', content => 'last words'});
    my @parts = ({type => 'text', text => 'one '}, {type => 'text', text => 'two'});
    is(
        (
            (
                $whole{chat}->(
                    post(
                        chat => {model => 'relay/echo', messages => [{role => 'system', content => 'be brief'}, @turns]}
                    )->json))[0]),
        'last words',
        'chat, turns');
    is(
        (
            (
                $whole{chat}->(
                    post(
                        chat => {
                            model => 'relay/echo',
                            messages => [{
                                role => 'user',
                                content => [{type => 'image_url', image_url => {url => 'data:,'}}, @parts]}]})->json)
            )[0]),
        'one two',
        'chat, parts');
    is(
        (   ($whole{messages}->(post(messages => {model => 'relay/echo', max_tokens => 9, messages => \@turns})->json))
            [0]),
        'last words',
        'messages, turns');
    is(
        (
            (
                $whole{messages}->(
                    post(
                        messages => {
                            model => 'relay/echo', max_tokens => 9, messages => [{role => 'user', content => \@parts}]}
                    )->json))[0]),
        'one two',
        'messages, blocks');
    is(
        (
            (
                $whole{responses}->(
                    post(
                        responses => {
                            model => 'relay/echo',
                            input => [{role => 'user', content => [{type => 'input_text', text => 'typed'}]}]})->json)
            )[0]),
        'typed',
        'responses, items');
    is((($whole{responses}->(post(responses => {model => 'relay/echo', input => \@turns})->json))[0]), 'last words',
        'responses, plain items');

    for my $empty ({messages => []}, {messages => [{role => 'user', content => ''}]}, {messages => 'x' x 0}, {},
        {messages => [{role => 'user'}]}, {messages => [1, null => [], {}]}, {messages => {}})
    {
        my $res = post(chat => {model => 'relay/echo', %$empty});
        is $res->status, 200, 'nothing said: an answer all the same';
        my ($text, $in, $out, @faults) = $whole{chat}->($res->json);
        ok length $text && !@faults, 'and a whole one' or diag $res->body;
        sse_ok chat => post(chat => {model => 'relay/echo', stream => \1, %$empty})->body, 'also streamed';
    }
};

# ---- how many ---------------------------------------------------------------

subtest 'n choices' => sub {
    my $text = 'several words, "quoted", to say 🙂 more than once';
    my $one = post(chat => body('chat', $text))->json->{usage};
    for my $n (1, 2, 5, 128) {
        my $j = post(chat => body('chat', $text, n => $n))->json;
        is_deeply [map { $_->{index} } @{$j->{choices}}], [0 .. $n - 1], "n $n: as many, in order";
        is scalar(grep { $_->{message}{content} eq $text && $_->{finish_reason} eq 'stop' } @{$j->{choices}}), $n,
            "n $n: each says it";
        my $usage = {%{$j->{usage}}};
        is_deeply [@$usage{qw(prompt_tokens completion_tokens total_tokens)}],
            [$one->{prompt_tokens}, $n * $one->{completion_tokens}, $one->{prompt_tokens} + $n * $one->{completion_tokens}],
            "n $n: the input is paid once, the output $n times";

        my $stream = post(chat => body('chat', $text, n => $n, stream => \1, stream_options => {include_usage => \1}));
        sse_ok chat => $stream->body, "n $n: a valid stream", usage => 1;
        my (%said, %end);
        my @order;
        for my $c (map { @{JSON::PP->new->utf8->decode($_)->{choices}} }
            grep { $_ ne '[DONE]' } map { $_->{data} } Relay::Sse::events($stream->body))
        {
            $said{$c->{index}} .= $c->{delta}{content} // '';
            $end{$c->{index}} = $c->{finish_reason} if $c->{finish_reason};
            push @order, $c->{index};
        }
        is_deeply \%said, {map { $_ => $text } 0 .. $n - 1}, "n $n, streamed: each says it";
        is_deeply \%end, {map { $_ => 'stop' } 0 .. $n - 1}, "n $n, streamed: each ends";
        is_deeply [@order[0 .. 2 * $n - 1]], [(0 .. $n - 1) x 2], "n $n, streamed: in turn";
        is_deeply [$streamed{chat}->($stream->body)], [@$usage{qw(prompt_tokens completion_tokens)}],
            "n $n, streamed: the same usage";
    }
};

subtest 'counting tokens' => sub {
    for my $more ({}, {tools => [{name => 'find', description => 'finds', input_schema => {type => 'object'}}]}) {
        my $body = {model => 'relay/echo', messages => [{role => 'user', content => 'How long is this?'}],
            system => 'Be brief.', %$more};
        my $res = $t->post('/v1/messages/count_tokens', $body);
        is $res->status, 200, 'count_tokens';
        is_deeply $res->json, {input_tokens => post(messages => {%$body, max_tokens => 9})->json->{usage}{input_tokens}},
            'count_tokens: what the answer\'s usage will say';
        is_deeply $t->post('/anthropic/v1/messages/count_tokens', $body, http2 => 1)->json, $res->json,
            'count_tokens: the same each time';
        $body = {model => 'relay/echo', input => 'How long is this?', instructions => 'Be brief.', %$more};
        $res = $t->post('/v1/responses/input_tokens', {%$body, stream => \1});
        is_deeply $res->json, {object => 'response.input_tokens',
            input_tokens => post(responses => $body)->json->{usage}{input_tokens}}, 'input_tokens: likewise';
        like scalar $res->header('content-type'), qr{^application/json}, 'input_tokens: never streamed';
    }
    my $short = $t->post('/v1/messages/count_tokens', body('messages', 'x'))->json->{input_tokens};
    my $long = $t->post('/v1/messages/count_tokens', body('messages', 'x' x 4000))->json->{input_tokens};
    is $long - $short, 1000, 'a longer text counts for more' or diag "$short, $long";
    my $res = $t->post('/v1/messages/count_tokens', body('messages', 'x'), headers => ['x-relay-request-id' => 'counted']);
    is_deeply [map { $res->header($_) } qw(x-relay-host x-relay-model x-relay-attempts)], ['relay', 'relay/echo', 1],
        'its headers';
    my $entry;
    wait_for(3, sub { ($entry) = grep { $_->{request_id} eq 'counted' } $t->logs });
    is_deeply [@$entry{qw(status error input_tokens output_tokens)}], [200, '', '', ''], 'nothing is metered';
};

# ---- embeddings -------------------------------------------------------------

subtest 'embeddings' => sub {
    for my $input ('one text', ['a', 'b', 'c'], [1, 2, 3], [[1, 2], [3]]) {
        my $count = ref $input && (ref $input->[0] || $input->[0] !~ /^\d/) ? @$input : 1;
        my $j = post(embeddings => {model => 'relay/echo', input => $input})->json;
        is_deeply [@$j{qw(object model)}], ['list', 'relay/echo'], 'a list';
        is_deeply [map { $_->{index} } @{$j->{data}}], [0 .. $count - 1], "one for each of $count inputs, in order";
        is
            scalar(grep { $_->{object} eq 'embedding' && ref $_->{embedding} eq 'ARRAY' && @{$_->{embedding}} > 0 }
                @{$j->{data}}), $count, 'each a vector';
        ok $j->{usage}{prompt_tokens} > 0 && $j->{usage}{total_tokens} == $j->{usage}{prompt_tokens}, 'with usage';
        my $packed = post(embeddings => {model => 'relay/echo', input => $input, encoding_format => 'base64'})->json;
        require MIME::Base64;
        my @floats = unpack 'f<*', MIME::Base64::decode_base64($packed->{data}[0]{embedding});
        is scalar(@floats), scalar(@{$j->{data}[0]{embedding}}), 'base64: as many numbers';
        cmp_ok abs($floats[$_] - $j->{data}[0]{embedding}[$_]), '<', 1e-5, 'base64: the same ones' for 0;
    }
};

# ---- around it --------------------------------------------------------------

subtest 'headers and log' => sub {
    for my $case ([chat => {}], [messages => {stream => \1}], [embeddings => {}]) {
        my ($format, $more) = @$case;
        my $res = post($format, body($format, 'Hi', %$more), headers => ['x-relay-request-id' => "echo-$format"]);
        is_deeply [map { $res->header($_) } qw(x-relay-request-id x-relay-host x-relay-model x-relay-attempts)],
            ["echo-$format", 'relay', 'relay/echo', 1], "$format: its headers";
        ok !defined $res->header('x-relay-error'), "$format: no error";
        my $entry;
        wait_for(
            3,
            sub {
                ($entry) = grep { $_->{request_id} eq "echo-$format" } $t->logs;
            });
        is_deeply [@$entry{qw(model host attempts status error)}], ['relay/echo', 'relay', 1, 200, ''],
            "$format: its log";
        like $entry->{input_tokens}, qr/^[1-9]\d*$/, "$format: usage is logged";
    }
};

subtest 'other names and ways' => sub {
    for my $name ('relay/echo', 'parrot', 'relay/echo@relay', 'no-such-model,relay/echo') {
        my $res = post(chat => {model => $name, messages => [{role => 'user', content => 'Hi'}]});
        is_deeply [$res->status, $res->json->{choices}[0]{message}{content}, $res->header('x-relay-model')],
            [200, 'Hi', 'relay/echo'], $name;
    }
    my @ids = map { post(chat => body('chat', 'Hi'))->json->{id} } 1 .. 3;
    is scalar(keys %{{map { $_ => 1 } @ids}}), 3, 'no two answers have the same id';
    is post($_, body($_, 'over two'), http2 => 1)->status, 200, "$_ over HTTP/2" for sort keys %path;
    sse_ok chat => post(chat => body('chat', 'Hi', stream => \1), http2 => 1)->body, 'a stream over HTTP/2';
    my $c = $t->client;
    for my $i (1 .. 3) {
        $c->request(POST => $path{messages}, headers => auth(),
            body => body('messages', "turn $i", stream => $i == 2 ? \1 : \0));
        my $res = $c->response;
        ok $res->clean && $res->body =~ /turn/, "the connection is kept, $i";
    }
    ok $t->client->request(POST => $path{chat}, headers => auth(), body => body('chat', 'x' x 200_000), http => '1.0')
        ->response->body =~ /chat\.completion/, 'HTTP/1.0, and a long text';
};

subtest 'in the model lists' => sub {
    is_deeply [map { $_->{id} } @{$t->get('/v1/models')->json->{data}}], ['relay/echo'], 'OpenAI';
    my $list = $t->get('/anthropic/v1/models')->json;
    is_deeply [map { @$_{qw(id display_name)} } @{$list->{data}}], ['relay/echo', 'Relay echo'], 'Anthropic';
    is $t->get('/v1/models/relay%2Fecho')->json->{id}, 'relay/echo', 'by name';
};

subtest 'what it cannot' => sub {
    refused(post(chat => {model => 'gpt-6', messages => []}), openai => 404, 'model_not_found', 'another model',
        param => 'model');
    refused($t->post('/v1/responses/compact', {model => 'relay/echo', input => 'x'}), openai => 400,
        'format_unavailable', 'compact');
    refused($t->post('/v1/messages/count_tokens', {messages => []}), anthropic => 400, 'missing_field',
        'count_tokens without a model');
    refused(post(messages => '{"model":"relay/echo"'), anthropic => 400, 'invalid_json', 'bad JSON');
    refused(post(messages => body('messages', 'x'), key => undef), anthropic => 401, 'invalid_relay_key', 'no key');
};

subtest 'a client that leaves' => sub {
    for (1 .. 5) {
        my $c = $t->client(receive_buffer => 4096);
        $c->request(POST => $path{chat}, headers => auth(), body => body('chat', 'word ' x 12_000, stream => \1));
        $c->read_until(qr/data: /, 2);
        $c->abort;
    }
    is post(chat => body('chat', 'Hi'))->status, 200, 'harms nobody';
};

$t->done;
