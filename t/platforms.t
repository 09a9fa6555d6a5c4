#!/usr/bin/perl

# Clouds that serve the formats of others: what they say in headers alone, errors of
# their own in each of their forms, and where they count tokens.

use lib 't/lib';
use Relay::Test;
use JSON::PP ();

my $json = JSON::PP->new->canonical->utf8;
my $google = sub { my ($code, $status, $message, @details) = @_; {error => {code => $code, message => $message, status => $status, @details ? (details => [@details]) : ()}} };
my $azure = sub { my ($code, $message, %more) = @_; {error => {code => $code, message => $message, %more}} };

# Bedrock names an error in a header, and has nothing but a message in the body.
sub bedrock { my ($status, $name, $message) = @_; return {status => $status, headers => ['x-amzn-errortype', "$name:http://internal.example/"], body => {message => $message}} }

# host => what it speaks; story => its answer
my %host = (
    converse => {format => 'bedrock-converse', base => '', whole => {output => {message => {role => 'assistant', content => [{text => 'Hello'}]}},
        stopReason => 'end_turn', usage => {inputTokens => 1, outputTokens => 1, totalTokens => 2}}},
    invoke => {format => 'bedrock-invoke', base => '', whole => message_answer()},
    vertex => {format => 'vertex-anthropic', base => '/v1/projects/p/locations/l', whole => message_answer()},
    vertexgemini => {format => 'vertex-gemini', base => '/v1/projects/p/locations/l',
        whole => {candidates => [{index => 0, content => {role => 'model', parts => [{text => 'Hello'}]}, finishReason => 'STOP'}]}},
    azure => {format => 'azure-openai', base => '', whole => chat_answer()},
);
my $delay = {'@type' => 'type.googleapis.com/google.rpc.RetryInfo', retryDelay => '8s'};

