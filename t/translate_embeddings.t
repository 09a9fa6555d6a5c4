#!/usr/bin/perl

# Embeddings for callers of OpenAI's format by hosts that speak another: requests,
# both forms of vectors, errors, failover, what is dropped, usage in the log. What
# becomes of each field is tested in t/unit; here is that nginx carries it.

use lib 't/lib';
use Relay::Test;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

my $json = JSON::PP->new->canonical->pretty;

# The vector that a text becomes: exact as 32-bit floats.
sub vector { my ($text, $size) = @_; return [map { (ord(substr $text, 0, 1) - 96 + $_) / 8 } 1 .. $size || 4] }
sub packed { encode_base64(pack('f<*', @{+shift}), '') }

my %host = (
    gemini => {format => 'gemini-embed', path => '/models/up-gemini:batchEmbedContents', tokens => 0, many => 1,
        error => sub { {error => {code => $_[1], message => $_[0], status => 'INVALID_ARGUMENT'}} },
        texts => sub { [map { $_->{content}{parts}[0]{text} } @{$_[0]{requests}}] },
        dimensions => sub { $_[0]{requests}[0]{outputDimensionality} },
        answer => sub { {embeddings => [map { {values => $_} } @_]} }},
    vertex => {format => 'vertex-embed', path => '/publishers/google/models/up-vertex:predict', tokens => 3, many => 1,
        error => sub { {error => {code => $_[1], message => $_[0], status => 'INVALID_ARGUMENT'}} },
        texts => sub { [map { $_->{content} } @{$_[0]{instances}}] },
        dimensions => sub { $_[0]{parameters}{outputDimensionality} },
        answer => sub { {predictions => [map { {embeddings => {values => $_,
            statistics => {truncated => JSON::PP::false(), token_count => 3}}} } @_]} }},
    newer => {format => 'vertex-embed-content', path => '/publishers/google/models/up-newer:embedContent', tokens => 3,
        error => sub { {error => {code => $_[1], message => $_[0], status => 'INVALID_ARGUMENT'}} },
        texts => sub { [$_[0]{content}{parts}[0]{text}] },
        dimensions => sub { $_[0]{embedContentConfig}{outputDimensionality} },
        answer => sub { {embedding => {values => $_[0]}, usageMetadata => {promptTokenCount => 3, totalTokenCount => 3}} }},
    titan => {format => 'bedrock-titan-embed', path => '/model/up-titan/invoke', tokens => 3,
        error => sub { {message => $_[0]} },
        texts => sub { [$_[0]{inputText}] },
        dimensions => sub { $_[0]{dimensions} },
        answer => sub { {embedding => $_[0], inputTextTokenCount => 3, embeddingsByType => {float => $_[0]}} }},
    cohere => {format => 'cohere-embed', path => '/v2/embed', tokens => 3, many => 1,
        error => sub { {message => $_[0]} },
        texts => sub { $_[0]{texts} },
        dimensions => sub { $_[0]{output_dimension} },
        answer => sub { {id => 'x', embeddings => {float => [@_]}, texts => [], meta => {billed_units => {input_tokens => 3 * @_}}} }},
    invoke => {format => 'bedrock-cohere-embed', path => '/model/up-invoke/invoke', tokens => 3, many => 1, headers => sub { ['x-amzn-bedrock-input-token-count', 3 * @_] },
        error => sub { {message => $_[0]} },
        texts => sub { $_[0]{texts} },
        dimensions => sub { $_[0]{output_dimension} },
        answer => sub { {id => 'x', embeddings => {float => [@_]}, response_type => 'embeddings_by_type', texts => []} }},
);

my %mock = map {
    my $up = $host{$_};
    $_ => Relay::Mock->new(on => sub {
        my ($req) = @_;
        my $mode = $req->flag('mode') || '';
        my $body = $req->json;
        my @vectors = map { vector($_, $up->{dimensions}->($body)) } @{$up->{texts}->($body)};
        my %error = (limit => [429, 'Slow down, please.'], bad => [400, 'The text is too long.'], down => [503, 'Down.']);
        return {status => $error{$mode}[0], headers => $mode eq 'limit' ? ['Retry-After', 7] : [],
            body => $up->{error}->($error{$mode}[1], $error{$mode}[0])} if $error{$mode};
        return {body => '<html>nonsense</html>', type => 'application/json'} if $mode eq 'html';
        return {body => $up->{error}->('Behind a good status.', 500)} if $mode eq 'hidden';
        return sse(["data: {\"x\":1}\n\n"]) if $mode eq 'stream';
        push @vectors, [1] if $mode eq 'more';
        return {headers => $up->{headers} ? $up->{headers}->(@vectors) : [], body => $json->encode($up->{answer}->(@vectors)), type => 'application/json; charset=UTF-8'};
    });
} keys %host;

