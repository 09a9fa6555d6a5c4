#!/usr/bin/perl

# What the operator sees: every variable in the access log for every way in
# which a request can end, the samples of config/ as they stand, and that no
# log holds a secret at any level.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

my %usage =
    (prompt_tokens => 21, completion_tokens => 8, total_tokens => 29, prompt_tokens_details => {cached_tokens => 5});
my $mock = provider(
    ok => {body => chat_answer(usage => \%usage), delay_ms => 120},
    message => {
        body => message_answer(
            usage => {
                input_tokens => 10, cache_read_input_tokens => 4, cache_creation_input_tokens => 2, output_tokens => 6})
    },
    response => {
        body => response_answer(
            usage => {
                input_tokens => 9, input_tokens_details => {cached_tokens => 1}, output_tokens => 3, total_tokens => 12}
        )},
    stream => sse([chat_stream(usage => \%usage)], delay_ms => 50),
    cut_stream => sse([chat_stream(done => 0, finish => undef, usage => \%usage)], end => 'reset', after_ms => 20),
    down => {status => 503, body => {error => {message => 'down'}}},
    teapot => {status => 418, body => {error => {message => 'short and stout'}}},
    cut => {length => 1000, body => '{"x":', steps => ['close']},
    hang => 'hang',
    refused_key => {status => 401, body => {error => {message => 'bad key'}}},
    no_usage => {body => {choices => []}},
);
my $down =
    provider(map { ($_ => {status => 529, body => {error => {message => 'overloaded'}}}) } qw(ok stream message));
my $config = relay_config({model => {aliases => ['nick']}, timeouts => {first_token_ms => 400}}, a => $mock);
$config->{hosts}{b} = {base_url => $down->url . '/v1', local => \1, formats => $config->{hosts}{a}{formats}};
$config->{hosts}{gone} = {base_url => 'http://127.0.0.1:' . Relay::Mock->refused . '/v1', local => \1,
    formats => $config->{hosts}{a}{formats}};
$config->{provider_keys}{"k$_"} = {host => $_, value => secret($_)} for qw(b gone);
$config->{models}{two} = {offers => [{host => 'a'}, {host => 'b'}]};
$config->{models}{gone} = {offers => [{host => 'gone'}]};
$config->{models}{hidden} = {offers => [{host => 'a'}]};
$config->{pools}{p}{members} = [{key => 'kb'}, {key => 'ka', priority => 1}, {key => 'kgone', priority => 2}];
$config->{policies}{default}{deny} = ['hidden'];

my $t = Relay::Test->new(http2 => 1);
$t->{http} = 'error_log ' . $t->dir . '/debug.log debug;';
$t->relay($config)->start;

# ---- every variable ---------------------------------------------------------

my @names =
    qw(request_id key_id policy model host attempts input_tokens output_tokens cached_tokens finish_reason first_token_ms overhead_us error);
my %known = (key_id => 'k', policy => 'default', attempts => qr/^0?$/, overhead_us => qr/^(\d+)?$/);
my %tried = (model => 'm', host => 'a', attempts => 1, overhead_us => qr/^\d+$/);

my $id = 0;

sub logs {
    my ($name, $wanted, $send) = @_;
    my $mine = 'log-' . ++$id;
    my $res = $send->('X-Relay-Request-Id' => $mine);
    my $entry;
    wait_for(
        3,
        sub {
            ($entry) = grep { $_->{request_id} eq $mine } $t->logs;
            $entry;
        });
    my %want = ((map { $_ => '' } @names), %known, request_id => $mine, %$wanted);
    my @faults;
    for my $field (sort keys %want) {
        my $is = defined $entry->{$field} ? $entry->{$field} : '(none)';
        push @faults, "$field is '$is', expected '$want{$field}'"
            unless ref $want{$field} ? $is =~ $want{$field} : $is eq $want{$field};
    }
    ok(!@faults, $name) or diag join "\n", @faults;
    return ($entry, $res);
}

sub chat {
    my ($play, %body) = @_;
    return sub {
        $t->post('/v1/chat/completions', {model => 'm', messages => [], %body}, headers => ['x-play' => $play, @_]);
    }
}

sub plain {
    my ($method, $path, %o) = @_;
    return sub { $t->ask($method => $path, %o, headers => [@{$o{headers} || []}, @_]) }
}

my ($entry, $res) = logs(
    'a chat answer',
    {   %tried, status => 200, input_tokens => 21, output_tokens => 8, cached_tokens => 5, finish_reason => 'stop',
        first_token_ms => qr/^1[2-9]\d$/},
    chat('ok'));
