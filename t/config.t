#!/usr/bin/perl

# relay.json as nginx reads it: where a fault is and what was expected, reloads
# that keep the old configuration, references to secrets, several documents, and
# that no secret shows up in a message, a log or another process.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

my $mock = provider();
my $url = $mock->url . '/v1';

# Secrets of the broken documents: no message may hold one.
my $hidden = 'hidden-provider-key-XYZZY';
my $hidden_relay = 'hidden-relay-key-PLUGH-000';

# ---- broken documents -------------------------------------------------------

# [path in the document, what was expected, document]; a paragraph sign marks
# where the fault is. HOST, KEY, POOL and POLICY stand for good entries.
my %good = (
    HOST => qq("h":{"base_url":"$url","formats":["openai-chat"],"local":true}),
    KEY => qq("k":{"host":"h","value":"$hidden"}),
    POOL => '"p":{"members":["k"]}',
    POLICY => '"d":{"pools":["p"]}',
);
my $all = '{"hosts":{HOST},"provider_keys":{KEY},"pools":{POOL},"policies":{POLICY}';
my @bad_times = qw(0 -1 1.5 1e3 86400001);
my @bad_urls = (
    ['api.example.com', qr{starts with https://}],
    ['ftp://x.example', qr{starts with https://}],
    ['', qr{starts with https://}],
    ['https://', qr/host name/],
    ["https://user:$hidden\@api.example.com", qr/no user name or password/],
    ['https://x.example/v1?key=1', qr/no query/],
    ['https://x.example/v1#a', qr/no fragment/],
    ['https://x.example/../v1', qr/\.\./],
    ['https://x.example/a b', qr/not allowed/],
    ['https://x.example:99999', qr/65535/],
    ['https://x.example:0', qr/65535/],
    ['https://x_y.example', qr/host name/],
    ['https://0x7f.1', qr/host name/],
    ['https://2130706433', qr/host name/],
    ['https://x.example\r\nX-Evil: 1', qr/host name/],
    ['https://[::1', qr/IPv6/],
    ['https://[::1]x', qr/port/],
);
my @broken = (
    # not JSON
    ['', qr/JSON/, "{\"hosts\":{\n  HOST,\n  §}}"],
    ['', qr/JSON/, "{\n\"hosts\": {HOST}\n§\"models\": {}}"],
    ['', qr/JSON/, "$all,\"relay_keys\":{\"r\":{\"key\":\"$hidden_relay\",\"policy\":§d}}}"],
    ['', qr/JSON|ends/, "{\"hosts\":{HOST§"],
    ['', qr/JSON|ends/, '§'],
    ['', qr/UTF-8/, "{\"hosts\":{\"§\xff\":{}}}"],
    ['', qr/expected an object/, '§[]'],
    ['hosts.h', qr/occurs twice/, '{"hosts":{HOST,§"h":{}}}'],
    ['hosts.h.local', qr/occurs twice/, '{"hosts":{"h":{"local":true,§"local":true}}}'],
    # sections and members
    ['host', qr/no section "host"; did you mean "hosts"/, '{§"host":{}}'],
    ['whatever', qr/no section "whatever"; known: .*\bpools\b/, '{§"whatever":{}}'],
    ['hosts', qr/expected an object.*found an array/, '{"hosts":§[]}'],
    ['hosts.h', qr/expected an object, found a string/, '{"hosts":{"h":§"http://x"}}'],
    ['hosts["a b"]', qr/expected a name/, '{"hosts":{§"a b":{}}}'],
    [   'hosts.h.baseurl', qr/no member "baseurl"; did you mean "base_url"/,
        "{\n  \"hosts\": {\n    \"h\": {§\"baseurl\": 1}}}"],
    # hosts
    ['hosts.h', qr/expected "base_url"/, '{"hosts":{§"h":{"formats":["openai-chat"]}}}'],
    ['hosts.h', qr/expected "formats"/, qq({"hosts":{§"h":{"base_url":"$url"}}})],
    [   'hosts.h.formats[1]', qr/no format "openai-chats"; did you mean "openai-chat"/,
        qq({"hosts":{"h":{"base_url":"$url","formats":["openai-responses",§"openai-chats"]}}})],
    ['hosts.h.formats', qr/at least one/, qq({"hosts":{"h":{"base_url":"$url","formats":§[]}}})],
    (map { ['hosts.h.base_url', $_->[1], qq({"hosts":{"h":{"base_url":§"$_->[0]"}}})] } @bad_urls),
    ['hosts.h.base_url', qr/expected a string, found a number/, '{"hosts":{"h":{"base_url":§12}}}'],
    ['hosts.h.headers["X Y"]', qr/header name/, '{"hosts":{"h":{"headers":{§"X Y":"1"}}}}'],
    ['hosts.h.headers.Host', qr/set by Relay alone/, '{"hosts":{"h":{"headers":{§"Host":"evil"}}}}'],
    ['hosts.h.headers.x-a', qr/printable/, qq({"hosts":{"h":{"headers":{"x-a":§"$hidden\\r\\nX-Evil: 1"}}}})],
    [   'hosts.h.headers.x-api-key', qr/provider key/,
        qq({"hosts":{"h":{"base_url":"$url","formats":["openai-chat"],"auth":{"header":"x-api-key"},"headers":{§"x-api-key":"$hidden"}}}})
    ],
    ['hosts.h.auth.header', qr/header name/, '{"hosts":{"h":{"auth":{"header":§"a b"}}}}'],
    ['hosts.h.auth.prefix', qr/printable/, '{"hosts":{"h":{"auth":{"prefix":§"a\n"}}}}'],
    ['hosts.h.local', qr/expected true or false, found a string/, '{"hosts":{"h":{"local":§"yes"}}}'],
    (map { ['hosts.h.timeouts.connect_ms', qr/from 1 to 86400000/, qq({"hosts":{"h":{"timeouts":{"connect_ms":§$_}}}})] }
        @bad_times),
    ['hosts.h.timeouts.connect', qr/did you mean "connect_ms"/, '{"hosts":{"h":{"timeouts":{§"connect":1}}}}'],
    ['hosts.h.tls', qr{http://}, qq({"hosts":{"h":{"base_url":"$url","formats":["openai-chat"],§"tls":{}}}})],
    ['hosts.h.base_url', qr/echo/, qq({"hosts":{"h":{"echo":true,§"base_url":"$url"}}})],
    ['hosts.h.serves[0]', qr/pattern/, '{"hosts":{"h":{"serves":[§"a b"]}}}'],
    # models
    [   'models.m.offers[0].host', qr/no host "hh"; did you mean "h"|no host "hh"; known: h/,
        '{"hosts":{HOST},"models":{"m":{"offers":[{"host":§"hh"}]}}}'],
    [   'models.m.offers[0].formats', qr/does not speak/,
        '{"hosts":{HOST},"models":{"m":{"offers":[{"host":"h","formats":§["anthropic-messages"]}]}}}'],
    ['models.m.offers[0]', qr/expected "host"/, '{"models":{"m":{"offers":[§{}]}}}'],
    ['models["a b"]', qr/model name/, '{"models":{§"a b":{}}}'],
    ['models["a,b"]', qr/model name/, '{"models":{§"a,b":{}}}'],
    ['models.m.offers[0].id', qr/model name/, '{"hosts":{HOST},"models":{"m":{"offers":[{"host":"h","id":§"a\"b"}]}}}'],
    ['models.n.aliases[0]', qr/there is a model "m" already/, '{"models":{"m":{},"n":{"aliases":[§"m"]}}}'],
    ['models.n.aliases[1]', qr/occurs twice/, '{"models":{"m":{"aliases":["x"]},"n":{"aliases":["y",§"x"]}}}'],
    ['models.m.created', qr/whole number/, '{"models":{"m":{"created":§"yesterday"}}}' =~ s/"yesterday"/-1/r],
    # keys, pools, policies
    [   'provider_keys.k.host', qr/no host "x"/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":§"x","value":"$hidden"}}})],
    ['provider_keys.k', qr/expected "host"/, qq({"provider_keys":{§"k":{"value":"$hidden"}}})],
    ['provider_keys.k', qr/expected "value"/, '{"hosts":{HOST},"provider_keys":{§"k":{"host":"h"}}}'],
    [   'provider_keys.k.value', qr/printable ASCII characters without spaces/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":"h","value":§"$hidden\\n"}}})],
    [   'provider_keys.k.value', qr/printable ASCII characters without spaces/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":"h","value":§"$hidden $hidden"}}})],
    [   'provider_keys.k.value', qr/environment variable/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":"h","value":§"env:$hidden"}}})],
    [   'provider_keys.k.value', qr/absolute path/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":"h","value":§"file:$hidden"}}})],
    [   'provider_keys.k.value', qr/longer than 8192/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":"h","value":§"$hidden) . 'x' x 8192 . '"}}}'],
    [   'provider_keys.k.value', qr/expected a string, found an array/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":"h","value":§["$hidden"]}}})],
    [   'provider_keys.k.secret', qr/no member "secret"/,
        qq({"hosts":{HOST},"provider_keys":{"k":{"host":"h",§"secret":"$hidden"}}})],
    [   'pools.p.members[1].key', qr/no provider key "kk"/,
        '{"hosts":{HOST},"provider_keys":{KEY},"pools":{"p":{"members":["k",{"key":§"kk"}]}}}'],
    [   'pools.p.members[1]', qr/member already/,
        '{"hosts":{HOST},"provider_keys":{KEY},"pools":{"p":{"members":["k",§"k"]}}}'],
    [   'pools.p.members[0].weight', qr/whole number from 1 to 1000000/,
        '{"hosts":{HOST},"provider_keys":{KEY},"pools":{"p":{"members":[{"key":"k","weight":§0}]}}}'],
    ['policies.d.pools[0]', qr/no pool "main"/, '{"policies":{"d":{"pools":[§"main"]}}}'],
    ['policies.d.max_attempts', qr/whole number from 1 to 16/, '{"policies":{"d":{"pools":[],"max_attempts":§17}}}'],
    ['policies.d.allow', qr/array of patterns/, '{"policies":{"d":{"pools":[],"allow":§"*"}}}'],
    # relay keys
    [   'relay_keys.r.policy', qr/no policy "x"; known: d|did you mean/,
        qq($all,"relay_keys":{"r":{"key":"$hidden_relay","policy":§"x"}}})],
    ['relay_keys.r', qr/expected "policy"/, qq($all,"relay_keys":{§"r":{"key":"$hidden_relay"}}})],
    ['relay_keys.r', qr/either "key" or "sha256"/, qq($all,"relay_keys":{§"r":{"policy":"d"}}})],
    [   'relay_keys.r', qr/either "key" or "sha256"/,
        qq($all,"relay_keys":{§"r":{"policy":"d","key":"$hidden_relay","sha256":") . 'a' x 64 . '"}}}'],
    [   'relay_keys.r.key', qr/expected 20 to 256 printable/,
        qq($all,"relay_keys":{"r":{"policy":"d","key":§"hidden-short"}}})],
    [   'relay_keys.r.key', qr/expected 20 to 256 printable/,
        qq($all,"relay_keys":{"r":{"policy":"d","key":§"$hidden_relay with spaces"}}})],
    [   'relay_keys.r.key', qr/checksum/,
        qq($all,"relay_keys":{"r":{"policy":"d","key":§") . base62_key('hidden00', 'hidden', checksum => 0) . '"}}}'],
    [   'relay_keys.r.sha256', qr/64 hexadecimal digits/,
        qq($all,"relay_keys":{"r":{"policy":"d","sha256":§"$hidden_relay"}}})],
    [   'relay_keys.r.expires_at', qr/a time such as/,
        qq($all,"relay_keys":{"r":{"policy":"d","key":"$hidden_relay","expires_at":§"tomorrow"}}})],
    [   'relay_keys.s', qr/same key has another name.*line 1/,
        qq($all,"relay_keys":{"r":{"policy":"d","key":"$hidden_relay"},\n§"s":{"policy":"d","key":"$hidden_relay"}}})],
);

my $checker = Relay::Test->new;
my @said;    # every message of this file

sub message_of {
    my ($t) = @_;
    my $check = $t->check;
    push @said, $check->{text};
    return ($check->{ok}, $check->{text});
}

for my $case (@broken) {
    my ($path, $expected, $text) = @$case;
    $text =~ s/\b(HOST|KEY|POOL|POLICY)\b/$good{$1}/g;
    my $at = index $text, '§';
    die "no mark in $text" if $at < 0;
    my $before = substr $text, 0, $at;
    my ($line, $column) = (1 + ($before =~ tr/\n//), 1 + length($before =~ s/.*\n//sr));
    substr $text, $at, length '§', '';
    $checker->relay($text);
    my ($ok, $message) = message_of($checker);
    my $file = $checker->dir . '/relay.json';
    my $name = ($path || 'document') . ': ' . substr $text, $at > 20 ? $at - 20 : 0, 60;
    my $where = "$file:$line:$column: " . ($path ? "$path: " : '');
    ok !$ok && index($message, "[emerg]") >= 0 && index($message, $where) >= 0 && $message =~ $expected, $name
        or diag "expected $where... $expected\n$message";
}

# ---- nginx.conf -------------------------------------------------------------

subtest 'directives' => sub {
    my $config = relay_config(a => $mock);
    my @cases = (
        ['a file that is not there', qr/nowhere\.json" failed \(2: No such file/, http => 'relay_config nowhere.json;'],
        ['a directory', qr/is not a regular file/, http => 'relay_config temp;'],
        ['the same file twice', qr/occurs twice: see .*relay\.json, line/, http => 'relay_config relay.json;'],
        ['relay_pass twice', qr/"relay_pass" directive is duplicate/, location => 'relay_pass;'],
        [   'relay_pass with an argument', qr/invalid number of arguments in "relay_pass"/,
            server => 'location /x { relay_pass http://evil; }'],
        [   'relay_config in a server', qr/"relay_config" directive is not allowed here/,
            server => 'relay_config relay.json;'],
        [   'a size that is none', qr/"relay_max_body_size" directive invalid value/,
            server => 'relay_max_body_size lots;'],
        ['a flag that is none', qr/invalid value "maybe" in "relay_core_dumps"/, http => 'relay_core_dumps maybe;'],
        ['a number that is none', qr/invalid number/, http => 'relay_keepalive many;'],
    );
    for my $case (@cases) {
        my ($name, $expected, %o) = @$case;
        my $t = Relay::Test->new(%o);
        $t->relay($config);
        my ($ok, $message) = message_of($t);
        ok !$ok && $message =~ $expected, $name or diag $message;
    }
    my $t = Relay::Test->new(
        http =>
            'relay_max_body_size 10k; relay_max_response_size 1m; relay_keepalive 7; relay_keepalive_timeout 5s; relay_core_dumps on;',
        server => 'relay_max_body_size 20k;', location => 'relay_max_body_size 30k; relay_max_response_size 2m;');
    my ($ok, $message) = message_of($t->relay($config));
    ok $ok, 'every directive where it may stand' or diag $message;
    my $none = Relay::Test->new(
        module => 0,
        main => 'load_module ' . ($ENV{RELAY_MODULE} || 'build/ngx_relay_module.so') =~
            s{^(?!/)}{Cwd::getcwd() . '/'}er . ';',
        pass => 'relay_pass;');
    if (($ENV{RELAY_MODULE} || '') ne 'static') {
        ($ok, $message) = message_of($none);
        ok !$ok && $message =~ /"relay_pass" needs a "relay_config" directive/, 'relay_pass without relay_config'
            or diag $message;
        $none->{pass} = 'return 204;';
        ($ok, $message) = message_of($none);
        ok $ok, 'the module alone does nothing' or diag $message;
    }
};

# True once the old worker has gone: until then it may still take a connection.
sub settled {
    my ($t) = @_;
    return wait_for(5, sub { 1 == (() = $t->workers) });
}

# ---- secrets ----------------------------------------------------------------

subtest 'references' => sub {
    local $ENV{RELAY_TEST_KEY} = 'value-of-the-environment-1';
    local $ENV{RELAY_TEST_EMPTY} = '';
    local $ENV{RELAY_TEST_BAD} = "bad value of the environment";
    my $t = Relay::Test->new;
    my $dir = $t->dir;
    $t->write_file('secret', "value-of-a-file-22222222\n");
    $t->write_file('secret-crlf', "value-of-a-file-33333333\r\n");
    $t->write_file('secret-lines', "two\nlines-of-hidden-text\n");
    $t->write_file('secret-huge', 'hidden-huge' x 1000);
    my %value = (plain => 'value-as-it-is-4444444444', env => 'env:RELAY_TEST_KEY', file => "file:$dir/secret",
        crlf => "file:$dir/secret-crlf", none => '');
    my $config =
        relay_config(map { ($_ => {mock => $mock, secret => $value{$_}, offer => {id => $_}}) } sort keys %value);
    $config->{provider_keys}{knone}{value} = '';
    $config->{models}{$_} = {offers => [{host => $_}]} for keys %value, 'gone';
    $config->{hosts}{gone} = {%{$config->{hosts}{plain}}};
    $config->{provider_keys}{"kgone$_->[0]"} = {host => 'gone', value => $_->[1], optional => \1}
        for [1, 'env:RELAY_TEST_NOT_SET'], [2, "file:$dir/not-there"], [3, 'env:RELAY_TEST_EMPTY'];
    push @{$config->{pools}{p}{members}}, map { "kgone$_" } 1 .. 3;
    $t->relay($config)->start;

    my %seen = (plain => $value{plain}, env => 'value-of-the-environment-1', file => 'value-of-a-file-22222222',
        crlf => 'value-of-a-file-33333333');
    my $check = sub {
        my ($when) = @_;
        for my $name (sort keys %seen) {
            $mock->forget;
            $t->post('/v1/chat/completions', {model => $name, messages => []});
            is_deeply [$mock->request(0)->header('authorization')], ["Bearer $seen{$name}"], "$name, $when";
        }
        $mock->forget;
        $t->post('/v1/chat/completions', {model => 'none', messages => []});
        is_deeply [$mock->request(0)->header('authorization')], [], "an empty one: no header, $when";
    };
    $check->('at the start');
    untouched(
        $mock,
        'keys without a value are not used',
        sub {
            refused($t->post('/v1/chat/completions', {model => 'gone', messages => []}), openai => 503,
                'no_provider_key', 'a host with no key at all', param => 'model');
            refused($t->post('/v1/messages', {model => 'gone', messages => []}), anthropic => 503, 'no_provider_key',
                'a host with no key at all');
        });
    ok !(grep { $_->{id} eq 'gone' } @{$t->get('/v1/models')->json->{data}}), 'nor listed';

    $t->write_file('secret', $seen{file} = 'value-of-a-file-that-changed');
    ok $t->reload && settled($t), 'reload';
    $check->('after a reload');

    for my $bad (
        ['env:RELAY_TEST_NOT_SET', qr/provider_keys\.kplain: its reference cannot be resolved/],
        ['env:RELAY_TEST_EMPTY', qr/cannot be resolved/],
        ["file:$dir/not-there", qr/cannot be resolved/], ["file:$dir", qr/not a regular file/],
        ["file:$dir/secret-lines", qr/provider_keys\.kplain: a secret is/],
        ["file:$dir/secret-huge", qr/larger than 8192|a secret is at most/],
        ['env:RELAY_TEST_BAD', qr/provider_keys\.kplain: a secret is/])
    {
        my $other = Relay::Test->new;
        $other->relay(
            {%$config, provider_keys => {%{$config->{provider_keys}}, kplain => {host => 'plain', value => $bad->[0]}}}
        );
        my ($ok, $message) = message_of($other);
        ok !$ok && $message =~ $bad->[1], "refused: $bad->[0]" =~ s/\Q$dir\E/DIR/r or diag $message;
        unlike $message, qr/hidden|bad value/, 'and its content is not told';
    }
    my $logs = $t->error_log . slurp("$dir/access.log");
    ok index($logs, $_) < 0, 'no secret in a log' for values %seen;
};

# ---- several documents ------------------------------------------------------

subtest 'documents are merged' => sub {
    my $whole = relay_config(a => $mock);
    my $t = Relay::Test->new(http => 'relay_config keys/more.json; relay_config "hosts and models.json";');
    mkdir $t->dir . '/keys';
    my $write = sub { $t->write_file($_[0], JSON::PP->new->canonical->pretty->encode($_[1])) };
    $write->(
        'hosts and models.json',
        {   hosts => $whole->{hosts}, models => $whole->{models},
            provider_keys => {kb => {host => 'a', value => secret('b')}}});
    $write->(
        'keys/more.json',
        {   '$comment' => 'keys of this machine', relay_keys => $whole->{relay_keys},
            provider_keys => $whole->{provider_keys}});
    $t->relay({pools => $whole->{pools}, policies => $whole->{policies}});
    $t->start;
    answered($t->post('/v1/messages', endpoint('messages')->{body}), endpoint('messages'),
        'references reach from one into another');

    my $more = $t->dir . '/keys/more.json';
    my $first = $t->dir . '/relay.json';
    $t->relay(
        {   pools => $whole->{pools}, policies => $whole->{policies},
            relay_keys => {k => {policy => 'default', key => 'another-relay-key-0001'}}});
    my ($ok, $message) = message_of($t);
    ok !$ok && $message =~ /\Q$more\E:\d+:\d+: relay_keys\.k: this name occurs twice: see \Q$first\E, line \d+/,
        'a name in two of them'
        or diag $message;
    $t->relay(
        {   pools => $whole->{pools}, policies => $whole->{policies},
            relay_keys => {other => {policy => 'default', key => RELAY_KEY}}});
    ($ok, $message) = message_of($t);
    ok !$ok && $message =~ /\Q$more\E:\d+:\d+: relay_keys\.k: the same key has another name: see \Q$first\E, line \d+/
        || $message =~ /\Q$first\E:\d+:\d+: relay_keys\.other: the same key has another name: see \Q$more\E, line \d+/,
        'a key in two of them'
        or diag $message;
};

# ---- reload -----------------------------------------------------------------

subtest 'a reload with a broken file keeps the old one' => sub {
    my $t = Relay::Test->new(allow => [qr/\[emerg\].*relay\.json/, qr/\[emerg\].*provider_keys\./]);
    my $config = relay_config(a => $mock);
    $t->relay($config)->start;
    my @workers = $t->workers;
    for my $broken ('{"hosts":', '{"hosts":{"a":{"base_url":"nonsense"}}}', '', undef) {
        if (defined $broken) { $t->write_file('relay.json', $broken) }
        else { $t->relay({%$config, provider_keys => {ka => {host => 'a', value => 'env:RELAY_TEST_NOT_SET'}}}) }
        my $name = defined $broken ? "'$broken'" : 'a reference that leads nowhere';
        ok !$t->reload, "$name is not taken";
        is_deeply [$t->workers], \@workers, 'the same workers';
        answered($t->post('/v1/chat/completions', endpoint('chat')->{body}), endpoint('chat'), 'go on serving');
    }
    like $t->error_log, qr{\[emerg\].*/relay\.json:1:\d+: hosts\.a\.base_url: a base URL starts with https://},
        'the log says where and why';
    $config->{relay_keys}{k}{key} = 'a-new-relay-key-00000001';
    $t->relay($config);
    ok $t->reload && settled($t), 'a whole one is taken';
    is $t->get('/v1/models', key => 'a-new-relay-key-00000001')->status, 200, 'the new key works';
    is $t->get('/v1/models')->status, 401, 'the old one does not';
};

# ---- what others can see ----------------------------------------------------

# /proc/PID belongs to root, not to the process's user, unless it is dumpable.
subtest 'workers cannot be dumped or traced' => sub {
    plan(tests => 4);
    for my $dumps (0, 1) {
        my $t = Relay::Test::Unprivileged->new(http => $dumps ? 'relay_core_dumps on;' : '');
        $t->relay(relay_config(a => $mock))->start;
        is $t->get('/v1/models')->status, 200, 'the worker is ready';
        my ($worker) = $t->workers;
        my ($uid) = slurp("/proc/$worker/status") =~ /^Uid:\s+(\d+)/m;
        my $owner = (stat "/proc/$worker/stat")[4];
        is $owner, $dumps ? $uid : 0, 'relay_core_dumps ' . ($dumps ? 'on' : 'off, the default');
    }
};

my $text = join '', @said, $checker->error_log, slurp($checker->dir . '/check.log');
ok index($text, $_) < 0, "no message holds the secret '$_'" for $hidden, $hidden_relay, 'hidden-short';
cmp_ok length $text, '>', 10_000, 'though there were many';

$checker->done;

package Relay::Test::Unprivileged;

# As an operator runs it: workers of another user than root.

BEGIN { our @ISA = ('Relay::Test') }

sub _conf {
    my ($self) = @_;
    my $group = getgrgid((getpwnam 'nobody')[3]);
    return $self->SUPER::_conf =~ s/^user root;/user nobody $group;/mr;
}
