#!/usr/bin/perl

# The Gemini dialect, same format: where the key may be, the model in the path,
# streams that end without a terminal event, errors, lists.

use lib 't/lib';
use Relay::Test;
use JSON::PP ();

my $json = JSON::PP->new->canonical;
my $usage = {promptTokenCount => 3, candidatesTokenCount => 2, totalTokenCount => 5};
my $chunk = sub {
    my ($text, %o) = @_;
    return {candidates => [{content => {role => 'model', parts => [{text => $text}]}, index => 0, %o}],
        usageMetadata => $usage, modelVersion => 'up', responseId => 'r1'};
};
my $refused = {error => {code => 400, message => 'API key not valid.', status => 'INVALID_ARGUMENT',
    details => [{'@type' => 'type.googleapis.com/google.rpc.ErrorInfo', reason => 'API_KEY_INVALID'}]}};

my $mock = Relay::Mock->new(on => sub {
    my ($req) = @_;
    my $mode = $req->flag('mode') || '';
    return {status => 400, body => $refused} if $mode eq 'key' && ($req->header('x-goog-api-key') || '') eq secret('g');
    return {status => 400, body => {error => {code => 400, message => 'No such field.', status => 'INVALID_ARGUMENT'}}} if $mode eq 'bad';
    return {status => 429, body => {error => {code => 429, message => 'Slow down.', status => 'RESOURCE_EXHAUSTED',
        details => [{'@type' => 'type.googleapis.com/google.rpc.RetryInfo', retryDelay => '7.2s'}]}}} if $mode eq 'limit';
    return {body => {totalTokens => 7}} if $req->path =~ /:countTokens$/;
    return sse([event($chunk->('Hel')), event($chunk->('lo'))], end => 'reset') if $mode eq 'cut';
    return sse([event($chunk->('Hel')), event($chunk->('lo', finishReason => 'STOP'))]) if $req->path =~ /:stream/;
    return {body => $chunk->('Hello', finishReason => 'STOP')};
});

my $host = {mock => $mock, base_url => $mock->url . '/v1beta', formats => ['gemini'],
    auth => {header => 'x-goog-api-key', prefix => ''}};
my $t = Relay::Test->new(allow => [qr/reset by peer/]);
$t->relay(relay_config({models => {'g:9' => {offers => [{host => 'g', id => 'models@1:2'}]}}}, g => $host, h => $host));
$t->start;

my $body = {contents => [{role => 'user', parts => [{text => 'Hi'}]}]};
my $generate = '/gemini/v1beta/models/m:generateContent';
my $stream = '/gemini/v1beta/models/m:streamGenerateContent?alt=sse';
sub last_request { $mock->requests(0)->[-1] }

# ---- where the key is --------------------------------------------------------

for my $style (qw(bearer x-goog-api-key x-api-key)) {
    is $t->post($generate, $body, style => $style)->status, 200, "the key as $style";
    is last_request()->header('x-goog-api-key'), secret('g'), '... the provider gets its own';
}
my $res = $t->post("$generate?key=" . RELAY_KEY . '&prettyPrint=false', $body, key => undef);
is $res->status, 200, 'the key in the query';
is last_request()->path, '/v1beta/models/up-g:generateContent?prettyPrint=false', '... goes no further, the rest does';
unlike slurp($t->dir . '/error.log') . $json->encode($t->log_of($res)), qr/\Q${\RELAY_KEY}\E/, '... nor into the logs';
is $t->post("$generate?key=wrong", $body, key => undef)->status, 401, 'a wrong one there';
is $t->post("$generate?key=wrong", $body)->status, 200, 'a header counts for more';
is last_request()->path, '/v1beta/models/up-g:generateContent', '... and the query still loses it';
$res = $t->post($generate, $body, key => undef);
is $res->status, 401, 'no key';
is $res->json->{error}{status}, 'UNAUTHENTICATED', '... in the words of the dialect';

# ---- generating --------------------------------------------------------------

$res = $t->post($generate, $body);
is_deeply $res->json, $chunk->('Hello', finishReason => 'STOP'), 'an answer as it came';
is_deeply last_request()->json, $body, 'the request as it was';
is $t->log_of($res)->{input_tokens}, 3, 'tokens are logged';
is $t->log_of($res)->{finish_reason}, 'STOP', 'the finish reason is, too';
is $t->post($_, $body)->status, 200, "path $_" for '/v1beta/models/m:generateContent', '/gemini/v1/models/m:generateContent';
is $t->post('/gemini/v1beta/models/g%3A9:generateContent', $body)->status, 200, 'a colon in the name';
is last_request()->path, '/v1beta/models/models@1%3A2:generateContent', '... and in the provider\'s';
$res = $t->post($stream, $body);
is last_request()->path, '/v1beta/models/up-g:streamGenerateContent?alt=sse', 'a stream has its own path, once with alt';
is $res->body, event($chunk->('Hel')) . event($chunk->('lo', finishReason => 'STOP')), 'its events as they came';
is $t->log_of($res)->{error}, '', 'its end is a good one';
is $t->log_of($res)->{output_tokens}, 2, 'its tokens are logged';
$res = $t->post('/gemini/v1beta/models/m:countTokens', $body);
is $res->json->{totalTokens}, 7, 'tokens are counted';
is last_request()->path, '/v1beta/models/up-g:countTokens', '... by the provider';

# ---- a stream without alt=sse is one JSON list ---------------------------------

$res = $t->post('/gemini/v1beta/models/m:streamGenerateContent', $body);
is $res->status, 200, 'a stream as a list';
is_deeply $res->json, [$chunk->('Hello', finishReason => 'STOP')], '... of one whole answer';
is last_request()->path, '/v1beta/models/up-g:generateContent', '... is no stream to the provider';

# ---- errors ------------------------------------------------------------------

$mock->flag(mode => 'bad');
$res = $t->post($stream, $body);
is $res->status, 400, 'a refusal';
is $res->json->{error}{message}, 'No such field.', '... as it came';
$res = $t->post('/gemini/v1beta/models/m:streamGenerateContent', $body);
is $res->json->[0]{error}{message}, 'No such field.', '... in a list, where one was asked for';
$mock->flag(mode => 'limit');
$res = $t->post($generate, $body);
is $res->status, 429, 'a limit';
is $res->header('retry-after'), 8, '... the time to wait is in the body';
is $res->json->{error}{message}, 'Slow down.', '... and passes';
$mock->flag(mode => 'key');
$res = $t->post($generate, $body);
is $res->status, 200, 'a provider key that is refused with a 400';
is $res->header('x-relay-host'), 'h', '... is no error of the caller: the next host is asked';
$mock->flag(mode => 'cut');
$res = $t->post($stream, $body);
is $t->log_of($res)->{error}, 'upstream_cut', 'a stream without a finish is cut';
like $res->body, qr/"error":\{"code":502/, '... and says so';
$mock->flag(mode => '');
$res = $t->post('/gemini/v1beta/models/nobody:generateContent', $body);
is $res->status, 404, 'a model that there is not';
is $res->json->{error}{status}, 'NOT_FOUND', '... in the words of the dialect';
$res = $t->post($generate, '{"contents":');
is $res->status, 400, 'broken JSON';

# ---- lists -------------------------------------------------------------------

$res = $t->get('/gemini/v1beta/models');
is_deeply [map { $_->{name} } @{$res->json->{models}}], ['models/g:9', 'models/m'], 'the list of models';
is $t->get('/gemini/v1beta/models/m')->json->{name}, 'models/m', 'one of them';

$t->done;