is $entry->{request_id}, $res->header('x-relay-request-id'), 'the id is that of the answer';
cmp_ok $entry->{overhead_us}, '<', 20_000, 'its own time, without that of the provider';
cmp_ok $entry->{overhead_us}, '>', 0, 'and some of it';

my %anthropic = (headers => ['x-play' => 'message'], body => {model => 'nick', max_tokens => 1, messages => []});
logs(
    'a message, by an alias',
    {   %tried, status => 200, input_tokens => 16, output_tokens => 6, cached_tokens => 4, finish_reason => 'end_turn',
        first_token_ms => qr/^\d+$/},
    plain(POST => '/v1/messages', %anthropic));
logs(
    'a response',
    {   %tried, status => 200, input_tokens => 9, output_tokens => 3, cached_tokens => 1, finish_reason => 'completed',
        first_token_ms => qr/^\d+$/},
    plain(POST => '/v1/responses', headers => ['x-play' => 'response'], body => {model => 'm', input => 'x'}));
logs(
    'embeddings',
    {   %tried, status => 200, input_tokens => 3, output_tokens => qr/^0?$/, cached_tokens => qr/^0?$/,
        first_token_ms => qr/^\d+$/},
    plain(POST => '/v1/embeddings', body => {model => 'm', input => 'x'}));
logs('a count of tokens', {%tried, status => 200, first_token_ms => qr/^\d*$/},
    plain(POST => '/v1/messages/count_tokens', body => {model => 'm', messages => []}));
logs('an answer without usage', {%tried, status => 200, first_token_ms => qr/^\d+$/}, chat('no_usage'));
logs(
    'a stream',
    {   %tried, status => 200, input_tokens => 21, output_tokens => 8, cached_tokens => 5, finish_reason => 'stop',
        first_token_ms => qr/^[5-9]\d$/},
    chat('stream', stream => \1));
logs(
    'a stream over HTTP/2',
    {   %tried, status => 200, protocol => 'HTTP/2.0', input_tokens => 21, output_tokens => 8, cached_tokens => 5,
        finish_reason => 'stop',
        first_token_ms => qr/^[5-9]\d$/},
    sub {
        $t->post('/v1/chat/completions', {model => 'm', messages => [], stream => \1}, http2 => 1,
            headers => ['x-play' => 'stream', @_]);
    });
logs(
    'a stream that broke',
    {   %tried, status => 200, error => 'upstream_cut', first_token_ms => qr/^\d+$/, input_tokens => 21,
        output_tokens => 8, cached_tokens => 5},
    chat('cut_stream', stream => \1));
logs(
    'the second candidate',
    {   %tried, model => 'two', attempts => 2, status => 200, input_tokens => 21, output_tokens => 8,
        cached_tokens => 5, finish_reason => 'stop',
        first_token_ms => qr/^1[2-9]\d$/},
    chat('ok', model => 'two'));
logs('a provider\'s own error', {%tried, status => 418, first_token_ms => qr/^\d*$/}, chat('teapot'));
logs('every candidate failed',
    {%tried, model => 'two', attempts => 2, status => 503, error => qr/^(upstream_status)?$/},
    chat('down', model => 'two'));
logs('a provider key refused', {%tried, status => 502, error => 'upstream_key'}, chat('refused_key'));
logs('an answer cut short', {%tried, status => 502, error => 'upstream_cut'}, chat('cut'));
logs('no answer in time', {%tried, status => 504, error => 'upstream_timeout'}, chat('hang'));
logs('nobody there', {%tried, model => 'gone', host => 'gone', status => 502, error => 'upstream_unreachable'},
    chat('ok', model => 'gone'));

logs('models', {status => 200}, plain(GET => '/v1/models'));
logs('a probe', {status => 200, key_id => '', policy => ''}, plain(HEAD => '/', key => undef));
logs('a refused key', {status => 401, error => 'invalid_relay_key', key_id => '', policy => ''},
    plain(GET => '/v1/models', key => 'wrong-key-000000000000001'));
logs('an unknown path', {status => 404, error => 'path_not_found'}, plain(GET => '/v1/nothing'));
logs('a wrong method', {status => 405, error => 'method_not_allowed'}, plain(PUT => '/v1/messages', body => '{}'));
logs('bad JSON', {status => 400, error => 'invalid_json'}, plain(POST => '/v1/messages', body => '{"model":'));
logs('no model', {status => 400, error => 'missing_field'}, plain(POST => '/v1/messages', body => '{}'));
logs('an unknown model, as it was written', {status => 404, error => 'model_not_found', model => 'no/such-model@x'},
    plain(POST => '/v1/messages', body => {model => 'no/such-model@x'}));