my $openai = Relay::Mock->new(on => sub { {body => {object => 'list', data => [], model => 'x', usage => {prompt_tokens => 1, total_tokens => 1}}} });
my $t = Relay::Test->new;
$t->relay(relay_config({models => {
        (map { ("only_$_" => {offers => [{host => $_, id => "up-$_"}]}) } keys %host),
        both => {offers => [map { {host => $_, id => "up-$_"} } qw(titan vertex)]},
        chat => {offers => [{host => 'openai', formats => ['openai-chat']}]}}},
    (map { $_ => {mock => $mock{$_}, base_url => $mock{$_}->url, formats => [$host{$_}{format}]} } qw(titan vertex gemini cohere invoke newer)),
    openai => {mock => $openai}));
$t->start;

sub mode { my ($name, $mode) = @_; $mock{$name}->flag(mode => $mode) }

sub ask {
    my ($model, %more) = @_;
    my $headers = delete $more{headers} || [];
    return $t->post('/v1/embeddings', {model => $model, input => 'hello', %more}, headers => $headers);
}

for my $name (sort keys %host) {
    my $up = $host{$name};
    my $res = ask("only_$name", headers => ['openai-beta', 'x', 'x-mine', 'z']);
    is $res->status, 200, "$name: answered" or diag $res->body;
    is $res->header('content-type'), 'application/json', "$name: of its type";
    is $res->header('content-length'), length $res->body, "$name: of its length";
    is_deeply $res->json, {object => 'list', model => "only_$name",
        data => [{object => 'embedding', index => 0, embedding => vector('hello')}],
        usage => {prompt_tokens => $up->{tokens}, total_tokens => $up->{tokens}}}, "$name: numbers, as the caller knows them" or diag $res->body;
    is $res->header('x-relay-dropped'), undef, "$name: nothing was dropped";
    my $req = $mock{$name}->request(-1);
    is $req->path, $up->{path}, "$name: the upstream's path";
    is $req->key, secret($name), "$name: with its key";
    is $req->header('x-mine'), 'z', "$name: a header that nobody knows passes";
    is $req->header('openai-beta'), undef, "$name: one of the caller's vendor does not";
    is $req->json->{model}, $name eq 'cohere' ? 'up-cohere' : undef, "$name: the model where it belongs";
    is $t->log_of($res)->{input_tokens}, $up->{tokens} || undef, "$name: tokens are logged where they are told"
        if $up->{tokens};
    is $res->header('x-amzn-bedrock-input-token-count'), undef, "$name: a header of the provider's platform stays behind";
    is $t->log_of($res)->{host}, $name, "$name: logged";

    $res = ask("only_$name", encoding_format => 'base64', dimensions => 6);
    is $res->json->{data}[0]{embedding}, packed(vector('hello', 6)), "$name: base64" or diag $res->body;
    is $up->{dimensions}->($mock{$name}->request(-1)->json), 6, "$name: of as many dimensions as wanted";

    my @texts = ('b "quoted" ✓', 'c');
    $res = ask("only_$name", input => \@texts, encoding_format => 'base64');
    if ($up->{many}) {
        is_deeply [map { [$_->{index}, $_->{embedding}] } @{$res->json->{data}}],
            [map { [$_, packed(vector($texts[$_]))] } 0, 1], "$name: several, in order" or diag $res->body;
        is_deeply $up->{texts}->($mock{$name}->request(-1)->json), \@texts, "$name: as they were written";
        is $t->log_of($res)->{input_tokens}, 2 * $up->{tokens}, "$name: all their tokens are logged" if $up->{tokens};
    } else {
        is $res->status, 400, "$name: several are refused";
        like $res->json->{error}{message}, qr/one input per request/, "$name: and it is said why";
        is $res->json->{error}{param}, 'input', "$name: by the field";
    }

    my $before = @{$mock{$name}->requests(0)};
    for my $case (['tokens', 'input', [1, 2, 3], 'input'], ['lists of tokens', 'input', [[1, 2], [3]], 'input[0]'],
        ['an empty text', 'input', '', 'input'], ['an empty list', 'input', [], 'input'], ['no text', 'input', ['a', {}], 'input[1]'],
        ['another form', 'encoding_format', 'int8', 'encoding_format'], ['dimensions of none', 'dimensions', 0, 'dimensions'])
    {
        my ($what, $field, $value, $param) = @$case;
        $res = ask("only_$name", $field => $value);
        is $res->status, 400, "$name: $what: refused";
        is $res->json->{error}{param}, $param, "$name: $what: by the field";
        is $res->header('x-relay-error'), 'invalid_field', "$name: $what: by Relay";
    }
    is @{$mock{$name}->requests(0)}, $before, "$name: before anything is sent";

    $res = ask("only_$name", user => 'u1', seed => 7);
    is $res->status, 200, "R16 $name: what the upstream does not know is left out";
    is $res->header('x-relay-dropped'), 'user, seed', "R16 $name: and named";
    is $t->log_of($res)->{dropped}, 'user, seed', "R16 $name: in the log, too";
    $res = ask("only_$name", user => 'u1', headers => ['x-relay-strict', 1]);
    is $res->status, 400, "R16 $name: strict: refused";
    is $res->json->{error}{param}, 'user', "R16 $name: strict: by name";

    mode($name => 'limit');
    $res = ask("only_$name");
    is $res->status, 429, "X16 $name: the provider's status";
    is $res->header('retry-after'), 7, "X16 $name: its retry-after";
    is $res->json->{error}{message}, 'Slow down, please.', "X16 $name: its message" or diag $res->body;
    is $res->json->{error}{type}, 'rate_limit_error', "X16 $name: in the caller's type";
    mode($name => 'bad');
    $res = ask("only_$name");
    is $res->status, 400, "X16 $name: a refusal";
    is $res->json->{error}{message}, 'The text is too long.', "X16 $name: in its words";
    for my $mode (qw(html more hidden stream)) {
        mode($name => $mode);
        $res = ask("only_$name");
        next if $mode eq 'more' && !$up->{many};
        is $res->status, 502, "$name: an answer that is none ($mode)" or diag $res->body;
        is_deeply [sort keys %{$res->json->{error}}], [qw(code message param type)], "$name: told in the caller's format ($mode)";
        is $res->header('x-relay-error'), $mode eq 'html' || $mode eq 'more' ? 'upstream_invalid' : undef,
            "$name: ours if the provider told nothing ($mode)";
        is $res->json->{error}{message}, 'Behind a good status.', "$name: in the provider's words" if $mode eq 'hidden';
    }
    mode($name => '');
}

