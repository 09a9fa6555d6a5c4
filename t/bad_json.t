#!/usr/bin/perl

# Bodies, models and headers that are wrong or hostile: each a clear error in
# the caller's dialect that names the offset or the field, and no provider sees
# any of it.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;
use Relay::Http2;

my $mock = provider();
my $config = relay_config(a => {mock => $mock, serves => ['*']});
my $t = Relay::Test->new(http2 => 1);
$t->relay($config)->start;

my @targets = ([openai => '/v1/chat/completions'], [openai => '/v1/embeddings'], [anthropic => '/v1/messages'],
    [anthropic => '/v1/messages/count_tokens']);

# [name, body, code, message pattern, param]
my @cases;

sub json_fault {
    my ($name, $body, $message) = @_;
    push @cases, [$name, $body, 'invalid_json', $message, undef];
}

sub field_fault {
    my ($name, $body, $code, $param, $message) = @_;
    push @cases, [$name, $body, $code, $message || qr/\b\Q$param\E\b/, $param];
}

# ---- not JSON ---------------------------------------------------------------

my $good = '{"model":"m","messages":[{"role":"user","content":"caf\u00e9"}],"n":1.5e3,"t":true}';
json_fault("truncated after $_ bytes", substr($good, 0, $_), qr/byte $_\b/)
    for 0, 1, 5, 9, 12, 20, 30, 55, 60, length($good) - 1;
json_fault('white space only', " \n\t ", qr/byte 4\b/);
json_fault('a comma too many', '{"model":"m",}', qr/byte 13\b/);
json_fault('a comma too many in an array', '{"model":"m","a":[1,]}', qr/byte 20\b/);
json_fault('no comma', '{"model":"m" "a":1}', qr/byte 13\b/);
json_fault('no colon', '{"model" "m"}', qr/byte 9\b/);
json_fault('single quotes', q({'model':'m'}), qr/byte 1\b/);
json_fault('a bare word', '{model:"m"}', qr/byte 1\b/);
json_fault('a comment', '{"model":"m"/* x */}', qr/byte 12\b/);
json_fault($_->[0], qq({"model":"m","a":$_->[1]}), qr/byte \d+/)
    for ['NaN', 'NaN'], ['Infinity', '-Infinity'], ['a leading zero', '01'],
    ['a plus', '+1'], ['no digit before the point', '.5'], ['no digit behind the point', '1.'], ['no exponent', '1e'],
    ['hexadecimal', '0x1'],
    ['a lone minus', '-'], ['True', 'True'], ['half a word', 'tru'], ['a bad escape', '"\\x41"'],
    ['a short escape', '"\\u12"'], ['a bare backslash', '"\\"'],
    ['a tab in a string', "\"a\tb\""], ['a line end in a string', "\"a\nb\""], ['brackets that do not match', '[1}'];
json_fault('something behind it', '{"model":"m"}x', qr/byte 13\b/);
json_fault('two documents', '{"model":"m"}{"model":"n"}', qr/byte 13\b/);
json_fault('two lines of JSON', qq({"model":"m"}\n{"model":"n"}\n), qr/byte 14\b/);
json_fault("at the top: $_", $_, qr/object.*byte \d|byte \d.*object/)
    for '[]', '[{"model":"m"}]', '"model"', 'null', '12', 'true';