logs('a model that is not allowed', {status => 403, error => 'model_not_allowed', model => 'hidden'},
    plain(POST => '/v1/messages', body => {model => 'hidden'}));
logs('a wrong type', {status => 415, error => 'content_type'},
    plain(POST => '/v1/messages', body => 'x', headers => ['Content-Type' => 'text/plain']));
logs('a packing that is unknown', {status => 415, error => 'content_encoding'},
    plain(POST => '/v1/messages', body => 'x', headers => ['Content-Encoding' => 'br']));
logs('a body too large', {status => 413, error => 'body_too_large'},
    plain(POST => '/v1/messages', body => 'x' x 33_600_000));
logs(
    'the caller leaves',
    {%tried, status => 499, error => qr//, overhead_us => qr/^\d*$/},
    sub {
        my $c = $t->client;
        $c->request(POST => '/v1/chat/completions', headers => [@{auth()}, 'x-play' => 'hang', @_],
            body => {model => 'm', messages => []});
        sleep 0.1;
        $c->abort;
        return undef;
    });

# Elsewhere they say nothing, and break nothing.
subtest 'in a location that is not Relay\'s' => sub {
    my $other = Relay::Test->new(pass => 'return 200 "[' . join(',', map { "\$relay_$_" } @names) . ']";');
    $other->relay($config)->start;
    is $other->get('/')->body, '[' . ',' x $#names . ']', 'all are empty';
    is_deeply [@{$other->log(0)}{@names}], [('') x @names], 'also in the log';
};

# ---- the debug log ----------------------------------------------------------

subtest 'no level of the log tells a secret of a provider' => sub {
    my $debug = slurp($t->dir . '/debug.log');
    cmp_ok length $debug, '>', 100_000, 'a debug log';
    ok index($debug, secret($_)) < 0, "the key of $_ is not in it" for qw(a b gone);
    unlike $debug, qr/short and stout|"messages"/, 'nor are bodies';
};

# ---- the samples of config/ -------------------------------------------------

subtest 'config/ as it stands' => sub {
    local @ENV{grep { /_API_KEY$/ } keys %ENV};
    delete @ENV{grep { /_API_KEY$/ } keys %ENV};
    my $s = Relay::Test::Samples->new;
    $s->write_file($_, config_sample($_)) for qw(relay_http.conf relay_server.conf relay.json);
    my $mine = relay_config({policy => {passthrough => \1}},
        sample => {mock => $mock, passthrough => \1, serves => ['any-*']});
    $s->write_file(
        'keys.json',
        JSON::PP->new->encode({
            hosts => $mine->{hosts}, provider_keys => $mine->{provider_keys}, pools => $mine->{pools},
            models => $mine->{models}, policies => {mine => $mine->{policies}{default}},
            relay_keys => {me => {policy => 'mine', key => RELAY_KEY}}}));
    $s->start;

    is $s->post('/v1/chat/completions', {model => 'm', messages => []}, headers => ['x-play' => 'ok'])->status, 200,
        'a provider';
    is $s->post('/v1/messages',
        {model => 'relay/echo', messages => [{role => 'user', content => 'Hi'}], max_tokens => 1})->status, 200,
        'the echo model';
    $s->get('/v1/models', key => 'wrong-key-000000000000001');
    $s->post('/v1/chat/completions?key=in-the-query', {model => 'no-such "model"'});
    $s->post('/v1/messages', '{');
    $s->get("/v1/odd%22%5c%0a%01path", headers => ['x-play' => 'teapot']);
    $s->get('/v1/bytes%ff%fe%c3%28', headers => ['x-play' => 'teapot']);
    $s->get('/v1/letters%c3%a9', headers => ['x-play' => 'teapot']);
    my $c = $s->client;
    $c->send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    is $c->response->status, 400, 'a malformed request';
    $c->close;
    for my $refused ("Host: a b\r\n", "x: \x01" . ('y' x 70_000) . "\r\nHost: a\r\n", "Content-Length: x\r\n") {
        my $c = $s->client;
        $c->send("GET /v1beta/models?pageSize=3&key=in-the-query HTTP/1.1\r\n$refused\r\n");
        cmp_ok $c->response->status, '>=', 400, 'one with a key, which nginx refuses';
        $c->close;
    }
    $s->client->request(GET => "/v1/raw\xff\xc3(bytes?query", headers => [@{auth()}, 'x-play' => 'teapot'])->response;

    my @lines;
    wait_for(3, sub { @lines = split /\n/, slurp($s->dir . '/sample.log'); @lines >= 13 });
    is scalar(@lines), 13, 'a line each';
    my @entries = map {
        my $line = $_;
        my $e = eval { JSON::PP->new->utf8->decode($line) };
        ok ref $e eq 'HASH', 'each is JSON' or diag $line;
        $e || {}
    } @lines;
    my @members = qw(attempts bytes_in bytes_out cached_tokens client dropped error finish_reason first_token_ms host
        input_tokens method model output_tokens overhead_us path policy protocol relay_key request_id seconds status time);
    is_deeply [grep { join(' ', sort keys %$_) ne "@members" } @entries], [], 'each has every member';
    my ($first, $echo, $refused, $unknown, $bad) = @entries;
    my ($malformed) = grep { ($_->{error} || '') eq 'invalid_request' } @entries;
    is $malformed->{path}, '/', 'the path that was asked for, also where nginx refused it';
    my %is = (
        client => '127.0.0.1', method => 'POST', path => '/v1/chat/completions', protocol => 'HTTP/1.1', status => 200,
        relay_key => 'me', policy => 'mine',
        model => 'm', host => 'sample', attempts => 1, input_tokens => 21, output_tokens => 8, cached_tokens => 5,
        finish_reason => 'stop', dropped => '', error => '');
    my %got = map { $_ => $first->{$_} } keys %is;
    is_deeply \%got, \%is, 'what is known';
    like $first->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/, 'the time';
    my @numbers = qw(status seconds bytes_in bytes_out attempts input_tokens output_tokens cached_tokens first_token_ms
        overhead_us);
    for my $number (@numbers) {
        like $lines[0], qr/"$number":\d/, "$number is a number";
    }
    is_deeply [@$echo{qw(model host status attempts)}], ['relay/echo', 'relay', 200, 1], 'the echo model';
    cmp_ok $echo->{output_tokens}, '>', 0, 'with usage';
    is_deeply [@$refused{qw(error relay_key policy model host input_tokens first_token_ms finish_reason)}],
        ['invalid_relay_key', '', '', '', '', undef, undef, ''],
        'what is unknown is null or empty, not 0';
    is_deeply [@$unknown{qw(error model path)}], ['model_not_found', 'no-such "model"', '/v1/chat/completions'],
        'a model with quotation marks, no query';
    is_deeply [@$bad{qw(error status)}], ['invalid_json', 400], 'an error of Relay\'s own';
    ok index(join('', @lines), $_) < 0, "no line holds '$_'" for RELAY_KEY, 'in-the-query', 'wrong-key';

    my @texts = split /\n/, slurp($s->dir . '/sample.text');
    is scalar(@texts), 13, 'the other format: a line each';
    is scalar(grep { m{"GET /v1beta/models\?pageSize=3&key=\*\*\* HTTP/1\.1" 4} } @texts), 3, 'a query without its key, whoever refused it' or diag explain \@texts;
    ok scalar(grep { m{"POST /v1/chat/completions\?key=\*\*\* HTTP/1\.1" 404} } @texts), 'in any dialect';
    ok index(join('', @texts), $_) < 0, "no such line holds '$_'" for RELAY_KEY, 'in-the-query', 'wrong-key';

    my $res = $s->get('/v1/models');
    is $res->header('server'), 'nginx', 'server_tokens off';
};

$t->done;

package Relay::Test::Samples;

# config/nginx.conf with this test's module, ports, user and files.

BEGIN { our @ISA = ('Relay::Test') }

sub _conf {
    my ($self) = @_;
    my $dir = $self->dir;
    my $text = Relay::Surface::config_sample('nginx.conf');
    my ($load) = $self->SUPER::_conf =~ /^(load_module .*?;)/m;
    my ($temp) = $self->SUPER::_conf =~ /^((?:    \w+_temp_path .*\n)+)/m;
    my $change = sub { my ($from, $to) = @_; $text =~ s/$from/$to/ or die "no $from in config/nginx.conf" };
    $change->(qr/^load_module .*?;/m, $load || '');
    $change->(qr/^user .*?;/m, $> == 0 ? 'user root;' : '');
    $change->(qr/^worker_processes .*?;/m,
        "worker_processes 1;\ndaemon off;\npid $dir/nginx.pid;\nerror_log $dir/error.log info;");
    $change->(qr/^http \{\n/m, "http {\n$temp");
    $change->(qr{/var/log/nginx/relay\.log relay_json;}, "$dir/sample.log relay_json; access_log $dir/sample.text relay_line;");
    $change->(qr/^        listen 8080;/m, "        listen 127.0.0.1:$self->{port};");
    return $text;
}