# ---- which host -------------------------------------------------------------------------

mode(titan => 'down');
my $res = ask('both', encoding_format => 'base64');
is $res->status, 200, 'R23 the first host fails, the second has another format';
is $res->header('x-relay-host'), 'vertex', 'R23 by the second';
is $res->json->{data}[0]{embedding}, packed(vector('hello')), 'R23 in the form that was asked for';
mode(titan => '');
$res = ask('both', input => ['a', 'b']);
is $res->status, 200, 'several texts go to the host that takes them';
is $res->header('x-relay-host'), 'vertex', '... though another comes first';

for my $case (['/v1/embeddings', 'chat', input => 'a'], (map { ['/v1/chat/completions', "only_$_", messages => [{role => 'user',
    content => 'a'}]], ['/v1/messages', "only_$_", max_tokens => 9, messages => [{role => 'user', content => 'a'}]] } sort keys %host))
{
    my ($path, $model, %body) = @$case;
    $res = $t->post($path, {model => $model, %body});
    is $res->status, 400, "$path: not for $model";
    is $res->header('x-relay-error'), 'format_unavailable', "$path: as messages and embeddings never meet";
}
is_deeply [grep { /^only_/ } map { $_->{id} } @{$t->get('/v1/models')->json->{data}}],
    [map { "only_$_" } sort keys %host], 'they are listed';

$t->done;
