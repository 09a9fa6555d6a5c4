#!/usr/bin/perl
#
# relayctl translate as somebody who files a bug meets it: a request, an answer,
# a stream, from standard input to standard output, and what could not be said.

use strict;
use warnings;

use IPC::Open3 qw(open3);
use JSON::PP;
use Symbol qw(gensym);
use Test::More;

my $relayctl = $ENV{RELAYCTL} || 'build/relayctl';

# translate(INPUT, ARGUMENT...): ($status, $stdout, $stderr)
sub translate {
    my ($input, @arguments) = @_;
    my $pid = open3(my $in, my $out, my $err = gensym, $relayctl, 'translate', @arguments);

    local $SIG{PIPE} = 'IGNORE';
    print $in $input;
    close $in;
    local $/;
    my ($stdout, $stderr) = (scalar(<$out>) // '', scalar(<$err>) // '');
    waitpid $pid, 0;
    return ($? & 127 ? "signal $?" : $? >> 8, $stdout, $stderr);
}

my @to_messages = (qw(--from openai-chat --to anthropic-messages));
my @to_chat     = (qw(--from anthropic-messages --to openai-chat));

my $request = encode_json({
    model    => 'm', max_tokens => 50, seed => 7,
    messages => [{role => 'system', content => 'Be brief.'}, {role => 'user', content => 'Hi'}],
    tools    => [{type => 'function', function => {name => 'f', parameters => {type => 'object'}}}],
});

my ($status, $out, $err) = translate($request, @to_messages);
is($status, 0, 'a request is translated');
my $messages = decode_json($out);
is($messages->{max_tokens}, 50, 'with its limit');
is_deeply($messages->{messages}, [{role => 'user', content => [{type => 'text', text => 'Hi'}]}],
    'its turns');
is($messages->{tools}[0]{name}, 'f', 'its tools');
is($messages->{system}[0]{text}, 'Be brief.', 'and its system text');
like($err, qr/\bseed\b/, 'what could not be said is named');

($status, $out, $err) = translate($request, @to_messages, '--strict');
isnt($status, 0, '--strict refuses it');
is(decode_json($out)->{error}{param}, 'seed', 'in the words of the caller\'s format, naming the field');

(my $alone = $relayctl) =~ s{[^/]*$}{relay-translate};
is(`printf '%s' '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}' | $alone @to_chat`,
    `printf '%s' '{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}' | $relayctl translate @to_chat`,
    'relay-translate is the same command');

my $answer = encode_json({
    id      => 'msg_1', type => 'message', role => 'assistant', model => 'm',
    content => [{type => 'text', text => 'Hello'}], stop_reason => 'max_tokens', stop_sequence => undef,
    usage   => {input_tokens => 3, output_tokens => 4, cache_read_input_tokens => 5},
});

# From the provider's format to the caller's.
($status, $out) = translate($answer, @to_chat, '--response');
is($status, 0, 'an answer is translated back');
my $chat = decode_json($out);
is($chat->{choices}[0]{message}{content}, 'Hello', 'with its text');
is($chat->{choices}[0]{finish_reason}, 'length', 'its reason to end');
is($chat->{usage}{prompt_tokens}, 8, 'and its usage, cached tokens included');

my $stream = join '', map { "event: $_->{type}\ndata: " . encode_json($_) . "\n\n" } (
    {type => 'message_start', message => {id => 'msg_1', type => 'message', role => 'assistant', model => 'm',
        content => [], usage => {input_tokens => 3, output_tokens => 1}}},
    {type => 'content_block_start', index => 0, content_block => {type => 'text', text => ''}},
    (map { {type => 'content_block_delta', index => 0, delta => {type => 'text_delta', text => $_}} } qw(Hel lo)),
    {type => 'content_block_stop', index => 0},
    {type => 'message_delta', delta => {stop_reason => 'end_turn', stop_sequence => undef},
        usage => {output_tokens => 4}},
    {type => 'message_stop'},
);

($status, $out) = translate($stream, @to_chat, '--response', '--stream');
is($status, 0, 'a stream is translated back');
my @chunks = map { decode_json($_) } grep { $_ ne '[DONE]' } $out =~ /^data: (.*)$/mg;
is(join('', map { $_->{choices}[0]{delta}{content} // '' } @chunks), 'Hello', 'with its text');
is((grep { defined } map { $_->{choices}[0]{finish_reason} } @chunks)[0], 'stop', 'its reason to end');
like($out, qr/\ndata: \[DONE\]\n\n\z/, 'and its end');

my ($cut) = $stream =~ /\A(.*?event: content_block_stop)/s;
(undef, $out) = translate($cut, @to_chat, '--response', '--stream');
unlike($out, qr/\[DONE\]/, 'a stream that was cut does not end as if it were whole');

($status, $out) = translate(encode_json({model => 'm', max_tokens => 9, system => 'S',
    messages => [{role => 'user', content => 'Hi'}]}), @to_chat);
is($status, 0, 'the other way, too');
is(decode_json($out)->{messages}[1]{content}, 'Hi', 'with its turns');

($status, $out, $err) = translate('{"model": ', @to_messages);
isnt($status, 0, 'what is no JSON is refused');
($status, undef, $err) = translate('{}', qw(--from morse --to openai-chat));
is($status, 2, 'a format that does not exist is refused');
like($err, qr/Formats:.*openai-chat/, 'with those that do');

done_testing;