json_fault('a byte order mark', "\xef\xbb\xbf$good", qr/byte 0\b/);
json_fault('UTF-16', join('', map { "$_\0" } split //, '{"model":"m"}'), qr/byte 1\b/);
json_fault('form data', 'model=m&stream=true', qr/byte 0\b/);

json_fault('a NUL in a string', qq({"model":"m","a":"x\0y"}), qr/byte 19\b/);
json_fault('a NUL between values', qq({"model":"m",\0"a":1}), qr/byte 13\b/);
json_fault('a NUL at the end', qq({"model":"m"}\0), qr/byte 13\b/);
json_fault('a NUL in a name', qq({"mo\0del":"m"}), qr/byte 4\b/);
json_fault('only NULs', "\0" x 40, qr/byte 0\b/);

json_fault("not UTF-8: $_->[0]", qq({"model":"m","a":"$_->[1]"}), qr/UTF-8.*byte 18\b/)
    for ['a stray byte', "\x80"], ['Latin 1', "\xe9t\xe9"],
    ['an overlong slash', "\xc0\xaf"], ['an overlong NUL', "\xe0\x80\x80"], ['half a surrogate pair', "\xed\xa0\x80"],
    ['beyond U+10FFFF', "\xf4\x90\x80\x80"],
    ['five bytes', "\xf8\x88\x80\x80\x80"], ['cut by the quotation mark', "\xe6\xbc"], ['0xFF', "\xff"];
json_fault('not UTF-8, in a name', qq({"model":"m","\xff":1}), qr/byte 14\b/);
json_fault('not UTF-8, in the model', qq({"model":"m\xff"}), qr/byte 11\b/);

json_fault('deep arrays', '{"model":"m","a":' . '[' x 100_000 . ']' x 100_000 . '}', qr/deep.*byte \d+/);
json_fault('deep objects', '{"model":"m","a":' . '{"a":' x 50_000 . '1' . '}' x 50_001, qr/deep.*byte \d+/);
json_fault('deep and cut', '{"a":' . '[' x 1_000_000, qr/deep.*byte \d+/);

# ---- wrong fields -----------------------------------------------------------

field_fault('no model', '{"messages":[]}', 'missing_field', 'model');
field_fault('an inner model only', '{"a":{"model":"m"},"messages":[{"model":"m"}]}', 'missing_field', 'model');
field_fault('another case', '{"Model":"m"}', 'missing_field', 'model');
field_fault("the model is $_", qq({"model":$_}), 'invalid_field', 'model')
    for '1', 'null', 'true', '["m"]', '{"id":"m"}', '""', '1.5e3';
field_fault('a model of 257 bytes', '{"model":"' . 'x' x 257 . '"}', 'invalid_field', 'model');
field_fault('a model of 100 KB', '{"model":"' . 'x' x 100_000 . '"}', 'invalid_field', 'model');
field_fault('a model of 100 KB, escaped', '{"model":"' . '\u0078' x 20_000 . '"}', 'invalid_field', 'model');
field_fault("stream is $_", qq({"model":"m","stream":$_}), 'invalid_field', 'stream')
    for '"true"', '1', '0', '[]', '{}';

for my $field (qw(model stream stream_options max_tokens)) {
    my ($value) = {model => '"m"', stream => 'true', stream_options => '{}', max_tokens => '1'}->{$field};
    my $rest = $field eq 'model' ? '' : ',"model":"m"';
    field_fault("$field twice", qq({"$field":$value,"x":1,"$field":$value$rest}), 'duplicate_field', $field,
        qr/\b$field\b.*byte \d+/);
    my $escaped = $field =~ s/e/\\u0065/r;
    field_fault("$field with an escape in its name", qq({"$escaped":$value$rest}), 'invalid_field', $field,
        qr/\b$field\b.*byte \d+/);
}
field_fault('model twice, the second escaped', '{"model":"m","mod\u0065l":"n"}', 'duplicate_field', 'model',
    qr/model.*byte 13/);
field_fault('model twice, both escaped', '{"m\u006fdel":"m","mod\u0065l":"n"}', 'invalid_field', 'model');
field_fault('model twice, different', '{"model":"allowed","stream":false,"model":"denied"}', 'duplicate_field',
    'model');

# what would break a header or a log line
field_fault("a model with $_->[0]", qq({"model":"m$_->[1]"}), 'invalid_field', 'model')
    for ['CR LF', '\r\nX-Evil: 1'], ['CR', '\rX'], ['LF', '\nX-Evil: 1'],
    ['a NUL', '\u0000'], ['a tab', '\tx'], ['ESC', '\u001b[2J'], ['DEL', '\u007f'], ['a C1 control', '\u0085x'],
    ['a C1 control as UTF-8', "\xc2\x9b1m"],
    ['CR LF in other escapes', '\u000d\u000aX-Evil: 1'];

untouched(
    $mock,
    'nothing reached the provider',
    sub {
        for my $case (@cases) {
            my ($name, $body, $code, $message, $param) = @$case;
            for my $target (@targets) {
                my ($dialect, $path) = @$target;
                next if length $body > 50_000 && $path =~ /embeddings|count_tokens/;
                my $res = $t->post($path, $body, headers => ['X-Case' => $name]);
                refused($res, $dialect => 400, $code, "$path: $name", message => $message, param => $param);
                push @{$t->{evil}}, $name if defined $res->header('x-evil');
            }
        }
        for my $name ('truncated after 30 bytes', 'deep arrays', 'model twice', 'a NUL in a string',
            'a model with CR LF')
        {
            my ($case) = grep { $_->[0] eq $name } @cases;
            refused(
                Relay::Http2->ask(
                    $t->{http2_port}, POST => '/v1/messages', headers => ['x-relay-key' => RELAY_KEY],
                    body => $case->[1]),
                anthropic => 400,
                $case->[2],
                "HTTP/2: $name",
                message => $case->[3],
                param => $case->[4]);
        }
        refused($t->post('/v1/messages', '{"model":"m","pad":"' . 'x' x 40_000_000 . '"}'), anthropic => 413,
            'body_too_large', '40 MB');
    });
ok !$t->{evil}, 'no header came of a model' or diag "@{$t->{evil}}";

# ---- what is odd, but good --------------------------------------------------

subtest 'odd, but good' => sub {
    my %odd = (
        'NUL and controls in escapes' => '{"model":"m","a":"\u0000\u001f\u0085"}',
        'a lone surrogate in an escape' => '{"model":"m","a":"\ud800"}',
        'depth 200' => '{"model":"m","a":' . '[' x 200 . ']' x 200 . '}',
        'a name of 100 KB' => '{"model":"m","' . 'n' x 100_000 . '":1}',
        '100,000 members' => '{' . join(',', map { qq("k$_":$_) } 1 .. 100_000) . ',"model":"m"}',
        'U+FFFD, U+2028, noncharacters' => qq({"model":"m","a":"\xef\xbf\xbd\xe2\x80\xa8\xef\xbf\xbf\xf4\x8f\xbf\xbf"}),
        'white space around' => "\r\n\t $good \r\n\t ", 'stream is null' => '{"model":"m","stream":null}',
        'an unknown field twice' => '{"model":"m","z":1,"z":2}',
    );
    for my $name (sort keys %odd) {
        $mock->forget;
        is $t->post('/v1/messages', $odd{$name})->status, 200, $name;
        is $mock->request(0)->body, $odd{$name} =~ s/"model":"m"/"model":"up-a"/r, "$name: as it is" or last;
    }
};

# A host serves any name: what of it may reach a header, a log, a provider?
subtest 'names that a pattern serves' => sub {
    my %named = (
        'a plain one' => ['any-model', 'any-model'], 'with @ and :' => ['ft:x@y', 'ft:x@y'],
        'escaped' => ['\u0061ny', 'any'],
        'the longest' => ['x' x 256, 'x' x 256]);
    for my $name (sort keys %named) {
        my ($written, $model) = @{$named{$name}};
        $mock->forget;
        my $id = 'named-' . length($name) . '-' . length $model;
        my $res = $t->post('/v1/messages', qq({"model":"$written"}), headers => ['x-relay-request-id' => $id]);
        is $res->status, 200, $name or next;
        is $mock->request(0)->json->{model}, $model, "$name: reaches the provider";
        is $res->header('x-relay-model'), $model, "$name: is in the answer's header";
        my $entry;
        wait_for(
            3,
            sub {
                ($entry) = grep { $_->{request_id} eq $id } $t->logs;
            });
        is $entry->{model}, $model, "$name: is in the log";
    }
    # as written in JSON, and what it means
    my %hostile = (
        'a space' => ['a b', 'a b'], 'a quotation mark' => ['a\"b', 'a"b'], 'a backslash' => ['a\\\\b', 'a\\b'],
        'another member' => ['a\",\"stream\":true,\"x\":\"', 'a","stream":true,"x":"'],
        'letters of UTF-8' => ["caf\xc3\xa9", "caf\xe9"],
        'escaped letters' => ['\u6f22', "\x{6f22}"], 'an apostrophe' => ["it's", "it's"],
        'markup' => ['<script>', '<script>'],
        'a lone surrogate' => ['\ud800', "\x{fffd}"], 'a no-break space' => ["a\xc2\xa0b", "a\xa0b"],
        'a right-to-left mark' => ["a\xe2\x80\xaeb", "a\x{202e}b"]);
    for my $name (sort keys %hostile) {
        my ($written, $model) = @{$hostile{$name}};
        $mock->forget;
        my $res = $t->post('/v1/messages', qq({"model":"$written","stream":false}));
        if ($res->status == 200) {
            my $seen = $mock->request(0)->json;
            is_deeply $seen, {model => $model, stream => JSON::PP::false()},
                "$name: reaches the provider as it is, and nothing else does";
            unlike $res->header('x-relay-model') || '', qr/[^ -~]/, "$name: the answer's header is printable ASCII";
        }
        else { refused($res, anthropic => 404, 'model_not_found', "$name: refused", param => 'model') }
    }
    my @lines = split /\n/, slurp($t->dir . '/access.log');
    my @broken = grep {
        !eval { JSON::PP->new->utf8->decode($_) }
    } @lines;
    is_deeply \@broken, [], 'every line of the access log is JSON';
};

# ---- content types ----------------------------------------------------------

subtest 'content types' => sub {
    my $body = '{"model":"m"}';
    untouched(
        $mock,
        'nothing reached the provider',
        sub {
            for my $type (
                'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x',
                'application/xml', 'application/jsonp', 'json',
                'text/json/x', 'application/octet-stream', 'application/ json', '+json')
            {
                for my $target (@targets) {
                    my ($dialect, $path) = @$target;
                    refused(
                        $t->post($path, $body, headers => ['Content-Type' => $type, 'X-Case' => $type]),
                        $dialect => 415, 'content_type', "$path: $type",
                        message => qr{application/json});
                }
            }
        });
    for my $type ('application/json', 'Application/JSON', 'application/json; charset=utf-8',
        'application/json;charset=UTF-8', 'application/vnd.api+json')
    {
        is $t->post('/v1/messages', $body, headers => ['Content-Type' => $type])->status, 200, $type;
    }
    my $c = $t->client;
    $c->request(POST => '/v1/messages', headers => auth(), body => $body, no_type => 1);
    is $c->response->status, 200, 'none';
};

# ---- injection through keys, ids and paths ----------------------------------

subtest 'injection' => sub {
    untouched(
        $mock,
        'nothing reached the provider',
        sub {
            for my $value ("a\r\n X-Evil: 1", "a\rX-Evil: 1", "a\tX-Evil: 1", "a\x01b", "a\x7fb", '%0d%0aX-Evil:1',
                "a\nX-Evil: 1", '\r\nX-Evil: 1')
            {
                for my $header ('Authorization', 'x-api-key', 'x-relay-key', 'x-relay-request-id') {
                    my $shown = $value =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
                    my $c = $t->client;
                    $c->send( "POST /v1/messages HTTP/1.1\r\nHost: a\r\n$header: "
                            . ($header eq 'Authorization' ? 'Bearer ' : '')
                            . "$value\r\n"
                            . "Content-Length: 2\r\n\r\n{}");
                    my $res = $c->response;
                    ok $res->status == 401 || $res->status == 400, "$header: $shown is refused" or diag $res->status;
                    ok !defined $res->header('x-evil') && $res->body !~ /evil/i, "$header: $shown comes back nowhere"
                        or diag $res->{raw_head}, $res->body;
                }
            }
            for my $path ('/v1/models/x%0d%0aX-Evil:%201', '/v1/messages%0d%0aX-Evil:%201', '/anthropic/%0aX-Evil:1',
                '/v1/models?limit=1%0d%0aX-Evil:1')
            {
                my $res = $t->get($path);
                ok !defined $res->header('x-evil'), "$path: no header comes of it";
                ok $res->clean && $res->status >= 400, "$path: refused" unless $path =~ /\?/;
            }
        });
    unlike $t->error_log, qr/^X-Evil/m, 'no line of its own in the error log';
};

is scalar($t->workers), 1, 'the worker lives';
is $t->get('/v1/models')->status, 200, 'and serves';

$t->done;