# name, answer; what callers of Chat and of Messages get: status, type, retry-after
my @bedrock = (
    [bedrock(400, 'ServiceQuotaExceededException', 'Your request exceeds the quota.'), 429, 'insufficient_quota', 402, 'billing_error'],
    [bedrock(400, 'ValidationException', 'The model identifier is invalid.'), 400, 'invalid_request_error', 400, 'invalid_request_error'],
    [bedrock(400, 'ValidationException', 'Input is too long for requested model.'), 400, 'invalid_request_error', 400, 'invalid_request_error'],
    [bedrock(404, 'ResourceNotFoundException', 'The model is not there.'), 404, 'invalid_request_error', 404, 'not_found_error'],
    [bedrock(408, 'ModelTimeoutException', 'The model was too slow.'), 504, 'server_error', 504, 'timeout_error'],
    [bedrock(424, 'ModelErrorException', 'The model failed.'), 500, 'server_error', 500, 'api_error'],
    [bedrock(429, 'ModelNotReadyException', 'The model is not ready.'), 429, 'rate_limit_error', 429, 'rate_limit_error'],
    [bedrock(429, 'ThrottlingException', 'Too many requests.'), 429, 'rate_limit_error', 429, 'rate_limit_error'],
    [bedrock(500, 'InternalServerException', 'It broke.'), 500, 'server_error', 500, 'api_error'],
    [bedrock(503, 'ServiceUnavailableException', 'It is busy.'), 503, 'service_unavailable_error', 529, 'overloaded_error'],
    (map { [$_, 502, 'server_error', 500, 'api_error', 'key'] } bedrock(403, 'UnrecognizedClientException', 'The security token is invalid.'),
        bedrock(400, 'UnrecognizedClientException', 'The security token is invalid.'), bedrock(403, 'ExpiredTokenException', 'The token has expired.'),
        bedrock(400, 'InvalidSignatureException', 'The signature does not match.'), bedrock(403, 'AccessDeniedException', 'Not allowed.')),
);
my @google = (
    [{status => 400, body => $google->(400, 'INVALID_ARGUMENT', 'No such field.')}, 400, 'invalid_request_error', 400, 'invalid_request_error'],
    [{status => 400, body => $google->(400, 'FAILED_PRECONDITION', 'Not in this place.')}, 400, 'invalid_request_error', 400, 'invalid_request_error'],
    [{status => 404, body => $google->(404, 'NOT_FOUND', 'Publisher model was not found.')}, 404, 'invalid_request_error', 404, 'not_found_error'],
    [{status => 429, body => $google->(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded.', $delay)}, 429, 'rate_limit_error', 429, 'rate_limit_error', undef, 8],
    [{status => 500, body => $google->(500, 'INTERNAL', 'It broke.')}, 500, 'server_error', 500, 'api_error'],
    [{status => 503, body => $google->(503, 'UNAVAILABLE', 'It is busy.')}, 503, 'service_unavailable_error', 529, 'overloaded_error'],
    [{status => 504, body => $google->(504, 'DEADLINE_EXCEEDED', 'Too slow.')}, 504, 'server_error', 504, 'timeout_error'],
    (map { [$_, 502, 'server_error', 500, 'api_error', 'key'] } {status => 401, body => $google->(401, 'UNAUTHENTICATED', 'No credential.')},
        {status => 403, body => $google->(403, 'PERMISSION_DENIED', 'Not allowed.')}),
);
my @anthropic = ([{status => 529, body => error_body('anthropic', 'overloaded_error', 'Overloaded')}, 503, 'service_unavailable_error', 529, 'overloaded_error'],
    [{status => 429, body => error_body('anthropic', 'rate_limit_error', 'Slow down.')}, 429, 'rate_limit_error', 429, 'rate_limit_error']);
my @azure = (
    [{status => 400, body => $azure->('content_filter', 'The response was filtered.', type => undef, param => 'prompt',
        innererror => {code => 'ResponsibleAIPolicyViolation', content_filter_result => {}})}, 400, undef, 400, 'invalid_request_error'],
    [{status => 400, body => $azure->('context_length_exceeded', 'This model\'s maximum context length is 8000 tokens. However, your messages resulted in 9000 tokens.')},
        400, undef, 400, 'invalid_request_error'],
    [{status => 404, body => $azure->('DeploymentNotFound', 'The API deployment for this resource does not exist.')}, 404, undef, 404, 'not_found_error'],
    [{status => 429, headers => ['Retry-After', 8], body => $azure->('429', 'Requests have exceeded the limit.')}, 429, undef, 429, 'rate_limit_error', undef, 8],
    [{status => 500, body => $azure->('InternalServerError', 'It broke.')}, 500, undef, 500, 'api_error'],
    [{status => 503, body => $azure->('ServiceUnavailable', 'It is busy.')}, 503, undef, 529, 'overloaded_error'],
    (map { [$_, 502, 'server_error', 500, 'api_error', 'key'] } {status => 401, body => $azure->('401', 'Access denied due to invalid subscription key.')}),
);
my %errors = (converse => \@bedrock, invoke => [@bedrock], vertex => [@google, @anthropic], vertexgemini => \@google, azure => \@azure);

my %mock = map {
    my ($name, $up) = ($_, $host{$_});
    $name => Relay::Mock->new(on => sub {
        my ($req) = @_;
        return $errors{$name}[$req->flag('error') - 1][0] if $req->flag('error');
        return {body => {input_tokens => 77}} if $req->path =~ /count-tokens/;
        return {body => $up->{whole}};
    });
} keys %host;
my $t = Relay::Test->new;
$t->relay(relay_config({models => {map { ("only_$_" => {offers => [{host => $_, id => "up-$_\@1"}]}) } keys %host}},
    map { $_ => {mock => $mock{$_}, base_url => $mock{$_}->url . $host{$_}{base}, formats => [$host{$_}{format}]} } sort keys %host))->start;

my %body = ('/v1/chat/completions' => {messages => [{role => 'user', content => 'Hi'}]},
    '/v1/messages' => {max_tokens => 9, messages => [{role => 'user', content => 'Hi'}]});

# ---- errors ------------------------------------------------------------------------

sub check_error {
    my ($name, $row, $path, $stream) = @_;
    my ($answer, $chat_status, $chat_type, $status, $type, $key, $after) = @$row;
    my $res = $t->post($path, {model => "only_$name", %{$body{$path}}, stream => $stream ? \1 : \0});
    my $error = $res->json->{error} or return fail 'an error: ' . $res->body;
    my $said = ref $answer->{body} ? $answer->{body} : $json->decode($answer->{body});
    my $message = $said->{message} || $said->{error}{message};
    ($status, $type) = ($chat_status, $chat_type) if $path =~ /chat/;
    is $res->status, $status, "X16 $name, $path, $answer->{status}: $message" or diag $res->body;
    is $error->{type}, $type, '... its type' if defined $type;
    is $res->header('x-relay-error'), $key ? 'upstream_key' : undef, '... whose it is';
    is $res->header('retry-after'), $after // ($status =~ /^(?:429|503)$/ ? $res->header('retry-after') : undef), '... when to try again';
    $key ? unlike $error->{message}, qr/\Q$message\E/, '... what is said of our key is not handed on'
        : like $error->{message}, $message =~ /context length|too long/ ? qr/too long|context length/ : qr/\Q$message\E/, '... the message' or diag $res->body;
}

for my $name (sort keys %errors) {
    for my $i (1 .. @{$errors{$name}}) {
        $mock{$name}->flag(error => $i);
        check_error($name, $errors{$name}[$i - 1], $_, $i % 2) for sort keys %body;
    }
    $mock{$name}->flag(error => 0);
}

# ---- counting tokens -----------------------------------------------------------------

my %count = (model => 'only_vertex', messages => [{role => 'user', content => 'word ' x 100}], tools => []);
my $res = $t->post('/v1/messages/count_tokens?beta=true', \%count, headers => ['anthropic-beta', 'token-counting-2024-11-01']);
is $res->status, 200, 'R25 Vertex counts for Anthropic\'s models' or diag $res->body;
is $res->json->{input_tokens}, 77, '... and is believed';
is $res->header('x-relay-estimated'), undef, '... as it is no estimate';
my $req = $mock{vertex}->request(-1);
is $req->path, '/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict', '... under a path of its own';
is_deeply $req->json, {%count, model => 'up-vertex@1', anthropic_version => 'vertex-2023-10-16'}, '... with the model in the body, by its name there';
$mock{vertex}->flag(error => 4);
$res = $t->post('/v1/messages/count_tokens', \%count);
is $res->status, 429, '... an error';
is_deeply [$res->json->{type}, $res->json->{error}{type}, $res->header('retry-after')], ['error', 'rate_limit_error', 8], '... is one of the caller\'s dialect';
$mock{vertex}->flag(error => 0);
for my $name (qw(invoke converse azure vertexgemini)) {
    my $before = @{$mock{$name}->requests(0)};
    $res = $t->post('/v1/messages/count_tokens', {%count, model => "only_$name"});
    is_deeply [$res->status, $res->header('x-relay-estimated')], [200, 1], "R25 an estimate for $name";
    is @{$mock{$name}->requests(0)}, $before, '... which is asked nothing';
}

$t->done;
